package actions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/mounts"
	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/state/durable"
	"zfs2cloud/workflow"
)

// File mode mounts a snapshot, has rclone make the remote equal to it (syncfiles.go), and unmounts it. What is mounted
// the kernel tells, and not the record: a mount is gone with a reboot, and stays when a process dies. The record says
// which folders were meant.

// mountName is the folder on which a snapshot is mounted, in a folder named as that on which the Python tool mounted. Whoever
// may not read a file of the dataset because of a folder above it could read it in a snapshot that is mounted elsewhere;
// so the upper one is root's alone.
const mountName = "files"

func mountDir(basedir, stamp string) string {
	return filepath.Join(basedir, manifest.Folder(stamp, true), mountName)
}

// mount mounts the run's own snapshot, or, without a snapshot step, the dataset's newest, which is held from then on.
func (k *Kit) mount(ctx context.Context, s *workflow.Session, _ []string) error {
	t, err := k.exportTarget(ctx, s)
	if err != nil {
		return err
	}
	if err := k.clearLeft(ctx, s); err != nil {
		return err
	}
	dir, err := k.claimMountDir(ctx, s, t)
	if err != nil {
		return err
	}
	if err := k.mountAt(ctx, s, dir); err != nil {
		return err
	}
	return s.Detail("%s@%s at %s", s.Run().Frozen.Dataset, t.Name, dir)
}

// claimMountDir makes the folder for the mount. It is named by the snapshot's stamp, or, where another job that shares
// intermediate_basedir has a folder of that name, by one of the seconds after it.
func (k *Kit) claimMountDir(ctx context.Context, s *workflow.Session, t target) (string, error) {
	run := s.Run()
	return workflow.Once(ctx, s, workflow.Effect[string]{
		Name: "folder",
		Do: func(_ context.Context, fx workflow.Fx) (string, error) {
			first, ok := manifest.ParseStamp(t.Stamp)
			if !ok {
				return "", fmt.Errorf("stamp %q is not a time", t.Stamp)
			}
			if err := mounts.Sheltered(run.Frozen.IntermediateDir, os.Geteuid()); err != nil {
				return "", err
			}
			left, err := k.leftMounts(s)
			if err != nil {
				return "", err
			}
			root, err := openDir(run.Frozen.IntermediateDir)
			if err != nil {
				return "", err
			}
			defer root.Close()
			for i := range claimTries {
				dir := mountDir(run.Frozen.IntermediateDir, first.Add(time.Duration(i)*time.Second).Format(manifest.StampLayout))
				if _, err := mounts.Prove(dir, snapshotName(run)); err == nil {
					if run.Typed == StepMount || !slices.ContainsFunc(left, func(l leftMount) bool { return l.dir == dir && l.typed }) {
						return dir, nil
					}
					continue // somebody typed it: it is his
				}
				name := filepath.Base(filepath.Dir(dir))
				err := root.Mkdir(name, 0o700)
				if errors.Is(err, fs.ErrExist) {
					there, rerr := fs.ReadDir(root.FS(), name)
					if rerr != nil || !fx.Again || len(there) > 0 {
						continue
					}
					err = nil // it is ours, and the process died
				}
				return dir, err
			}
			return "", fmt.Errorf("no folder for a mount is free in %s: %s and those after it are taken", run.Frozen.IntermediateDir, manifest.Folder(t.Stamp, true))
		},
		Result: func(_ *state.Tx, r *state.Run, dir string) error {
			r.Mount = dir
			return nil
		},
	})
}

