package stream

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// An index of a stream that is cut into pieces tells where in it a record is, so that a receive can go on there with no more
// than the pieces from there on. It is a line of text, and for each piece the length of its entry, as a varint, and the stored
// form of the entry; 0 and nothing where no record begins in a piece.

const indexHead = "zfs2cloud-index-1\n"

// maxEntry is more than any entry has, in bytes.
const maxEntry = maxBegin + maxTrail + 4<<10

// ErrIndex is the error of what is no index.
var ErrIndex = errors.New("not an index of a stream")

// IndexWriter writes an index. It holds none of it.
type IndexWriter struct {
	w     io.Writer
	begun bool
}

// NewIndexWriter writes one to W.
func NewIndexWriter(w io.Writer) *IndexWriter { return &IndexWriter{w: w} }

// Add writes the stored form of the next piece's entry, or nil.
func (w *IndexWriter) Add(entry []byte) error {
	var b []byte
	if !w.begun {
		w.begun = true
		b = append(b, indexHead...)
	}
	b = append(binary.AppendUvarint(b, uint64(len(entry))), entry...)
	_, err := w.w.Write(b)
	return err
}

// ReadIndex gives the entries of an index to a function, by number. It holds one of them.
func ReadIndex(r io.Reader, each func(n int, e Entry, there bool) error) (pieces int, err error) {
	in := bufio.NewReader(r)
	head := make([]byte, len(indexHead))
	if _, err := io.ReadFull(in, head); err != nil || string(head) != indexHead {
		return 0, fmt.Errorf("%w: %w", ErrIndex, errors.Join(err, errors.New("it has another beginning")))
	}
	for n := 0; ; n++ {
		length, err := binary.ReadUvarint(in)
		if err == io.EOF {
			return n, nil
		}
		if err != nil || length > maxEntry {
			return n, fmt.Errorf("%w: entry %d of %d bytes: %w", ErrIndex, n, length, err)
		}
		b := make([]byte, length)
		if _, err := io.ReadFull(in, b); err != nil {
			return n, fmt.Errorf("%w: entry %d: %w", ErrIndex, n, noEnd(err))
		}
		var e Entry
		if length > 0 {
			if err := e.UnmarshalBinary(b); err != nil {
				return n, fmt.Errorf("%w: entry %d: %w", ErrIndex, n, err)
			}
		}
		if err := each(n, e, length > 0); err != nil {
			return n, err
		}
	}
}

// Find finds in an index the last piece from whose entry on a receive can go on for a token. It is piece 0 with the zero Entry,
// the beginning of the stream, if there is none.
func Find(r io.Reader, t Token) (piece int, e Entry, err error) {
	var begin *saved
	target := t.spot()
	_, err = ReadIndex(r, func(n int, next Entry, there bool) error {
		if begin == nil {
			begin = next.trail.begin
		}
		if there && begin != nil && next.leadsTo(target) {
			piece, e = n, next
		}
		return nil
	})
	if err == nil && e.at > 0 {
		e.trail.begin = begin
	}
	return piece, e, err
}
