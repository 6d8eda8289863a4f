package actions

import (
	"fmt"
	"slices"
	"time"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/units"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// holdings is all that is known when it is asked whether something is still needed. Every prune asks here,
// and nowhere else (I2).
type holdings struct {
	job      state.Job
	backups  []state.Backup // of the job, the oldest first
	runs     []state.Run    // of the dataset, of all jobs
	restores []state.Run    // of anything, that are not at their end
	adopted  []state.Adopted
	foreign  []state.Foreign // backups of the Python tool, the oldest first
	strategy settings.Strategy
	mounted  map[string]string // where snapshots are mounted, by their whole names; nil: not looked for

	clockIsRight bool     // a person says so; see clockJump
	shown        []string // the backups that count as newer ones where the place may show a part of what is there; nil: all
}

func holdingsOf(view viewer, jobID string, strategy settings.Strategy) (h holdings, err error) {
	h.strategy = strategy
	if h.job, h.backups, err = jobOf(view, jobID); err != nil {
		return h, err
	}
	err = view(func(tx *state.Tx) error {
		if h.adopted, err = tx.AdoptedBy(jobID); err != nil {
			return err
		}
		if h.foreign, err = tx.Foreigns(jobID); err != nil {
			return err
		}
		runs, err := tx.Runs()
		for _, r := range runs {
			if r.DatasetGUID == h.job.DatasetGUID {
				h.runs = append(h.runs, r)
			}
		}
		h.restores = restoresIn(runs)
		return err
	})
	return h, err
}

// restoresIn are those runs that restore and are not at their end.
func restoresIn(runs []state.Run) (restores []state.Run) {
	for _, r := range runs {
		if r.Restore != nil && !workflow.Over(r.State) {
			restores = append(restores, r)
		}
	}
	return restores
}

// unlessRestoring has STORE put on record that a backup is being deleted, unless a restore reads its chain that is not finished, and may
// have begun since: then WHY says so. One that begins later finds the record (see RestorePlan.MayBegin).
func (h holdings) unlessRestoring(fx workflow.Fx, b state.Backup, store func(*state.Tx, state.Backup) error) (why string, err error) {
	err = fx.Note(func(tx *state.Tx, _ *state.Run) error {
		runs, err := tx.Runs()
		if err != nil {
			return err
		}
		h.restores = restoresIn(runs)
		if why = h.restoringChain(b); why != "" {
			return nil
		}
		return store(tx, b)
	})
	return why, err
}

// unfinished is the run that is not at its end and for which YES says so, if any.
func (h holdings) unfinished(yes func(state.Run) bool) (state.Run, bool) {
	for _, r := range h.runs {
		if !workflow.Over(r.State) && yes(r) {
			return r, true
		}
	}
	return state.Run{}, false
}

// restoring names the restore that is not finished and reads what a link of its chain is for which YES says so; or none. Where
// from does not matter: what is asked for may be the last one that there is, or be needed when the other fails.
func (h holdings) restoring(yes func(state.Link) bool) string {
	for _, r := range h.restores {
		if slices.ContainsFunc(r.Restore.Chain, yes) {
			return "restore " + r.ID + " is not finished"
		}
	}
	return ""
}

// restoringChain is restoring for a backup, or another one of its chain.
func (h holdings) restoringChain(b state.Backup) string {
	return h.restoring(func(l state.Link) bool {
		i := slices.IndexFunc(h.backups, func(o state.Backup) bool { return o.Name == l.Name && o.ManifestSHA256 == l.ManifestSHA256 })
		return i >= 0 && h.rootOf(h.backups[i]) == h.rootOf(b)
	})
}

// keepSnapshot says why a snapshot of ours must not be destroyed, or "".
func (h holdings) keepSnapshot(s zfs.SnapshotInfo, snapshots []zfs.SnapshotInfo) string {
	if why := h.keepData(s, snapshots); why != "" {
		return why
	}
	return h.keepBase(s)
}

// keepBase says what is, or may be sent once more, based on a snapshot, or "". For that a bookmark can stand.
func (h holdings) keepBase(s zfs.SnapshotInfo) string {
	id := s.GUID.String()
	for _, b := range h.backups {
		if workflow.BackupMachine.In(b.State, workflow.BackupExported) && b.Base != nil && b.Base.SnapshotGUID == id {
			return b.Name + " is not committed"
		}
	}
	return h.nextBase(id)
}

// nextBase says so if the snapshot with a GUID is what the next incremental is based on, or would be if the newest was gone.
func (h holdings) nextBase(id string) string {
	if full, base, ok := newestChain(h.backups, h.strategy); ok && (base.SnapshotGUID == id || full.SnapshotGUID == id) {
		return "it is the base of the next incremental"
	}
	return ""
}

// keepData says why the data of a snapshot of ours is needed, or "".
func (h holdings) keepData(s zfs.SnapshotInfo, snapshots []zfs.SnapshotInfo) string {
	id := s.GUID.String()
	if r, yes := h.unfinished(func(r state.Run) bool { return r.SnapshotGUID == id || r.Snapshot == s.Snapshot.Name() }); yes {
		return "run " + r.ID + " is not finished"
	}
	if why := h.isMounted(s); why != "" {
		return why
	}
	redundant := false
	for _, b := range h.backups {
		switch {
		case workflow.BackupMachine.In(b.State, workflow.BackupExporting, workflow.BackupExported):
			based := b.Base != nil && b.Base.SnapshotGUID == id && workflow.BackupMachine.In(b.State, workflow.BackupExporting)
			if b.SnapshotGUID == id || based {
				return b.Name + " is not committed"
			}
		case workflow.BackupMachine.In(b.State, workflow.BackupCommitted):
			redundant = redundant || sound(h.backups, b) && h.notBefore(b, s, snapshots)
		}
	}
	if !redundant {
		return "no backup as new as it is committed"
	}
	return ""
}

// isMounted says where a snapshot is mounted, or "".
func (h holdings) isMounted(s zfs.SnapshotInfo) string {
	if dir, yes := h.mounted[s.Snapshot.String()]; yes {
		return "it is mounted at " + dir
	}
	return ""
}

// notBefore tells whether a committed backup is of this snapshot or of a later one.
func (h holdings) notBefore(b state.Backup, s zfs.SnapshotInfo, snapshots []zfs.SnapshotInfo) bool {
	for _, o := range snapshots {
		if o.GUID.String() == b.SnapshotGUID {
			return o.CreateTXG >= s.CreateTXG
		}
	}
	// The backup's own snapshot is gone; its stamp tells.
	made, ok := manifest.StampOf(b.Name)
	own, known := h.madeAt(s)
	return ok && known && !made.Before(own)
}

// keepFolder says why a backup's folder in intermediate_basedir must not be removed, or "".
func (h holdings) keepFolder(b state.Backup, inPlace bool, keep settings.Keep, now time.Time) string {
	if r, yes := h.unfinished(func(r state.Run) bool { return r.Backup == b.Name && r.Job == b.Job }); yes {
		return "run " + r.ID + " is not finished"
	}
	switch {
	case b.Files != nil:
		return "it has no folder here"
	case workflow.BackupMachine.In(b.State, workflow.BackupExporting, workflow.BackupExported):
		return "it is not committed"
	case workflow.BackupMachine.In(b.State, workflow.BackupExpired) && !inPlace && !h.fullSince(b):
		return "it is gone from its place, and no full since is committed" // these files may be all that is left of it
	case workflow.BackupMachine.In(b.State, workflow.BackupExpired, workflow.BackupAbandoned):
		return ""
	case b.Bad != nil && !inPlace && NewestWhole(h.backups).Name < b.Name:
		return "it was found bad at its place, and nothing sound since is committed" // these files may be all that is left of it
	}
	if !inPlace {
		return "" // committed on the remote
	}
	if why := h.restoringChain(b); why != "" {
		return why
	}
	newest := NewestWhole(h.backups).Name
	if user := h.inUse(b, func(o state.Backup) bool {
		return o.Name == newest || workflow.BackupMachine.In(o.State, workflow.BackupExporting, workflow.BackupExported)
	}); user != "" {
		return "it is in the chain of " + user
	}
	if full, base, ok := newestChain(h.backups, h.strategy); ok && (full.Name == b.Name || base.Name == b.Name) {
		return "it is the base of the next incremental"
	}
	if h.restorable(b) && keep != (settings.Keep{}) {
		return h.keepChain(h.rootOf(b), keep, now)
	}
	return ""
}

// keepAtPlace says why what a backup has at its place must not be deleted there, or "". A chain that can be restored goes
// only as a whole, and only where the config sets a limit that it is past.
func (h holdings) keepAtPlace(b state.Backup, keep settings.Keep, now time.Time) string {
	if r, yes := h.unfinished(func(r state.Run) bool { return r.Backup == b.Name && r.Job == b.Job }); yes {
		return "run " + r.ID + " is not finished"
	}
	if user := h.inUse(b, func(o state.Backup) bool {
		return workflow.BackupMachine.In(o.State, workflow.BackupExporting, workflow.BackupExported)
	}); user != "" {
		return "it is in the chain of " + user + ", which is not committed"
	}
	newest := NewestWhole(h.backups)
	switch {
	case b.Files != nil:
		return "it is the files themselves, which a sync keeps"
	case b.Contested:
		return "another host may have stored some of it"
	case workflow.BackupMachine.In(b.State, workflow.BackupAbandoned):
		return ""
	case newest.Name < b.Name:
		return "no backup since is committed" // what is there may be all that is left of that day
	case !h.restorable(b):
		return ""
	}
	return h.keepChain(h.rootOf(b), keep, now)
}

// keepChain says why the chain of a full must stay at its place, or "".
func (h holdings) keepChain(root string, keep settings.Keep, now time.Time) string {
	full, _, _ := newestChain(h.backups, h.strategy)
	if root == full.Name || root == h.rootOf(NewestWhole(h.backups)) {
		return "it is the newest chain"
	}
	if keep == (settings.Keep{}) {
		return "neither remote_keep_days nor remote_keep_fulls is set"
	}
	var newer int
	var last state.Backup // of this chain
	for _, o := range h.backups {
		switch {
		case !h.restorable(o):
		case o.Full && o.Name > root && sound(h.backups, o) && (h.shown == nil || slices.Contains(h.shown, o.Name)):
			newer++
		case h.rootOf(o) == root:
			last = o
		}
	}
	if keep.Fulls > 0 && newer < keep.Fulls {
		return fmt.Sprintf("it is one of the newest %s", plural(keep.Fulls, "chain", "chains"))
	}
	if keep.Days > 0 && now.Sub(bornAt(last, now)) <= time.Duration(keep.Days)*24*time.Hour {
		return fmt.Sprintf("%s of it is not older than %s", last.Name, plural(keep.Days, "day", "days"))
	}
	return h.clockJump(now)
}

const (
	// jump is more than any clock goes on by between two backups.
	jump = 365 * 24 * time.Hour
	// settled is how long backups have to be committed behind a jump until it is believed.
	settled = 30 * 24 * time.Hour

	// ClockIsRight is the flag by which a person says that the clock is right, typed to a prune.
	ClockIsRight = "--clock-is-right"
)

func saysClockIsRight(args []string) bool { return slices.Contains(args, ClockIsRight) }

// clockJump says so if the clock has gone on by more than a year from one commit to the next, or since the last: either nobody
// backed up for so long, or the clock is wrong, and then everything looks old. What is committed while it is wrong looks as right as
// any, so what came before the jump goes by age only once commits of many days lie behind it, or a person says that the clock is
// right. What was committed later than NOW, when it was wrong once, tells nothing.
func (h holdings) clockJump(now time.Time) string {
	if h.clockIsRight {
		return ""
	}
	next, newest := now, time.Time{}
	for _, at := range slices.Backward(h.commits()) {
		if at.After(now) {
			continue
		}
		if next.Sub(at) > jump {
			return fmt.Sprintf("between two backups the clock went from %s to %s", at.UTC().Format(time.DateOnly), next.UTC().Format(time.DateOnly))
		}
		if newest.IsZero() {
			newest = at
		}
		if newest.Sub(at) >= settled {
			return ""
		}
		next = at
	}
	return ""
}

// commits is when the job's backups were committed, whatever became of them since, in the order in which they were made.
func (h holdings) commits() (all []time.Time) {
	last := ""
	for _, b := range h.backups {
		if b.Committed != nil {
			all, last = append(all, *b.Committed), b.Name
		}
	}
	if n := h.job.Newest; n != nil && n.Name > last {
		all = append(all, n.At)
	}
	return all
}

// mayGo tells whether nothing is said WHY something stays. If the clock's jump is, JUMPED is set to it.
func (h holdings) mayGo(why string, now time.Time, jumped *string) bool {
	if why != "" && why == h.clockJump(now) {
		*jumped = why
	}
	return why == ""
}

// restorable tells by what is on record whether a backup is worth something. One that was found bad may be, in part: it
// goes by the same limits as others.
func (h holdings) restorable(b state.Backup) bool {
	_, whole := chainOf(h.backups, b)
	return whole
}

// rootOf is the full that a backup hangs on, by what the records say of bases, or the last link that is on record.
func (h holdings) rootOf(b state.Backup) string {
	for range h.backups { // no chain is longer
		base, ok := baseOf(h.backups, b)
		if !ok {
			break
		}
		b = base
	}
	return b.Name
}

// inUse names a backup for which YES says so and that is, or hangs on, this one; or none.
func (h holdings) inUse(b state.Backup, yes func(state.Backup) bool) string {
	for _, o := range h.backups {
		for link, ok := o, yes(o); ok; link, ok = baseOf(h.backups, link) {
			if link.Name == b.Name {
				return o.Name
			}
		}
	}
	return ""
}

// fullSince tells whether a full that is newer than a backup is committed, and was not found bad.
func (h holdings) fullSince(b state.Backup) bool {
	return slices.ContainsFunc(h.backups, func(o state.Backup) bool {
		return o.Base == nil && o.Name > b.Name && o.Files == nil && sound(h.backups, o)
	})
}

// NewestWhole is the newest backup that can be restored, by what is on record; the zero Backup if there is none.
func NewestWhole(backups []state.Backup) (newest state.Backup) {
	for _, b := range backups {
		if sound(backups, b) {
			newest = b
		}
	}
	return newest
}

// madeAt is when a snapshot was made: by the stamp that is its name, or, of one that was taken over, whose name is local time,
// by ZFS.
func (h holdings) madeAt(s zfs.SnapshotInfo) (time.Time, bool) {
	if h.isAdopted(s) {
		return s.Creation, true
	}
	return manifest.ParseStamp(s.Snapshot.Name())
}

// oldEnough tells whether an own snapshot is past its days. One whose stamp is yet to come was pushed ahead (see bornAt), and
// ZFS tells.
func (h holdings) oldEnough(s zfs.SnapshotInfo, now time.Time, days int) bool {
	made, ok := h.madeAt(s)
	if made.After(now) {
		made = s.Creation
	}
	return ok && now.Sub(made) > time.Duration(days)*24*time.Hour
}

// isOurs tells whether a snapshot is one that this job made: our property was set on the snapshot itself, and
// it names a run or a backup of ours that knows the snapshot by its GUID. Or the job has taken it over, which is on record by
// its GUID too. (A run of a fresh job that another went on in the stead of is that one's now, and so is the backup that it gave up,
// which stays on record for longer; its mark names the first.)
func (h holdings) isOurs(s zfs.SnapshotInfo) bool {
	text, local := s.Mark()
	m, ok := parseMark(text)
	if !local || !ok {
		return false
	}
	if m.Job != h.job.ID {
		return hasMade(h.backups, m, s) || slices.ContainsFunc(h.runs, func(r state.Run) bool {
			return r.ID == m.Run && r.Job == h.job.ID && r.SnapshotGUID == s.GUID.String()
		})
	}
	if m.Run == adoptedRun {
		return h.isAdopted(s)
	}
	for _, r := range h.runs {
		if r.ID == m.Run && r.SnapshotGUID == s.GUID.String() {
			return true
		}
	}
	for _, b := range h.backups {
		if b.SnapshotGUID == s.GUID.String() {
			return true
		}
	}
	return false
}

// hasMade tells whether any of some backups is that of a snapshot that the run made which its mark names.
func hasMade(backups []state.Backup, m mark, s zfs.SnapshotInfo) bool {
	return slices.ContainsFunc(backups, func(b state.Backup) bool { return b.Run == m.Run && b.SnapshotGUID == s.GUID.String() })
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return units.Count(n) + " " + many
}
