package actions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state/durable"
	"zfs2cloud/workflow"
)

// cleanTime is what unmounting may take, also where a signal has ended the rest.
const cleanTime = time.Minute

// scratchProperty names the run that made a scratch dataset: without it, nothing of one is touched.
const scratchProperty = "zfs2cloud:scratch"

// noAutoSnapshots asks those who take snapshots of all the pool to leave a dataset out.
const noAutoSnapshots = "com.sun:auto-snapshot"

// scratchDataset is a dataset of a run's own, in which backups are received to be looked at. The outer one is never mounted,
// and carries the run's property. In it is "received", which is only mounted to be read.
type scratchDataset struct {
	kit   *Kit
	fx    workflow.Fx // of the effect at work
	run   string
	outer zfs.Dataset
	into  zfs.Dataset
	dir   string // a folder that is root's alone, below which it is mounted
}

func (k *Kit) newScratchDataset(run, outer, dir string) (s scratchDataset, err error) {
	s = scratchDataset{kit: k, run: run, dir: dir}
	if s.outer, err = zfs.ParseDataset(outer); err == nil {
		s.into, err = zfs.ParseDataset(receivedIn(outer))
	}
	return s, err
}

// receivedIn is the dataset in a scratch dataset that streams are received into.
func receivedIn(outer string) string { return outer + "/received" }

func (s *scratchDataset) zfs() zfs.Program { return s.kit.zfs(s.fx) }

// make makes the scratch dataset, unless this run has: then it may hold anything that this run receives.
func (s *scratchDataset) make(ctx context.Context) (made bool, err error) {
	if err := os.Mkdir(s.dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return false, err
	}
	if err := checkOwnFolder(s.dir); err != nil {
		return false, err
	}
	run, local, err := s.zfs().UserProperty(ctx, s.outer, scratchProperty)
	switch {
	case errors.Is(err, zfs.ErrNoDataset):
		return true, s.zfs().CreateFolder(ctx, s.outer, s.dir, map[string]string{scratchProperty: s.run, noAutoSnapshots: "false"})
	case err == nil && (!local || run != s.run):
		err = &workflow.Hopeless{Err: fmt.Errorf("%s is there, and not made by this run", s.outer)}
	}
	return false, err
}

// mountpoint is where what is received is mounted, unless it came with a place of its own.
func (s *scratchDataset) mountpoint() string { return filepath.Join(s.dir, "received") }

// mount mounts what was received, for reading, and says where. What was unmounted just before is busy for a moment.
func (s *scratchDataset) mount(ctx context.Context) (dir string, err error) {
	info, err := s.zfs().Info(ctx, s.into)
	if err != nil {
		return "", err
	}
	if dir = s.mountpoint(); info.Mountpoint != dir {
		return "", fmt.Errorf("%s would be mounted at %s", s.into, info.Mountpoint)
	}
	return dir, s.whenFree(ctx, func() error { return s.zfs().Mount(ctx, s.into) })
}

// unmount takes away what mount, or a process that was killed after it, has mounted.
func (s *scratchDataset) unmount(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	var info zfs.Info
	err := s.whenFree(ctx, func() (err error) {
		info, err = s.zfs().Info(ctx, s.into)
		return err
	})
	if errors.Is(err, zfs.ErrNoDataset) || err == nil && !info.Mounted {
		return nil
	}
	if err != nil {
		return err
	}
	return s.whenFree(ctx, func() error { return s.zfs().Unmount(ctx, s.into) })
}

// clear destroys what was received, and leaves the outer dataset. What a receive that was cut off has kept goes first: that of
// an increment is a clone of the snapshot before.
func (s *scratchDataset) clear(ctx context.Context) error {
	can, err := s.zfs().CanKeep(ctx, s.into)
	if err == nil && can {
		err = s.dropPart(ctx)
	}
	if err != nil && !errors.Is(err, zfs.ErrNoDataset) {
		return err
	}
	return s.destroy(ctx, s.into)
}

func (s *scratchDataset) dropPart(ctx context.Context) error {
	token, err := s.zfs().Partial(ctx, s.into)
	if err != nil || token == "" {
		return err
	}
	return s.whenFree(ctx, func() error { return s.zfs().DropPartial(ctx, s.into) })
}

// destroy destroys one of the two datasets with its snapshots, among them those that something took of all the pool meanwhile. A
// receive whose program was killed goes on in zfs for a moment, and may come to its end only now: then there is a snapshot more.
func (s *scratchDataset) destroy(ctx context.Context, d zfs.Dataset) (err error) {
	for range busyTries {
		if err = s.destroyOnce(ctx, d); !errors.Is(err, zfs.ErrChildren) || d == s.outer {
			break
		}
	}
	return err
}

func (s *scratchDataset) destroyOnce(ctx context.Context, d zfs.Dataset) error {
	snapshots, err := s.snapshots(ctx, d)
	if errors.Is(err, zfs.ErrNoDataset) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, shot := range snapshots {
		if err := s.whenFree(ctx, func() error { return s.zfs().Destroy(ctx, shot.Snapshot) }); err != nil {
			return err
		}
	}
	err = s.whenFree(ctx, func() error { return s.zfs().DestroyDataset(ctx, d) })
	if errors.Is(err, zfs.ErrNoDataset) { // half received, zfs was just at it
		return nil
	}
	return err
}

// snapshots are those of one of the two. OpenZFS opens no dataset into which a killed process still receives its first raw
// stream.
func (s *scratchDataset) snapshots(ctx context.Context, d zfs.Dataset) (list []zfs.SnapshotInfo, err error) {
	err = s.whenFree(ctx, func() (err error) {
		list, err = s.zfs().Snapshots(ctx, d)
		return err
	})
	return list, err
}

// whenFree tries again while something is busy: what a killed process was at takes zfs a moment.
func (s *scratchDataset) whenFree(ctx context.Context, do func() error) error {
	err := do()
	for range busyTries {
		if !errors.Is(err, zfs.ErrBusy) || remote.Pause(ctx, busyPause) != nil {
			break
		}
		err = do()
	}
	return err
}

// drop destroys the scratch dataset, if there is one that this run made, and removes the folder.
func (s *scratchDataset) drop(ctx context.Context) error {
	run, local, err := s.zfs().UserProperty(ctx, s.outer, scratchProperty)
	switch {
	case errors.Is(err, zfs.ErrNoDataset):
	case err != nil:
		return err
	case !local || run != s.run:
		return fmt.Errorf("%s was not made by run %s, and stays", s.outer, s.run)
	default:
		if err := s.unmount(ctx); err != nil {
			return err
		}
		if err := s.clear(ctx); err != nil {
			return err
		}
		if err := s.destroy(ctx, s.outer); err != nil {
			return err
		}
	}
	for _, dir := range []string{s.mountpoint(), s.dir} {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return durable.SyncParent(s.dir)
}
