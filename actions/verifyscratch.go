package actions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// cleanTime is what unmounting may take, also where a signal has ended the rest.
const cleanTime = time.Minute

// scratchProperty names the run that made a scratch dataset: without it, nothing of one is touched.
const scratchProperty = "zfs2cloud:scratch"

// open makes the scratch dataset, or looks what an earlier process left of it.
func (d *drill) open(ctx context.Context) error {
	if d.looked {
		return nil
	}
	if err := os.Mkdir(d.dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	run, local, err := d.zfs().UserProperty(ctx, d.scratch, scratchProperty)
	switch {
	case errors.Is(err, zfs.ErrNoDataset):
		err = d.zfs().CreateFolder(ctx, d.scratch, d.dir, map[string]string{scratchProperty: d.run.ID})
	case err == nil && (!local || run != d.run.ID):
		err = &workflow.Hopeless{Err: fmt.Errorf("%s is there, and not made by this run", d.scratch)}
	case err == nil:
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
	snapshots, err := d.snapshots(ctx)
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

// clear destroys the received dataset, and leaves the one that it is in.
func (d *drill) clear(ctx context.Context) error {
	d.there = nil
	snapshots, err := d.snapshots(ctx)
	if errors.Is(err, zfs.ErrNoDataset) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range snapshots {
		if err := d.whenFree(ctx, func() error { return d.zfs().Destroy(ctx, s.Snapshot) }); err != nil {
			return err
		}
	}
	err = d.whenFree(ctx, func() error { return d.zfs().DestroyDataset(ctx, d.into) })
	if errors.Is(err, zfs.ErrNoDataset) { // half received, zfs was just at it
		return nil
	}
	return err
}

// snapshots are those of the received dataset. OpenZFS opens none into which a killed process still receives its first raw
// stream.
func (d *drill) snapshots(ctx context.Context) (list []zfs.SnapshotInfo, err error) {
	err = d.whenFree(ctx, func() (err error) {
		list, err = d.zfs().Snapshots(ctx, d.into)
		return err
	})
	return list, err
}

// whenFree tries again while something is busy: what a killed process was at takes zfs a moment.
func (d *drill) whenFree(ctx context.Context, do func() error) error {
	err := do()
	for range busyTries {
		if !errors.Is(err, zfs.ErrBusy) || remote.Pause(ctx, busyPause) != nil {
			break
		}
		err = do()
	}
	return err
}

// unmount takes away what readFiles, or a process that was killed in it, mounted.
func (d *drill) unmount(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	var info zfs.Info
	err := d.whenFree(ctx, func() (err error) {
		info, err = d.zfs().Info(ctx, d.into)
		return err
	})
	if errors.Is(err, zfs.ErrNoDataset) || err == nil && !info.Mounted {
		return nil
	}
	if err != nil {
		return err
	}
	return d.whenFree(ctx, func() error { return d.zfs().Unmount(ctx, d.into) })
}

// drop destroys the scratch dataset, if there is one that this run made.
func (d *drill) drop(ctx context.Context) error {
	run, local, err := d.zfs().UserProperty(ctx, d.scratch, scratchProperty)
	switch {
	case errors.Is(err, zfs.ErrNoDataset):
	case err != nil:
		return err
	case !local || run != d.run.ID:
		return fmt.Errorf("%s was not made by run %s, and stays", d.scratch, d.run.ID)
	default:
		if err := d.unmount(ctx); err != nil {
			return err
		}
		if err := d.clear(ctx); err != nil {
			return err
		}
		if err := d.whenFree(ctx, func() error { return d.zfs().DestroyDataset(ctx, d.scratch) }); err != nil {
			return err
		}
	}
	for _, dir := range []string{filepath.Join(d.dir, "received"), d.dir} {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
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
