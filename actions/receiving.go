package actions

import (
	"context"
	"errors"
	"fmt"
	"io"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/workflow"
)

// receiving is one stream on its way from its chunks into zfs receive.
type receiving struct {
	kit       *Kit
	world     workflow.World
	into      zfs.Dataset
	of        *manifest.Manifest
	increment bool // on what an earlier receive of the same restore made
	// open writes what is in the backup's chunks, in order, each once it was proved.
	open func(ctx context.Context, to io.Writer) error
	also io.Writer // gets the stream too, if not nil
	keep bool      // what was received stays, should it be cut off
	part *part     // what an earlier receive kept: only what comes behind it is received; nil if there is nothing
}

// receive receives the stream. Nothing is started before the first chunk was proved, and what is opened of it begins with
// the snapshot that the manifest names.
func (r *receiving) receive(ctx context.Context) (volume bool, err error) {
	out, in := io.Pipe()
	opening, stop := context.WithCancelCause(ctx)
	opened := make(chan error, 1)
	go func() {
		err := r.open(opening, in)
		in.CloseWithError(err) // nil is the end of the stream
		opened <- err
	}()
	volume, err = r.pass(ctx, out)
	stop(errReceiverGone)
	out.CloseWithError(errReceiverGone)
	if cause := <-opened; cause != nil && !errors.Is(cause, errReceiverGone) {
		return volume, cause // of which what zfs says is only the echo
	}
	return volume, err
}

var (
	errReceiverGone = errors.New("zfs receive has ended")
	errNoMore       = errors.New("no more is fetched")
)

func (r *receiving) pass(ctx context.Context, out *io.PipeReader) (volume bool, err error) {
	m := r.of
	var base uint64
	if m.Base != nil {
		base = guid(m.Base.SnapshotGUID)
	}
	// What reads from it sees no END before all chunks were opened, and their stream was found whole.
	var in io.Reader = out
	if r.also != nil {
		in = io.TeeReader(out, r.also)
	}
	if r.part != nil {
		in = stream.Restart(in, r.part.at, r.part.entry, r.part.token)
	}
	checked, begin, err := stream.Open(in, guid(m.SnapshotGUID), base)
	if err != nil {
		return false, streamError(m, err)
	}
	args := zfs.ReceiveArgs{Increment: r.increment, Volume: begin.Volume, Keep: r.keep, Rest: r.part != nil}
	err = r.kit.zfs(r.world).Receive(ctx, checked, r.into, args)
	switch over := checked.Over(); {
	case over != nil && over != io.EOF:
		err = streamError(m, over) // of which what zfs says is only the echo
	case over == nil && err == nil:
		err = fmt.Errorf("zfs receive has ended well before the stream of %s has: do not use %s", m.Name, r.into)
	}
	return begin.Volume, err
}

// streamError says what can be done about a stream with which something is wrong, although its chunks are the ones that
// were sealed.
func streamError(m *manifest.Manifest, err error) error {
	if errors.Is(err, stream.ErrDamaged) || errors.Is(err, stream.ErrCut) || errors.Is(err, stream.ErrMore) {
		return fmt.Errorf("%w; the chunks of %s are those that were sealed, so it was so before: restore an earlier backup (zfs2cloud list)", err, m.Name)
	}
	return err
}

// openChunks opens the chunks of a backup, one after the other, by what opens the next, which is the one that is described.
func openChunks(m *manifest.Manifest, open func(ctx context.Context, c manifest.Chunk, to io.Writer) error) func(context.Context, io.Writer) error {
	return func(ctx context.Context, to io.Writer) error {
		for _, c := range m.Chunks {
			err := open(ctx, c, to)
			switch {
			case err == nil:
			case ctx.Err() != nil:
				return context.Cause(ctx)
			default:
				return fmt.Errorf("chunk %d of %s, %s: %w", c.N, m.Name, c.Name, err)
			}
		}
		return nil
	}
}