// mountAt sees to it that the run's snapshot is mounted on a folder. A resume after a reboot mounts it again.
func (k *Kit) mountAt(ctx context.Context, s *workflow.Session, dir string) error {
	_, err := workflow.Once(ctx, s, workflow.Effect[mounts.Proof]{
		Name: "mount " + dir, Afresh: true, // the kernel tells whether it is mounted
		Do: func(ctx context.Context, fx workflow.Fx) (none mounts.Proof, err error) {
			snap, err := k.ownSnapshot(ctx, s)
			if err != nil {
				return none, err
			}
			proof, err := mounts.Prove(dir, snap.String())
			if err == nil {
				return proof, nil
			}
			if m, aerr := mounts.At(dir); aerr == nil && m.Source == snap.String() {
				err = k.unmount(ctx, fx, dir) // not as it has to be
			}
			if err != nil && !errors.Is(err, mounts.ErrNotMounted) {
				return none, err
			}
			if err := makeMountDir(dir); err != nil {
				return none, err
			}
			if err := runMount(ctx, fx, snap, dir); err != nil {
				return none, err
			}
			return mounts.Prove(dir, snap.String())
		},
	})
	return err
}

// ownSnapshot is the snapshot that a run backs up, after a look whether it is still the one, and not another by its name.
func (k *Kit) ownSnapshot(ctx context.Context, s *workflow.Session) (zfs.Snapshot, error) {
	run := s.Run()
	snap, err := snapshotOf(run)
	if err != nil {
		return snap, err
	}
	info, err := k.zfs(s.Look()).Snapshot(ctx, snap)
	if err == nil && info.GUID.String() != run.SnapshotGUID {
		err = fmt.Errorf("%w: %s is not the one that this run was to back up", zfs.ErrNoSnapshot, snap)
	}
	if errors.Is(err, zfs.ErrNoSnapshot) {
		err = &workflow.Hopeless{Err: err}
	}
	return snap, err
}

// runMount calls mount(8). Its options keep what users own in the dataset from being more than data.
func runMount(ctx context.Context, fx workflow.Fx, snap zfs.Snapshot, dir string) error {
	err := proc.Run(ctx, fx, workflow.Spec{Argv: []string{"mount", "-t", "zfs", "-o", mounts.Options, "--", snap.String(), dir}})
	var exit *workflow.ExitError
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case errors.As(err, &exit) && strings.Contains(exit.Stderr, "unknown filesystem type"):
		return &workflow.Hopeless{Err: fmt.Errorf("%w: %w", ErrMountsNone, err)}
	}
	return fmt.Errorf("mount %s at %s: %w", snap, dir, err)
}

// ErrMountsNone is the error of a ZFS that has no way to mount a snapshot.
var ErrMountsNone = errors.New("this ZFS can't mount snapshots (zfs-fuse has no way to), and mode = file needs that: use OpenZFS, or mode = intermediate")

// CanMount is an error if it is known beforehand that no snapshot can be mounted in a folder: neither the kernel nor a
// helper of mount(8) knows of zfs, the user is not root, or others could put another folder there.
func CanMount(basedir string) error {
	known, err := mounts.Snapshots()
	if err != nil {
		return err
	}
	if _, err := proc.LookPath("mount.zfs"); err != nil && !known {
		return ErrMountsNone
	}
	if os.Geteuid() != 0 {
		return errors.New("only root can mount a snapshot")
	}
	return mounts.Sheltered(basedir, 0)
}

// makeMountDir makes the folder for a mount, in one that nobody else can enter.
func makeMountDir(dir string) error {
	upper := filepath.Dir(dir)
	basedir, name := filepath.Split(upper)
	if err := mounts.Sheltered(filepath.Clean(basedir), os.Geteuid()); err != nil {
		return err
	}
	root, err := openDir(filepath.Clean(basedir))
	if err != nil {
		return err
	}
	defer root.Close()
	if err := mkdir(root, name); err != nil {
		return err
	}
	if err := root.Chmod(name, 0o700); err != nil {
		return err
	}
	return mkdir(root, path.Join(name, mountName))
}

// mkdir makes a folder, or finds it with nothing in it but a folder for a mount.
func mkdir(root *os.Root, name string) error {
	err := root.Mkdir(name, 0o700)
	if err == nil || !errors.Is(err, fs.ErrExist) {
		return err
	}
	there, err := fs.ReadDir(root.FS(), name)
	if err != nil {
		return err
	}
	for _, e := range there {
		if !e.IsDir() || e.Name() != mountName || path.Base(name) == mountName {
			return fmt.Errorf("%s is in the way of a mount: it holds %q", filepath.Join(root.Name(), name), e.Name())
		}
	}
	return nil
}

