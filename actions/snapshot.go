package actions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// mark is the value of our property on a snapshot: whose it is, down to the attempt, so that one that turns
// up late from an earlier attempt is known.
type mark struct {
	Job, Run string
	Attempt  int
}

func (m mark) String() string { return fmt.Sprintf("%s/%s/%d", m.Job, m.Run, m.Attempt) }

func parseMark(s string) (m mark, ok bool) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" {
		return m, false
	}
	m.Job, m.Run = parts[0], parts[1]
	_, err := fmt.Sscanf(parts[2], "%d", &m.Attempt)
	return m, err == nil
}

// prepareSnapshot looks up, before the application is stopped, the newest stamp that is taken: by a
// snapshot, whoever made it, by a folder, or by a backup on record.
func (k *Kit) prepareSnapshot(ctx context.Context, s *workflow.Session) error {
	_, err := k.newestStamp(ctx, s, true)
	return err
}

func (k *Kit) newestStamp(ctx context.Context, s *workflow.Session, afresh bool) (string, error) {
	run := s.Run()
	return workflow.Once(ctx, s, workflow.Effect[string]{
		Name: "newest stamp", Afresh: afresh,
		Do: func(ctx context.Context, fx workflow.Fx) (newest string, err error) {
			take := func(stamp string) {
				if _, ok := manifest.ParseStamp(stamp); ok && stamp > newest {
					newest = stamp
				}
			}
			dataset, err := zfs.ParseDataset(run.Frozen.Dataset)
			if err != nil {
				return "", err
			}
			snapshots, err := k.zfs(s.Look()).Snapshots(ctx, dataset)
			if err != nil {
				return "", err
			}
			for _, snap := range snapshots {
				take(snap.Snapshot.Name())
			}
			err = s.View(func(tx *state.Tx) error {
				backups, err := tx.Backups(run.Job)
				for _, b := range backups {
					stamp, _, _ := manifest.ParseFolder(b.Name)
					take(stamp)
				}
				return err
			})
			if err != nil || run.Frozen.IntermediateDir == "" {
				return newest, err
			}
			entries, err := os.ReadDir(run.Frozen.IntermediateDir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", err
			}
			for _, e := range entries {
				stamp, _, _ := manifest.ParseFolder(e.Name())
				take(stamp)
			}
			return newest, nil
		},
	})
}

// snapshot takes this attempt's snapshot. Its name is stored before, its GUID is looked up when the
// application runs again.
func (k *Kit) snapshot(ctx context.Context, s *workflow.Session, _ []string) error {
	newest, err := k.newestStamp(ctx, s, false)
	if err != nil {
		return err
	}
	limit := k.SnapshotTime
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no snapshot after %s", limit))
	defer cancel()
	_, err = workflow.Once(ctx, s, k.snapshotEffect(s, newest, true))
	return err
}

// settleSnapshot looks once whether the snapshot that was being taken is there.
func (k *Kit) settleSnapshot(ctx context.Context, s *workflow.Session) (bool, error) {
	if s.Run().Snapshot == "" {
		return false, nil // not even its intent was stored
	}
	_, err := workflow.Once(ctx, s, k.snapshotEffect(s, "", false))
	if errors.Is(err, zfs.ErrNoSnapshot) {
		return false, nil
	}
	return err == nil, err
}

func (k *Kit) snapshotEffect(s *workflow.Session, newest string, take bool) workflow.Effect[workflow.Nothing] {
	return workflow.Effect[workflow.Nothing]{
		Name: "snapshot",
		Intent: func(_ *state.Tx, r *state.Run) error {
			r.Snapshot = nextStamp(s.Now(), newest)
			return nil
		},
		Do: func(ctx context.Context, fx workflow.Fx) (none workflow.Nothing, err error) {
			run := s.Run()
			snap, err := snapshotOf(run)
			if err != nil {
				return none, err
			}
			mine := mark{run.Job, run.ID, s.Attempt()}
			if fx.Again || !take {
				info, err := k.zfs(s.Look()).Snapshot(ctx, snap)
				switch {
				case err == nil:
					return none, isMarked(info, mine)
				case !errors.Is(err, zfs.ErrNoSnapshot) || !take:
					return none, err
				}
				// The name is of the time when the process died; it is taken now.
				if snap, err = k.nameAnew(s, fx, newest); err != nil {
					return none, err
				}
			}
			return none, k.zfs(fx).TakeSnapshot(ctx, snap, map[string]string{zfs.Property: mine.String()})
		},
	}
}

