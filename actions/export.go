package actions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// export sends a snapshot to sealed chunk files in intermediate_basedir. Its effects, in turn: the snapshot
// is found (and held, if it is not this run's), full or incremental is chosen, the folder is claimed, the
// stream is sealed. Where the sequence has no upload step, it commits as well.
func (k *Kit) export(ctx context.Context, s *workflow.Session, args []string) error {
	if k.Gone != nil { // a chunk was lost since all of them were sealed
		return fmt.Errorf("what is not sealed any more can't be exported again: %w", k.Gone)
	}
	target, err := k.exportTarget(ctx, s)
	if err != nil {
		return err
	}
	c, err := k.exportChoice(ctx, s, args, target)
	if err != nil {
		return err
	}
	s.Log().Info("chosen", "full", c.Full, "why", c.Reason)
	if c.Bad != "" {
		k.tell("the backup is a full, since " + c.Reason)
	}
	if err := k.beginBackup(ctx, s, target, c); err != nil {
		return err
	}
	how, err := k.sealStream(ctx, s)
	if err != nil {
		return err
	}
	if how != "" {
		how = "; " + how
	}
	b, err := k.backupOf(s)
	if err != nil {
		return err
	}
	if !uploads(s.Run()) {
		if err := k.uploadAndCommit(ctx, s, b); err != nil {
			return err
		}
	}
	kind := "incremental " + c.Reason
	if c.Full {
		kind = "full: " + c.Reason
	}
	return s.Detail("%s; %s%s", kind, plural(b.Sums.Sealed, "chunk", "chunks"), how)
}

// target is the snapshot that is exported.
type target struct {
	Name  string   `json:"name"` // behind the @
	GUID  zfs.GUID `json:"guid"`
	Stamp string   `json:"stamp"` // its own name, or its creation in UTC where that is none
	Found bool     `json:"found"` // not the run's own
}

// exportTarget is the run's own snapshot, or, without a snapshot step, the dataset's newest, whoever made
// it. That one is held from here on; which one it is, is on record before, so that the hold is always found again.
func (k *Kit) exportTarget(ctx context.Context, s *workflow.Session) (target, error) {
	t, err := k.findTarget(ctx, s)
	if err != nil || !t.Found {
		return t, err
	}
	return t, k.holdTarget(ctx, s)
}

// holdTarget holds a snapshot that is not the run's own, for as long as the run needs it.
func (k *Kit) holdTarget(ctx context.Context, s *workflow.Session) error {
	_, err := workflow.Once(ctx, s, workflow.Effect[workflow.Nothing]{
		Name: "hold target",
		Do: func(ctx context.Context, fx workflow.Fx) (none workflow.Nothing, err error) {
			snap, err := snapshotOf(s.Run())
			if err != nil {
				return none, err
			}
			err = k.takeHold(ctx, fx, runHold(s.Run().ID), snap)
			if errors.Is(err, zfs.ErrNoSnapshot) {
				err = &workflow.Hopeless{Err: err}
			}
			return none, err
		},
	})
	return err
}

func (k *Kit) findTarget(ctx context.Context, s *workflow.Session) (target, error) {
	return workflow.Once(ctx, s, workflow.Effect[target]{
		Name: "target",
		Do: func(ctx context.Context, _ workflow.Fx) (t target, err error) {
			run := s.Run()
			if run.Snapshot != "" && run.SnapshotGUID != "" {
				return target{Name: run.Snapshot, GUID: zfs.GUID(guid(run.SnapshotGUID)), Stamp: run.Snapshot}, nil
			}
			snapshots, err := k.snapshots(ctx, s, run)
			if err != nil {
				return t, err
			}
			if len(snapshots) == 0 {
				return t, &workflow.Hopeless{Err: fmt.Errorf("%s has no snapshot yet: %s", run.Frozen.Dataset, k.again(StepSnapshot))}
			}
			newest := snapshots[len(snapshots)-1]
			t = target{Name: newest.Snapshot.Name(), GUID: newest.GUID, Stamp: newest.Snapshot.Name(), Found: true}
			if _, ok := manifest.ParseStamp(t.Stamp); !ok {
				t.Stamp = newest.Creation.UTC().Format(manifest.StampLayout)
			}
			return t, nil
		},
		Result: func(_ *state.Tx, r *state.Run, t target) error {
			r.Snapshot, r.SnapshotGUID = t.Name, t.GUID.String()
			return nil
		},
	})
}

func (k *Kit) snapshots(ctx context.Context, s *workflow.Session, run state.Run) ([]zfs.SnapshotInfo, error) {
	dataset, err := zfs.ParseDataset(run.Frozen.Dataset)
	if err != nil {
		return nil, err
	}
	return k.zfs(s.Look()).Snapshots(ctx, dataset)
}

