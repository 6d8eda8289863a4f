package actions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/mounts"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/units"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// uploadFiles makes the remote equal to the mounted snapshot, by rclone's sync, which deletes there what the snapshot has
// not. That is the commit of file mode: the sync ended well, and before and after it this very snapshot was seen to be
// mounted. A sync that is cut off goes on where it was, since rclone compares before it transfers.
func (k *Kit) uploadFiles(ctx context.Context, s *workflow.Session, args []string) error {
	return k.syncFiles(ctx, s, false, slices.Contains(args, "-d"))
}

// syncsFiles tells whether an upload of chunk files is one of the mounted files, as it was with the Python tool, whose
// example of file mode has it between mount and unmount: to a folder of its own on the remote.
func (k *Kit) syncsFiles(r state.Run) bool {
	if r.Typed != "" {
		return k.Settings.Mode == settings.File
	}
	has := func(name string) bool {
		return slices.ContainsFunc(r.Steps, func(s state.Step) bool { return s.Name == name })
	}
	return has(StepMount) && !has(StepExport)
}

func (k *Kit) syncFiles(ctx context.Context, s *workflow.Session, ownFolder, deleteMost bool) error {
	if k.Settings.Mode != settings.File {
		return errors.New("the config is of mode intermediate now, where rclone_args mean something else: put mode = file back")
	}
	dir, err := k.mountedAt(ctx, s)
	if err != nil {
		return err
	}
	run := s.Run()
	f := &syncing{kit: k, s: s, dir: dir, deleteMost: deleteMost || k.DeleteMost, before: run.High.Uploaded}
	folder := ""
	if ownFolder {
		folder = manifest.Folder(run.Snapshot, true)
	}
	options := k.remoteOptions(run.Frozen.Remote)
	options.GlobalFlags, options.Args = k.Settings.RcloneGlobalFlags, k.Settings.RcloneArgs
	if f.sync, err = remote.NewSync(options, folder); err != nil {
		return err
	}
	f.root = folder == ""
	if f.place, err = k.Place(run.Frozen, run.Job); err != nil {
		return err
	}
	if err := f.begin(ctx); err != nil {
		return err
	}
	b, err := k.backupOf(s)
	if err != nil {
		return err
	}
	if !workflow.BackupMachine.In(b.State, workflow.BackupCommitted) {
		if err := f.commit(ctx); err != nil {
			return err
		}
	}
	if err := f.heartbeat(ctx); err != nil {
		return err
	}
	if b, err = k.backupOf(s); err != nil {
		return err
	}
	return s.Detail("%s to %s; sent %s, %s; deleted %s", snapshotName(run), b.Files.Into, plural(int(b.Files.Sent), "file", "files"),
		units.Size(b.Files.Bytes), plural(int(b.Files.Deleted), "object", "objects"))
}

func snapshotName(r state.Run) string { return r.Frozen.Dataset + "@" + r.Snapshot }

// mountedAt is where the snapshot is mounted that a run is to sync: what the run itself has mounted, which is mounted
// again if it is not any more; or, for a typed step, what was mounted by a command.
func (k *Kit) mountedAt(ctx context.Context, s *workflow.Session) (dir string, err error) {
	run := s.Run()
	if run.Mount != "" {
		return run.Mount, k.mountAt(ctx, s, run.Mount)
	}
	if run.Typed == "" {
		return "", &workflow.Hopeless{Err: fmt.Errorf("nothing is mounted: %s has to stand before it in the sequence", StepMount)}
	}
	type found struct {
		Dir      string `json:"dir"`
		Snapshot string `json:"snapshot"`
		GUID     string `json:"guid"`
	}
	f, err := workflow.Once(ctx, s, workflow.Effect[found]{
		Name: "mounted",
		Do: func(context.Context, workflow.Fx) (f found, err error) {
			r, ok, err := typedMount(s.View, run)
			if err == nil && !ok {
				err = &workflow.Hopeless{Err: fmt.Errorf("no snapshot of %s is mounted: %s", run.Frozen.Dataset, k.again(StepMount))}
			}
			return found{r.Mount, r.Snapshot, r.SnapshotGUID}, err
		},
		Result: func(_ *state.Tx, r *state.Run, f found) error {
			r.Snapshot, r.SnapshotGUID = f.Snapshot, f.GUID
			return nil
		},
	})
	if err != nil {
		return "", err
	}
	if err := k.holdTarget(ctx, s); err != nil {
		return "", err
	}
	if _, err := mounts.Prove(f.Dir, run.Frozen.Dataset+"@"+f.Snapshot); errors.Is(err, mounts.ErrNotMounted) {
		// Whoever mounted it may have mounted another since. No run waits for that.
		return "", &workflow.Hopeless{Err: fmt.Errorf("%w: it was when this run began; %s mounts the newest", err, k.again(StepMount))}
	}
	return f.Dir, nil
}

