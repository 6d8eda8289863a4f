package remote

import (
	"context"
	"errors"
	"io"
	"time"
)

// ctxReader ends a copy when the context does.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// meter counts what is read through it, and says so once a second.
type meter struct {
	r      io.Reader
	now    func() time.Time
	report func(int64)
	done   int64
	said   time.Time
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.done += int64(n)
	if now := m.now(); m.report != nil && now.Sub(m.said) >= time.Second {
		m.said = now
		m.report(m.done)
	}
	return n, err
}

// copyAll copies with a large buffer and nothing clever: the kernel's own copying listens to no context.
func copyAll(ctx context.Context, to io.Writer, from io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{to}, ctxReader{ctx, from}, make([]byte, 1<<20))
}

// capped passes on so many bytes, and then is an error.
type capped struct {
	to   io.Writer
	left int64
	err  error // what to say beyond
	n    int64
}

func (c *capped) Write(p []byte) (int, error) {
	if int64(len(p)) > c.left {
		return 0, c.err
	}
	n, err := c.to.Write(p)
	c.left -= int64(n)
	c.n += int64(n)
	return n, err
}

var errMore = errors.New("more bytes came than there should be")
