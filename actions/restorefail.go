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

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// A restore that failed goes on where it was, once the cause is gone. One that nobody can finish is given up, and so is one
// that a person aborts: then what is half there is taken away, and what is whole stays.

// judged tells of a receive that failed whether trying again would help, and keeps what only this process knows.
func (r *restoring) judged(ctx context.Context, fx workflow.Fx, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if errors.Is(err, zfs.ErrExists) {
		err = errors.Join(err, fx.Note(func(_ *state.Tx, run *state.Run) error {
			run.Restore.Foreign = true
			return nil
		}))
	}
	hopeless := []error{chunk.ErrDiffers, chunk.ErrPassphrase, remote.ErrTooBig, remote.ErrDamaged, stream.ErrCut, stream.ErrDamaged, stream.ErrMore, stream.ErrOther,
		stream.ErrNoStream, zfs.ErrExists, zfs.ErrDiverged}
	if slices.ContainsFunc(hopeless, func(h error) bool { return errors.Is(err, h) }) {
		return &workflow.Hopeless{Err: err}
	}
	return err
}

// A dataset that is busy with a receive that was killed is free, and gone, after some tenths of a second; on a host that is
// busy itself it takes seconds.
const (
	busyTries = 80
	busyPause = 250 * time.Millisecond
)

// cleanRestore takes away what a restore that is given up has half done, and notes what there is now.
func (k *Kit) cleanRestore(ctx context.Context, s *workflow.Session) error {
	_, err := workflow.Once(ctx, s, workflow.Effect[string]{
		Name: "take back",
		Do: func(ctx context.Context, fx workflow.Fx) (string, error) {
			run := s.Run()
			if k.restoring != nil {
				k.restoring.close()
			}
			if err := removeSpool(run.Restore.Spool, run.ID); err != nil {
				return "", err
			}
			switch {
			case run.Restore.Streams:
				return leftOfStreams(run)
			case run.Restore.Files != nil:
				return k.leftOfFiles(ctx, fx, run)
			}
			into, err := zfs.ParseDataset(run.Restore.Into)
			if err != nil {
				return "", err
			}
			t := &takingBack{kit: k, fx: fx, run: run, into: into}
			left := t.whatIsLeft(ctx)
			return left, context.Cause(ctx) // who was stopped may not have looked, or not have taken all of it away
		},
		Result: func(_ *state.Tx, r *state.Run, left string) error {
			r.Notes = append(r.Notes, strings.Split(left, "\n")...)
			return nil
		},
	})
	return err
}

// leftOfStreams takes away what is not whole, and says what is.
func leftOfStreams(run state.Run) (string, error) {
	whole, err := dropParts(run.Restore, run.Steps)
	if err != nil || len(whole) == 0 {
		return "Nothing was restored.", err
	}
	return fmt.Sprintf("%s has %s, whole and checked.", run.Restore.Into, strings.Join(whole, ", ")), nil
}

// leftOfFiles takes away the scratch dataset and what was copied and not placed.
func (k *Kit) leftOfFiles(ctx context.Context, fx workflow.Fx, run state.Run) (string, error) {
	left := "Nothing was restored."
	if placed := placedFiles(run); len(placed) > 0 {
		left = fmt.Sprintf("%s has %s, whole; nothing else was restored.", run.Restore.Files.Dir, strings.Join(placed, ", "))
	}
	err := k.dropCopy(ctx, fx, run)
	if errors.Is(err, zfs.ErrNoPool) {
		err = nil
		if run.Restore.Began != nil {
			scratch, dir := path.Dir(run.Restore.Into), scratchDir(run)
			left += fmt.Sprintf("\n%s stays, and %s, where it is mounted. Once its pool is imported: zfs destroy -r %s && rm -r --one-file-system %s",
				scratch, dir, word(scratch), word(dir))
		}
	}
	return left, err
}

// placedFiles are the names of what was copied, and has left the run's own folder for its place.
func placedFiles(run state.Run) (placed []string) {
	files := run.Restore.Files
	for _, name := range tops(files.Copied) {
		_, waits := os.Lstat(filepath.Join(files.Dir, copyDir(run.ID), copied, name))
		_, there := os.Lstat(filepath.Join(files.Dir, name))
		if errors.Is(waits, fs.ErrNotExist) && there == nil {
			placed = append(placed, name)
		}
	}
	return placed
}

// takingBack looks at what a restore that is given up has left.
type takingBack struct {
	kit  *Kit
	fx   workflow.Fx
	run  state.Run
	into zfs.Dataset
}

// whatIsLeft says in words what there is, after it has taken away what is half there.
func (t *takingBack) whatIsLeft(ctx context.Context) string {
	rs, into := t.run.Restore, t.into
	if rs.Began == nil {
		return "Nothing was restored."
	}
	if rs.Foreign {
		return fmt.Sprintf("Nothing was restored. %s is somebody else's work, made meanwhile, and was left alone.", into)
	}
	whole := 0
	for whole < len(rs.Chain) && workflow.StepMachine.In(t.run.Steps[whole].State, workflow.StepDone) {
		whole++
	}
	// Who died behind a receive did not say any more that it was done. One that failed may have found at its end what is wrong.
	if whole < len(rs.Chain) && workflow.StepMachine.In(t.run.Steps[whole].State, workflow.StepRunning) && t.cameWhole(ctx, rs.Chain[whole]) {
		whole++
	}
	if whole == 0 {
		return t.takeBack(ctx)
	}
	left := t.whatIsWhole(ctx, rs.Chain[whole-1])
	if _, err := t.dropPart(ctx, whole); err != nil {
		left += fmt.Sprintf("\nWhat it holds of the next could not be removed: %v\nNext: zfs receive -A %s", err, word(into.String()))
	}
	return left
}