// exportChoice decides between full and incremental. That stands once the backup is begun; until then the passphrase may change, or
// what it was to be based on go.
func (k *Kit) exportChoice(ctx context.Context, s *workflow.Session, args []string, t target) (choice, error) {
	return workflow.Once(ctx, s, workflow.Effect[choice]{
		Name: "choice", Afresh: s.Run().Backup == "",
		Do: func(ctx context.Context, _ workflow.Fx) (choice, error) {
			run := s.Run()
			job, backups, err := jobOf(s.View, run.Job)
			if err != nil {
				return choice{}, err
			}
			snapshots, err := k.snapshots(ctx, s, run)
			if err != nil {
				return choice{}, err
			}
			i := slices.IndexFunc(snapshots, func(o zfs.SnapshotInfo) bool { return o.GUID == t.GUID })
			if i < 0 {
				return choice{}, &workflow.Hopeless{Err: fmt.Errorf("snapshot %s@%s is gone", run.Frozen.Dataset, t.Name)}
			}
			place, err := k.Place(run.Frozen, run.Job)
			if err != nil {
				return choice{}, err
			}
			program := k.zfs(s.Look())
			q := question{job: job, backups: backups, snapshots: snapshots, target: snapshots[i], now: s.Now(),
				flags: run.Frozen.SendFlags, encryption: run.Frozen.Encryption,
				full: slices.Contains(args, "-f"), incr: slices.Contains(args, "-i"),
				bookmarks: func() ([]zfs.BookmarkInfo, error) { return program.Bookmarks(ctx, snapshots[i].Snapshot.Dataset()) },
				canSend:   func(a zfs.SendArgs) error { return program.CanSend(ctx, a) }}
			c, err := k.choose(q, k.wholeAt(ctx, s.Look(), place, s.View), k.opensAt(ctx, s.Look(), place))
			c.Stamp = stampFor(t.Stamp, q)
			if err != nil || len(c.Expired) == 0 {
				return c, err
			}
			part, err := k.showsPart(ctx, s.Look(), place)
			if part { // it may be whole again tomorrow
				c.Expired = nil
			}
			return c, err
		},
		Result: func(tx *state.Tx, r *state.Run, c choice) error {
			for _, name := range c.Expired {
				if err := expire(tx, r.Job, name); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

// viewer reads the database.
type viewer = func(func(*state.Tx) error) error

// wholeAt is choose's look at where backups are committed.
func (k *Kit) wholeAt(ctx context.Context, w workflow.World, place remote.Remote, view viewer) func(state.Backup) (bool, error) {
	return func(b state.Backup) (bool, error) {
		var chunks []state.Chunk
		err := view(func(tx *state.Tx) (err error) {
			chunks, err = tx.Chunks(b.Job, b.Name)
			return err
		})
		if err != nil {
			return false, err
		}
		return k.isWhole(ctx, w, place, b, chunks)
	}
}

func jobOf(view viewer, id string) (job state.Job, backups []state.Backup, err error) {
	err = view(func(tx *state.Tx) error {
		var ok bool
		if job, ok, err = tx.Job(id); err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("no record of job %s", id)
		}
		backups, err = tx.Backups(id)
		return err
	})
	return job, backups, err
}

// expire stores that a committed backup was seen to be no longer whole.
func expire(tx *state.Tx, job, name string) error {
	b, ok, err := tx.Backup(job, name)
	if err != nil || !ok || !workflow.BackupMachine.In(b.State, workflow.BackupCommitted) {
		return err
	}
	if err := workflow.BackupMachine.Fire(tx, &b.State, workflow.BackupExpire); err != nil {
		return err
	}
	b.Going = false
	// While its files lie here, their names are needed to remove them.
	if b.Pruned {
		if err := tx.DropChunks(job, name); err != nil {
			return err
		}
	}
	return errors.Join(tx.DropVerified(job, name), tx.PutBackup(b))
}

// beginBackup claims the backup's folder, seals a canary with the passphrase, and puts the backup on record.
func (k *Kit) beginBackup(ctx context.Context, s *workflow.Session, t target, c choice) error {
	type begun struct {
		Name     string `json:"name"`
		Canary   []byte `json:"canary"`
		Estimate int64  `json:"estimate"`
	}
	run := s.Run()
	_, err := workflow.Once(ctx, s, workflow.Effect[begun]{
		Name: "begin",
		Do: func(ctx context.Context, fx workflow.Fx) (begun, error) {
			b := begun{}
			if err := CheckName(run.Frozen.Dataset, uploads(run)); err != nil {
				return b, &workflow.Hopeless{Err: err}
			}
			var err error
			if b.Name, err = k.claimName(s, fx, cmp.Or(c.Stamp, t.Stamp), c.Full); err != nil {
				return b, k.givenUpDir(run.Frozen.IntermediateDir, err)
			}
			sealer, err := k.sealer(fx, run.Frozen.Encryption)
			if err != nil {
				return b, err
			}
			if run.Frozen.Encryption != string(settings.None) {
				if b.Canary, err = chunk.NewCanary(ctx, sealer); err != nil {
					return b, err
				}
			}
			args, err := k.sendArgs(ctx, s.Look(), run, c.Base, c.Flags)
			if err != nil {
				return b, err
			}
			b.Estimate, _ = k.zfs(s.Look()).Estimate(ctx, args)
			return b, nil
		},
		Result: func(tx *state.Tx, r *state.Run, v begun) error {
			job, ok, err := tx.Job(r.Job)
			if err != nil || !ok {
				return errors.Join(err, fmt.Errorf("job %s on record: %v", r.Job, ok))
			}
			b := state.Backup{Job: r.Job, Name: v.Name, Run: r.ID, Full: c.Full, Reason: c.Reason, Created: s.Now().UTC(), Base: c.Base,
				Previous: job.Newest, Dataset: r.Frozen.Dataset, DatasetGUID: r.DatasetGUID, PoolGUID: job.PoolGUID, Host: k.Host,
				Snapshot: t.Name, SnapshotGUID: t.GUID.String(), SendFlags: c.Flags, SplitSize: r.Frozen.SplitSize, Encryption: r.Frozen.Encryption,
				Dir: r.Frozen.IntermediateDir, Place: job.Place, Canary: v.Canary, Estimate: v.Estimate}
			if err := workflow.BackupMachine.Born(tx, &b.State); err != nil {
				return err
			}
			r.Backup, r.Folder = v.Name, ""
			return tx.PutBackup(b)
		},
	})
	return err
}

// stampFor is the stamp of the snapshot to be sent, or a second after the newest backup of another one that is not newer: names of
// backups grow, and a chain is told by that. Those of snapshots need not, where the clock was wrong once, or another program gives them.
func stampFor(stamp string, q question) string {
	first, ok := manifest.ParseStamp(stamp)
	newest := ""
	for _, b := range q.backups {
		if b.SnapshotGUID == q.target.GUID.String() || workflow.BackupMachine.In(b.State, workflow.BackupAbandoned) {
			continue // what notTaken says of its name is true
		}
		later := slices.ContainsFunc(q.snapshots, func(o zfs.SnapshotInfo) bool {
			return o.GUID.String() == b.SnapshotGUID && o.CreateTXG > q.target.CreateTXG
		})
		if made, _, is := manifest.ParseFolder(b.Name); is && !later {
			newest = max(newest, made)
		}
	}
	if !ok {
		return stamp
	}
	return nextStamp(first, newest)
}

// claimName claims a folder for the backup of a snapshot, and with it the backup's name. It is the snapshot's stamp (but see stampFor),
// or, where another job that shares intermediate_basedir has a folder of that name, one of the seconds after it: cron
// starts several jobs in the same second. So it is where a backup of the snapshot was given up, and what it had uploaded
// could not be removed.
func (k *Kit) claimName(s *workflow.Session, fx workflow.Fx, stamp string, full bool) (string, error) {
	run := s.Run()
	first, ok := manifest.ParseStamp(stamp)
	if !ok {
		return "", fmt.Errorf("stamp %q is not a time", stamp)
	}
	var err error
	for i := range claimTries {
		name := manifest.Folder(first.Add(time.Duration(i)*time.Second).Format(manifest.StampLayout), full)
		if err = k.notTaken(s, run, name); errors.Is(err, errStrangers) {
			continue
		}
		if err != nil {
			return "", err
		}
		if name != run.Folder {
			if err := dropClaim(run); err != nil {
				return "", err
			}
			run.Folder = "" // it was an earlier process's; one that is found to be a stranger's is left alone
			if err := fx.Note(func(_ *state.Tx, r *state.Run) error { r.Folder = name; return nil }); err != nil {
				return "", err
			}
		}
		err = claimFolder(run.Frozen.IntermediateDir, name, run.Job, fx.Again)
		if !errors.Is(err, errStrangers) {
			return name, err
		}
	}
	return "", &workflow.Hopeless{Err: err}
}

// claimTries bounds how far from its snapshot's stamp a backup's name may be, in seconds.
const claimTries = 60

// notTaken makes sure that no other run of the job has a backup of this name: the snapshot was exported
// before.
func (k *Kit) notTaken(s *workflow.Session, run state.Run, name string) error {
	return s.View(func(tx *state.Tx) error {
		b, ok, err := tx.Backup(run.Job, name)
		switch {
		case err != nil || !ok || b.Run == run.ID:
			return err
		case workflow.BackupMachine.In(b.State, workflow.BackupAbandoned) && len(b.Claims) > 0 && !b.Contested:
			return fmt.Errorf("what run %s, which was given up, had uploaded as %s %w", b.Run, name, errStrangers)
		case workflow.BackupMachine.In(b.State, workflow.BackupAbandoned):
			return nil // one that was given up makes way
		}
		return &workflow.Hopeless{Err: fmt.Errorf("snapshot %s was exported as %s by run %s already (%s)", b.Snapshot, name, b.Run, b.State)}
	})
}

// backupOf is the record of the backup that a run makes.
func (k *Kit) backupOf(s *workflow.Session) (b state.Backup, err error) {
	run := s.Run()
	err = s.View(func(tx *state.Tx) error {
		b, err = tx.MustBackup(run.Job, run.Backup)
		return err
	})
	return b, err
}
