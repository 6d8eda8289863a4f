package actions

import (
	"testing"
	"time"

	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// Nothing needed is pruned (I2): not what a run that is not finished needs, not the base of a chain in use, not
// before the backup that makes it redundant is committed.
func TestKeepSnapshot(t *testing.T) {
	backups, snapshots := aChain(t)
	lost := append([]state.Backup{backupIn(t, backups[0], expired...)}, backups[1:]...)
	alone := snapshotNamed(t, "20261104030000", 14, 400) // newer than any backup
	snapshots = append(snapshots, alone)
	middle, newest := snapshots[1], snapshots[2]
	failed := runIn(t, state.Run{ID: "r1", Snapshot: "20261102030000", SnapshotGUID: "12"}, workflow.RunStart, workflow.RunFail)
	done := runIn(t, state.Run{ID: "r2", Snapshot: "20261102030000", SnapshotGUID: "12"}, workflow.RunStart, workflow.RunSucceed)
	half := backupIn(t, state.Backup{Name: "20261104030000", SnapshotGUID: "14", Base: &state.Base{Name: "x", SnapshotGUID: "12"}}, workflow.BackupExport)
	tests := []struct {
		name string
		h    holdings
		snap zfs.SnapshotInfo
		keep bool
	}{
		{"the full's, of incrementals to come", holdings{backups: backups}, snapshots[0], true},
		{"an incremental's", holdings{backups: backups}, middle, false},
		{"the newest incremental's", holdings{backups: backups}, newest, false},
		{"the newest incremental's, where that is the base", holdings{backups: backups, strategy: settings.SinceLastIncremental}, newest, true},
		{"of a failed run", holdings{backups: backups, runs: []state.Run{failed}}, middle, true},
		{"of a run that is over", holdings{backups: backups, runs: []state.Run{done}}, middle, false},
		{"newer than any backup", holdings{backups: backups}, alone, true},
		{"no backup at all", holdings{}, middle, true},
		{"base of one that is not committed", holdings{backups: append(backups[:3:3], half)}, middle, true},
		{"all later backups hang on a full that is gone", holdings{backups: lost}, middle, true},
		{"that full's own", holdings{backups: lost}, snapshots[0], true},
		{"only the chain's full is committed", holdings{backups: backups[:1]}, middle, true},
	}
	for _, c := range tests {
		if c.h.strategy == "" {
			c.h.strategy = settings.SinceLastFull
		}
		if why := c.h.keepSnapshot(c.snap, snapshots); (why != "") != c.keep {
			t.Errorf("%s: %q", c.name, why)
		}
	}
}

func TestKeepFolder(t *testing.T) {
	backups, _ := aChain(t)
	second := backupIn(t, state.Backup{Name: "20261201030000-full", Full: true, SnapshotGUID: "21", Job: "j"}, toCommitted...)
	onSecond := backupIn(t, state.Backup{Name: "20261202030000", SnapshotGUID: "22", Base: &state.Base{Name: second.Name}, Job: "j"}, toCommitted...)
	exported := backupIn(t, state.Backup{Name: "20261203030000", SnapshotGUID: "23", Base: &state.Base{Name: backups[0].Name}, Job: "j"}, workflow.BackupExport)
	gone := backupIn(t, state.Backup{Name: "20261001030000-full", Full: true, Job: "j"}, workflow.BackupAbandon)
	running := runIn(t, state.Run{ID: "r", Job: "j", Backup: second.Name}, workflow.RunStart)
	away := backupIn(t, state.Backup{Name: "20261115030000-full", Full: true, Job: "j"}, expired...)
	two := append(backups[:3:3], second, onSecond)
	tests := []struct {
		name    string
		backups []state.Backup
		runs    []state.Run
		b       state.Backup
		inPlace bool
		keep    bool
	}{
		{"committed on the remote", backups, nil, backups[2], false, false},
		{"this run's", two, []state.Run{running}, second, false, true},
		{"not committed", append(backups[:3:3], exported), nil, exported, false, true},
		{"abandoned", append(backups[:3:3], gone), nil, gone, false, false},
		{"gone from its place, no full since", append(backups[:3:3], away), nil, away, false, true},
		{"gone from its place, a full since", append(two[:5:5], away), nil, away, false, false},
		{"in place: its removal was cut off", append(backups[:3:3], away), nil, away, true, false},
		{"in place: the newest", two, nil, onSecond, true, true},
		{"in place: its full", two, nil, second, true, true},
		{"in place: an older chain's end", two, nil, backups[2], true, false},
		{"in place: an older chain's full", two, nil, backups[0], true, false},
		{"in place: the middle of the newest's chain", backups, nil, backups[1], true, true},
		{"in place: base of what is not committed", append(two[:5:5], exported), nil, backups[0], true, true},
	}
	for _, c := range tests {
		h := holdings{backups: c.backups, runs: c.runs, strategy: settings.SinceLastFull}
		if why := h.keepFolder(c.b, c.inPlace); (why != "") != c.keep {
			t.Errorf("%s: %q", c.name, why)
		}
	}
}

func TestOldEnoughGoesByTheStamp(t *testing.T) {
	now := at("20261125000000")
	for name, want := range map[string]bool{"20260727000000": true, "20260728000000": true, "20260728000001": false, "daily": false} {
		if got := oldEnough(snapshotNamed(t, name, 1, 1), now.Add(time.Second), 120); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	ahead := snapshotNamed(t, "20370101000000", 1, 1)
	for creation, want := range map[string]bool{"20260727000000": true, "20260728000001": false, "20370101000000": false} {
		ahead.Creation = at(creation)
		if got := oldEnough(ahead, now.Add(time.Second), 120); got != want {
			t.Errorf("%s, made %s: %v", ahead.Snapshot, creation, got)
		}
	}
}
