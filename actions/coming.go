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

// coming is a chunk file on its way. Its gpg is started before its turn, and derives its key (0.1 to 0.2 s) while
// the piece before still flows; when its own piece has gone by, the next one flows while it reaches the disk.
type coming struct {
	chunk state.Chunk
	piece *handoff
	from  *checked      // what is in the piece, once it was given
	done  chan struct{} // closed when the two below are final
	file  chunk.Written
	err   error
}

// prepare puts the intent of a chunk on record and starts to seal it. A file of that name from before was
// never put on record as sealed, so nobody knows what is in it: it is written again.
func (x *streamExport) prepare(ctx context.Context, folder *os.Root, n int) (*coming, error) {
	c, err := x.ledger.at(n)
	if err != nil {
		return nil, err
	}
	if !stands(c) {
		c = state.Chunk{Job: x.backup.Job, Backup: x.backup.Name, N: n, Gen: c.Gen + 1}
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
	}
	p := &coming{chunk: c, piece: newHandoff(), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.file, p.err = chunk.WriteFile(ctx, folder, c.Name, p.piece, x.sealer, x.kinds)
	}()
	return p, nil
}

// drop ends the sealing of a chunk that gets no piece, and waits for it. One that has a piece ends with its context.
func (p *coming) drop() {
	if p != nil {
		close(p.piece.given)
		<-p.done
	}
}

// gone waits until the stream can go on behind the chunk's piece.
func (p *coming) gone() error {
	select {
	case <-p.piece.over:
		return nil
	case <-p.done:
		return p.err
	}
}

// handoff is a reader of what it is yet to be given.
type handoff struct {
	given chan io.Reader
	from  io.Reader
	over  chan struct{} // closed when all of it was read
}

func newHandoff() *handoff {
	return &handoff{given: make(chan io.Reader, 1), over: make(chan struct{})}
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
	n, err := h.from.Read(p)
	if err == io.EOF {
		select {
		case <-h.over:
		default:
			close(h.over)
		}
	}
	return n, err
}

// seal makes a chunk file of a piece, and returns when the piece has gone by. Meanwhile the chunk before is put on
// record, and the next one's gpg starts.
func (x *streamExport) seal(ctx context.Context, folder *os.Root, n int, piece *checked) error {
	if err := x.room(ctx, n); err != nil {
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
	before := x.last
	x.last = p
	p.from = piece
	p.piece.given <- piece
	if err := x.record(ctx, before); err != nil {
		return err
	}
	c, err := x.ledger.at(n + 1)
	if err == nil && !stands(c) {
		x.next, err = x.prepare(ctx, folder, n+1)
	}
	if err != nil {
		return err
	}
	if err := p.gone(); err != nil {
		return fmt.Errorf("chunk %d: %w", n, err)
	}
	return nil
}

// settle puts the chunk on record whose piece went by last.
func (x *streamExport) settle(ctx context.Context) error {
	last := x.last
	x.last = nil
	return x.record(ctx, last)
}

// keep puts the chunk on record whose piece had gone by as a whole before something failed.
func (x *streamExport) keep(ctx context.Context) {
	if x.last == nil {
		return
	}
	select {
	case <-x.last.piece.over:
		n := x.last.chunk.N
		if err := x.settle(ctx); err != nil {
			x.s.Log().Info("a chunk is dropped, and sealed again", "chunk", n, "err", err)
		}
	default:
	}
}

// record waits until a chunk's file is whole, puts it on record, and offers it to whoever uploads ahead.
func (x *streamExport) record(ctx context.Context, p *coming) error {
	if p == nil {
		return nil
	}
	if <-p.done; p.err != nil {
		return fmt.Errorf("chunk %d: %w", p.chunk.N, p.err)
	}
	c, w := p.chunk, p.file
	c.Plain, c.PlainSHA256 = w.Plain.Size, w.Plain.SHA256
	c.Size, c.SHA256, c.Hashes = w.Cipher.Size, w.Cipher.SHA256, w.Cipher.Hashes
	c.Resume, c.Entry = p.from.behind, p.from.entry
	err := x.fx.Note(func(tx *state.Tx, r *state.Run) error {
		b, err := moveChunk(tx, &c, workflow.ChunkSeal)
		r.High.Raise(state.Progress{Sealed: b.Sums.Sealed})
		return err
	})
	if err != nil {
		return err
	}
	x.offer(ctx, c)
	return nil
}