// umount unmounts what the run mounted; typed, all that is left mounted of the dataset, and where the sequence mounts nothing, what
// nobody has typed of that.
func (k *Kit) umount(ctx context.Context, s *workflow.Session, _ []string) error {
	dirs := []string{s.Run().Mount}
	if dirs[0] == "" {
		left, err := k.leftMounts(s)
		if err != nil {
			return err
		}
		dirs = nil
		for _, l := range left {
			if s.Run().Typed == StepUmount || !l.stays() {
				dirs = append(dirs, l.dir)
			}
		}
	}
	for _, dir := range dirs {
		if err := k.unmountOnce(ctx, s, dir); err != nil {
			return err
		}
	}
	if len(dirs) == 0 {
		return s.Detail("nothing was mounted")
	}
	return s.Detail("%s", strings.Join(dirs, ", "))
}

// unmountOnce unmounts what is mounted on a folder, removes the folder, and forgets it.
func (k *Kit) unmountOnce(ctx context.Context, s *workflow.Session, dir string) error {
	_, err := workflow.Once(ctx, s, workflow.Effect[workflow.Nothing]{
		Name: "umount " + dir, Afresh: true,
		Do: func(ctx context.Context, fx workflow.Fx) (none workflow.Nothing, err error) {
			m, err := mounts.At(dir)
			switch {
			case errors.Is(err, mounts.ErrNotMounted):
			case err != nil:
				return none, err
			case !strings.HasPrefix(m.Source, s.Run().Frozen.Dataset+"@"):
				return none, &mounts.Other{Dir: dir, Want: "a snapshot of " + s.Run().Frozen.Dataset, Is: m}
			default:
				if err := k.unmount(ctx, fx, dir); err != nil {
					return none, err
				}
			}
			return none, removeMountDir(dir)
		},
		Result: func(tx *state.Tx, present *state.Run, _ workflow.Nothing) error {
			runs, err := tx.Runs()
			if err != nil {
				return err
			}
			for _, r := range runs {
				if r.Mount != dir || r.ID == present.ID || r.DatasetGUID != present.DatasetGUID {
					continue
				}
				r.Mount = ""
				if err := tx.PutRun(r); err != nil {
					return err
				}
			}
			if present.Mount == dir {
				present.Mount = ""
			}
			return nil
		},
	})
	return err
}

// umountPauses lie between the tries to unmount what is busy: an indexer that looks in, or a hook that just ended.
var umountPauses = []time.Duration{time.Second, 5 * time.Second, 20 * time.Second}

// unmount calls umount(8), never with its ways to do so while somebody works there.
func (k *Kit) unmount(ctx context.Context, fx workflow.Fx, dir string) error {
	for try := 0; ; try++ {
		err := proc.Run(ctx, fx, workflow.Spec{Argv: []string{"umount", "--", dir}})
		if _, look := mounts.At(dir); errors.Is(look, mounts.ErrNotMounted) {
			return nil
		}
		if err == nil {
			return fmt.Errorf("umount %s: something is mounted there still", dir)
		}
		if !strings.Contains(err.Error(), "busy") || try == len(umountPauses) {
			if users := mounts.Users(dir); len(users) > 0 {
				err = fmt.Errorf("%w (in use by process %s)", err, strings.Join(users, ", "))
			}
			return fmt.Errorf("umount %s: %w", dir, err)
		}
		if err := k.Pause(ctx, umountPauses[try]); err != nil {
			return err
		}
	}
}

