package actions

import (
	"context"
	"errors"
	"slices"

	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// finish is the end of every plan. It sets the hold that keeps the base of the next incremental, lets go of
// what this run, and those before it, held, and frees the lock record even where the sequence has no unlock.
func (k *Kit) finish(ctx context.Context, s *workflow.Session, _ []string) error {
	if err := k.destroyLate(ctx, s); err != nil {
		return err
	}
	if k.Gone != nil {
		if err := k.note(s, "nothing that it held was let go of: %v", k.Gone); err != nil {
			return err
		}
	}
	_, err := workflow.Once(ctx, s, workflow.Effect[*state.Left]{
		Name: "holds", Afresh: true,
		Do: func(ctx context.Context, fx workflow.Fx) (*state.Left, error) {
			return k.settleHolds(ctx, s, fx)
		},
		Result: func(tx *state.Tx, r *state.Run, left *state.Left) error {
			if err := keepLeft(tx, r.Job, left); err != nil {
				return err
			}
			r.KeepsHold = r.Typed == StepSnapshot || r.Typed == StepMount
			if err := workflow.FreeLock(tx, *r); err != nil {
				return err
			}
			return dropOldRuns(tx, *r)
		},
	})
	return err
}

// settleHolds makes the holds of ours on the dataset those that are still needed: a run's for as long as it
// is not at its end, and the base's. Since it looks at all of them, it also says what is LEFT of the Python tool's; nil: that
// can't be told.
func (k *Kit) settleHolds(ctx context.Context, s *workflow.Session, fx workflow.Fx) (left *state.Left, err error) {
	if k.Gone != nil {
		return nil, nil
	}
	run := s.Run()
	h, err := holdingsOf(s.View, run.Job, k.Settings.Strategy)
	if err != nil {
		return nil, err
	}
	snapshots, err := k.snapshots(ctx, s, run)
	if err != nil {
		return nil, err
	}
	if l, err := h.leftOf(snapshots, run.Frozen.IntermediateDir); err != nil {
		s.Log().Info("what is left of the Python tool's can't be told", "err", err)
	} else {
		l.At = s.Now().UTC()
		left = &l
	}
	full, base, ok := newestChain(h.backups, h.strategy)
	isBase := func(snap zfs.SnapshotInfo) bool {
		id := snap.GUID.String()
		return ok && (id == base.SnapshotGUID || id == full.SnapshotGUID)
	}
	// First what must stay, then what may go.
	for _, snap := range snapshots {
		if isBase(snap) {
			if err := k.takeHold(ctx, fx, baseHold(run.Job), snap.Snapshot); err != nil {
				return left, err
			}
		}
	}
	for _, snap := range snapshots {
		text, local := snap.Mark()
		m, marked := parseMark(text)
		if snap.Holds == 0 {
			continue
		}
		if h.mayHoldAsBase(snap, local && marked && m.Job == run.Job) && !isBase(snap) {
			if err := k.dropHold(ctx, fx, baseHold(run.Job), snap.Snapshot); err != nil {
				return left, err
			}
		}
		for _, r := range h.runs {
			if r.SnapshotGUID != snap.GUID.String() || !h.mayLetGo(r, run, snap) {
				continue
			}
			if err := k.dropHold(ctx, fx, runHold(r.ID), snap.Snapshot); err != nil {
				return left, err
			}
		}
	}
	return left, k.dropMovedHolds(ctx, s, fx, h, snapshots)
}

// dropMovedHolds releases the holds that are over and whose snapshots are on the dataset no more: the run's own, and the base's of before
// this run's backup.
func (k *Kit) dropMovedHolds(ctx context.Context, s *workflow.Session, fx workflow.Fx, h holdings, snapshots []zfs.SnapshotInfo) error {
	run := s.Run()
	here := func(guid string) bool {
		return guid == "" || slices.ContainsFunc(snapshots, func(o zfs.SnapshotInfo) bool { return o.GUID.String() == guid })
	}
	if !here(run.SnapshotGUID) {
		if err := k.dropMovedHold(ctx, s, fx, runHold(run.ID), run.SnapshotGUID); err != nil {
			return err
		}
	}
	before := slices.DeleteFunc(slices.Clone(h.backups), func(b state.Backup) bool { return b.Name == run.Backup })
	full, base, _ := newestChain(before, h.strategy)
	for _, guid := range slices.Compact([]string{full.SnapshotGUID, base.SnapshotGUID}) {
		if here(guid) || h.nextBase(guid) != "" {
			continue
		}
		if err := k.dropMovedHold(ctx, s, fx, baseHold(run.Job), guid); err != nil {
			return err
		}
	}
	return nil
}

// keepLeft stores what is left of the Python tool's, for those who ask without looking.
func keepLeft(tx *state.Tx, job string, left *state.Left) error {
	j, ok, err := tx.Job(job)
	if err != nil || !ok || left == nil {
		return err
	}
	j.Left = left
	return tx.PutJob(j)
}

// mayHoldAsBase tells whether the job may have put its base hold on a snapshot: one that it made or exported.
func (h holdings) mayHoldAsBase(snap zfs.SnapshotInfo, made bool) bool {
	return made || anyOf(h.backups, snap.GUID.String())
}

// destroyLate destroys what an earlier attempt of this run made and nobody saw at the time, since the
// application had been started by then: it is not what the run backs up. What any backup is of, nobody overlooked: its mark
// names a run of long ago, which had the same id.
func (k *Kit) destroyLate(ctx context.Context, s *workflow.Session) error {
	if k.Gone != nil {
		return nil
	}
	run := s.Run()
	snapshots, err := k.snapshots(ctx, s, run)
	if err != nil {
		return err
	}
	_, backups, err := jobOf(s.View, run.Job)
	if err != nil {
		return err
	}
	for _, snap := range snapshots {
		text, local := snap.Mark()
		m, ok := parseMark(text)
		if !local || !ok || m.Run != run.ID || m.Job != run.Job || snap.Snapshot.Name() == run.Snapshot {
			continue
		}
		if anyOf(backups, snap.GUID.String()) {
			continue
		}
		_, err := workflow.Once(ctx, s, workflow.Effect[workflow.Nothing]{
			Name: "destroy late " + snap.Snapshot.Name(),
			Do: func(ctx context.Context, fx workflow.Fx) (none workflow.Nothing, err error) {
				err = k.zfs(fx).Destroy(ctx, snap.Snapshot)
				if errors.Is(err, zfs.ErrNoSnapshot) {
					err = nil
				}
				return none, err
			},
		})
		if stays(err) {
			err = k.note(s, "%s, of an earlier attempt, stays: %v", snap.Snapshot, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mayLetGo tells whether the hold of run r on a snapshot is over. This run's is, at its end, and that of
// each that is at its end; a typed mount's not while it is mounted, a typed snapshot's only once the snapshot was committed or a newer one was taken.
func (h holdings) mayLetGo(r, present state.Run, snap zfs.SnapshotInfo) bool {
	ended := workflow.Over(r.State)
	if r.ID == present.ID {
		ended = true
	}
	if r.Typed == StepMount {
		return ended && r.Mount == ""
	}
	if r.Typed != StepSnapshot || !ended {
		return ended
	}
	for _, b := range h.backups {
		if b.SnapshotGUID == r.SnapshotGUID && workflow.BackupMachine.In(b.State, workflow.BackupCommitted) {
			return true
		}
	}
	for _, o := range h.runs {
		if o.Job == r.Job && o.SnapshotGUID != "" && o.SnapshotGUID != r.SnapshotGUID && o.After(r) {
			return true
		}
	}
	return false
}

// keptRuns is how many runs of a job stay on record.
const keptRuns = 100

// dropOldRuns removes the oldest runs of a job from the database. One that a snapshot's mark may still name
// stays, as that is how the snapshot is known to be ours.
func dropOldRuns(tx *state.Tx, present state.Run) error {
	runs, err := tx.Runs() // the newest first
	if err != nil {
		return err
	}
	n := 0
	for _, r := range runs {
		if r.Job != present.Job {
			continue
		}
		n++
		ended := workflow.Over(r.State)
		if n <= keptRuns || !ended || r.Mount != "" {
			continue
		}
		if known, err := hasBackup(tx, r); err != nil {
			return err
		} else if r.SnapshotGUID != "" && !known {
			continue
		}
		if err := tx.DropRun(r.ID); err != nil {
			return err
		}
	}
	return nil
}

// hasBackup tells whether a backup on record knows the run's snapshot too.
func hasBackup(tx *state.Tx, r state.Run) (bool, error) {
	backups, err := tx.Backups(r.Job)
	return anyOf(backups, r.SnapshotGUID), err
}

// anyOf tells whether any of some backups is of the snapshot with a GUID.
func anyOf(backups []state.Backup, guid string) bool {
	return slices.ContainsFunc(backups, func(b state.Backup) bool { return b.SnapshotGUID == guid })
}
