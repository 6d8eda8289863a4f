package proc

import (
	"bytes"
	"io"
	"strings"
)

const (
	ringBytes = 4 << 10
	ringLines = 20
)

// ring keeps the end of what was written to it.
type ring struct {
	data []byte
	cut  bool // something before data is gone
}

func (r *ring) Write(p []byte) (int, error) {
	r.data = append(r.data, p...)
	if over := len(r.data) - ringBytes; over > 0 {
		r.data = append(r.data[:0], r.data[over:]...)
		r.cut = true
	}
	return len(p), nil
}

// String is the last lines, whole ones if there is a whole one, with secrets in addresses masked.
func (r *ring) String() string {
	text := r.data
	if r.cut {
		if _, whole, found := bytes.Cut(text, []byte("\n")); found && len(whole) > 0 {
			text = whole
		}
	}
	lines := strings.Split(strings.TrimRight(string(text), "\r\n"), "\n")
	if len(lines) > ringLines {
		lines = lines[len(lines)-ringLines:]
	}
	return maskText(strings.Join(lines, "\n"))
}

// courtesy writes to the ring, and passes a copy on for as long as the other takes it: that nobody wants
// to read a child's messages any more is no reason for the child to fail.
type courtesy struct {
	io.Writer
	keeps   *ring
	refused bool
}

func (c *courtesy) Write(p []byte) (int, error) {
	if !c.refused {
		_, err := c.Writer.Write(p)
		c.refused = err != nil
	}
	return c.keeps.Write(p)
}
