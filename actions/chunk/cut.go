package chunk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// Cutter cuts a stream into pieces. It holds a buffer of constant size, whatever the size of the pieces.
type Cutter struct {
	stream *bufio.Reader
	size   int64
	piece  *piece
}

// NewCutter cuts R into pieces of SIZE bytes.
func NewCutter(r io.Reader, size int64) (*Cutter, error) {
	if size < 1 {
		return nil, fmt.Errorf("pieces of %d bytes", size)
	}
	return &Cutter{stream: bufio.NewReaderSize(r, 256<<10), size: size}, nil
}

// Next gives the next piece, once the one before was read to its end. Each has exactly the size, but the
// last, which is never empty. After it comes io.EOF.
func (c *Cutter) Next() (io.Reader, error) {
	if c.piece != nil && !c.piece.ended {
		return nil, errors.New("the piece before was not read to its end")
	}
	if _, err := c.stream.Peek(1); err != nil {
		return nil, err
	}
	c.piece = &piece{stream: c.stream, left: c.size}
	return c.piece, nil
}

type piece struct {
	stream io.Reader
	left   int64
	ended  bool
}

func (p *piece) Read(b []byte) (int, error) {
	if p.left == 0 {
		p.ended = true
		return 0, io.EOF
	}
	if int64(len(b)) > p.left {
		b = b[:p.left]
	}
	n, err := p.stream.Read(b)
	p.left -= int64(n)
	if err == io.EOF {
		p.ended = true
	}
	return n, err
}
