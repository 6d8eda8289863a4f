package catalog

import (
	"os"
	"path/filepath"
	"testing"

	"zfs2cloud/actions/settings"
)

// Two markers are two jobs, also before the second has a backup.
func TestMarkers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, job := range []string{oneJob, anotherJob} {
		if err := os.WriteFile(filepath.Join(dir, "zfs2cloud-job-"+job), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := shelfIn(t, dir, settings.GPG).catalog(t)
	if err := c.oneJob(nil); err == nil || len(c.Jobs) != 2 {
		t.Errorf("jobs %v: %v", c.Jobs, err)
	}
}

// A look that failed is no answer.
func TestCannotLook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "20261101025200-full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "20261101025200-full", "manifest.json.gpg"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := shelfIn(t, dir, settings.GPG)
	s.gpg = filepath.Join(dir, "no-gpg")
	if all, err := s.catalog(t).ReadAll(t.Context()); err == nil {
		t.Errorf("without gpg it says %v", all[0].Why)
	}
	s.remote = filepath.Join(dir, "gone")
	if _, err := s.open(t); err == nil {
		t.Error("a folder that is gone has a catalog")
	}
}