// nameAnew gives the snapshot that is about to be taken another name: the present one was given by a process that died
// before it took it. Should that turn up after all, it is destroyed at the end of the run.
func (k *Kit) nameAnew(s *workflow.Session, fx workflow.Fx, newest string) (zfs.Snapshot, error) {
	err := fx.Note(func(_ *state.Tx, r *state.Run) error {
		r.Snapshot = nextStamp(s.Now(), newest)
		return nil
	})
	if err != nil {
		return zfs.Snapshot{}, err
	}
	return snapshotOf(s.Run())
}

// isMarked is an error unless a snapshot is this attempt's.
func isMarked(info zfs.SnapshotInfo, mine mark) error {
	if m, ok := info.Mark(); !ok || m != mine.String() {
		return fmt.Errorf("%s is there, but was not made by this run", info.Snapshot)
	}
	return nil
}

func snapshotOf(r state.Run) (zfs.Snapshot, error) {
	dataset, err := zfs.ParseDataset(r.Frozen.Dataset)
	if err != nil {
		return zfs.Snapshot{}, err
	}
	return dataset.Snapshot(r.Snapshot)
}

// runHold is the tag that keeps a snapshot for as long as its run needs it.
func runHold(run string) string { return "zfs2cloud:" + run }

// baseHold is the tag that keeps the snapshot that a job's next incremental is based on.
func baseHold(job string) string { return "zfs2cloud-base:" + job }

// hold comes directly behind the bracket, when the application runs again: it learns the snapshot's GUID
// and holds it. If the snapshot is gone by then, nobody can finish the run.
func (k *Kit) hold(ctx context.Context, s *workflow.Session, _ []string) error {
	_, err := workflow.Once(ctx, s, workflow.Effect[zfs.GUID]{
		Name: "hold",
		Do: func(ctx context.Context, fx workflow.Fx) (zfs.GUID, error) {
			run := s.Run()
			snap, err := snapshotOf(run)
			if err != nil {
				return 0, err
			}
			info, err := k.zfs(s.Look()).Snapshot(ctx, snap)
			if err == nil {
				m, ok := info.Mark()
				if got, parsed := parseMark(m); !ok || !parsed || got.Run != run.ID {
					err = fmt.Errorf("%w: %s is not the one that this run made", zfs.ErrNoSnapshot, snap)
				}
			}
			if errors.Is(err, zfs.ErrNoSnapshot) {
				return 0, &workflow.Hopeless{Err: err}
			}
			if err != nil {
				return 0, err
			}
			return info.GUID, k.takeHold(ctx, fx, runHold(run.ID), snap)
		},
		Result: func(_ *state.Tx, r *state.Run, guid zfs.GUID) error {
			r.SnapshotGUID = guid.String()
			return nil
		},
	})
	return err
}

func (k *Kit) takeHold(ctx context.Context, w workflow.World, tag string, snap zfs.Snapshot) error {
	err := k.zfs(w).Hold(ctx, tag, snap)
	if errors.Is(err, zfs.ErrHeld) {
		return nil
	}
	return err
}

// dropHold releases a hold of ours; that it, or the snapshot, is gone is fine.
func (k *Kit) dropHold(ctx context.Context, w workflow.World, tag string, snap zfs.Snapshot) error {
	err := k.zfs(w).Release(ctx, tag, snap)
	if notHeld(err) {
		return nil
	}
	return err
}

func notHeld(err error) bool {
	return errors.Is(err, zfs.ErrNoHold) || errors.Is(err, zfs.ErrNoSnapshot) || errors.Is(err, zfs.ErrNoDataset)
}

// dropMovedHold releases a hold of ours on a snapshot that is not where it was: zfs promote takes it to what was a clone, with its holds.
// That it is nowhere is fine.
func (k *Kit) dropMovedHold(ctx context.Context, s *workflow.Session, fx workflow.Fx, tag, guid string) error {
	dataset, err := zfs.ParseDataset(s.Run().Frozen.Dataset)
	if err != nil {
		return err
	}
	moved, err := k.zfs(s.Look()).WithGUID(ctx, dataset.Pool(), guid)
	if refused(err) {
		return k.note(s, "a snapshot of %s is not there any more, and may be held by %s on another dataset: %v", dataset, tag, err)
	}
	if err != nil {
		return err
	}
	for _, snap := range moved {
		err := k.zfs(fx).Release(ctx, tag, snap)
		switch {
		case notHeld(err):
			continue // a copy that was received
		case refused(err): // no backup waits for a right on another dataset
			err = k.note(s, "a snapshot of %s is %s now, by zfs promote or rename, and stays held there (%v): zfs release %s %s", dataset, snap, err, tag, word(snap.String()))
		case err == nil:
			err = k.note(s, "a snapshot of %s is %s now, by zfs promote or rename: the hold %s was released there", dataset, snap, tag)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
