package actions

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/mounts"
	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// Nothing needed is pruned (I2): not what a run that is not finished needs, not the base of a chain in use, not
// before the backup that makes it redundant is committed. (zfs_autobackup#45, znapzend#322, #138: pruned before the upload that
// needed it.)
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
		{"the newest backup was found bad", holdings{backups: spoiled(backups, 2)}, newest, true},
		{"one before it was found bad", holdings{backups: spoiled(backups, 1)}, newest, true},
		{"one before it was found bad, and an older one is asked for", holdings{backups: spoiled(backups, 2)}, middle, false},
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

// Nor is a folder removed that was not uploaded yet (zfs_autobackup#45).
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
		{"gone from its place, and the full since was found bad", append(spoiled(two, 3)[:5:5], away), nil, away, false, true},
		{"in place: its removal was cut off", append(backups[:3:3], away), nil, away, true, false},
		{"found bad on the remote, nothing sound since", spoiled(backups, 2), nil, spoiled(backups, 2)[2], false, true},
		{"found bad on the remote, and the full since too", spoiled(spoiled(two, 2), 3), nil, spoiled(two, 2)[2], false, true},
		{"found bad on the remote, a full since", spoiled(two, 2), nil, spoiled(two, 2)[2], false, false},
		{"in place: the newest", two, nil, onSecond, true, true},
		{"in place: its full", two, nil, second, true, true},
		{"in place: an older chain's end", two, nil, backups[2], true, false},
		{"in place: an older chain's full", two, nil, backups[0], true, false},
		{"in place: the middle of the newest's chain", backups, nil, backups[1], true, true},
		{"in place: base of what is not committed", append(two[:5:5], exported), nil, backups[0], true, true},
	}
	for _, c := range tests {
		h := holdings{backups: c.backups, runs: c.runs, strategy: settings.SinceLastFull}
		if why := h.keepFolder(c.b, c.inPlace, settings.Keep{}, at("20261210030000")); (why != "") != c.keep {
			t.Errorf("%s: %q", c.name, why)
		}
	}
}

// Without an upload step intermediate_basedir is where backups are kept, by the same limits.
func TestKeepFolderInPlaceByLimits(t *testing.T) {
	backups, _ := aChain(t)
	second := backupIn(t, state.Backup{Name: "20261201030000-full", Full: true, SnapshotGUID: "21", Job: "j"}, toCommitted...)
	h := holdings{backups: append(backups[:3:3], second), strategy: settings.SinceLastFull}
	for _, c := range []struct {
		keep  settings.Keep
		stays bool
	}{{settings.Keep{}, false}, {settings.Keep{Fulls: 1}, false}, {settings.Keep{Fulls: 2}, true}, {settings.Keep{Days: 37}, true}, {settings.Keep{Days: 36}, false}} {
		if why := h.keepFolder(backups[0], true, c.keep, at("20261210030000")); (why != "") != c.stays {
			t.Errorf("%+v: %q", c.keep, why)
		}
	}
}

// A clock that was wrong for a night makes everything look old, and what is committed that night looks as right as any. Once
// backups of many days are committed behind the jump, nobody is any the wiser, and it was right.
func TestClockJump(t *testing.T) {
	first := at("20260101030000")
	days := func(all ...int) (backups []state.Backup) {
		for i, d := range all {
			committed := first.AddDate(0, 0, d)
			backups = append(backups, state.Backup{Name: fmt.Sprintf("%014d", i), Committed: &committed}) // names grow, whatever the clock says
		}
		return backups
	}
	tests := []struct {
		name    string
		commits []state.Backup
		now     int
		jumped  bool
	}{
		{"nothing committed yet", nil, 4000, false},
		{"every day", days(0, 1, 2), 3, false},
		{"off for a year", days(0, 1), 365, false},
		{"the clock is wrong", days(0, 1), 4000, true},
		{"and the run's own backup is committed", days(0, 1, 4000), 4000, true},
		{"the second night", days(0, 1, 4000, 4001), 4001, true},
		{"wrong at the very first", days(-4000), 1, true},
		{"it is right again", days(0, 1, 4000, 2), 3, false},
		{"and wrong once more", days(0, 1, 4000, 2, 4002), 4002, true},
		{"and wrong once more, after a month", days(0, 1, 4000, 2, 3, 4040), 4040, true},
		{"backups of a month since", days(0, 1, 4000, 4010, 4030), 4030, false},
		{"of less", days(0, 1, 4000, 4010, 4029), 4060, true},
		{"the jump was long ago", days(0, 4000, 4020, 4031, 4032), 4033, false},
	}
	for _, c := range tests {
		now := first.AddDate(0, 0, c.now)
		h := holdings{backups: c.commits}
		if jumped := h.clockJump(now); (jumped != "") != c.jumped {
			t.Errorf("%s: %q", c.name, jumped)
		}
		if h.clockIsRight = true; h.clockJump(now) != "" {
			t.Errorf("%s: a person says that it is right, and is not believed", c.name)
		}
	}
	pruned := holdings{job: state.Job{Newest: &state.Commit{Name: "2", At: first}}}
	if pruned.clockJump(at("20370101030000")) == "" {
		t.Error("of the newest commit only the job knows")
	}
}

