package stream

import "fmt"

// Ends is an io.Writer that a stream flows through, in whatever pieces, and that remembers its ends.
// The zero value is ready.
type Ends struct {
	size  uint64
	first window // the first record
	inner window // in a compound stream, the stream's own BEGIN
	last  tail
}

// Write never fails.
func (e *Ends) Write(p []byte) (int, error) {
	e.first.see(e.size, p)
	if !e.inner.set && e.first.full() {
		e.inner = window{set: true, at: innerAt(e.first.bytes())}
	}
	e.inner.see(e.size, p)
	e.last.see(p)
	e.size += uint64(len(p))
	return len(p), nil
}

// innerAt is where a compound stream's own BEGIN is: behind the wrapper's BEGIN, the properties, and the
// wrapper's END. In any other stream it is at 0: the first record is the stream's own.
func innerAt(first []byte) uint64 {
	begin, err := ParseBegin(first)
	if err != nil || !begin.Compound {
		return 0
	}
	return HeaderSize + begin.payload + HeaderSize
}

// Size is the number of bytes that flowed by.
func (e *Ends) Size() uint64 { return e.size }

// Check says whether the stream that flowed by was that of the snapshot with the GUID to, on the base
// with the GUID from (0 for a full), and whether it was there to its end: nil, or an error that is
// ErrNoStream, ErrOther or ErrCut.
func (e *Ends) Check(to, from uint64) error {
	outer, err := ParseBegin(e.first.bytes())
	if err != nil {
		return err
	}
	begin := outer
	if outer.Compound {
		if begin, err = ParseBegin(e.inner.bytes()); err != nil {
			return fmt.Errorf("within the wrapper of its properties: %w", err)
		}
		if begin.Compound {
			return fmt.Errorf("%w: a wrapper within a wrapper", ErrNoStream)
		}
	}
	if err := begin.names(to, from); err != nil {
		return err
	}
	return e.ended(outer, begin)
}

// ended checks the records at the end: END with the snapshot's GUID, and behind it, if there is a wrapper,
// the END of zeros.
func (e *Ends) ended(outer, begin Begin) error {
	beyond := e.inner.at + HeaderSize + begin.payload // END comes behind BEGIN, wherever that is
	back := uint64(HeaderSize)                        // from the end of the stream to its END
	if outer.Compound {
		back += HeaderSize
		if e.size < beyond+back || !isEnd(e.last.fromEnd(HeaderSize), outer.order, 0) {
			return fmt.Errorf("%w: after %d bytes, without the END record of its wrapper", ErrCut, e.size)
		}
	}
	if e.size < beyond+back || !isEnd(e.last.fromEnd(int(back)), begin.order, begin.To) {
		return fmt.Errorf("%w: after %d bytes, without its END record", ErrCut, e.size)
	}
	return nil
}

// window keeps the header that begins at one offset of a stream.
type window struct {
	set bool
	at  uint64
	n   int
	buf [HeaderSize]byte
}

// see is shown the piece of the stream that begins at pos. Pieces come in order.
func (w *window) see(pos uint64, p []byte) {
	next := w.at + uint64(w.n)
	if w.full() || pos+uint64(len(p)) <= next || pos > next {
		return
	}
	w.n += copy(w.buf[w.n:], p[next-pos:])
}

func (w *window) full() bool    { return w.n == HeaderSize }
func (w *window) bytes() []byte { return w.buf[:w.n] }

// tail keeps the last two headers' worth of a stream.
type tail struct {
	n   int
	buf [2 * HeaderSize]byte
}

func (t *tail) see(p []byte) {
	p = p[max(0, len(p)-len(t.buf)):]
	if drop := t.n + len(p) - len(t.buf); drop > 0 {
		t.n = copy(t.buf[:], t.buf[drop:t.n])
	}
	t.n += copy(t.buf[t.n:], p)
}

// fromEnd is the header that begins n bytes before the end; so much must have been seen.
func (t *tail) fromEnd(n int) []byte { return t.buf[t.n-n:][:HeaderSize] }
