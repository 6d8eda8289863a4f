package actions

import (
	"testing"

	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

func bookmarkOf(t *testing.T, job string, guid zfs.GUID) zfs.BookmarkInfo {
	t.Helper()
	d, err := zfs.ParseDataset("tank/data")
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Bookmark(bookmarkName(job, "20261101030000"))
	if err != nil {
		t.Fatal(err)
	}
	return zfs.BookmarkInfo{Bookmark: b, GUID: guid, CreateTXG: 100}
}

// A bookmark may stand for a base, and for nothing of which the data is needed (I2).
func TestWhatABookmarkStandsFor(t *testing.T) {
	backups, snapshots := aChain(t)
	based := state.Backup{Name: "20261104030000", SnapshotGUID: "14", Base: &state.Base{Name: "x", SnapshotGUID: "12"}}
	exporting := backupIn(t, based)
	exported := backupIn(t, based, workflow.BackupExport)
	failed := runIn(t, state.Run{ID: "r1", Snapshot: "20261101030000", SnapshotGUID: "11"}, workflow.RunStart, workflow.RunFail)
	for _, c := range []struct {
		name           string
		h              holdings
		snap           zfs.SnapshotInfo
		base, withData bool
	}{
		{"the full's, of incrementals to come", holdings{backups: backups}, snapshots[0], true, false},
		{"an incremental's", holdings{backups: backups}, snapshots[1], false, false},
		{"the newest incremental's, where that is the base", holdings{backups: backups, strategy: settings.SinceLastIncremental}, snapshots[2], true, false},
		{"of a failed run", holdings{backups: backups, runs: []state.Run{failed}}, snapshots[0], true, true},
		{"base of one that is sent", holdings{backups: append(backups[:3:3], exporting)}, snapshots[1], false, true},
		{"base of one that was sent", holdings{backups: append(backups[:3:3], exported)}, snapshots[1], true, false},
		{"the full was found bad", holdings{backups: spoiled(backups, 0)}, snapshots[0], true, true},
	} {
		if c.h.strategy == "" {
			c.h.strategy = settings.SinceLastFull
		}
		base, data := c.h.keepBase(c.snap), c.h.keepData(c.snap, snapshots)
		if (base != "") != c.base || (data != "") != c.withData {
			t.Errorf("%s: base %q, data %q", c.name, base, data)
		}
	}
}

// A bookmark stays for as long as anything may be sent from it, and one that is not ours stays for ever.
func TestKeepBookmark(t *testing.T) {
	backups, _ := aChain(t)
	exported := backupIn(t, state.Backup{Name: "20261104030000", SnapshotGUID: "14", Base: &state.Base{Name: "x", SnapshotGUID: "12"}}, workflow.BackupExport)
	other := runIn(t, state.Run{ID: "r1", Job: "j"}, workflow.RunStart)
	for _, c := range []struct {
		name string
		h    holdings
		mark zfs.BookmarkInfo
		keep bool
	}{
		{"of the base", holdings{backups: backups}, bookmarkOf(t, "j", 11), true},
		{"of what was the base", holdings{backups: backups}, bookmarkOf(t, "j", 12), false},
		{"of what one is based on that is not committed", holdings{backups: append(backups[:3:3], exported)}, bookmarkOf(t, "j", 12), true},
		{"while another run is not finished", holdings{backups: backups, runs: []state.Run{other}}, bookmarkOf(t, "j", 12), true},
		{"of another job", holdings{backups: backups}, bookmarkOf(t, "k", 12), true},
		{"of a snapshot that no backup is of", holdings{backups: backups}, bookmarkOf(t, "j", 99), true},
	} {
		c.h.job.ID, c.h.strategy = "j", settings.SinceLastFull
		if why := c.h.keepBookmark(c.mark, "present"); (why != "") != c.keep {
			t.Errorf("%s: %q", c.name, why)
		}
	}
}
