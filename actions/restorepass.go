package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// pass passes the stream of a backup, the Ith of the chain, on to what takes it. What an earlier process HAD of it is not
// fetched again.
func (r *restoring) pass(ctx context.Context, s *workflow.Session, fx workflow.Fx, i int, m *manifest.Manifest, had firstPart, to sink) (volume bool, err error) {
	left := *m
	left.Chunks = m.Chunks[had.chunks:]
	rest := append([]*manifest.Manifest{&left}, r.plan.Chain[i+1:]...)
	python := s.Run().Restore.Python
	if python { // the next one's pieces are not ones that anything proves yet
		rest = rest[:1]
	}
	inherited, err := r.begin(ctx, fx, s.Run(), rest)
	if err != nil {
		return false, err
	}
	p := &passing{restoring: r, session: s, fx: fx, of: m}
	if p.sealer, err = r.plan.catalog.SealerOf(fx, m); err != nil {
		return false, err
	}
	p.done.Store(had.bytes)
	if had.chunks+inherited > 0 {
		if err := p.stayed(i, had, inherited); err != nil {
			return false, err
		}
	}
	in := receiving{of: m, to: to, part: had.kept, open: openChunks(&left, p.open)}
	switch {
	case python:
		in.open = p.openMessage
	case had.from != nil:
		open := in.open
		in.open = func(ctx context.Context, to io.Writer) error {
			if _, err := io.Copy(to, had.from); err != nil {
				return err
			}
			return open(ctx, to)
		}
	}
	if volume, err = in.receive(ctx); err != nil {
		return false, err
	}
	if err := r.spool.whole(m); err != nil {
		return false, fmt.Errorf("spool folder %s: %w", r.spool.dir, err)
	}
	if python {
		r.close()
	}
	return volume, nil
}

// stayed stores how much an earlier process had of the Ith backup, and how many chunks behind that it had fetched: that is progress,
// which a death has not undone.
func (p *passing) stayed(i int, had firstPart, fetched int) error {
	chunks := had.chunks
	for _, m := range p.plan.Chain[:i] {
		chunks += len(m.Chunks)
	}
	return p.fx.Note(func(_ *state.Tx, run *state.Run) error {
		run.Restore.Passed = had.bytes
		run.High.Raise(state.Progress{Received: chunks, Fetched: chunks + fetched})
		return nil
	})
}

// firstPart is the beginning of a stream, which is not fetched again: it is here, or zfs has kept what is needed of it.
type firstPart struct {
	chunks int
	bytes  int64
	from   io.Reader
	kept   *part
}

// passing is the stream of one backup on its way from the spool folder into zfs receive.
type passing struct {
	*restoring
	session *workflow.Session
	fx      workflow.Fx
	of      *manifest.Manifest
	sealer  chunk.Sealer
	done    atomic.Int64 // bytes of it that were passed on
}

// open opens the next chunk, and stores that it was passed on.
func (p *passing) open(ctx context.Context, c manifest.Chunk, to io.Writer) error {
	if err := p.openNext(ctx, c, to); err != nil {
		return err
	}
	return p.passed(ctx)
}

// passed stores how much was passed on; and, once zfs has begun with the first stream, by which GUID what it makes will be
// known, should this process come to know no more.
func (p *passing) passed(ctx context.Context) error {
	rs := p.session.Run().Restore
	guid := rs.Made
	if guid == "" && !rs.Streams {
		info, err := p.kit.zfs(p.fx).Info(ctx, p.plan.Into)
		if err == nil {
			guid = info.GUID.String()
		} else if !errors.Is(err, zfs.ErrNoDataset) && !errors.Is(err, zfs.ErrBusy) {
			return err // OpenZFS opens no dataset whose first raw stream is being received: it is busy
		}
	}
	return p.fx.Note(func(_ *state.Tx, run *state.Run) error {
		run.Restore.Passed, run.Restore.Made = p.done.Load(), guid
		return nil
	})
}

// openNext takes the next chunk from who fetches, which is the one that C describes.
func (p *passing) openNext(ctx context.Context, c manifest.Chunk, to io.Writer) error {
	got, err := p.arrival(ctx, c)
	if err != nil {
		return err
	}
	began := p.done.Load()
	err = p.openFile(ctx, got.name, c, to)
	if p.done.Load() == began && errors.Is(err, chunk.ErrDiffers) {
		// It may have come to harm on its way, or since, in a power cut say. If what lies there is harmed, it is so again.
		if err = p.get(ctx, p.of, c); err == nil {
			err = p.openFile(ctx, got.name, c, to)
		}
	}
	if err != nil {
		if errors.Is(err, chunk.ErrDiffers) {
			return errors.Join(err, p.spool.drop(got.name, c.Size))
		}
		return err
	}
	return p.spool.received(got.name, c.Size)
}

// arrival waits for the next chunk in the spool folder, which is the one that C describes.
func (p *passing) arrival(ctx context.Context, c manifest.Chunk) (got arrived, err error) {
	select {
	case got = <-p.chunks:
	case <-ctx.Done():
		return got, ctx.Err()
	}
	if got.err == nil && got.name != spooled(p.of, c) {
		return got, errNoMore
	}
	return got, got.err
}

func (p *passing) openFile(ctx context.Context, name string, c manifest.Chunk, to io.Writer) error {
	f, err := p.spool.root.Open(name)
	if err != nil {
		return fmt.Errorf("spool folder: %w", err)
	}
	defer f.Close()
	return chunk.OpenFile(ctx, f, chunk.Digest{Size: c.Size, SHA256: c.SHA256},
		chunk.Digest{Size: c.Plain, SHA256: c.PlainSHA256}, p.sealer, p.counting(to))
}

func (p *passing) counting(to io.Writer) io.Writer {
	return writerFunc(func(b []byte) (int, error) {
		n, err := to.Write(b)
		p.session.Progress(p.done.Add(int64(n)), p.of.StreamBytes, false)
		return n, err
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
