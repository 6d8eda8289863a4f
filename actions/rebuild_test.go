package actions

import (
	"errors"
	"testing"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/state"
)

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
