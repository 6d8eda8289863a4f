package actions

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/state/durable"
	"zfs2cloud/workflow"
)

// Single files are restored by way of a scratch dataset: a stream has no index by name. What a person asked for is copied
// from it by cp into a folder beside its place, and gets its name there when all of it is; what is there already is never
// touched, and no link that somebody planted is followed, in the backup or in the target.

// copied is the folder in a run's own, in the target, that files are copied into; the run's own is root's alone, but this one
// may come to have the owner and mode of the dataset's root.
const copied = "files"

// copyDir is the run's own folder in the target.
func copyDir(run string) string { return ".zfs2cloud-restore-" + run }

// scratchOf is the scratch dataset of a run that restores files.
func (k *Kit) scratchOf(fx workflow.Fx, run state.Run) (*scratchDataset, error) {
	s, err := k.newScratchDataset(run.ID, path.Dir(run.Restore.Into), scratchDir(run))
	s.fx = fx
	return &s, err
}

// scratchDir is the folder in which that is mounted.
func scratchDir(run state.Run) string {
	return filepath.Join(cmp.Or(run.Restore.Mounts, run.Restore.Spool), "zfs2cloud-mount-"+run.ID)
}

// copyFiles is the step that copies what is asked for into the target.
func (k *Kit) copyFiles(ctx context.Context, s *workflow.Session, _ []string) error {
	if k.restoring == nil {
		return errNoPlan
	}
	paths := k.restoring.plan.Files.Paths // a person may have found another path since the run began
	sum := sha256.Sum256([]byte(strings.Join(paths, "\x00")))
	which := " " + hex.EncodeToString(sum[:4])
	copying := workflow.Effect[workflow.Nothing]{
		Name: "copy" + which, Afresh: true, // into the run's own folder: the run tells what that holds
		Do: func(ctx context.Context, fx workflow.Fx) (none workflow.Nothing, err error) {
			err = fx.Note(func(_ *state.Tx, run *state.Run) error {
				run.Restore.Files.Paths, run.Restore.Files.Copied = paths, nil
				return nil
			})
			if err != nil {
				return none, err
			}
			run := s.Run()
			scratch, err := k.scratchOf(fx, run)
			if err != nil {
				return none, err
			}
			if err := scratch.unmount(ctx); err != nil { // left by a process that died
				return none, err
			}
			dir, err := scratch.mount(ctx)
			if err != nil {
				return none, unmountable(run, err)
			}
			defer func() { err = errors.Join(err, scratch.unmount(ctx)) }()
			return none, copyOut(ctx, fx, run, dir)
		},
		Result: func(_ *state.Tx, run *state.Run, _ workflow.Nothing) error {
			run.Restore.Files.Copied = paths
			return nil
		},
	}
	if !slices.Equal(s.Run().Restore.Files.Copied, paths) {
		if _, err := workflow.Once(ctx, s, copying); err != nil {
			return err
		}
	}
	names, err := workflow.Once(ctx, s, workflow.Effect[[]string]{
		Name: "place" + which,
		Do:   func(_ context.Context, _ workflow.Fx) ([]string, error) { return place(s.Run()) },
	})
	if err != nil {
		return err
	}
	return s.Detail("%s in %s", strings.Join(names, ", "), s.Run().Restore.Files.Dir)
}

// unmountable says what can be done where what was received can't be mounted.
func unmountable(run state.Run, err error) error {
	if run.Restore.Volume {
		return &workflow.Hopeless{Err: fmt.Errorf("%s is a volume, and has no files: restore it into a dataset", run.Restore.Newest().Name)}
	}
	if strings.Contains(err.Error(), "key not loaded") {
		return fmt.Errorf("%w\nIt is encrypted by ZFS, too: zfs load-key %s", err, word(run.Restore.Into))
	}
	return err
}

