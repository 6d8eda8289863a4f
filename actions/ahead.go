package actions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/remote"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// uploadAhead begins to upload while the export still goes on, where the upload step follows and no script
// stands between. The uploads go on when the export is over, and the upload step takes them in hand. To make
// sure of the place takes half a dozen questions to it; the first piece of the stream flows meanwhile.
func (x *streamExport) uploadAhead(ctx context.Context) {
	s, ok := x.s.Ahead(workflow.Upload)
	if !ok || !uploads(x.run) {
		return
	}
	x.opening = make(chan opened, 1)
	go func() {
		var o opened
		u, err := x.kit.openUpload(ctx, s, x.backup)
		if err == nil {
			o.uploader, err = u.begin(ctx, x.fx)
		}
		o.err = err
		x.opening <- o
	}()
}

// opened is the uploader at a place that could be reached, or why it could not.
type opened struct {
	uploader *uploader
	err      error
}

// meet waits until the place is sure, if that has been begun, and hands over what was sealed meanwhile. A place
// that can't be reached now keeps nobody from exporting: the upload step will say so. One that is another job's does: nothing of
// what is exported could go there.
func (x *streamExport) meet(ctx context.Context) {
	if x.opening != nil {
		x.met(ctx, <-x.opening)
	}
}

func (x *streamExport) met(ctx context.Context, o opened) {
	x.opening = nil
	x.ahead, x.kit.ahead = o.uploader, o.uploader
	if _, foreign := errors.AsType[*remote.Stranger](o.err); foreign {
		x.foreign = o.err
	}
	if o.err != nil && ctx.Err() == nil {
		x.s.Log().Warn("nothing is uploaded while the export goes on", "err", o.err)
	}
	for _, c := range x.held {
		if x.ahead != nil {
			x.ahead.offer(c)
		} else {
			uncache(x.backup, c.name)
		}
	}
	x.held = nil
}

// offer has a chunk that is sealed uploaded, now or once the place is sure.
func (x *streamExport) offer(ctx context.Context, c state.Chunk) {
	select {
	case o := <-x.opening:
		x.met(ctx, o)
	default:
	}
	switch {
	case x.ahead != nil:
		x.ahead.offer(offering(c))
	case x.opening != nil:
		x.held = append(x.held, offering(c))
	default:
		uncache(x.backup, c.Name) // it is uploaded later, if at all
	}
}

// stopAhead ends uploads that were begun ahead. What was not seen to be there is uploaded again.
func (k *Kit) stopAhead() {
	if k.ahead != nil {
		k.ahead.stop()
		k.ahead = nil
	}
}

// finishAhead waits for the uploads that were begun ahead. An error of theirs is no more than a reason to look
// again: the chunks tell what is left.
func (k *Kit) finishAhead(s *workflow.Session) {
	if k.ahead == nil {
		return
	}
	if err := k.ahead.finish(); err != nil {
		s.Log().Warn("uploads that were begun ahead have failed; what is left is tried again", "err", err)
	}
	k.ahead = nil
}

// Close ends what steps have left running, when their run ends in between.
func (k *Kit) Close() {
	k.stopAhead()
	if k.restoring != nil {
		k.restoring.close()
	}
}

// reserve is what stays free on the disk of the chunk files, in bytes.
const reserve = 64 << 20

// room waits until there is room for the file of chunk N, of which its full size is reserved before its first byte:
// within spool_max of what is not yet uploaded, and on the disk.
func (x *streamExport) room(ctx context.Context, n int) error {
	if n == 0 && x.backup.Sums.Sealed == 0 {
		return nil // the first of all: none waits
	}
	most := x.kit.Settings.SpoolMax
	size := sealedSize(x.backup.SplitSize)
	tight := func(waiting int64) bool {
		return most > 0 && waiting+size > most || diskFree(x.backup.Dir) < size+reserve
	}
	if x.opening != nil || x.ahead != nil {
		if !tight(x.unseen(size)) {
			return nil
		}
		if err := x.settle(ctx); err != nil {
			return err
		}
		x.meet(ctx)
	}
	if x.foreign != nil {
		return x.foreign
	}
	if x.ahead != nil {
		return x.ahead.room(ctx, tight)
	}
	if most == 0 {
		return nil // a full disk says so itself
	}
	if err := x.settle(ctx); err != nil {
		return err
	}
	var waiting int64
	err := x.s.View(func(tx *state.Tx) error {
		b, err := tx.MustBackup(x.backup.Job, x.backup.Name)
		waiting = b.Sums.BytesSealed - b.Sums.BytesUploaded
		return err
	})
	if err != nil || waiting+size <= most {
		return err
	}
	err = fmt.Errorf("spool_max is %d bytes, %d are sealed and nothing is uploaded meanwhile: raise it, or have no hook between export and upload", most, waiting)
	if x.run.Typed != "" {
		return &workflow.Hopeless{Err: err} // the day's run, which uploads, is not to wait for it
	}
	return err
}

// unseen is how many bytes of chunk files lie here that were not seen at their place; one that is not yet on
// record counts as SIZE.
func (x *streamExport) unseen(size int64) (bytes int64) {
	if x.last != nil {
		bytes = size
	}
	for _, c := range x.held {
		if !c.seen {
			bytes += c.size
		}
	}
	if x.ahead != nil {
		bytes += x.ahead.unseen()
	}
	return bytes
}

// sealedSize is the most that a chunk file of so much plaintext has: an OpenPGP message with partial lengths
// of 8 KiB has 2 bytes for each, and less than 200 of its own (measured: 66).
func sealedSize(plain int64) int64 { return plain + plain/4096 + 200 }

// diskFree is what is free on the file system of a folder; if it can't tell, everything.
func diskFree(dir string) int64 {
	free, err := freeIn(dir)
	if err != nil {
		return 1 << 62
	}
	return free
}

// freeIn is how many bytes a folder's file system can take.
func freeIn(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
