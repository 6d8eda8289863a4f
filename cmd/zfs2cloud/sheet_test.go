package main

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// longSheet is one with the most that can stand on it.
func longSheet() sheet {
	return sheet{
		Printed: "29 Nov 2026 03:52 UTC", Tool: "zfs2cloud 0.1", Host: "web1.example.org", Dataset: "tank/data/of customers", Job: strings.Repeat("5f0c", 8),
		Remote: "b2:acme-backups/web1/tank-data", Conf: "/etc/zfs2cloud/rclone.conf", Here: "web1.example.org", Encrypted: true, Raw: true,
		Newest: "20261129035200", Kind: "incremental", Created: "29 Nov 2026 03:52 UTC", Based: "20261101035200-full, 20261102035200, 20261103035200, 20261104035200, 20261105035200",
		Manifest: "manifest.json.gpg", ManifestSHA256: strings.Repeat("0123abcd", 8), Script: "20261129035200/restore.sh.gpg", ScriptSHA256: strings.Repeat("cdef4567", 8),
		Bytes: "42.8 GiB", StreamBytes: "1.02 TiB", Piece: "1.00 GiB",
		List: "rclone --config rclone.conf lsf b2:acme-backups/web1/tank-data", Into: "newpool/data",
		Fetch:   "rclone --config rclone.conf copy -P --include '/{20261101035200-full,20261129035200}/**' \\\n  b2:acme-backups/web1/tank-data .",
		Restore: "zfs2cloud restore --remote b2:acme-backups/web1/tank-data \\\n  --rclone-config rclone.conf ",
	}
}

func rendered(t *testing.T, s sheet) (text, page string) {
	t.Helper()
	var b strings.Builder
	if err := sheetTextTemplate.Execute(&b, s); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "page.html")
	if err := writeSheet(&strings.Builder{}, file, s); err != nil {
		t.Fatal(err)
	}
	html, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), string(html)
}

// What stands in the text stands on the page, and the other way round: each command and each hash.
func TestSheetIsTheSameTwice(t *testing.T) {
	none := longSheet()
	none.Encrypted, none.ScriptSHA256, none.Raw, none.Manifest = false, "", false, "manifest.json"
	local := longSheet()
	local.Local, local.Based = true, ""
	old := longSheet()
	old.ScriptSHA256 = ""
	for name, s := range map[string]sheet{"none": none, "local": local, "old": old, "long": longSheet()} {
		text, page := rendered(t, s)
		page = html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, ""))
		commands := 0
		for line := range strings.Lines(text) {
			if command, ok := strings.CutPrefix(line, "    "); ok {
				commands++
				if !strings.Contains(page, strings.TrimSpace(command)) && !strings.Contains(command, "[ ]") && !strings.Contains(command, "It is kept at") {
					t.Errorf("%s: the page lacks %q", name, command)
				}
			}
		}
		if want := map[string]int{"none": 4, "old": 4}[name]; commands < max(want, 4) || want == 0 && commands < 9 {
			t.Errorf("%s: %d commands in\n%s", name, commands, text)
		}
		words := func(s string) int { return len(strings.Fields(s)) }
		if n, m := words(text), words(page); n < 150 || m < 150 {
			t.Errorf("%s: %d and %d words", name, n, m)
		}
		if s.Encrypted != strings.Contains(text, "the passphrase") || s.Encrypted != strings.Contains(page, "passphrase") || strings.Contains(text, "<no value>") {
			t.Errorf("%s: says what does not apply:\n%s", name, text)
		}
	}
}

// A long chain does not make a long page, and rclone's pattern finds all of it.
func TestSheetOfALongChain(t *testing.T) {
	chain := []string{"20261130035200-full"}
	for day := 1; day <= 20; day++ {
		chain = append(chain, fmt.Sprintf("202612%02d035200", day))
	}
	for n, want := range map[int]string{1: "/20261130035200-full/**", 2: "/{20261130035200-full,20261201035200}/**", 21: "/{202611,202612}*/**"} {
		if got := include(chain[:n]); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	long := []string{"20251130035200-full"}
	for month := 1; month <= 8; month++ {
		long = append(long, fmt.Sprintf("2026%02d01035200", month))
	}
	if got := include(long); got != "/{2025,2026}*/**" {
		t.Error(got)
	}
	if got := based(chain); got != "20261130035200-full, and 19 more, which its RESTORE.txt names" {
		t.Error(got)
	}
}

// Foreign names are text on the page.
func TestSheetEscapes(t *testing.T) {
	s := longSheet()
	s.Dataset, s.Remote = "<script>alert(1)</script>", `b2:"><img src=x>`
	if _, page := rendered(t, s); strings.Contains(page, "<script>") || strings.Contains(page, "<img") {
		t.Error("a name became a part of the page")
	}
}