// typedMount is the run that last mounted a snapshot of RUN's dataset by a command, of those that are mounted still.
func typedMount(view viewer, run state.Run) (state.Run, bool, error) {
	var runs []state.Run
	err := view(func(tx *state.Tx) (err error) {
		runs, err = tx.Runs() // the newest first
		return err
	})
	if err != nil {
		return state.Run{}, false, err
	}
	for _, r := range runs {
		if r.Typed != StepMount || r.Mount == "" || r.DatasetGUID != run.DatasetGUID || !workflow.Over(r.State) {
			continue
		}
		if _, err := mounts.Prove(r.Mount, run.Frozen.Dataset+"@"+r.Snapshot); err == nil {
			return r, true, nil
		}
	}
	return state.Run{}, false, nil
}

// syncing is a sync at work.
type syncing struct {
	kit        *Kit
	s          *workflow.Session
	place      *remote.Place
	sync       *remote.Sync
	root       bool // to the place itself, and not to a folder of its own there
	dir        string
	deleteMost bool
	before     int // what the run had uploaded before this process

	mu    sync.Mutex
	noted time.Time // when progress was last stored
}

// begin puts the backup on record. Its name is the snapshot's stamp, or, where the snapshot was synced before, one of the
// seconds after it.
func (f *syncing) begin(ctx context.Context) error {
	run := f.s.Run()
	_, err := workflow.Once(ctx, f.s, workflow.Effect[string]{
		Name: "begin",
		Do: func(context.Context, workflow.Fx) (name string, err error) {
			stamp, ok := manifest.ParseStamp(run.Snapshot)
			if !ok {
				stamp = f.s.Now().UTC()
			}
			err = f.s.View(func(tx *state.Tx) error {
				for taken := true; taken && err == nil; stamp = stamp.Add(time.Second) {
					name = manifest.Folder(stamp.Format(manifest.StampLayout), true)
					_, taken, err = tx.Backup(run.Job, name)
				}
				return err
			})
			return name, err
		},
		Result: func(tx *state.Tx, r *state.Run, name string) error {
			job, ok, err := tx.Job(r.Job)
			if err != nil || !ok {
				return errors.Join(err, fmt.Errorf("job %s on record: %v", r.Job, ok))
			}
			// Nothing of it lies in intermediate_basedir, so that is as good as pruned.
			b := state.Backup{Job: r.Job, Name: name, Run: r.ID, Reason: "the files themselves", Created: f.s.Now().UTC(),
				Dataset: r.Frozen.Dataset, DatasetGUID: r.DatasetGUID, PoolGUID: job.PoolGUID, Host: f.kit.Host, Snapshot: r.Snapshot, SnapshotGUID: r.SnapshotGUID,
				Dir: r.Frozen.IntermediateDir, Place: job.Place, Pruned: true, Files: &state.Files{Into: f.sync.String()}}
			if err := workflow.BackupMachine.Born(tx, &b.State); err != nil {
				return err
			}
			r.Backup = name
			return tx.PutBackup(b)
		},
	})
	return err
}

