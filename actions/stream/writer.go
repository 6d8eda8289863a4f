package stream

import (
	"fmt"
	"io"
)

// Writer writes records, and makes their sums.
type Writer struct {
	w io.Writer
	p Parser
}

// NewWriter writes a stream.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Record writes a record with its payload. What is in the header in place of sums does not matter. It is an error if the
// record may not come here, or its payload is not as long as the header says.
func (w *Writer) Record(h Header, payload []byte) error {
	if n, err := h.Payload(); err != nil || n != uint64(len(payload)) {
		return fmt.Errorf("%s with a payload of %d bytes, not %d: %w", h.Type(), len(payload), n, err)
	}
	w.p.sign(&h)
	for _, b := range [][]byte{h[:], payload} {
		if _, err := w.p.Write(b); err != nil {
			return err
		}
		if _, err := w.w.Write(b); err != nil {
			return err
		}
	}
	return nil
}