// Behind a jump of the clock nothing old goes, wherever it is.
func TestKeepBehindJump(t *testing.T) {
	backups, _ := aChain(t)
	second := backupIn(t, state.Backup{Name: "20370101030000-full", Full: true, SnapshotGUID: "21", Job: "j"}, toCommitted...)
	two := append(backups[:3:3], second)
	for i := range two {
		committed, _ := manifest.StampOf(two[i].Name)
		two[i].Committed = &committed
	}
	adopted := state.Foreign{Name: "20260101000000-full", Folder: &state.AdoptedFolder{Made: at("20260101000000")}}
	now := at("20370101040000")
	for _, right := range []bool{false, true} {
		for _, keep := range []settings.Keep{{Days: 30}, {Fulls: 1}, {Days: 30, Fulls: 1}} {
			h := holdings{job: state.Job{ID: "j"}, backups: two, strategy: settings.SinceLastFull, clockIsRight: right}
			jumped := ""
			if why := h.keepAtPlace(two[0], keep, now); h.mayGo(why, now, &jumped) != right || (jumped != "") == right {
				t.Errorf("%+v, right: %v: at its place: %q", keep, right, why)
			}
			jumped = ""
			if why := h.keepFolder(two[0], true, keep, now); h.mayGo(why, now, &jumped) != right || (jumped != "") == right {
				t.Errorf("%+v, right: %v: in place: %q", keep, right, why)
			}
			if why := h.keepAdopted(adopted, nil, true, keep, now); (why == "") != right {
				t.Errorf("%+v, right: %v: taken over: %q", keep, right, why)
			}
		}
	}
}

// What a union does not show makes no older chain one too many. (Of two fulls that were to stay, one lay on a disk that was gone.)
func TestKeepWhereNotShown(t *testing.T) {
	var fulls []state.Backup
	for i, name := range []string{"20260101030000-full", "20260201030000-full", "20260301030000-full"} {
		b := backupIn(t, state.Backup{Name: name, Full: true, SnapshotGUID: fmt.Sprint(i), Job: "j"}, toCommitted...)
		committed, _ := manifest.StampOf(name)
		b.Committed = &committed
		fulls = append(fulls, b)
	}
	keep, now := settings.Keep{Fulls: 2}, at("20260302030000")
	for _, c := range []struct {
		shown []string
		stays bool
	}{{nil, false}, {[]string{fulls[0].Name, fulls[1].Name, fulls[2].Name}, false}, {[]string{fulls[0].Name, fulls[2].Name}, true}} {
		h := holdings{job: state.Job{ID: "j"}, backups: fulls, strategy: settings.SinceLastFull, shown: c.shown}
		if why := h.keepAtPlace(fulls[0], keep, now); (why != "") != c.stays {
			t.Errorf("%v: %q", c.shown, why)
		}
	}
}

