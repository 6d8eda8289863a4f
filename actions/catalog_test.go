package actions

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/settings"
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
	if !errors.Is(all[0].Why, ErrNotCommitted) || !errors.Is(all[3].Why, ErrPython) || !all[3].Python {
		t.Errorf("%v, %v", all[0].Why, all[3].Why)
	}
	if chunks, bytes := all[3].Size(); chunks != 2 || bytes != 200 {
		t.Errorf("the Python tool's: %d chunks, %d bytes", chunks, bytes)
	}
	if chunks, bytes := all[1].Size(); chunks != 3 || bytes != both[1].Bytes() {
		t.Errorf("ours: %d chunks, %d bytes", chunks, bytes)
	}
	for name, want := range map[string]error{incrName: nil, fullName: nil, uncommitted: ErrNotCommitted, pythonName: ErrPython} {
		if _, err := c.Chain(t.Context(), name); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}

	p, err := b.plan(t, Latest, b.into(t))
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
	_, err := b.plan(t, Latest, b.into(t))
	var refusal *RestoreRefusal
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

// Two markers are two jobs, also before the second has a backup.
func TestMarkers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, job := range []string{oneJob, anotherJob} {
		if err := os.WriteFile(filepath.Join(dir, "zfs2cloud-job-"+job), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := &backups{dir: dir, kit: restoreKit("a passphrase", settings.GPG)}
	c := b.catalog(t)
	if err := c.oneJob(nil); err == nil || len(c.Jobs) != 2 {
		t.Errorf("jobs %v: %v", c.Jobs, err)
	}
}

// A look that failed is no answer.
func TestCatalogCannotLook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, fullName), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, fullName, "manifest.json.gpg"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := &backups{dir: dir, kit: restoreKit("a passphrase", settings.GPG)}
	b.kit.Settings.Gpg = []string{filepath.Join(dir, "no-gpg")}
	if all, err := b.catalog(t).ReadAll(t.Context()); err == nil {
		t.Errorf("without gpg it says %v", all[0].Why)
	}
	r, err := b.kit.Remote(filepath.Join(dir, "gone"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.kit.OpenCatalog(t.Context(), &proc.World{}, r); err == nil {
		t.Error("a folder that is gone has a catalog")
	}
}

// What is not encrypted is read if that was asked for, and then whole.
func TestRestoreUnencrypted(t *testing.T) {
	t.Parallel()
	b := newBackups(t, settings.None)
	full := b.add(t, fullName, oneJob, nil)
	into := b.into(t)
	if _, err := b.restore(t, &proc.World{}, Latest, into); err != nil {
		t.Fatal(err)
	}
	b.same(t, into, full)
	b.kit = restoreKit("a passphrase", settings.GPG)
	if _, err := b.plan(t, Latest, b.into(t)); err == nil || !strings.Contains(err.Error(), "encryption none") {
		t.Errorf("error %v", err)
	}
}
