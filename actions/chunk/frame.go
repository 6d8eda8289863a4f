package chunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// framed passes a message on for as long as it has the form of ours: the head that checkHead knows, the body that
// comes behind it, and then the end.
//
// gpg is more generous. Armor, and packets that say nothing to it, before or behind a message, it takes off without a
// word, its status as it should be (seen with 2.2.40 and files: a marker, a trust or a private packet, a second symmetric-key
// packet). Whoever can write to a remote could make other objects of a message in that way.
type framed struct {
	r      io.Reader
	head   []byte
	length []byte // of the next part, as far as it was read
	left   int64  // bytes of the part that are still to come
	last   bool   // of its parts
}

// Read gives what has the form. The error is ErrPassphrase (wrapped) at the first piece that has not, and at an end
// that comes too early.
func (f *framed) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	formErr := f.see(p[:n])
	if formErr == nil && err == io.EOF && !(f.last && f.left == 0) {
		formErr = errors.New("it is cut off")
	}
	if formErr != nil {
		return 0, fmt.Errorf("%w (%w)", ErrPassphrase, formErr)
	}
	return n, err
}

func (f *framed) see(p []byte) error {
	for len(p) > 0 {
		switch {
		case len(f.head) < headLen:
			n := min(headLen-len(f.head), len(p))
			f.head, p = append(f.head, p[:n]...), p[n:]
			if len(f.head) < headLen {
				continue
			}
			if err := checkHead(f.head); err != nil {
				return err
			}
		case f.left > 0:
			n := min(f.left, int64(len(p)))
			f.left, p = f.left-n, p[n:]
		case f.last:
			return errors.New("something comes behind it")
		default:
			f.length, p = append(f.length, p[0]), p[1:]
			if n, last, known := partLength(f.length); known {
				f.left, f.last, f.length = n, last, f.length[:0]
			}
		}
	}
	return nil
}

// partLength reads the length of a part of a packet's body, which has one, two or five bytes: RFC 4880, 4.2.2. The last
// part has one of another kind than those before.
func partLength(b []byte) (n int64, last, known bool) {
	switch first := b[0]; {
	case first < 192:
		return int64(first), true, true
	case first < 224:
		if len(b) < 2 {
			return 0, false, false
		}
		return int64(first-192)<<8 + int64(b[1]) + 192, true, true
	case first < 255:
		return 1 << (first & 0x1f), false, true
	case len(b) < 5:
		return 0, false, false
	}
	return int64(binary.BigEndian.Uint32(b[1:5])), true, true
}
