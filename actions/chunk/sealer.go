package chunk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"zfs2cloud/actions/settings"
	"zfs2cloud/workflow"
)

// Sealer turns plaintext into a message and back. It reads its input to the end, and a nil error means that
// all was read, and all that was due was written.
type Sealer interface {
	// Seal makes one message of all of PLAIN.
	Seal(ctx context.Context, plain io.Reader, cipher io.Writer) error
	// Open writes the plaintext of a message that is known to have plainLen bytes. What was written before
	// an error is anybody's.
	Open(ctx context.Context, cipher io.Reader, plain io.Writer, plainLen int64) error
	// OpenAtMost is Open for a plaintext of which only a bound is known.
	OpenAtMost(ctx context.Context, cipher io.Reader, plain io.Writer, most int64) error
	// Derived is the same Sealer under another passphrase: this one with the label after it. What is sealed
	// under it can't have been sealed as a chunk, and the other way round.
	Derived(label string) Sealer
	// Kind says what it makes, for file names.
	Kind() settings.Encryption
}

// CouldNotRun tells the error of a gpg that did not come to a verdict from one that did.
func CouldNotRun(err error) bool {
	var exit *workflow.ExitError
	var file *fs.PathError
	return errors.Is(err, workflow.ErrNoProgram) || errors.As(err, &exit) || errors.As(err, &file)
}

// Plain seals nothing: it is for remotes that encrypt by themselves, and only where the config says so.
type Plain struct{}

func (Plain) Kind() settings.Encryption { return settings.None }

func (p Plain) Derived(string) Sealer { return p }

func (Plain) Seal(ctx context.Context, plain io.Reader, cipher io.Writer) error {
	_, err := io.Copy(cipher, &reader{ctx: ctx, r: plain})
	return err
}

func (Plain) Open(ctx context.Context, cipher io.Reader, plain io.Writer, plainLen int64) error {
	out := &writer{w: plain, left: plainLen}
	if _, err := io.Copy(out, &reader{ctx: ctx, r: cipher}); err != nil {
		return err
	}
	if out.n != plainLen {
		return fmt.Errorf("%w: %d bytes instead of %d", ErrDiffers, out.n, plainLen)
	}
	return nil
}

func (Plain) OpenAtMost(ctx context.Context, cipher io.Reader, plain io.Writer, most int64) error {
	_, err := io.Copy(&writer{w: plain, left: most}, &reader{ctx: ctx, r: cipher})
	return err
}

// reader remembers how reading ended, since whoever copies for a child may keep it to himself. A read error
// that looks like an end would make a perfectly valid, short message. Its reader may still be at work when
// the child is gone.
type reader struct {
	ctx context.Context
	r   io.Reader

	mu    sync.Mutex
	state readState
}

type readState struct {
	n   int64
	eof bool
	err error
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.n += int64(n)
	switch {
	case err == io.EOF:
		r.state.eof = true
	case err != nil:
		r.state.err = err
	}
	return n, err
}

func (r *reader) now() readState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// writer counts, refuses more than is left, and keeps the first bytes and the first error.
type writer struct {
	w    io.Writer
	n    int64
	left int64
	head []byte
	err  error
}

func (w *writer) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		w.err = fmt.Errorf("%w: more than %d bytes", ErrDiffers, w.n+w.left)
		return 0, w.err
	}
	if missing := headLen - len(w.head); missing > 0 {
		w.head = append(w.head, p[:min(missing, len(p))]...)
	}
	n, err := w.w.Write(p)
	w.n += int64(n)
	w.left -= int64(n)
	if err != nil {
		w.err = err
	}
	return n, err
}
