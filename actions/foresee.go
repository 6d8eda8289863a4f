package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/units"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// Foresight tells what a run would do, without doing any of it: for --dry-run and check.
type Foresight struct {
	kit       *Kit
	look      workflow.Look
	store     *state.Store
	job       state.Job
	known     bool   // the job is on record
	guid      string // of the dataset
	holdings  holdings
	dataset   zfs.Dataset
	snapshots []zfs.SnapshotInfo
	exports   bool   // a step that was foreseen before
	takes     string // the snapshot that a step before would take
}

// Foresee looks at the dataset and the database.
func (k *Kit) Foresee(ctx context.Context, world workflow.World, store *state.Store, info zfs.Info) (*Foresight, error) {
	f := &Foresight{kit: k, look: workflow.Look{World: world}, store: store, guid: info.GUID.String()}
	var err error
	if f.dataset, err = zfs.ParseDataset(k.Settings.Dataset); err != nil {
		return nil, err
	}
	if f.snapshots, err = k.zfs(f.look).Snapshots(ctx, f.dataset); err != nil {
		return nil, err
	}
	mounted, err := mountedSnapshots()
	if err != nil {
		return nil, err
	}
	err = store.View(func(tx *state.Tx) (err error) {
		f.job, f.known, err = KnownJob(tx, f.guid, k.Settings)
		return err
	})
	if err == nil && f.known {
		f.holdings, err = holdingsOf(store.View, f.job.ID, k.Settings.Strategy)
		f.holdings.mounted = mounted
	}
	return f, err
}

// Next says what the next backup will be: full or incremental, and why.
func (f *Foresight) Next(ctx context.Context, args []string) (full bool, reason string, err error) {
	c, err := f.choice(ctx, args)
	return c.Full, c.Reason, err
}

func (f *Foresight) choice(ctx context.Context, args []string) (choice, error) {
	k := f.kit
	frozen := Freeze(k.Settings)
	// A snapshot that is yet to be taken is newer than any.
	q := question{job: f.job, backups: f.holdings.backups, snapshots: f.snapshots, target: zfs.SnapshotInfo{CreateTXG: ^uint64(0)}, now: f.look.Now(),
		flags: frozen.SendFlags, encryption: frozen.Encryption, full: slices.Contains(args, "-f"), incr: slices.Contains(args, "-i"),
		bookmarks: func() ([]zfs.BookmarkInfo, error) { return k.zfs(f.look).Bookmarks(ctx, f.dataset) },
		canSend: func(a zfs.SendArgs) error {
			if len(f.snapshots) == 0 {
				return nil
			}
			a.Snapshot = f.snapshots[len(f.snapshots)-1].Snapshot // for the one that is not there yet
			return k.zfs(f.look).CanSend(ctx, a)
		}}
	if !f.known || f.job.Fresh {
		if err := f.recordLost(ctx); err != nil {
			return choice{}, err
		}
	}
	unknown := func(state.Backup) (bool, error) { return false, errors.New("the job is not on record") }
	whole, opens := unknown, unknown
	if f.known {
		place, err := k.Place(frozen, f.job.ID)
		if err != nil {
			return choice{}, err
		}
		whole, opens = k.wholeAt(ctx, f.look, place, f.store.View), k.opensAt(ctx, f.look, place)
	}
	return k.choose(q, whole, opens)
}

// RecordLost is the error of a job that is not on record here, while another has been at its place: one that is not on record either, or
// that of the dataset, whose place WAS known by another name.
type RecordLost struct{ Place, Job, Was string }

func (e *RecordLost) Error() string {
	if e.Was != "" {
		return fmt.Sprintf("%s is where the backups of this dataset went until now, as %s: a run would go on with them", e.Place, e.Was)
	}
	return fmt.Sprintf("%s belongs to job %s, which is not on record here: a run would make the record again first, if it is this dataset's", e.Place, e.Job)
}

// recordLost looks whose the place is, as far as it can be asked. What is wrong with it otherwise the run would say.
func (f *Foresight) recordLost(ctx context.Context) error {
	place, err := f.kit.Place(Freeze(f.kit.Settings), state.NewJobID())
	if err != nil {
		return err
	}
	stranger, is := errors.AsType[*remote.Stranger](place.Check(ctx, f.look))
	if !is || stranger.Theirs == f.job.ID {
		return nil
	}
	return f.store.View(func(tx *state.Tx) error {
		j, known, err := tx.Job(stranger.Theirs)
		if err == nil && known && j.DatasetGUID != f.guid {
			return f.kit.otherDataset(j.Dataset, f.kit.Host)
		}
		if err == nil && (!known || j.Config == f.kit.Settings.Path && j.DatasetGUID == f.guid) {
			err = &RecordLost{place.String(), stranger.Theirs, j.Place}
		}
		return err
	})
}