// cameWhole tells whether zfs has received a backup to its end.
func (t *takingBack) cameWhole(ctx context.Context, l state.Link) bool {
	if l.SnapshotGUID == "" {
		return false
	}
	_, err := t.kit.received(ctx, t.fx, t.into, l.Snapshot, l.SnapshotGUID)
	return err == nil
}

// takeBack destroys what a first receive left, which is known by its GUID: it has neither snapshots nor children, and
// nobody mounted it. Most often there is none, since zfs clears up after itself:
// a receive whose program was killed goes on in zfs for a moment, and may come to its end.
func (t *takingBack) takeBack(ctx context.Context) string {
	into := t.into
	var err error
	for try := range busyTries {
		if try > 0 && remote.Pause(ctx, busyPause) != nil {
			break
		}
		destroyed, derr := t.destroy(ctx)
		switch {
		case errors.Is(derr, zfs.ErrNoDataset): // zfs was just at it: seen with zfs-fuse
			return fmt.Sprintf("Nothing was restored; there is no %s.", into)
		case destroyed:
			return fmt.Sprintf("Nothing was restored; %s, half received, was destroyed again.", into)
		case errors.Is(derr, zfs.ErrChildren) && t.cameWhole(ctx, t.run.Restore.Chain[0]):
			return t.whatIsWhole(ctx, t.run.Restore.Chain[0])
		}
		err = derr
		if !errors.Is(err, zfs.ErrBusy) && !errors.Is(err, errNotKnown) {
			break
		}
	}
	return fmt.Sprintf("Nothing was restored that could be used. %s may be there, half received, and could not be removed: %v\nNext: zfs list -t all -r %s", into, err, word(into.String()))
}

var errNotKnown = errors.New("whether this restore made it is not known")

// destroy destroys the dataset that a first receive made.
func (t *takingBack) destroy(ctx context.Context) (bool, error) {
	program := t.kit.zfs(t.fx)
	info, err := program.Info(ctx, t.into)
	switch {
	case err != nil:
		return false, err
	case info.GUID.String() != t.run.Restore.Made && t.run.Restore.Made != "":
		return false, errNotKnown
	case info.Mounted:
		return false, errors.New("it is mounted")
	}
	switch dropped, err := t.dropPart(ctx, 0); {
	case err != nil:
		return false, err
	case dropped:
		return true, nil
	case t.run.Restore.Made == "":
		return false, errNotKnown
	}
	err = program.DestroyDataset(ctx, t.into)
	return err == nil, err
}

// dropPart takes away what a receive that was cut off has kept of a backup of the chain, if it has: by that it is known.
func (t *takingBack) dropPart(ctx context.Context, link int) (bool, error) {
	program := t.kit.zfs(t.fx)
	can, err := program.CanKeep(ctx, t.into)
	if err != nil || !can || link >= len(t.run.Restore.Chain) {
		return false, err
	}
	p, err := t.kit.partOf(ctx, t.fx, t.into)
	if err != nil || p == nil || zfs.GUID(p.token.To).String() != t.run.Restore.Chain[link].SnapshotGUID {
		return false, err
	}
	err = program.DropPartial(ctx, t.into)
	return err == nil, err
}

// whatIsWhole says that the dataset holds the chain up to a backup, if zfs says so too. It is kept: what was fetched is
// worth something.
func (t *takingBack) whatIsWhole(ctx context.Context, l state.Link) string {
	into := t.into
	if _, err := t.kit.received(ctx, t.fx, into, l.Snapshot, l.SnapshotGUID); err != nil {
		return fmt.Sprintf("%s held %s, whole; whether it still does is not known: %v\nNext: zfs list -t all -r %s", into, l.Name, err, word(into.String()))
	}
	use := t.kit.MountCommand(ctx, t.fx, into)
	if err := t.kit.zfs(t.fx).ReceiveEnds(ctx, into); err != nil {
		use = fmt.Sprintf("zfs inherit -S readonly %s && %s", word(into.String()), use)
	}
	return fmt.Sprintf("%s holds %s, whole and checked, and nothing newer. To use that: %s\n"+
		"To try again: zfs destroy -r %s, then the same command.", into, l.Name, use, word(into.String()))
}

// MountCommand is what mounts a dataset that was restored. If zfs does not tell how, it is what mounts most.
func (k *Kit) MountCommand(ctx context.Context, w workflow.World, d zfs.Dataset) string {
	info, err := k.zfs(workflow.Look{World: w}).Info(ctx, d)
	if err != nil {
		info.Mountpoint = ""
	}
	return mountCommand(d.String(), info.Mountpoint)
}

func mountCommand(dataset, mountpoint string) string {
	switch mountpoint {
	case "none":
		return "zfs set mountpoint=" + word("/"+dataset) + " " + word(dataset) // which mounts it
	case "legacy":
		return "mount -t zfs " + word(dataset) + " /mnt"
	}
	return "zfs mount " + word(dataset)
}

// word is a dataset's name, or a path, as a shell takes it. Of what a dataset's can have only blanks need quotes.
func word(name string) string {
	if strings.ContainsAny(name, " \t\n'\"\\`$&;|<>()*?[]{}#~!") {
		return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
	}
	return name
}
