package actions

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/manifest"
)

const pythonName = "20240101000000-full"

// addPython puts what the Python tool would have stored.
func (b *backups) addPython(t *testing.T) {
	t.Helper()
	folder := filepath.Join(b.dir, pythonName)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, piece := range []string{"0000", "0001"} {
		if err := os.WriteFile(filepath.Join(folder, "tank-data@20240101000000.zfs.gpg."+piece), make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func testListed(t *testing.T, b *backups, both []*manifest.Manifest) {
	b = b.copied(t)
	b.addPython(t)
	uncommitted := "20261126025200"
	if err := os.Mkdir(filepath.Join(b.dir, uncommitted), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, stranger := range []string{"photos", "2026112502520", "20261125025200-fuller"} {
		if err := os.Mkdir(filepath.Join(b.dir, stranger), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c := b.catalog(t)
	all, err := c.ReadAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name)
	}
	if got := strings.Join(names, " "); got != strings.Join([]string{uncommitted, incrName, fullName, pythonName}, " ") {
		t.Fatalf("listed %s", got)
	}
	if !errors.Is(all[0].Why, catalog.ErrNotCommitted) || !errors.Is(all[3].Why, catalog.ErrPython) || !all[3].Python {
		t.Errorf("%v, %v", all[0].Why, all[3].Why)
	}
	if chunks, bytes := all[3].Size(); chunks != 2 || bytes != 200 {
		t.Errorf("the Python tool's: %d chunks, %d bytes", chunks, bytes)
	}
	if chunks, bytes := all[1].Size(); chunks != 3 || bytes != both[1].Bytes() {
		t.Errorf("ours: %d chunks, %d bytes", chunks, bytes)
	}
	for name, want := range map[string]error{incrName: nil, fullName: nil, uncommitted: catalog.ErrNotCommitted, pythonName: catalog.ErrPython} {
		if _, err := c.Chain(t.Context(), name); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}

	p, err := b.plan(t, catalog.Latest, b.into(t))
	if err != nil {
		t.Fatal(err)
	}
	if p.Newest().Name != incrName || len(p.Newer) != 1 || p.Newer[0] != uncommitted {
		t.Errorf("latest is %s, newer are %v", p.Newest().Name, p.Newer)
	}
	if p, err = b.plan(t, pythonName, b.into(t)); err != nil || !p.Python || len(p.Chain) != 1 || p.Bytes != 200 {
		t.Errorf("the Python tool's: %+v, %v", p, err)
	}
}

// Which backup is the latest of two jobs, nobody can say.
func testJobs(t *testing.T, b *backups) {
	b = b.copied(t)
	const theirs = "20261127025200-full"
	b.add(t, theirs, anotherJob, nil)
	_, err := b.plan(t, catalog.Latest, b.into(t))
	var refusal *catalog.Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("error %v", err)
	}
	for _, said := range []string{"--backup", theirs, incrName, b.dataset, "web1"} {
		if !strings.Contains(err.Error(), said) {
			t.Errorf("no %q in %v", said, err)
		}
	}
	for _, name := range []string{incrName, theirs} {
		if _, err := b.plan(t, name, b.into(t)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
