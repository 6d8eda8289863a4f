package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/workflow"
)

// restoring is a restore at work.
type restoring struct {
	kit      *Kit
	world    workflow.World
	plan     *RestorePlan
	sealer   chunk.Sealer
	spool    *spool
	progress func(done, total int64)

	chunks chan fetched
	done   int64 // bytes of all streams that were passed on

	began  time.Time // when the first receive did
	made   zfs.GUID  // the dataset that it made
	volume bool
}

// all receives the chain.
func (r *restoring) all(ctx context.Context) (Restored, error) {
	fetching, stop := context.WithCancel(ctx)
	r.chunks = make(chan fetched)
	go r.fetch(fetching, r.chunks)
	defer r.drain()
	defer stop() // runs first

	for i, m := range r.plan.Chain {
		snapshot, err := r.plan.Into.Snapshot(m.Snapshot)
		if err == nil {
			err = r.receive(ctx, i, m)
		}
		if err == nil {
			err = r.check(ctx, i, m, snapshot)
		}
		if err != nil {
			return Restored{}, r.failed(ctx, i, err)
		}
	}
	newest, err := r.plan.Into.Snapshot(r.plan.Newest().Snapshot)
	return Restored{Snapshot: newest, Volume: r.volume}, err
}

// drain ends when the fetching has, and closes what it still held.
func (r *restoring) drain() {
	for c := range r.chunks {
		if c.file != nil {
			c.file.Close()
		}
	}
}

// receive receives one backup of the chain. Nothing is started before the first chunk was proved, and what is
// opened of it begins with the snapshot that the manifest names.
func (r *restoring) receive(ctx context.Context, i int, m *manifest.Manifest) error {
	if i > 0 {
		if err := r.stillOurs(ctx); err != nil {
			return err
		}
	}
	out, in := io.Pipe()
	opening, stop := context.WithCancelCause(ctx)
	opened := make(chan error, 1)
	go func() {
		err := r.open(opening, m, in)
		in.CloseWithError(err) // nil is the end of the stream
		opened <- err
	}()
	err := r.pass(ctx, i, m, out)
	stop(errReceiverGone)
	out.CloseWithError(errReceiverGone)
	if cause := <-opened; cause != nil && !errors.Is(cause, errReceiverGone) {
		return cause // of which what zfs says is only the echo
	}
	return err
}

var (
	errReceiverGone = errors.New("zfs receive has ended")
	errNoMore       = errors.New("no more is fetched")
)

func (r *restoring) pass(ctx context.Context, i int, m *manifest.Manifest, out *io.PipeReader) error {
	var base uint64
	if m.Base != nil {
		base = guid(m.Base.SnapshotGUID)
	}
	var ends stream.Ends
	all := io.TeeReader(out, &ends)
	verified, begin, err := stream.Verify(all, guid(m.SnapshotGUID), base)
	if err != nil {
		return err
	}
	if i == 0 {
		r.began, r.volume = r.world.Now(), begin.Volume
	}
	// What could be rolled back by force is only what this restore made.
	args := zfs.ReceiveArgs{Force: i > 0, Volume: begin.Volume}
	if err := r.kit.zfs(r.world).Receive(ctx, verified, r.plan.Into, args); err != nil {
		return err
	}
	// zfs stops reading at the stream's END, and says nothing of what comes behind it, or whether that opened.
	if _, err = io.Copy(io.Discard, all); err != nil {
		return err
	}
	if err := ends.Check(guid(m.SnapshotGUID), base); err != nil {
		return &badEnd{err}
	}
	return nil
}

// badEnd is the error of a stream that zfs received to its END, and that goes on behind it.
type badEnd struct{ error }

func (e *badEnd) Unwrap() error { return e.error }

// open proves and opens the chunks of a backup, one after the other.
func (r *restoring) open(ctx context.Context, m *manifest.Manifest, to io.Writer) error {
	for _, c := range m.Chunks {
		err := r.openNext(ctx, c, to)
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

// openNext takes the next chunk from who fetches, which is the one that C describes.
func (r *restoring) openNext(ctx context.Context, c manifest.Chunk, to io.Writer) error {
	var got fetched
	select {
	case got = <-r.chunks:
	case <-ctx.Done():
		return ctx.Err()
	}
	if got.err != nil {
		return got.err
	}
	if got.file == nil {
		return errNoMore
	}
	defer got.file.Close()
	return chunk.OpenFile(ctx, got.file, chunk.Digest{Size: c.Size, SHA256: c.SHA256},
		chunk.Digest{Size: c.Plain, SHA256: c.PlainSHA256}, r.sealer, r.counting(to))
}

func (r *restoring) counting(to io.Writer) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		n, err := to.Write(p)
		r.done += int64(n)
		if r.progress != nil {
			r.progress(r.done, r.plan.StreamBytes)
		}
		return n, err
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// check compares what was received with the manifest.
func (r *restoring) check(ctx context.Context, i int, m *manifest.Manifest, s zfs.Snapshot) error {
	program := r.kit.zfs(r.world)
	got, err := program.Snapshot(ctx, s)
	if err != nil {
		return err
	}
	if got.GUID.String() != m.SnapshotGUID {
		return fmt.Errorf("%s has GUID %s, the manifest says %s: do not use it", s, got.GUID, m.SnapshotGUID)
	}
	if i > 0 {
		return nil
	}
	info, err := program.Info(ctx, r.plan.Into)
	r.made = info.GUID
	return err
}

// stillOurs makes sure that the dataset is the one that the first receive made.
func (r *restoring) stillOurs(ctx context.Context) error {
	info, err := r.kit.zfs(r.world).Info(ctx, r.plan.Into)
	if err == nil && info.GUID != r.made {
		err = fmt.Errorf("%s is another dataset than the one that was made", r.plan.Into)
	}
	return err
}
