package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// coming is a chunk file whose sealing has begun and whose piece of the stream is yet to come: its gpg starts
// and derives its key (0.1 to 0.2 s) while the piece before still flows.
type coming struct {
	chunk state.Chunk
	piece *handoff
	done  chan error // one, when the file is there or not
	file  chunk.Written
}

// prepare puts the intent of a chunk on record and starts to seal it. A file of that name from before was
// never put on record as sealed, so nobody knows what is in it: it is written again.
func (x *streamExport) prepare(ctx context.Context, folder *os.Root, n int) (*coming, error) {
	c, ok := x.chunks[n]
	if !ok {
		c = state.Chunk{Job: x.backup.Job, Backup: x.backup.Name, N: n, Gen: x.newest[n] + 1}
		stamp, _, _ := manifest.ParseFolder(x.backup.Name)
		c.Name = chunk.Name(x.backup.Dataset, stamp, n, c.Gen, settings.Encryption(x.backup.Encryption))
		err := x.fx.Note(func(tx *state.Tx, _ *state.Run) error {
			if err := workflow.ChunkMachine.Born(tx, &c.State); err != nil {
				return err
			}
			return tx.PutChunk(c)
		})
		if err != nil {
			return nil, err
		}
		x.chunks[n] = c
	}
	p := &coming{chunk: c, piece: &handoff{given: make(chan io.Reader, 1)}, done: make(chan error, 1)}
	go func() {
		var err error
		p.file, err = chunk.WriteFile(ctx, folder, c.Name, p.piece, x.sealer, x.kinds)
		p.done <- err
	}()
	return p, nil
}

// drop ends the sealing of a chunk for which there was no piece.
func (p *coming) drop() {
	if p != nil {
		close(p.piece.given)
		<-p.done
	}
}

// handoff is a reader of what it is yet to be given.
type handoff struct {
	given chan io.Reader
	from  io.Reader
}

var errNoPiece = errors.New("the stream has no such piece")

func (h *handoff) Read(p []byte) (int, error) {
	if h.from == nil {
		from, ok := <-h.given
		if !ok {
			return 0, errNoPiece
		}
		h.from = from
	}
	return h.from.Read(p)
}

// seal makes a chunk file of a piece, and has the next one's gpg start meanwhile.
func (x *streamExport) seal(ctx context.Context, folder *os.Root, n int, piece io.Reader) error {
	if err := x.room(ctx); err != nil {
		return err
	}
	p := x.next
	x.next = nil
	if p == nil || p.chunk.N != n {
		p.drop()
		var err error
		if p, err = x.prepare(ctx, folder, n); err != nil {
			return err
		}
	}
	p.piece.given <- piece
	var err error
	if _, known := x.chunks[n+1]; !known {
		x.next, err = x.prepare(ctx, folder, n+1)
	}
	if err := errors.Join(err, <-p.done); err != nil {
		return fmt.Errorf("chunk %d: %w", n, err)
	}
	return x.sealed(ctx, p.chunk, p.file)
}

// sealed puts a chunk that is whole on record, and offers it to whoever uploads ahead.
func (x *streamExport) sealed(ctx context.Context, c state.Chunk, w chunk.Written) error {
	c.Plain, c.PlainSHA256 = w.Plain.Size, w.Plain.SHA256
	c.Size, c.SHA256, c.Hashes = w.Cipher.Size, w.Cipher.SHA256, w.Cipher.Hashes
	err := x.fx.Note(func(tx *state.Tx, r *state.Run) error {
		b, err := tx.MustBackup(c.Job, c.Backup)
		if err != nil {
			return err
		}
		if err := workflow.ChunkMachine.Fire(tx, &c.State, workflow.ChunkSeal); err != nil {
			return err
		}
		b.Sums.Sealed++
		b.Sums.PlainSealed += c.Plain
		b.Sums.BytesSealed += c.Size
		r.High.Raise(state.Progress{Sealed: b.Sums.Sealed})
		return errors.Join(tx.PutChunk(c), tx.PutBackup(b))
	})
	if err != nil {
		return err
	}
	x.chunks[c.N] = c
	x.offer(ctx, c)
	return nil
}