// Step says what a step would do, a line each. Those of a sequence are asked for in their order.
func (f *Foresight) Step(ctx context.Context, p workflow.Planned) ([]string, error) {
	k := f.kit
	_, uploads := PlaceOf(k.Settings)
	f.holdings.clockIsRight = saysClockIsRight(p.Args)
	switch p.Name {
	case StepLock:
		return []string{"would take the lock"}, nil
	case StepUnlock:
		return []string{"would free the lock"}, nil
	case StepSnapshot:
		newest := ""
		for _, s := range f.snapshots {
			if _, ok := manifest.ParseStamp(s.Snapshot.Name()); ok {
				newest = max(newest, s.Snapshot.Name())
			}
		}
		f.takes = nextStamp(f.look.Now(), newest)
		return []string{fmt.Sprintf("would take %s@%s", k.Settings.Dataset, f.takes)}, nil
	case StepExport:
		c, err := f.choice(ctx, p.Args)
		if lost, is := errors.AsType[*RecordLost](err); is {
			return []string{lost.Error() + "; what would be exported then is not known"}, nil
		}
		if others, is := errors.AsType[*OtherDataset](err); is {
			return []string{others.Error() + "; a run would do nothing of this"}, nil
		}
		if err != nil {
			return nil, err
		}
		f.exports = true
		kind := "an incremental " + c.Reason
		if c.Full {
			kind = "a full, because " + c.Reason
		}
		return []string{fmt.Sprintf("would export %s, to %s", kind, k.Settings.IntermediateDir)}, nil
	case StepMount:
		return []string{f.mount()}, nil
	case StepUmount:
		return []string{"would unmount it"}, nil
	case StepUploadFiles:
		return []string{fmt.Sprintf("would make %s equal to the mounted snapshot, and delete the rest there", k.Settings.Remote)}, nil
	case StepUpload:
		if k.Settings.Mode == settings.File {
			return []string{fmt.Sprintf("would sync the mounted files to a folder of their own in %s", k.Settings.Remote)}, nil
		}
		return []string{f.upload(p.Args)}, nil
	case StepPruneIntermediates:
		return f.prunedFolders(uploads, p.Args)
	case StepPruneSnapshots:
		return f.prunedSnapshots(ctx, p.Args)
	case StepAdopt:
		return f.adopted(ctx)
	case StepPruneRemote:
		return f.prunedRemote(p.Args), nil
	case StepVerify:
		return f.verified(p.Args)
	case StepShowConfig:
		return []string{"would print the settings"}, nil
	}
	if p.Kind == workflow.Hook {
		return []string{"would run " + strings.Join(append([]string{p.Name}, p.Args...), " ")}, nil
	}
	return nil, fmt.Errorf("step %q is none that this version knows", p.Name)
}

func (f *Foresight) mount() string {
	name := f.takes
	if name == "" && len(f.snapshots) > 0 {
		name = f.snapshots[len(f.snapshots)-1].Snapshot.Name()
	}
	if name == "" {
		return fmt.Sprintf("would fail: %s has no snapshot yet", f.kit.Settings.Dataset)
	}
	return fmt.Sprintf("would mount %s@%s in %s", f.kit.Settings.Dataset, name, f.kit.Settings.IntermediateDir)
}

func (f *Foresight) upload(args []string) string {
	if f.exports {
		return "would upload it to " + f.kit.Settings.Remote
	}
	switch b, err := exported(f.holdings.backups, args); {
	case err != nil:
		return "would fail: " + err.Error()
	case workflow.BackupMachine.In(b.State, workflow.BackupCommitted):
		return "would do nothing: " + b.Name + " is committed"
	default:
		return fmt.Sprintf("would upload %s to %s", b.Name, f.kit.Settings.Remote)
	}
}

func verb(args []string, does string) string {
	if slices.Contains(args, "-y") {
		return "would " + does
	}
	return "would only print, without -y, that it would " + does
}

func (f *Foresight) adopted(ctx context.Context) ([]string, error) {
	frozen := Freeze(f.kit.Settings)
	a, err := f.kit.toAdopt(ctx, f.look, f.holdings, frozen, f.snapshots)
	if err != nil {
		return nil, err
	}
	if lines := a.lines(frozen.IntermediateDir); len(lines) > 0 {
		return lines, nil
	}
	return []string{"would take over nothing"}, nil
}

