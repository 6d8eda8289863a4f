package catalog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/workflow"
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

// A remote with more objects than are listed at once, or that takes fewer connections than that needs, is read folder by folder. (It
// once could not be listed, nor restored from.)
func TestTooManyAtOnce(t *testing.T) {
	t.Parallel()
	s := newShelf(t, settings.None)
	s.fill(t, 1, fewFolders)
	for _, why := range []error{remote.ErrTooBig, errors.New("ssh: handshake failed: EOF")} {
		c := s.catalog(t)
		c.Remote = crowded{c.Remote, why}
		all, err := c.ReadAll(t.Context())
		if err != nil || len(all) != 1+fewFolders {
			t.Fatalf("%d folders, %v", len(all), err)
		}
		for _, e := range all {
			if e.Why != nil {
				t.Errorf("%s: %v", e.Name, e.Why)
			}
		}
	}
}

// The Python tool's stamps are in local time. (restore --at took one of an evening east of Greenwich for that of the next night.)
func TestAsOf(t *testing.T) {
	local := time.Local
	t.Cleanup(func() { time.Local = local })
	evening := time.Date(2026, 11, 1, 22, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		zone   int // hours
		python bool
		at     time.Time
		want   bool
	}{
		{0, true, evening, true},
		{0, true, evening.Add(-time.Second), false},
		{5, false, evening.Add(-time.Second), false},
		{5, true, evening.Add(-5 * time.Hour), true},
		{5, true, evening.Add(-5*time.Hour - time.Second), false},
		{-5, false, evening.Add(time.Hour), true},
		{-5, true, evening.Add(time.Hour), false},
		{-5, true, evening.Add(5 * time.Hour), true},
		{-5, true, evening, true}, // the very stamp
	} {
		time.Local = time.FixedZone("", c.zone*60*60)
		e := &Entry{Name: "20261101220000-full", Python: c.python}
		if got := e.asOf(c.at); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// The clock was ahead for a night, and names were pushed behind that one's from then on. (restore --at took the newest of before
// that night, for good.)
func TestAsOfPushed(t *testing.T) {
	night := time.Date(2037, 1, 1, 3, 0, 0, 0, time.UTC)
	created := time.Date(2026, 12, 9, 3, 0, 0, 0, time.UTC)
	e := &Entry{Name: "20370101030001", Manifest: &manifest.Manifest{Created: created}}
	for at, want := range map[time.Time]bool{created.Add(-time.Second): false, created: true, created.AddDate(1, 0, 0): true,
		night: true, night.Add(time.Second): true} {
		if got := e.asOf(at); got != want {
			t.Errorf("%s: %v", at, got)
		}
	}
	// What was stored after its stamp is of its stamp all the same.
	e.Name = "20261207030000"
	if !e.asOf(created.AddDate(0, 0, -1)) {
		t.Error("not as of its stamp")
	}
}

type crowded struct {
	remote.Remote
	why error
}

func (c crowded) ListBackups(context.Context, workflow.World) (map[string][]remote.Object, error) {
	return nil, &remote.Error{Op: "list all backups of", Remote: c.String(), Err: c.why}
}
