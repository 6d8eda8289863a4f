package actions

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
)

// A run may be given up that came no further than its job's marker. (The next one took that for another job's, and dropped its
// own record.)
func TestSettleFindsTheMarkerOfTheFreshJob(t *testing.T) {
	t.Parallel()
	place := t.TempDir()
	k := restoreKit("a passphrase", settings.None)
	k.ZFS = []string{"true"} // no snapshot
	store := state.New(filepath.Join(t.TempDir(), "state.db"))
	job := state.Job{ID: oneJob, Dataset: "tank/data", DatasetGUID: "1", Place: place, Config: "/etc/config.ini", Fresh: true}
	err := store.Update(func(tx *state.Tx) error { return tx.PutJob(job) })
	if err == nil {
		err = os.WriteFile(filepath.Join(place, "zfs2cloud-job-"+oneJob), nil, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Settle(t.Context(), &proc.World{}, store, job, false)
	if err != nil || s.Job.ID != oneJob || s.Job.Fresh || s.Was != "" || s.Rebuilt {
		t.Errorf("%+v, %v", s, err)
	}
	err = store.View(func(tx *state.Tx) error {
		on, known, err := tx.Job(oneJob)
		if !known || on.Fresh {
			t.Errorf("on record: %v, %+v", known, on)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A record that was lost is not made again without the newest backups, which an older passphrase does not open. (It was, and from then on
// each run saw another host at work, with whatever passphrase.)
func TestNewestUnread(t *testing.T) {
	t.Parallel()
	newer := &catalog.Entry{Name: "20261102025200-full", Why: chunk.ErrPassphrase}
	mine := &catalog.Entry{Name: "20261101025200-full", Manifest: &manifest.Manifest{Name: "20261101025200-full", Host: "here"}}
	older := &catalog.Entry{Name: "20261031025200-full", Why: chunk.ErrPassphrase}
	leftover := &catalog.Entry{Name: "20261103025200", Why: catalog.ErrNotCommitted}
	for _, c := range []struct {
		entries []*catalog.Entry
		ours    bool
	}{
		{[]*catalog.Entry{newer, mine}, false},
		{[]*catalog.Entry{leftover, mine, older}, true},
	} {
		f := &finding{kit: &Kit{Host: "here"}, fresh: state.Job{Place: "box:"}, id: "1", entries: c.entries, mine: []*catalog.Entry{mine}}
		ours, err := f.ours(true)
		if c.ours != (err == nil && ours) || !c.ours && !errors.Is(err, chunk.ErrPassphrase) {
			t.Errorf("%v, %v", ours, err)
		}
	}
}

// A place whose manifests are all of another dataset is not worth an export: it is said whose they are. Who knows nothing, says nothing.
func TestPlaceOfOtherDataset(t *testing.T) {
	t.Parallel()
	theirs := func(job, dataset string) *catalog.Entry {
		return &catalog.Entry{Name: "20261101025200-full", Manifest: &manifest.Manifest{Job: job, Dataset: dataset, DatasetGUID: "7", Host: "old"}}
	}
	for _, c := range []struct {
		entry *catalog.Entry
		want  string
	}{
		{theirs("1", "tank/data"), "box: is where tank/data of host old was backed up to before it was restored or made anew: to ZFS this is another dataset, and needs a path of its own"},
		{theirs("1", "tank/www"), "box: is where another dataset is backed up to, tank/www of host old: this one needs a path of its own"},
		{theirs("2", "tank/www"), ""},
		{&catalog.Entry{Name: "20261101025200-full", Why: chunk.ErrPassphrase}, ""},
	} {
		k := &Kit{Host: "here", Settings: &settings.Settings{Dataset: "tank/data", Remote: "box:", Steps: []settings.Step{{Name: StepUpload}}}}
		f := &finding{kit: k, fresh: state.Job{Place: "box:", DatasetGUID: "8"}, id: "1", entries: []*catalog.Entry{c.entry}}
		ours, err := f.ours(false)
		said := ""
		if err != nil {
			said = err.Error()
		}
		if ours || said != c.want {
			t.Errorf("%v, %q, want %q", ours, said, c.want)
		}
	}
}