// Of what is on the remote only that goes which nothing needs: never the newest chain, never what something that stays
// hangs on, no chain that no limit speaks of.
func TestKeepAtPlace(t *testing.T) {
	backups, _ := aChain(t) // fulls and incrementals of November
	second := backupIn(t, state.Backup{Name: "20261201030000-full", Full: true, SnapshotGUID: "21", Job: "j"}, toCommitted...)
	onSecond := backupIn(t, state.Backup{Name: "20261202030000", SnapshotGUID: "22", Base: &state.Base{Name: second.Name}, Job: "j"}, toCommitted...)
	third := backupIn(t, state.Backup{Name: "20270101030000-full", Full: true, SnapshotGUID: "31", Job: "j"}, toCommitted...)
	two := append(backups[:3:3], second, onSecond)
	three := append(two[:5:5], third)
	exporting := backupIn(t, state.Backup{Name: "20270102030000", SnapshotGUID: "33", Base: &state.Base{Name: backups[0].Name}, Job: "j"}, workflow.BackupExport)
	left := backupIn(t, state.Backup{Name: "20261103120000", Base: &state.Base{Name: backups[0].Name}, Job: "j"}, workflow.BackupAbandon)
	contested := left
	contested.Contested = true
	orphaned := append([]state.Backup{backupIn(t, backups[0], expired...)}, backups[1:3]...)
	running := runIn(t, state.Run{ID: "r", Job: "j", Backup: backups[2].Name}, workflow.RunStart)
	now := at("20270110030000")
	tests := []struct {
		name    string
		backups []state.Backup
		runs    []state.Run
		b       state.Backup
		keep    settings.Keep
		stays   bool
	}{
		{"no limit", three, nil, backups[0], settings.Keep{}, true},
		{"the newest chain's full", two, nil, second, settings.Keep{Days: 1, Fulls: 1}, true},
		{"the newest chain's end", two, nil, onSecond, settings.Keep{Days: 1, Fulls: 1}, true},
		{"the only chain", backups, nil, backups[0], settings.Keep{Days: 1, Fulls: 1}, true},
		{"the second of two that stay", three, nil, onSecond, settings.Keep{Fulls: 2}, true},
		{"the third, of two that stay", three, nil, backups[0], settings.Keep{Fulls: 2}, false},
		{"an incremental of it", three, nil, backups[2], settings.Keep{Fulls: 2}, false},
		{"its full is old, its newest is not", three, nil, second, settings.Keep{Days: 39}, true},
		{"its newest is old, too", three, nil, second, settings.Keep{Days: 38}, false},
		{"past the days, not the number", three, nil, second, settings.Keep{Days: 38, Fulls: 2}, true},
		{"past the number, not the days", three, nil, second, settings.Keep{Days: 39, Fulls: 1}, true},
		{"past both", three, nil, second, settings.Keep{Days: 38, Fulls: 1}, false},
		{"a run that is not finished uploads it", three, []state.Run{running}, backups[2], settings.Keep{Fulls: 1}, true},
		{"base of what is not committed", append(three[:6:6], exporting), nil, backups[0], settings.Keep{Fulls: 1}, true},
		{"not committed", append(three[:6:6], exporting), nil, exporting, settings.Keep{Fulls: 1}, true},
		{"given up", append(three[:6:6], left), nil, left, settings.Keep{}, false},
		{"given up, in the newest chain", append(backups[:3:3], left), nil, left, settings.Keep{}, false},
		{"given up, since another host is at it", append(three[:6:6], contested), nil, contested, settings.Keep{}, true},
		{"its base is gone", append(orphaned[:3:3], second), nil, orphaned[1], settings.Keep{}, false},
		{"what is left of that base", append(orphaned[:3:3], second), nil, orphaned[0], settings.Keep{}, false},
		{"its base is gone, and nothing newer is there", orphaned, nil, orphaned[2], settings.Keep{}, true},
	}
	for _, c := range tests {
		h := holdings{backups: c.backups, runs: c.runs, strategy: settings.SinceLastFull}
		if why := h.keepAtPlace(c.b, c.keep, now); (why != "") != c.stays {
			t.Errorf("%s: %q", c.name, why)
		}
	}
}

// A sync of files is a backup: it makes older snapshots redundant. It is no base, has no chain and no folder here, and
// a snapshot that is mounted stays whatever else is said.
func TestKeepOfFiles(t *testing.T) {
	old, late := snapshotNamed(t, "20261101030000", 1, 1), snapshotNamed(t, "20261102030000", 2, 2)
	files := backupIn(t, state.Backup{Name: "20261102030000-full", SnapshotGUID: "2", Job: "j", Files: &state.Files{Into: "b2:x"}}, toCommitted...)
	h := holdings{backups: []state.Backup{files}, strategy: settings.SinceLastFull}
	snapshots := []zfs.SnapshotInfo{old, late}
	if why := h.keepSnapshot(old, snapshots); why != "" {
		t.Error(why)
	}
	if why := h.keepSnapshot(late, snapshots); why != "" {
		t.Error(why)
	}
	h.mounted = map[string]string{old.Snapshot.String(): "/spool/x/files"}
	if why := h.keepSnapshot(old, snapshots); why != "it is mounted at /spool/x/files" {
		t.Error(why)
	}
	if _, _, ok := newestChain(h.backups, h.strategy); ok {
		t.Error("files are taken for a base")
	}
	if NewestWhole(h.backups).Name != files.Name {
		t.Error("files are taken for nothing")
	}
	if why := h.keepFolder(files, false, settings.Keep{}, at("20270101000000")); why == "" {
		t.Error("a folder of files would be removed")
	}
	if why := h.keepAtPlace(files, settings.Keep{Days: 1, Fulls: 1}, at("20270101000000")); why == "" {
		t.Error("files would be deleted from the remote")
	}
	syncing := backupIn(t, state.Backup{Name: "20261102030001-full", SnapshotGUID: "1", Job: "j", Files: &state.Files{}})
	h = holdings{backups: []state.Backup{files, syncing}, strategy: settings.SinceLastFull}
	if why := h.keepSnapshot(old, snapshots); why == "" {
		t.Error("a snapshot that is being synced would go")
	}
}

