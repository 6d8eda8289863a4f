package actions

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/stream"
	"zfs2cloud/state"
)

// A snapshot may give another stream than before: another version of ZFS compresses otherwise, say. Where a send is
// continued, that shows in the last record that there is as a whole. From that record on what is sent now is a sound
// continuation of what there is before it. So the chunk in which it begins is cut again: what it holds before the record
// comes out of its own file, all else is what is sent now. The chunks before it stay as they are.

// recut is where a stream is cut again.
type recut struct {
	n    int       // the chunk that is cut again, and with it all behind it
	keep int64     // bytes that it keeps
	hash hash.Hash // of the stream before the chunk
}

// recutAt is where a stream, cut every SPLIT bytes, is cut again from a byte of it on. BEHIND tells of a chunk how to go
// on behind it.
func recutAt(point uint64, split int64, behind func(n int) (behind, error)) (recut, error) {
	r := recut{n: int(int64(point) / split), keep: int64(point) % split, hash: sha256.New()}
	if r.n == 0 {
		return r, nil
	}
	at, err := behind(r.n - 1)
	if err != nil {
		return r, fmt.Errorf("chunk %d, before the one that would be cut again: %w", r.n-1, err)
	}
	r.hash = at.hash
	return r, nil
}

// cutAgain starts a send that goes on within what was sealed up to the chunk LAST. N is the chunk that is cut again; it and
// those behind it are discarded, once it is sure that the send can go on there, and that what they keep is here.
func (x *streamExport) cutAgain(ctx context.Context, last state.Chunk, differs *stream.RecutError) (in *sending, n int, err error) {
	at, err := x.behind(last)
	if err != nil {
		return nil, 0, err
	}
	r, err := recutAt(differs.Point, x.backup.SplitSize, func(n int) (behind, error) {
		c, err := x.ledger.at(n)
		if err != nil {
			return behind{}, err
		}
		return x.behind(c)
	})
	if err != nil {
		return nil, 0, fmt.Errorf("%w; it can't be cut again there: %w", differs, err)
	}
	old, err := x.ledger.at(r.n)
	if err != nil {
		return nil, 0, err
	}
	if r.keep > 0 {
		here, err := x.kit.fileIs(ctx, x.backup, old, true)
		if err != nil {
			return nil, 0, err
		}
		if !here {
			return nil, 0, fmt.Errorf("%w; chunk %d could be cut again there, but its file is not here any more", differs, r.n)
		}
	}
	if in, err = x.goOn(ctx, at.mark.Back(), at.trail); err != nil {
		return nil, 0, err
	}
	x.s.Log().Warn("the snapshot does not give the same stream again; what differs is cut again", "chunk", r.n, "byte", differs.Point, "err", differs)
	in.hash, in.seen = r.hash, r.keep
	if r.keep > 0 {
		in.entry = old.Entry // of what begins in what it keeps
		kept, err := x.beginning(ctx, old, r.keep)
		if err != nil {
			return nil, 0, errors.Join(err, in.Close())
		}
		in.kept, in.from = kept, io.MultiReader(kept, in.from)
	}
	if err := x.discard(r.n, func(*state.Run) {}); err != nil {
		return nil, 0, errors.Join(err, in.Close())
	}
	x.ledger.newest = nil // it was of what has just been discarded
	return in, r.n, nil
}

// beginning is a reader of the first N bytes of a chunk's plaintext. It ends well only once all of the chunk was proved.
func (x *streamExport) beginning(ctx context.Context, c state.Chunk, n int64) (io.ReadCloser, error) {
	f, err := os.Open(inDir(x.backup, c.Name))
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	b := &beginning{PipeReader: r, over: make(chan struct{})}
	go func() {
		defer close(b.over)
		defer f.Close()
		err := chunk.OpenFile(ctx, f, chunk.Digest{Size: c.Size, SHA256: c.SHA256}, chunk.Digest{Size: c.Plain, SHA256: c.PlainSHA256}, x.sealer,
			writerFunc(func(p []byte) (int, error) {
				first := p[:min(n, int64(len(p)))]
				n -= int64(len(first))
				if len(first) > 0 { // writing nothing would wait for a reader
					if _, err := w.Write(first); err != nil {
						return 0, err
					}
				}
				return len(p), nil
			}))
		if err != nil {
			err = fmt.Errorf("the beginning of chunk %d: %w", c.N, err)
		}
		w.CloseWithError(err)
	}()
	return b, nil
}

type beginning struct {
	*io.PipeReader
	over chan struct{}
}

// Close waits until who opens the chunk has ended.
func (b *beginning) Close() error {
	err := b.PipeReader.Close()
	<-b.over
	return err
}
