package actions

import (
	"context"
	"errors"
	"slices"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// open makes the scratch dataset, or looks what an earlier process left of it.
func (d *drill) open(ctx context.Context) error {
	if d.looked {
		return nil
	}
	made, err := d.make(ctx)
	if err == nil && !made {
		err = d.takeUp(ctx)
	}
	d.looked = err == nil
	return err
}

// takeUp looks which backups are in the scratch dataset. If anything in it is not one of them, nothing of it counts.
func (d *drill) takeUp(ctx context.Context) error {
	if err := d.unmount(ctx); err != nil {
		return err
	}
	snapshots, err := d.snapshots(ctx, d.into)
	if errors.Is(err, zfs.ErrNoDataset) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range snapshots {
		m := d.named(ctx, s)
		if m == nil {
			return d.clear(ctx)
		}
		d.there = append(d.there, m)
	}
	if len(d.there) == 0 {
		return d.clear(ctx)
	}
	return nil
}

// named is the manifest of the backup that a snapshot is of, or nil.
func (d *drill) named(ctx context.Context, s zfs.SnapshotInfo) *manifest.Manifest {
	for _, full := range []bool{true, false} {
		e, err := d.v.catalog.Entry(ctx, manifest.Folder(s.Snapshot.Name(), full))
		if err == nil && e.Manifest != nil && e.Manifest.Snapshot == s.Snapshot.Name() && e.Manifest.SnapshotGUID == s.GUID.String() {
			return e.Manifest
		}
	}
	return nil
}

// truncate destroys all snapshots but the first N. What they had stays in the dataset, until the next receive rolls it back.
func (d *drill) truncate(ctx context.Context, n int) error {
	for len(d.there) > n {
		s, err := d.into.Snapshot(d.there[len(d.there)-1].Snapshot)
		if err == nil {
			err = d.whenFree(ctx, func() error { return d.zfs().Destroy(ctx, s) })
		}
		if err != nil {
			return err
		}
		d.there = d.there[:len(d.there)-1]
	}
	return nil
}

// onlyThere destroys what snapshots something took of the received dataset meanwhile: an incremental goes onto what was received
// last.
func (d *drill) onlyThere(ctx context.Context) error {
	snapshots, err := d.snapshots(ctx, d.into)
	for _, s := range snapshots {
		if slices.ContainsFunc(d.there, func(m *manifest.Manifest) bool { return m.SnapshotGUID == s.GUID.String() }) {
			continue
		}
		if err := d.whenFree(ctx, func() error { return d.zfs().Destroy(ctx, s.Snapshot) }); err != nil {
			return err
		}
	}
	return err
}

// clear destroys the received dataset, and leaves the one that it is in.
func (d *drill) clear(ctx context.Context) error {
	d.there = nil
	return d.scratchDataset.clear(ctx)
}

// drilled tells whether a run may have made a scratch dataset.
func drilled(r state.Run) bool {
	for _, step := range r.Steps {
		if step.Name == StepVerify && len(step.Args) > 0 && Level(step.Args[0]) == Received {
			return true
		}
	}
	return false
}

// dropScratch is the end of a drill, and what is left of one whose run is given up.
func (k *Kit) dropScratch(ctx context.Context, s *workflow.Session) error {
	_, err := workflow.Once(ctx, s, workflow.Effect[workflow.Nothing]{
		Name: "scratch", Afresh: true, // it looks what there is
		Do: func(ctx context.Context, fx workflow.Fx) (none workflow.Nothing, err error) {
			d, err := k.newDrill(&verifying{kit: k}, s.Run())
			if err != nil {
				return none, err
			}
			d.fx = fx
			return none, d.drop(ctx)
		},
	})
	return err
}
