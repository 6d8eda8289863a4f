package stream

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrNoRestart is the error of a stream that a half-received dataset can't be gone on with.
var ErrNoRestart = errors.New("the half-received dataset can't be gone on with by this stream")

// Restarted is a reader of what `zfs receive -s` takes for a dataset that was received in part: a BEGIN that says where it
// goes on, what the object under way was made to be, and the stream from a record on, with sums that begin with that BEGIN. Its
// end comes only once all of the stream has been found right.
//
// The record is that of the dataset's receive_resume_token: the last that was received and is safe, and is received again
// (save_resume_state in module/zfs/dmu_recv.c). What comes before it is what `zfs send -t` would send. A stream with
// properties goes on without them: they were set when its receive began.
type Restarted struct {
	entry Entry
	token Token
	skip  uint64  // bytes that come before the entry
	sent  *Parser // of what is read
	in    *bufio.Reader
	trail trail
	whole *Parser // of what comes of it
	begun bool
	out   []byte // headers, and what is given again, that were not yet read
	left  uint64 // bytes of the payload that are to come
	ended bool   // END was passed on
	err   error
}

// Restart makes one of FROM, the stream of a snapshot from its byte AT on, which is not behind the entry.
func Restart(from io.Reader, at uint64, e Entry, t Token) *Restarted {
	r := &Restarted{entry: e, token: t, sent: e.parser(t.To, t.From), whole: Of(t.To, t.From), trail: e.trail.clone()}
	r.trail.most = 2 * maxBlock // it is read once, and need not be small
	if e.at > 0 {
		r.trail.inside = true
		if at > e.at {
			r.err = fmt.Errorf("%w: it begins at byte %d, behind the entry of its index at %d", ErrNoRestart, at, e.at)
			return r
		}
		r.skip = e.at - at
	}
	r.in = bufio.NewReaderSize(&parsed{&skipped{from, &r.skip}, r.sent}, 256<<10)
	return r
}

// skipped is a reader without its first bytes.
type skipped struct {
	r    io.Reader
	skip *uint64
}

func (s *skipped) Read(b []byte) (int, error) {
	if *s.skip > 0 {
		n, err := io.CopyN(io.Discard, s.r, int64(*s.skip))
		if *s.skip -= uint64(n); err != nil {
			return 0, err
		}
	}
	return s.r.Read(b)
}

// Read gives what is to be received.
func (r *Restarted) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for r.err == nil {
		var n int
		n, r.err = r.next(b)
		if n > 0 {
			return n, nil // an error comes with the next Read
		}
	}
	return 0, r.err
}

func (r *Restarted) next(b []byte) (int, error) {
	switch {
	case !r.begun:
		r.begun = true
		return 0, r.why(r.find())
	case len(r.out) > 0:
		n := copy(b, r.out)
		r.out = r.out[n:]
		return n, nil
	case r.left > 0:
		n, err := r.in.Read(b[:min(uint64(len(b)), r.left)])
		if n == 0 {
			return 0, r.why(noEnd(err))
		}
		r.left -= uint64(n)
		_, err = r.whole.Write(b[:n])
		return n, err
	case r.ended:
		return 0, io.EOF
	}
	h, err := r.header()
	if err == nil && h.Type() == TypeEnd {
		r.ended = true
		_, err = io.Copy(io.Discard, r.in) // the END of a wrapper; it is passed on only once nothing was wrong
	}
	if err != nil {
		return 0, r.why(err)
	}
	return 0, r.pass(h)
}

// find reads up to the record of the token, and leaves what is to come before it, and its header, in out.
func (r *Restarted) find() error {
	target := r.token.spot()
	nothing := spot{object: 1} // what a dataset has of which nothing was saved yet
	for {
		h, err := r.header()
		if err != nil {
			return err
		}
		n, err := h.Payload()
		if err != nil {
			return err
		}
		inner := r.trail.inside
		if inner && h.Type() == TypeEnd {
			return fmt.Errorf("%w: it has no record of object %d at %d", ErrNoRestart, target.object, target.offset)
		}
		at, is := h.spot()
		switch {
		case inner && (is && at == target || target == nothing && r.trail.last == (spot{})):
			return r.begin(target, h)
		case inner && is && target.before(at):
			return fmt.Errorf("%w: its record of object %d at %d comes without the one before it, of object %d at %d", ErrNoRestart, at.object, at.offset, target.object, target.offset)
		}
		if begin, err := h.begin(); h.Type() != TypeBegin && inner || err == nil && !begin.Compound {
			r.trail.record(&h, n)
		}
		if err := r.drop(n); err != nil {
			return err
		}
	}
}