func (f *Foresight) prunedFolders(uploads bool, args []string) (lines []string, err error) {
	jumped := ""
	for _, b := range slices.Backward(f.holdings.backups) {
		if b.Pruned || b.Dir != f.kit.Settings.IntermediateDir {
			continue
		}
		if why := f.holdings.keepFolder(b, !uploads, f.kit.Settings.Keep, f.look.Now()); f.holdings.mayGo(why, f.look.Now(), &jumped) {
			lines = append(lines, verb(args, "remove "+b.Dir+"/"+b.Name))
		}
	}
	adopted, err := f.holdings.redundantFolders(f.kit.Settings.IntermediateDir, !uploads, f.kit.Settings.Keep, f.look.Now())
	if err != nil {
		return nil, err
	}
	for _, a := range adopted {
		lines = append(lines, verb(args, "remove "+a.Folder.Dir+"/"+a.Name))
	}
	return wouldLines(lines, "would remove nothing", "folder of an old chain is removed", jumped), nil
}

// prunedRemote goes by the records alone: what of it is there, and whether the newest backup is, the step finds out.
func (f *Foresight) prunedRemote(args []string) (lines []string) {
	jumped := ""
	for _, b := range f.holdings.backups {
		if b.Place != f.kit.Settings.Remote || !f.holdings.restorable(b) {
			continue
		}
		if why := f.holdings.keepAtPlace(b, f.kit.Settings.Keep, f.look.Now()); f.holdings.mayGo(why, f.look.Now(), &jumped) {
			lines = append(lines, verb(args, "delete "+f.kit.Settings.Remote+"/"+b.Name))
		}
	}
	return wouldLines(lines, "would delete no backup", "chain is deleted from "+f.kit.Settings.Remote, jumped)
}

// wouldLines are what a prune would do, or that it is NOTHING, and what it would say if the clock has jumped.
func wouldLines(lines []string, nothing, what, jumped string) []string {
	if len(lines) == 0 {
		lines = []string{nothing}
	}
	if jumped != "" {
		lines = append(lines, afterJump(what, jumped))
	}
	return lines
}

// verified goes by the records. What a step before exports is not among them yet.
func (f *Foresight) verified(args []string) (lines []string, err error) {
	q, err := ParseVerify(args)
	if err != nil {
		return nil, err
	}
	chosen, unknown := q.choose(f.holdings.backups)
	for _, name := range unknown {
		lines = append(lines, fmt.Sprintf("would verify %s, %s, if the Python tool made it: it is not on record", name, q.Level))
	}
	if f.exports && !q.All {
		return []string{fmt.Sprintf("would verify it, and what it is based on: %s", q.Level)}, nil
	}
	for _, b := range chosen {
		if q.limited() {
			lines = append(lines, fmt.Sprintf("would verify some of %s, %s", b.Name, q.Level))
			continue
		}
		lines = append(lines, fmt.Sprintf("would verify %s, %s: %s, %s", b.Name, q.Level, plural(b.Sums.Sealed, "chunk", "chunks"), units.Size(b.Sums.BytesSealed)))
	}
	if f.exports {
		lines = append(lines, fmt.Sprintf("would verify the new one, %s", q.Level))
	}
	if len(lines) == 0 {
		lines = []string{"would verify nothing"}
	}
	return lines, nil
}

func (f *Foresight) prunedSnapshots(ctx context.Context, args []string) (lines []string, err error) {
	jumped := ""
	for _, s := range f.snapshots {
		if !f.known || !f.holdings.isOurs(s) || !f.holdings.oldEnough(s, f.look.Now(), f.kit.Settings.OldestSnapshotDays) {
			continue
		}
		base, goesNow := f.holdings.keepSnapshot(s, f.snapshots) != "", true
		if base {
			if goesNow, err = f.kit.standInFor(ctx, f.look, f.holdings, s, f.snapshots); err != nil {
				return nil, err
			}
		}
		if !goesNow {
			continue
		}
		if jumped = f.holdings.clockJump(f.look.Now()); jumped != "" {
			break // for all of them
		}
		lines = append(lines, verb(args, goes(s, base)))
	}
	return wouldLines(lines, "would destroy nothing", "snapshot is pruned by age", jumped), nil
}

// PythonTool is what of the Python tool's nobody has taken over.
func (f *Foresight) PythonTool() (state.Left, error) {
	return f.holdings.leftOf(f.snapshots, f.kit.Settings.IntermediateDir)
}