// What a job made that another went on in the stead of is that one's for as long as a run or a backup tells. (It was for as long as its
// run was on record, which is a hundred runs, and then stayed for ever.)
func TestOursByABackup(t *testing.T) {
	t.Parallel()
	d, err := zfs.ParseDataset("tank/data")
	if err != nil {
		t.Fatal(err)
	}
	answer := ""
	for property, value := range map[string]string{"guid": "7", "creation": "1793502000", "createtxg": "9", "userrefs": "0", "used": "0", "referenced": "0", zfs.Property: "fresh/r1/1"} {
		answer += "tank/data@20261101030000\t" + property + "\t" + value + "\tlocal\n"
	}
	k := &Kit{ZFS: []string{"sh", "-c", "printf '" + answer + "'"}}
	snapshots, err := k.zfs(&proc.World{}).Snapshots(t.Context(), d)
	if err != nil || len(snapshots) != 1 {
		t.Fatal(snapshots, err)
	}
	for _, c := range []struct {
		name string
		run  state.Run
		b    state.Backup
		ours bool
	}{
		{"its run is on record", state.Run{ID: "r1", Job: "j", SnapshotGUID: "7"}, state.Backup{}, true},
		{"its backup is", state.Run{}, state.Backup{Run: "r1", Job: "j", SnapshotGUID: "7"}, true},
		{"neither is", state.Run{}, state.Backup{}, false},
		{"a backup that another run made of it", state.Run{}, state.Backup{Run: "r2", Job: "j", SnapshotGUID: "7"}, false},
		{"a backup of another snapshot", state.Run{}, state.Backup{Run: "r1", Job: "j", SnapshotGUID: "8"}, false},
	} {
		h := holdings{job: state.Job{ID: "j"}, runs: []state.Run{c.run}, backups: []state.Backup{c.b}}
		if h.isOurs(snapshots[0]) != c.ours {
			t.Errorf("%s: not %v", c.name, c.ours)
		}
		f := &finding{kit: k, fresh: state.Job{Dataset: d.String()}, runs: h.runs, backups: h.backups}
		if err := f.readMarks(t.Context(), &proc.World{}); err != nil || (len(f.marks) == 0) != c.ours {
			t.Errorf("%s: marks %v, %v", c.name, f.marks, err)
		}
	}
}

