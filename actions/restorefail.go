package actions

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/workflow"
)

// RestoreError is the error of a restore that ended half way.
type RestoreError struct {
	Backup *manifest.Manifest // the one of the chain at which it ended
	Into   zfs.Dataset
	Err    error
	// Left says what is there now.
	Left string
}

func (e *RestoreError) Error() string {
	return fmt.Sprintf("restore %s into %s: %v\n%s", e.Backup.Name, e.Into, e.Err, e.Left)
}

func (e *RestoreError) Unwrap() error { return e.Err }

// interrupted is what people call a context that has ended.
type interrupted struct{ error }

func (interrupted) Error() string   { return "interrupted" }
func (i interrupted) Unwrap() error { return i.error }

// cleanTime is what cleaning up may take, also when the restore was ended by a signal.
const cleanTime = time.Minute

// A dataset that is busy with a receive that was killed is free after some tenths of a second.
const (
	busyTries = 20
	busyPause = 250 * time.Millisecond
)

// failed says what is left after backup I of the chain failed, and takes away what is half there.
func (r *restoring) failed(ctx context.Context, i int, cause error) error {
	if ctx.Err() != nil {
		cause = interrupted{context.Cause(ctx)}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	e := &RestoreError{Backup: r.plan.Chain[i], Into: r.plan.Into, Err: cause}
	var bad *badEnd
	switch {
	case i == 0:
		e.Left = r.takeBack(ctx, cause)
	case errors.As(cause, &bad):
		e.Left = fmt.Sprintf("%s has it all the same: do not use it.\nTo try again: zfs destroy -r %s, then the same command.", r.plan.Into, word(r.plan.Into.String()))
	default:
		e.Left = r.whatIsWhole(ctx, r.plan.Chain[i-1])
	}
	return e
}

// takeBack destroys what a first receive left: a dataset that was not there before, that is younger than this
// restore, that nobody mounted, and that has neither snapshots, but for that of a stream with a bad end, nor children.
// Most often there is none, since zfs clears up after itself.
func (r *restoring) takeBack(ctx context.Context, cause error) string {
	into := r.plan.Into
	if r.began.IsZero() {
		return "Nothing was restored."
	}
	if errors.Is(cause, zfs.ErrExists) {
		return fmt.Sprintf("Nothing was restored. %s is somebody else's work of just now, and was left alone.", into)
	}
	gone := fmt.Sprintf("Nothing was restored; there is no %s.", into)
	program := r.kit.zfs(r.world)
	info, err := program.Info(ctx, into)
	if err == nil && (info.Mounted || info.Creation.Before(r.began.Truncate(time.Second))) {
		err = errors.New("it does not look like what a receive makes")
	}
	var bad *badEnd
	if err == nil && errors.As(cause, &bad) {
		err = r.takeBackSnapshot(ctx, program, r.plan.Chain[0])
	}
	if err == nil {
		err = program.DestroyDataset(ctx, into)
	}
	// The receive whose program was killed goes on in zfs for a moment, and clears up after itself as well.
	for range busyTries {
		if !errors.Is(err, zfs.ErrBusy) || remote.Pause(ctx, busyPause) != nil {
			break
		}
		err = program.DestroyDataset(ctx, into)
	}
	if errors.Is(err, zfs.ErrNoDataset) { // zfs was just at it: seen with zfs-fuse
		return gone
	}
	if err != nil {
		return fmt.Sprintf("Nothing was restored that could be used. %s may be there, half received, and could not be removed: %v\nNext: zfs list -t all -r %s", into, err, word(into.String()))
	}
	return fmt.Sprintf("Nothing was restored; %s, half received, was destroyed again.", into)
}

// takeBackSnapshot destroys the snapshot that was received. One that is another's is not ours to destroy, and neither
// is the dataset that has it.
func (r *restoring) takeBackSnapshot(ctx context.Context, program zfs.Program, m *manifest.Manifest) error {
	snapshot, err := r.received(ctx, m)
	if err != nil {
		return err
	}
	return program.Destroy(ctx, snapshot)
}

// received is the snapshot of a backup in the dataset, or an error if it is another, or not there.
func (r *restoring) received(ctx context.Context, m *manifest.Manifest) (zfs.Snapshot, error) {
	snapshot, err := r.plan.Into.Snapshot(m.Snapshot)
	if err != nil {
		return snapshot, err
	}
	got, err := r.kit.zfs(r.world).Snapshot(ctx, snapshot)
	if err == nil && got.GUID.String() != m.SnapshotGUID {
		err = fmt.Errorf("%s has GUID %s instead of %s", snapshot, got.GUID, m.SnapshotGUID)
	}
	return snapshot, err
}

// whatIsWhole says that the dataset holds the chain up to a backup, if zfs says so too. It is kept: what was
// fetched is worth something.
func (r *restoring) whatIsWhole(ctx context.Context, m *manifest.Manifest) string {
	into := r.plan.Into
	if _, err := r.received(ctx, m); err != nil {
		return fmt.Sprintf("%s held %s, whole; whether it still does is not known: %v\nNext: zfs list -t all -r %s", into, m.Name, err, word(into.String()))
	}
	return fmt.Sprintf("%s holds %s, whole and checked, and nothing newer. To use that: %s\n"+
		"To try again: zfs destroy -r %s, then the same command.", into, m.Name, r.kit.MountCommand(ctx, r.world, into), word(into.String()))
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

// word is a dataset's name as a shell takes it. Nothing that a name can have needs quotes, but blanks.
func word(dataset string) string {
	if strings.ContainsRune(dataset, ' ') {
		return "'" + dataset + "'"
	}
	return dataset
}