// commit syncs, and stores that the remote is this snapshot now. An earlier sync to the same folder is one no more.
func (f *syncing) commit(ctx context.Context) error {
	_, err := workflow.Once(ctx, f.s, workflow.Effect[state.Files]{
		Name: "sync", Afresh: true, // the backup's record tells whether it is over
		Do: func(ctx context.Context, fx workflow.Fx) (done state.Files, err error) {
			err = f.kit.retry(ctx, func(ctx context.Context) error {
				done, err = f.once(ctx, fx)
				return err
			})
			return done, err
		},
		Result: func(tx *state.Tx, r *state.Run, done state.Files) error {
			if err := f.expireReplaced(tx, r.Job); err != nil {
				return err
			}
			now := f.s.Now().UTC()
			return f.record(tx, r, func(b *state.Backup) error {
				*b.Files, b.Committed = done, &now
				return errors.Join(workflow.BackupMachine.Fire(tx, &b.State, workflow.BackupExport), workflow.BackupMachine.Fire(tx, &b.State, workflow.BackupCommit))
			})
		},
	})
	return err
}

// expireReplaced stores of the syncs before, to the same folder or to one in it, that their state is there no more.
func (f *syncing) expireReplaced(tx *state.Tx, job string) error {
	backups, err := tx.Backups(job)
	if err != nil {
		return err
	}
	for _, b := range backups {
		if b.Files != nil && b.Place == f.place.String() && (f.root || b.Files.Into == f.sync.String()) {
			if err := expireRecord(tx, b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *syncing) record(tx *state.Tx, r *state.Run, change func(*state.Backup) error) error {
	b, err := tx.MustBackup(r.Job, r.Backup)
	if err != nil {
		return err
	}
	if err := change(&b); err != nil {
		return err
	}
	return tx.PutBackup(b)
}

// once is one try of the whole: look, ask rclone what it would do, judge that, do it, look again.
func (f *syncing) once(ctx context.Context, fx workflow.Fx) (done state.Files, err error) {
	before, err := f.prove()
	if err != nil {
		return done, err
	}
	used, err := f.mine(ctx)
	if err != nil {
		return done, err
	}
	plan, err := f.sync.Plan(ctx, f.s.Look(), f.dir)
	if err != nil {
		return done, err
	}
	if err := f.same(before); err != nil {
		return done, err
	}
	if !f.deleteMost && 2*plan.Deletes > plan.Checks {
		return done, &DeletesMost{Into: f.sync.String(), Snapshot: snapshotName(f.s.Run()), Deletes: plan.Deletes, There: plan.Checks}
	}
	if !used {
		if err := f.kit.claimFirst(ctx, f.s, f.place); err != nil {
			return done, err
		}
	}
	files := state.Files{Into: f.sync.String(), Total: plan.Bytes, There: plan.Checks, Deletes: plan.Deletes}
	if err := f.note(fx, files, 0); err != nil {
		return done, err
	}
	sent, err := f.run(ctx, fx, files)
	if err != nil {
		return done, err
	}
	if err := f.same(before); err != nil {
		return done, err
	}
	if _, err := f.kit.ownSnapshot(ctx, f.s); err != nil {
		return done, err
	}
	if err := f.place.Check(ctx, f.s.Look()); err != nil {
		return done, err
	}
	if sent.Links > 0 {
		err = f.s.Note(fmt.Sprintf("rclone left out %s: --links in rclone_args stores them as text", plural(int(sent.Links), "symbolic link", "symbolic links")))
	}
	return counted(files, sent), err
}

// run has rclone sync. Meanwhile nobody can unmount what it reads, and what it does is put on record now and then.
func (f *syncing) run(ctx context.Context, fx workflow.Fx, files state.Files) (remote.Stats, error) {
	busy, err := os.Open(f.dir)
	if err != nil {
		return remote.Stats{}, err
	}
	defer busy.Close()
	if _, err := f.prove(); err != nil {
		return remote.Stats{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sent, err := f.sync.Run(ctx, fx, f.dir, files.Deletes, func(s remote.Stats) {
		f.s.Progress(s.Bytes, max(files.Total, s.TotalBytes), false)
		if err := f.note(fx, counted(files, s), noteEach); err != nil {
			cancel(err)
		}
	})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	return sent, err
}

// noteEach is how often progress is stored, for status.
const noteEach = 5 * time.Second

// note stores how far it is, unless that was done a moment ago. Each file that was sent is progress: it is not sent again.
func (f *syncing) note(fx workflow.Fx, files state.Files, each time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := fx.Now()
	if !f.noted.IsZero() && now.Sub(f.noted) < each {
		return nil
	}
	f.noted = now
	return fx.Note(func(tx *state.Tx, r *state.Run) error {
		r.High.Raise(state.Progress{Uploaded: f.before + int(files.Sent)})
		return f.record(tx, r, func(b *state.Backup) error {
			*b.Files = files
			return nil
		})
	})
}

func counted(files state.Files, s remote.Stats) state.Files {
	files.Bytes, files.Sent, files.Deleted = s.Bytes, s.Transfers, s.Deletes
	files.Total = max(files.Total, s.TotalBytes)
	return files
}

// prove proves that this very snapshot is mounted: a sync from anything else would destroy what is at the remote.
func (f *syncing) prove() (mounts.Proof, error) {
	p, err := mounts.Prove(f.dir, snapshotName(f.s.Run()))
	if err != nil {
		err = fmt.Errorf("nothing was synced: %w", err)
	}
	return p, err
}

// same is an error unless what is mounted now is what was mounted before.
func (f *syncing) same(before mounts.Proof) error {
	now, err := mounts.Prove(f.dir, snapshotName(f.s.Run()))
	if err == nil && now != before {
		err = fmt.Errorf("%s was unmounted from %s and mounted again meanwhile", snapshotName(f.s.Run()), f.dir)
	}
	if err != nil {
		err = fmt.Errorf("what rclone read may not have been the snapshot: %w", err)
	}
	return err
}

// mine is an error if the place is another job's, or holds backups of chunk files that the sync would delete. USED: it
// is on record as the job's. A marker that is there may be that of a claim whose process died before it could say so.
func (f *syncing) mine(ctx context.Context) (used bool, err error) {
	run := f.s.Run()
	job, backups, err := jobOf(f.s.View, run.Job)
	if err != nil {
		return false, err
	}
	err = f.place.Check(ctx, f.s.Look())
	if errors.Is(err, remote.ErrMarkerGone) && !job.Used {
		return false, nil
	}
	if err != nil || !f.root {
		return job.Used, err
	}
	var chunks int
	for _, b := range backups {
		if b.Files == nil && b.Place == run.Frozen.Remote && workflow.BackupMachine.In(b.State, workflow.BackupCommitted, workflow.BackupExported) {
			chunks++
		}
	}
	if chunks > 0 {
		err = &workflow.Hopeless{Err: fmt.Errorf("%s holds %s of chunk files, which a sync would delete: give mode = file a remote path of its own",
			f.place, plural(chunks, "backup", "backups"))}
	}
	return job.Used, err
}

// DeletesMost is the error of a sync that would delete more than half of what is there. A person has to say that this is
// meant.
type DeletesMost struct {
	Into, Snapshot string
	Deletes, There int64
}

func (e *DeletesMost) Error() string {
	what := fmt.Sprintf("%s of the %s there", units.Count(int(e.Deletes)), plural(int(e.There), "object", "objects"))
	if e.Deletes == e.There {
		what = "all that is there, " + plural(int(e.There), "object", "objects")
	}
	return fmt.Sprintf("a sync to %s would delete %s, which %s does not have; nothing was changed. --delete-most says that it is meant", e.Into, what, e.Snapshot)
}

// heartbeat stores the object whose age people watch. The backup is no worse without it.
func (f *syncing) heartbeat(ctx context.Context) error {
	_, err := workflow.Once(ctx, f.s, workflow.Effect[workflow.Nothing]{
		Name: "heartbeat",
		Do: func(ctx context.Context, fx workflow.Fx) (none workflow.Nothing, err error) {
			if !f.root {
				return none, nil
			}
			text := fmt.Sprintf("%s, synced %s\n", snapshotName(f.s.Run()), f.s.Now().UTC().Format(time.RFC3339))
			return none, f.kit.retry(ctx, func(ctx context.Context) error { return f.place.Touch(ctx, fx, remote.HeartbeatFile, []byte(text)) })
		},
	})
	if err != nil && ctx.Err() == nil {
		return f.kit.note(f.s, "%s was synced, but %s could not be stored: %v", snapshotName(f.s.Run()), remote.HeartbeatFile, err)
	}
	return err
}