// copyOut copies what a run asks for from what is mounted at FROM into the run's own folder in the target.
func copyOut(ctx context.Context, fx workflow.Fx, run state.Run, from string) error {
	files := run.Restore.Files
	source, err := os.OpenRoot(from)
	if err != nil {
		return err
	}
	defer source.Close()
	for _, p := range files.Paths {
		if err := inBackup(source, p, run.Restore.Newest().Name); err != nil {
			return fmt.Errorf("%w\nThe same command with another --path receives nothing again", err)
		}
	}
	target, err := durable.OpenNew(files.Dir)
	if err != nil {
		return err
	}
	defer target.Close()
	own := copyDir(run.ID)
	if err := target.RemoveAll(own); err != nil { // what a process that died has copied
		return durable.Whole(target, err)
	}
	if err := durable.Mkdir(target, own); err != nil {
		return err
	}
	if err := target.Mkdir(path.Join(own, copied), 0o700); err != nil {
		return durable.Whole(target, err)
	}
	to, err := target.Open(path.Join(own, copied))
	if err != nil {
		return err
	}
	defer to.Close()
	if err := cp(ctx, fx, from, files.Paths, to); err != nil {
		return fmt.Errorf("copy into %s: %w", files.Dir, err)
	}
	if err := unix.Syncfs(int(to.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", files.Dir, err)
	}
	return nil
}

// cp copies paths, with the folders above them, by cp(1), which keeps owners, modes, times, links, holes, extended
// attributes and, being such, ACLs; that it could not keep one is an error. The target is the child's descriptor 3.
func cp(ctx context.Context, fx workflow.Fx, from string, paths []string, to *os.File) error {
	argv := []string{"cp", "-a", "--preserve=xattr", "-x", "--parents", "--"}
	argv = append(append(argv, paths...), "/proc/self/fd/3/")
	child, err := fx.World.Start(ctx, workflow.Spec{Argv: argv, Dir: from, Extra: []*os.File{to}})
	if err != nil {
		return err
	}
	return child.Wait()
}

// inBackup is an error unless a path is in the backup, with no link on the way to it.
func inBackup(source *os.Root, p, backup string) error {
	var above string
	for part := range strings.SplitSeq(p, "/") {
		name := path.Join(above, part)
		info, err := source.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%q is not in %s; %s", p, backup, contents(source, above))
		case err != nil:
			return durable.Whole(source, err)
		case name != p && !info.IsDir():
			return fmt.Errorf("%q is not in %s: %q there is no folder", p, backup, name)
		}
		above = name
	}
	return nil
}

// mostShown bounds how much of a folder is shown.
const mostShown = 10

// contents says what there is in a folder.
func contents(source *os.Root, dir string) string {
	where := fmt.Sprintf("its folder %q has", dir)
	if dir == "" {
		dir, where = ".", "it has"
	}
	f, err := source.Open(dir)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	list, err := f.ReadDir(-1)
	if err != nil {
		return err.Error()
	}
	if len(list) == 0 {
		return where + " nothing"
	}
	var names []string
	for _, e := range list {
		names = append(names, fmt.Sprintf("%q", e.Name()))
	}
	slices.Sort(names)
	if more := len(names) - mostShown; more > 0 {
		names = append(names[:mostShown], fmt.Sprintf("and %d more", more))
	}
	return where + " " + strings.Join(names, ", ")
}

// place moves what was copied to its place. What is not in the run's own folder any more a process that died has moved.
func place(run state.Run) ([]string, error) {
	files := run.Restore.Files
	target, err := os.OpenRoot(files.Dir)
	if err != nil {
		return nil, err
	}
	defer target.Close()
	own := copyDir(run.ID)
	list, err := fs.ReadDir(target.FS(), path.Join(own, copied))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range list {
		err := durable.RenameNew(target, path.Join(own, copied, e.Name()), e.Name())
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%s exists: nothing is written over", filepath.Join(files.Dir, e.Name()))
		}
		if err != nil {
			return nil, err
		}
	}
	for _, name := range tops(files.Paths) {
		// What is in neither folder is on a disk, say, that was mounted there when it was copied.
		if _, err := target.Lstat(name); err != nil {
			return nil, fmt.Errorf("what was copied is no longer in %s: %w", files.Dir, err)
		}
	}
	if err := target.RemoveAll(own); err != nil {
		return nil, durable.Whole(target, err)
	}
	return tops(files.Paths), nil
}

// tops are the entries of the target that paths come to lie in.
func tops(paths []string) (names []string) {
	for _, p := range paths {
		top, _, _ := strings.Cut(p, "/")
		if !slices.Contains(names, top) {
			names = append(names, top)
		}
	}
	return names
}

// dropCopy removes what was copied and not placed, and the scratch dataset. ErrNoPool if that, and nothing else, stays, since its
// pool is away; and so does its folder, which is root's alone: it is mounted there when the pool comes.
func (k *Kit) dropCopy(ctx context.Context, fx workflow.Fx, run state.Run) error {
	var errs []error
	if target, err := os.OpenRoot(run.Restore.Files.Dir); err == nil {
		errs = append(errs, target.RemoveAll(copyDir(run.ID)), target.Close())
	} else if !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	scratch, err := k.scratchOf(fx, run)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	other, err := errors.Join(errs...), scratch.drop(ctx)
	switch {
	case !errors.Is(err, zfs.ErrNoPool):
		return errors.Join(other, err)
	case other != nil:
		return other
	}
	return fmt.Errorf("%s stays until its pool is imported: %w", scratch.outer, err)
}