// What ZFS mounts by itself for who looks into .zfs keeps no snapshot: it goes with it. (One that updatedb had looked into, with a
// snapdir that is visible, was never pruned.)
func TestMountedOf(t *testing.T) {
	got := mountedOf([]mounts.Mount{
		{Dir: "/tank/data", Type: "zfs", Source: "tank/data"},
		{Dir: "/tank/data/.zfs/snapshot/1", Type: "zfs", Source: "tank/data@1"},
		{Dir: "/tank/data/.zfs/snapshot/2", Type: "zfs", Source: "tank/data@2"},
		{Dir: "/spool/2-full/files", Type: "zfs", Source: "tank/data@2"},
		{Dir: "/tank/data/.zfs/snapshot/2", Type: "zfs", Source: "tank/data@2"},
		{Dir: "/mnt/.zfs/snapshot/2", Type: "zfs", Source: "tank/data@3"},
		{Dir: "/tank/data/.zfs/snapshot/4", Type: "tmpfs", Source: "tank/data@4"},
	})
	want := map[string]string{"tank/data@2": "/spool/2-full/files", "tank/data@3": "/mnt/.zfs/snapshot/2", "tank/data@4": "/tank/data/.zfs/snapshot/4"}
	if !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestOldEnoughGoesByTheStamp(t *testing.T) {
	now := at("20261125000000")
	for name, want := range map[string]bool{"20260727000000": true, "20260728000000": true, "20260728000001": false, "daily": false} {
		if got := (holdings{}).oldEnough(snapshotNamed(t, name, 1, 1), now.Add(time.Second), 120); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	ahead := snapshotNamed(t, "20370101000000", 1, 1)
	for creation, want := range map[string]bool{"20260727000000": true, "20260728000001": false, "20370101000000": false} {
		ahead.Creation = at(creation)
		if got := (holdings{}).oldEnough(ahead, now.Add(time.Second), 120); got != want {
			t.Errorf("%s, made %s: %v", ahead.Snapshot, creation, got)
		}
	}
}

// A restore may begin when a prune is at work, which read at its start what is needed: it asks again for each that it deletes.
func TestUnlessRestoring(t *testing.T) {
	for how, store := range map[string]func(*state.Tx, state.Backup) error{"at the place": going, "in place": expireRecord} {
		backups, _ := aChain(t)
		full := backups[0]
		full.ManifestSHA256 = "of the full"
		restore := runIn(t, state.Run{ID: "late", Restore: &state.Restore{Chain: []state.Link{{Name: full.Name, ManifestSHA256: full.ManifestSHA256}}}}, workflow.RunStart)
		backups[0] = full
		db := state.New(filepath.Join(t.TempDir(), "state.db"))
		if err := db.Update(func(tx *state.Tx) error { return errors.Join(tx.PutBackup(full), tx.PutRun(restore)) }); err != nil {
			t.Fatal(err)
		}
		fx := workflow.Fx{Note: func(note func(*state.Tx, *state.Run) error) error {
			return db.Update(func(tx *state.Tx) error { return note(tx, &state.Run{}) })
		}}
		h := holdings{backups: backups, strategy: settings.SinceLastFull}
		begun := func() (begun bool) {
			err := db.View(func(tx *state.Tx) error {
				b, err := tx.MustBackup(full.Job, full.Name)
				begun = b.Going || workflow.BackupMachine.In(b.State, workflow.BackupExpired)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return begun
		}
		for _, b := range backups { // whatever of the chain it is
			if why, err := h.unlessRestoring(fx, b, store); why != "restore late is not finished" || err != nil || begun() {
				t.Errorf("%s, %s: %q %v, begun: %v", how, b.Name, why, err, begun())
			}
		}
		restore = runIn(t, restore, workflow.RunStart, workflow.RunSucceed)
		if err := db.Update(func(tx *state.Tx) error { return tx.PutRun(restore) }); err != nil {
			t.Fatal(err)
		}
		if why, err := h.unlessRestoring(fx, full, store); why != "" || err != nil || !begun() {
			t.Errorf("%s: %q %v, begun: %v", how, why, err, begun())
		}
	}
}

// A restore does not begin with what a prune has begun to delete. One of long ago, or that only looked, is none.
func TestPrunedSince(t *testing.T) {
	looked := at("20261201030000")
	before, after := looked.Add(-time.Hour), looked.Add(time.Hour)
	begun := []workflow.StepEvent{workflow.StepStart}
	done := append(begun[:1:1], workflow.StepFinish)
	for what, c := range map[string]struct {
		step  state.Step
		after []workflow.StepEvent
		over  bool
		ended *time.Time
		want  bool
	}{
		"at work":                     {state.Step{Name: StepPruneRemote, Args: []string{"-y"}, Starts: 1}, begun, false, nil, true},
		"at work in place":            {state.Step{Name: StepPruneIntermediates, Args: []string{"-y"}, Starts: 1}, begun, false, nil, true},
		"it only looks":               {state.Step{Name: StepPruneRemote, Starts: 1}, begun, false, nil, false},
		"not begun":                   {state.Step{Name: StepPruneRemote, Args: []string{"-y"}}, nil, false, nil, false},
		"done meanwhile":              {state.Step{Name: StepPruneRemote, Args: []string{"-y"}, Starts: 1, Ended: &after}, done, true, &after, true},
		"done before":                 {state.Step{Name: StepPruneRemote, Args: []string{"-y"}, Starts: 1, Ended: &before}, done, true, &before, false},
		"done before, and at work on": {state.Step{Name: StepPruneRemote, Args: []string{"-y"}, Starts: 1, Ended: &before}, done, false, nil, false},
		"given up meanwhile":          {state.Step{Name: StepPruneRemote, Args: []string{"-y"}, Starts: 1}, begun, true, &after, true},
		"given up before":             {state.Step{Name: StepPruneRemote, Args: []string{"-y"}, Starts: 1}, begun, true, &before, false},
		"another step":                {state.Step{Name: StepUpload, Args: []string{"-y"}, Starts: 1}, begun, false, nil, false},
	} {
		c.step.State = stateAfter(t, workflow.StepMachine, c.after...)
		r := runIn(t, state.Run{Steps: []state.Step{c.step}, Ended: c.ended}, workflow.RunStart)
		if c.over {
			r = runIn(t, r, workflow.RunStart, workflow.RunSucceed)
		}
		if got := prunedSince(r, looked); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}
