package actions

import (
	"context"
	"errors"
	"fmt"
	"io"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs"
)

// receiving is one stream on its way from its chunks to what takes it, such as zfs receive.
type receiving struct {
	of *manifest.Manifest
	// open writes what is in the backup's chunks, in order, each once it was proved.
	open func(ctx context.Context, to io.Writer) error
	also io.Writer // gets the stream too, if not nil
	to   sink
	part *part // what an earlier receive kept: only what comes behind it is received; nil if there is nothing
}

// sink takes a stream. It sees the end only if all of it was found right.
type sink func(ctx context.Context, in io.Reader, begin stream.Begin) error

// intoDataset is zfs receive. Whether it is a volume the stream says.
func intoDataset(program zfs.Program, into zfs.Dataset, a zfs.ReceiveArgs) sink {
	return func(ctx context.Context, in io.Reader, begin stream.Begin) error {
		a.Volume = begin.Volume
		return program.Receive(ctx, in, into, a)
	}
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
	errReceiverGone = errors.New("what takes the stream has ended")
	errNoMore       = errors.New("no more is fetched")
)

func (r *receiving) pass(ctx context.Context, out *io.PipeReader) (volume bool, err error) {
	m := r.of
	to, from := streamGUIDs(m)
	// What reads from it sees no END before all chunks were opened, and their stream was found whole.
	var in io.Reader = out
	if r.also != nil {
		in = io.TeeReader(out, r.also)
	}
	if r.part != nil {
		in = stream.Restart(in, r.part.at, r.part.entry, r.part.token)
	}
	checked, begin, err := stream.Open(in, to, from)
	if err != nil {
		return false, streamError(m, err)
	}
	err = r.to(ctx, checked, begin)
	switch over := checked.Over(); {
	case over != nil && over != io.EOF:
		err = streamError(m, over) // of which what zfs says is only the echo
	case over == nil && err == nil:
		err = fmt.Errorf("what took the stream of %s has ended well before it: do not use what came of it", m.Name)
	}
	return begin.Volume, err
}

// streamGUIDs are those of the snapshot that a backup's stream is of, and of the one that it is based on; 0 for a full.
func streamGUIDs(m *manifest.Manifest) (to, from uint64) {
	if m.Base != nil {
		from = guid(m.Base.SnapshotGUID)
	}
	return guid(m.SnapshotGUID), from
}

// streamError says what can be done about a stream with which something is wrong, although its chunks are the ones that
// were sealed.
func streamError(m *manifest.Manifest, err error) error {
	if errors.Is(err, stream.ErrDamaged) || errors.Is(err, stream.ErrCut) || errors.Is(err, stream.ErrMore) {
		return fmt.Errorf("%w; the chunks of %s are those that were sealed, so it was so before: restore an earlier one of the backups that list shows", err, m.Name)
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