// removeMountDir removes the two folders of a mount, unless something lies in them. Since nobody looks for them once the
// mount is forgotten, they must not come back after a power cut.
func removeMountDir(dir string) error {
	upper := filepath.Dir(dir)
	basedir, name := filepath.Split(upper)
	root, err := os.OpenRoot(filepath.Clean(basedir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	for _, folder := range []string{path.Join(name, mountName), name} {
		info, err := root.Lstat(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if there, err := fs.ReadDir(root.FS(), folder); err != nil || !info.IsDir() || len(there) > 0 {
			return err
		}
		if err := root.Remove(folder); err != nil {
			return err
		}
	}
	return durable.SyncDir(root, ".")
}

// leftMount is a mount that no run is at work with.
type leftMount struct {
	dir   string
	typed bool // somebody asked for it by a command: it is his
}

// stays tells whether it is there, and somebody's.
func (l leftMount) stays() bool {
	_, err := mounts.At(l.dir)
	return l.typed && err == nil
}

// leftMounts are those of the dataset's snapshots in intermediate_basedir that runs left which are over, or of which
// nothing is on record, and folders that were meant for one.
func (k *Kit) leftMounts(s *workflow.Session) (left []leftMount, err error) {
	present := s.Run()
	var runs []state.Run
	err = s.View(func(tx *state.Tx) error {
		runs, err = tx.Runs()
		return err
	})
	if err != nil {
		return nil, err
	}
	inUse := []string{present.Mount}
	for _, r := range runs {
		if r.Mount == "" || r.ID == present.ID {
			continue
		}
		switch {
		case !workflow.Over(r.State):
			inUse = append(inUse, r.Mount)
		case r.DatasetGUID == present.DatasetGUID:
			left = append(left, leftMount{dir: r.Mount, typed: r.Typed == StepMount})
		}
	}
	all, err := mounts.All()
	if err != nil {
		return nil, err
	}
	basedir, err := filepath.EvalSymlinks(present.Frozen.IntermediateDir)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		upper, name := filepath.Split(m.Dir)
		upper = filepath.Clean(upper)
		_, _, ours := manifest.ParseFolder(filepath.Base(upper))
		if ours && name == mountName && filepath.Dir(upper) == basedir && strings.HasPrefix(m.Source, present.Frozen.Dataset+"@") {
			// By the name under which it is on record, if it is.
			left = append(left, leftMount{dir: filepath.Join(present.Frozen.IntermediateDir, filepath.Base(upper), mountName)})
		}
	}
	left = slices.DeleteFunc(left, func(l leftMount) bool { return slices.Contains(inUse, l.dir) })
	var once []leftMount
	for _, l := range left {
		if !slices.ContainsFunc(once, func(o leftMount) bool { return o.dir == l.dir }) {
			once = append(once, l)
		}
	}
	return once, nil
}

// clearLeft unmounts what dead runs left. What can't be unmounted is noted: it is in nobody's way.
func (k *Kit) clearLeft(ctx context.Context, s *workflow.Session) error {
	left, err := k.leftMounts(s)
	if err != nil {
		return err
	}
	for _, l := range left {
		if l.stays() {
			continue
		}
		s.Log().Info("unmounts what an earlier run left", "dir", l.dir)
		if err := k.unmountOnce(ctx, s, l.dir); err != nil {
			if ctx.Err() != nil {
				return err
			}
			if err := k.note(s, "a mount of an earlier run stays: %v", err); err != nil {
				return err
			}
		}
	}
	return nil
}

// mountedSnapshots are those of all datasets, by their whole names: where they are mounted.
func mountedSnapshots() (map[string]string, error) {
	all, err := mounts.All()
	return mountedOf(all), err
}

// mountedOf leaves out what ZFS has mounted by itself, below a dataset's .zfs/snapshot, for somebody who looked in: it unmounts that
// by itself where the snapshot is destroyed, and says "busy" if somebody still looks.
func mountedOf(all []mounts.Mount) map[string]string {
	where := map[string]string{}
	for _, m := range all {
		_, name, is := strings.Cut(m.Source, "@")
		if is && !(m.Type == "zfs" && strings.HasSuffix(m.Dir, "/.zfs/snapshot/"+name)) {
			where[m.Source] = m.Dir
		}
	}
	return where
}
