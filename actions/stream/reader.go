package stream

import (
	"fmt"
	"io"
	"slices"
	"sync/atomic"
)

// maxProperties bounds what is read of a wrapper before a byte is passed on, in bytes. The properties of one dataset are a
// few kilobytes; the bound is for streams that lie about it.
const maxProperties = 16 << 20

// Reader passes a stream on as far as it was found right. It keeps back the header of a record until its sum was
// checked, and END until the stream has ended well: what reads from it never sees the end of a stream with which
// anything is wrong.
type Reader struct {
	from   io.Reader
	parser *Parser
	seen   []byte // by the parser, and not yet passed on
	free   int    // of them, those that may be
	pos    uint64 // where seen begins
	err    error
	over   atomic.Pointer[error] // err, for others
}

// Open begins to read the stream of the snapshot with the GUID to, on the base with the GUID from (0 for a full), and
// says what it is. It is an error if it is anything else.
func Open(from io.Reader, to, base uint64) (*Reader, Begin, error) {
	r := &Reader{from: from, parser: Of(to, base)}
	for {
		if begin, ok := r.parser.Begin(); ok {
			return r, begin, nil
		}
		if r.err != nil {
			return nil, Begin{}, r.err // never io.EOF: the parser wants a snapshot
		}
		if len(r.seen) > maxProperties {
			return nil, Begin{}, fmt.Errorf("%w: properties of more than %d bytes", ErrNoStream, maxProperties)
		}
		r.fill(4096)
	}
}

// Over is io.EOF once the stream has ended well, what is wrong with it once that has shown, and nil before. It may be
// asked while another goroutine reads.
func (r *Reader) Over() error {
	if err := r.over.Load(); err != nil {
		return *err
	}
	return nil
}

// Read gives the next bytes that were found right.
func (r *Reader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for r.free == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if room := len(b) - len(r.seen); room < HeaderSize {
			r.fill(len(b))
			continue
		}
		held := len(r.seen)
		n, err := r.from.Read(b[held:])
		copy(b, r.seen)
		b := b[:held+n]
		free := r.see(b, n, err)
		r.seen = append(r.seen[:0], b[free:]...)
		r.pos += uint64(free)
		if free > 0 {
			return free, nil
		}
	}
	n := copy(b, r.seen[:r.free])
	r.seen = slices.Delete(r.seen, 0, n)
	r.free -= n
	r.pos += uint64(n)
	return n, nil
}

// fill reads at most so many bytes.
func (r *Reader) fill(most int) {
	held := len(r.seen)
	r.seen = slices.Grow(r.seen, most)[:held+most]
	n, err := r.from.Read(r.seen[held:])
	r.seen = r.seen[:held+n]
	r.free = r.see(r.seen, n, err)
}

// see shows the parser the last N bytes of ALL, which begin at pos, and says how many of ALL may be passed on.
func (r *Reader) see(all []byte, n int, err error) int {
	_, perr := r.parser.Write(all[len(all)-n:])
	switch {
	case perr != nil:
		r.fail(perr)
	case err == io.EOF:
		if perr = r.parser.Close(); perr == nil {
			r.fail(err)
			return len(all)
		}
		r.fail(perr)
	case err != nil:
		r.fail(err)
	}
	return int(r.parser.safe() - r.pos)
}

func (r *Reader) fail(err error) {
	r.err = err
	r.over.Store(&err)
}
