package outage

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Every moment comes once in as many cuts as there are, and the same seed makes the same.
func TestPlan(t *testing.T) {
	t.Parallel()
	var names []string
	for _, chain := range Plan(Moments, 1) {
		for i, c := range chain {
			if slices.Contains(names, c.Moment) {
				t.Errorf("%s comes twice", c.Moment)
			}
			if c.Resumed && (i == 0 || chain[i-1].Resumed) {
				t.Errorf("%s has no run to resume", c)
			}
			names = append(names, c.Moment)
		}
	}
	if len(names) != Moments {
		t.Errorf("%d moments of %d: %q", len(names), Moments, names)
	}
	long := Plan(60, 7)
	if !reflect.DeepEqual(long, Plan(60, 7)) || reflect.DeepEqual(long, Plan(60, 8)) {
		t.Error("a plan does not follow from its seed")
	}
	for _, c := range slices.Concat(long[:]...) {
		if (c.Delay > 0) != (c.When == During) && c.Delay != 0 {
			t.Errorf("%s is delayed by %v", c, c.Delay)
		}
	}
}

func TestChains(t *testing.T) {
	t.Parallel()
	got := chains([]string{"1-full", "a", "2", "b", "3-full", "c", "4", "d", "5", "e"})
	if len(got) != 2 || len(got[0]) != 2 || len(got[1]) != 3 || got[1][2] != (recorded{"5", "e"}) {
		t.Errorf("chains %v", got)
	}
}

// What is compared must differ when anything does.
func TestContents(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for name, change := range map[string]func(dir string) error{
		"nothing": func(string) error { return nil },
		"content": func(dir string) error { return os.WriteFile(filepath.Join(dir, "f"), []byte("other"), 0o600) },
		"mode":    func(dir string) error { return os.Chmod(filepath.Join(dir, "f"), 0o640) },
		"name":    func(dir string) error { return os.Rename(filepath.Join(dir, "f"), filepath.Join(dir, "g")) },
		"folder":  func(dir string) error { return os.Mkdir(filepath.Join(dir, "d"), 0o700) },
		"link":    func(dir string) error { return os.Symlink("f", filepath.Join(dir, "l")) },
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "f"), []byte("bytes"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		sum, err := contents(dir)
		if err != nil {
			t.Fatal(err)
		}
		if other, same := seen[sum]; same {
			t.Errorf("%s and %s are the same", name, other)
		}
		seen[sum] = name
	}
}

// The wrapper says what it is called for, and lets through what it is not to stop at.
func TestWrapper(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := strings.NewReplacer("/run/outage", dir, "sleep 600", "echo held", "PATH=/usr", "PATH="+dir+"/real:/usr").Replace(at)
	for _, name := range []string{"real", "calls"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"rclone": text, "real/rclone": "#!/bin/sh\necho real\n", "chunk.zfs.000001.gpg": "12 bytes in.", "say": "",
		"moment": "upload 2 after\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ args, out, said string }{
		{"--config X lsjson -- store:/x.zfs.000001.gpg", "real\n", ""},
		{"--config X copyto -v -- " + dir + "/chunk.zfs.000001.gpg store:/tank/1/.z2c-tmp-chunk.zfs.000001.gpg", "real\n", "call upload 12 chunk.zfs.000001.gpg\n"},
		{"--config X copyto -v -- " + dir + "/chunk.zfs.000001.gpg store:/tank/1/chunk.zfs.000001.gpg", "real\nheld\n", "moment\n"},
		{"--config X copyto -v -- /tmp/object store:/tank/1/manifest.json.gpg", "real\n", "call commit 0 -\n"},
	} {
		out, err := exec.Command(filepath.Join(dir, "rclone"), strings.Fields(c.args)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		said, err := os.ReadFile(filepath.Join(dir, "say"))
		if err != nil {
			t.Fatal(err)
		}
		if string(out) != c.out || string(said) != c.said && c.said != "" {
			t.Errorf("%s: printed %q, said %q", c.args, out, said)
		}
	}
}
