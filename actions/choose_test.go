package actions

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// stateAfter is the stored state that some events lead to.
func stateAfter[S, E ~string](t *testing.T, m *workflow.Machine[S, E], events ...E) (c state.Cell) {
	t.Helper()
	err := state.New(t.TempDir() + "/state.db").Update(func(tx *state.Tx) error {
		if err := m.Born(tx, &c); err != nil {
			return err
		}
		for _, e := range events {
			if err := m.Fire(tx, &c, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func backupIn(t *testing.T, b state.Backup, events ...workflow.BackupEvent) state.Backup {
	t.Helper()
	b.State = stateAfter(t, workflow.BackupMachine, events...)
	return b
}

func runIn(t *testing.T, r state.Run, events ...workflow.RunEvent) state.Run {
	t.Helper()
	r.State = stateAfter(t, workflow.RunMachine, events...)
	return r
}

var (
	toCommitted = []workflow.BackupEvent{workflow.BackupExport, workflow.BackupCommit}
	expired     = []workflow.BackupEvent{workflow.BackupExport, workflow.BackupCommit, workflow.BackupExpire}
)

func snapshotNamed(t *testing.T, name string, guid zfs.GUID, txg uint64) zfs.SnapshotInfo {
	t.Helper()
	s, err := zfs.ParseSnapshot("tank/data@" + name)
	if err != nil {
		t.Fatal(err)
	}
	return zfs.SnapshotInfo{Snapshot: s, GUID: guid, CreateTXG: txg}
}

func at(stamp string) time.Time {
	t, ok := manifest.ParseStamp(stamp)
	if !ok {
		panic(stamp)
	}
	return t
}

// aChain is a full, two incrementals on it, and the snapshots of all.
func aChain(t *testing.T) (backups []state.Backup, snapshots []zfs.SnapshotInfo) {
	full := state.Backup{Name: "20261101030000-full", Full: true, SnapshotGUID: "11", Encryption: "gpg", Created: at("20261101030000"), SendFlags: []string{"-c"}, Place: "b2:x", Job: "j"}
	one := state.Backup{Name: "20261102030000", Base: &state.Base{Name: full.Name, SnapshotGUID: "11"}, SnapshotGUID: "12", Encryption: "gpg", Created: at("20261102030000"), Job: "j"}
	two := state.Backup{Name: "20261103030000", Base: &state.Base{Name: one.Name, SnapshotGUID: "12"}, SnapshotGUID: "13", Encryption: "gpg", Created: at("20261103030000"), Job: "j"}
	for _, b := range []state.Backup{full, one, two} {
		backups = append(backups, backupIn(t, b, toCommitted...))
	}
	return backups, []zfs.SnapshotInfo{snapshotNamed(t, "20261101030000", 11, 100), snapshotNamed(t, "20261102030000", 12, 200), snapshotNamed(t, "20261103030000", 13, 300)}
}

// spoiled is the backups with one that was found bad.
func spoiled(backups []state.Backup, i int) []state.Backup {
	backups = slices.Clone(backups)
	backups[i].Bad = &state.Bad{Level: "hashed", What: "chunk 3"}
	return backups
}

// A base is its GUID: not a name, nor what is gone (sanoid#525, zrepl#392).
func TestChoose(t *testing.T) {
	backups, snapshots := aChain(t)
	target := snapshotNamed(t, "20261104030000", 14, 400)
	day := at("20261104030000")
	yes := func(state.Backup) (bool, error) { return true, nil }
	no := func(state.Backup) (bool, error) { return false, nil }
	unknown := errors.New("503")
	mark := func(guid zfs.GUID) func() ([]zfs.BookmarkInfo, error) {
		return func() ([]zfs.BookmarkInfo, error) { return []zfs.BookmarkInfo{bookmarkOf(t, "j", guid)}, nil }
	}
	cases := map[string]struct {
		change   func(*question, *settings.Settings)
		whole    func(state.Backup) (bool, error)
		opens    func(state.Backup) (bool, error)
		base     string // empty: a full
		why      string // part of the reason
		err      error
		expired  string
		flagsAre string
	}{
		"since the full":        {base: "20261101030000-full", why: "since 20261101030000-full", flagsAre: "-c"},
		"since the incremental": {change: func(_ *question, s *settings.Settings) { s.Strategy = settings.SinceLastIncremental }, base: "20261103030000"},
		"since the incremental, one below it gone": {change: func(q *question, s *settings.Settings) {
			s.Strategy = settings.SinceLastIncremental
			q.backups = []state.Backup{backups[0], backupIn(t, backups[1], expired...), backups[2]}
		}, base: "20261101030000-full"},
		"never":     {change: func(_ *question, s *settings.Settings) { s.Strategy = settings.NeverIncremental }, why: "never_incremental", flagsAre: "-e"},
		"asked for": {change: func(q *question, _ *settings.Settings) { q.full = true }, why: "it was asked for"},
		"none yet":  {change: func(q *question, _ *settings.Settings) { q.backups = nil }, why: "no committed full"},
		"not committed": {change: func(q *question, _ *settings.Settings) {
			q.backups = []state.Backup{backupIn(t, state.Backup{Name: "20261101030000-full", Full: true, SnapshotGUID: "11"}, workflow.BackupExport)}
		}, why: "no committed full"},
		"30 days to the second": {change: func(q *question, _ *settings.Settings) { q.now = at("20261201030000") }, base: "20261101030000-full"},
		"too old":               {change: func(q *question, _ *settings.Settings) { q.now = at("20261201030001") }, why: "older than 30 days"},
		"too old, but -i": {change: func(q *question, _ *settings.Settings) { q.now = at("20270101000000"); q.incr = true },
			base: "20261101030000-full"},
		"-i, and the base's snapshot is gone": {change: func(q *question, _ *settings.Settings) { q.incr = true; q.snapshots = q.snapshots[1:] }, why: "is gone"},
		"its snapshot is gone, and a bookmark stands for it": {change: func(q *question, _ *settings.Settings) {
			q.snapshots, q.bookmarks = q.snapshots[1:], mark(11)
		}, base: "20261101030000-full", why: "since 20261101030000-full", flagsAre: "-c"},
		"its snapshot is gone, and the bookmark is of another": {change: func(q *question, _ *settings.Settings) {
			q.snapshots, q.bookmarks = q.snapshots[1:], mark(12)
		}, why: "the snapshot of 20261101030000-full is gone"},
		"zfs won't send from the bookmark": {change: func(q *question, _ *settings.Settings) {
			q.snapshots, q.bookmarks = q.snapshots[1:], mark(11)
			q.canSend = func(zfs.SendArgs) error { return &workflow.ExitError{Code: 2, Stderr: "Unsupported flag"} }
		}, why: "does not stand for it"},
		"zfs does not say whether it would": {change: func(q *question, _ *settings.Settings) {
			q.snapshots, q.bookmarks, q.canSend = q.snapshots[1:], mark(11), func(zfs.SendArgs) error { return unknown }
		}, err: unknown},
		"bookmarks can't be listed": {change: func(q *question, _ *settings.Settings) {
			q.snapshots, q.bookmarks = q.snapshots[1:], func() ([]zfs.BookmarkInfo, error) { return nil, unknown }
		}, err: unknown},
		"another snapshot under its name": {change: func(q *question, _ *settings.Settings) {
			q.snapshots = []zfs.SnapshotInfo{snapshotNamed(t, "20261101030000", 99, 100)}
		}, why: "is gone"},
		"from the future": {change: func(q *question, _ *settings.Settings) { q.now = at("20261031000000") }, why: "from the future"},
		"pushed ahead, and too old": {change: func(q *question, _ *settings.Settings) {
			q.backups = slices.Clone(q.backups[:1])
			q.backups[0].Name, q.now = "20370101000000-full", at("20261201030001")
		}, why: "older than 30 days"},
		"older than its base": {change: func(q *question, _ *settings.Settings) { q.target.CreateTXG = 50 }, why: "not older"},
		"encryption changed":  {change: func(q *question, _ *settings.Settings) { q.encryption = "none" }, why: "encryption was gpg, is none"},
		"encryption changed since the run began": {change: func(_ *question, s *settings.Settings) { s.Encryption = settings.None },
			base: "20261101030000-full"},
		"passphrase changed":    {opens: no, why: "passphrase has changed"},
		"gone from the remote":  {whole: no, why: "no longer whole", expired: "20261101030000-full"},
		"can't look":            {whole: func(state.Backup) (bool, error) { return false, unknown }, err: unknown},
		"can't tell passphrase": {opens: func(state.Backup) (bool, error) { return false, unknown }, err: unknown},
		"found bad":             {change: func(q *question, _ *settings.Settings) { q.backups = spoiled(q.backups, 0); q.incr = true }, why: "20261101030000-full was found bad by verify"},
		"an incremental found bad, which none is based on": {change: func(q *question, _ *settings.Settings) { q.backups = spoiled(q.backups, 2) },
			base: "20261101030000-full"},
		"an incremental found bad": {change: func(q *question, s *settings.Settings) {
			q.backups, s.Strategy = spoiled(q.backups, 2), settings.SinceLastIncremental
		}, why: "20261103030000 was found bad"},
		"one below found bad": {change: func(q *question, s *settings.Settings) {
			q.backups, s.Strategy = spoiled(q.backups, 1), settings.SinceLastIncremental
		}, why: "20261102030000 was found bad"},
		"a link of the chain is gone": {change: func(_ *question, s *settings.Settings) { s.Strategy = settings.SinceLastIncremental },
			whole: func(b state.Backup) (bool, error) { return b.Name != "20261102030000", nil }, why: "20261102030000 is no longer whole", expired: "20261102030000"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			q := question{backups: backups, snapshots: append(snapshots[:3:3], target), target: target, now: day, flags: []string{"-e"}, encryption: "gpg",
				bookmarks: func() ([]zfs.BookmarkInfo, error) { return nil, nil }, canSend: func(zfs.SendArgs) error { return nil }}
			k := &Kit{Settings: &settings.Settings{Strategy: settings.SinceLastFull, FullEveryDays: 30, Encryption: settings.GPG}}
			if c.change != nil {
				c.change(&q, k.Settings)
			}
			if c.whole == nil {
				c.whole = yes
			}
			if c.opens == nil {
				c.opens = yes
			}
			got, err := k.choose(q, c.whole, c.opens)
			if c.err != nil {
				if !errors.Is(err, c.err) {
					t.Fatalf("%+v, %v", got, err)
				}
				return
			}
			if err != nil || got.Full != (c.base == "") || !strings.Contains(got.Reason, c.why) || strings.Join(got.Expired, " ") != c.expired {
				t.Fatalf("%+v, %v", got, err)
			}
			if c.base != "" && got.Base.Name != c.base {
				t.Errorf("base %+v", got.Base)
			}
			if c.flagsAre != "" && strings.Join(got.Flags, " ") != c.flagsAre {
				t.Errorf("flags %v", got.Flags)
			}
		})
	}
}

// Names of backups grow, whatever those of snapshots do; but one snapshot's name is its own.
func TestStampFor(t *testing.T) {
	backups, snapshots := aChain(t)
	ahead := slices.Clone(backups)
	ahead[2].Name = "20370101000000"
	for name, c := range map[string]struct {
		stamp   string
		target  zfs.SnapshotInfo
		backups []state.Backup
		want    string
	}{
		"as it is":                 {"20261104030000", snapshotNamed(t, "x", 14, 400), backups, "20261104030000"},
		"no backup yet":            {"20261104030000", snapshotNamed(t, "x", 14, 400), nil, "20261104030000"},
		"the clock was ahead":      {"20261104030000", snapshotNamed(t, "x", 14, 400), ahead, "20370101000001"},
		"the second is taken":      {"20261103030000", snapshotNamed(t, "x", 14, 400), backups, "20261103030001"},
		"exported before":          {"20261103030000", snapshots[2], backups, "20261103030000"},
		"an older one, exported":   {"20261102030000", snapshots[1], ahead, "20261102030000"},
		"an older one, not as yet": {"20261101120000", snapshotNamed(t, "x", 15, 150), backups, "20261101120000"},
		"the newest was given up":  {"20261104030000", snapshotNamed(t, "x", 14, 400), append(backups[:2:2], backupIn(t, ahead[2], workflow.BackupAbandon)), "20261104030000"},
		"the newest's one is gone": {"20261104030000", snapshotNamed(t, "x", 14, 400), append(ahead[:2:2], state.Backup{Name: "20370101000000", SnapshotGUID: "99", State: ahead[2].State}), "20370101000001"},
	} {
		q := question{backups: c.backups, snapshots: append(snapshots[:3:3], c.target), target: c.target}
		if got := stampFor(c.stamp, q); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestNextStamp(t *testing.T) {
	now := time.Date(2026, 11, 25, 4, 52, 0, 999, time.FixedZone("CET", 3600))
	for newest, want := range map[string]string{
		"":               "20261125035200",
		"20261124035200": "20261125035200",
		"20261125035200": "20261125035201", // the second is taken
		"20270101000000": "20270101000001", // the clock was set back
		"daily-2026":     "20261125035200",
	} {
		if got := nextStamp(now, newest); got != want {
			t.Errorf("after %q: %s, want %s", newest, got, want)
		}
	}
}