// drop reads a payload that is not passed on.
func (r *Restarted) drop(n uint64) error {
	for n > 0 {
		b, err := r.in.Peek(int(min(n, 4096)))
		if err != nil {
			return noEnd(err)
		}
		r.trail.payload(b)
		if _, err := r.in.Discard(len(b)); err != nil {
			return err
		}
		n -= uint64(len(b))
	}
	return nil
}

// begin leaves in out what comes up to the header of the record at which it goes on.
func (r *Restarted) begin(at spot, h Header) error {
	t := &r.trail
	if t.begin == nil {
		return fmt.Errorf("%w: its BEGIN is not known", ErrNoRestart)
	}
	begin := t.begin.head
	features := Features(begin.u64(beginVersion) >> 2)
	switch {
	case features.Has(FeatureRedacted):
		return fmt.Errorf("%w: it is redacted", ErrNoRestart)
	case features.Has(FeatureResuming):
		return fmt.Errorf("%w: it is the rest of one itself", ErrNoRestart)
	}
	list, err := resuming(t.begin.payload, r.token)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint64(begin[beginVersion:], begin.u64(beginVersion)|uint64(FeatureResuming)<<2)
	binary.LittleEndian.PutUint32(begin[atPayload:], uint32(len(list)))
	again := []saved{{begin, list}}
	if features.Has(FeatureRaw) && t.last != (spot{}) {
		if t.ranged == nil || !t.ranged.head.covers(at.object) {
			return fmt.Errorf("%w: how object %d is encrypted is not known", ErrNoRestart, at.object)
		}
		again = append(again, *t.ranged)
	}
	if at.block {
		if !t.known || len(t.object) == 0 || t.object[0].head.Object() != at.object {
			return fmt.Errorf("%w: object %d is not known", ErrNoRestart, at.object)
		}
		again = append(again, t.object...)
	}
	for _, s := range again {
		if err := r.pass(s.head); err != nil {
			return err
		}
		if _, err := r.whole.Write(s.payload); err != nil {
			return err
		}
		r.out = append(r.out, s.payload...)
	}
	return r.pass(h)
}

// pass makes the sums of a header right, and leaves it in out.
func (r *Restarted) pass(h Header) error {
	r.whole.sign(&h)
	r.left, _ = h.Payload() // which the other parser has looked at
	r.out = append(r.out, h[:]...)
	_, err := r.whole.Write(h[:])
	return err
}

// header reads one.
func (r *Restarted) header() (h Header, err error) {
	_, err = io.ReadFull(r.in, h[:])
	return h, noEnd(err)
}

// noEnd is the error of a stream that ends where more is to come.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrCut
	}
	return err
}

// why prefers what the parser of what is read has found.
func (r *Restarted) why(err error) error {
	if err != nil && r.sent.err != nil {
		return r.sent.err
	}
	return err
}

// covers tells whether an OBJECT_RANGE says how an object is encrypted.
func (h *Header) covers(object uint64) bool {
	first, n := h.u64(atObject), h.u64(rangeCount)
	return object >= first && object-first < n
}

// resuming is the list behind a BEGIN that goes on, with what was in it before.
func resuming(list []byte, t Token) ([]byte, error) {
	var l nvlist
	l.set("resume_object", t.Object)
	l.set("resume_offset", t.Offset)
	packed := l.pack()
	if len(list) == 0 {
		return packed, nil
	}
	if _, err := unpack(list); err != nil {
		return nil, fmt.Errorf("%w: what is behind its BEGIN: %w", ErrNoRestart, err)
	}
	return append(packed[:len(packed)-4], list[nvHead:]...), nil
}

// spot is where the record is that comes first.
func (t *Token) spot() spot {
	return spot{object: t.Object, offset: t.Offset, block: t.Offset > 0}
}
