package stream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// ErrOtherwise is the error of what is sent to continue a stream, and is not its continuation: it can't be used.
var ErrOtherwise = errors.New("what is sent to continue the stream is not its continuation")

// RecutError is the error of what continues a stream, and does not join what there is of it to the byte: the snapshot
// gives another stream than before. From Point on all of it can be used; what there is behind Point can't.
type RecutError struct {
	Point uint64 // in bytes of the stream
	At    uint64 // up to here there is another
}

func (e *RecutError) Error() string {
	return fmt.Sprintf("what is sent to continue the stream differs from what there is of it, somewhere in its bytes %d to %d: it has to be taken from byte %d on",
		e.Point, e.At-1, e.Point)
}

// Splice is a reader of the rest of a stream, behind a Mark. It makes it of what `zfs send -t` sends for the mark's
// Token: the stream from a record on, with a BEGIN of its own and sums that begin with it.
//
// BEGIN must be that of the stream, and what is sent of what there is already must be equal to it, to the byte. The rest
// is passed on with the sums that it would have had. Its end is checked as a Parser does.
type Splice struct {
	mark   Mark
	sent   *Parser // of what is sent
	in     *bufio.Reader
	whole  *Parser // of the stream that comes of it
	begun  bool
	head   Header
	out    []byte // of head, or of the END of the wrapper, what was not yet read
	left   uint64 // bytes of the payload that are to come
	ended  bool   // the last record was passed on
	err    error
	joined bool // what there was is proved
}

// maxRepeated is how many records come at most before the one at the point: its OBJECT_RANGE, and what makes the object
// what it was before that block. One to four were seen with OpenZFS 2.1.
const maxRepeated = 64

// Continue makes a Splice of what is sent for a mark's Token.
func Continue(m Mark, sent io.Reader) *Splice {
	s := &Splice{mark: m, sent: Of(m.own.to, m.own.from), whole: m.parser()}
	s.in = bufio.NewReaderSize(&parsed{sent, s.sent}, 256<<10)
	return s
}

// parsed shows a parser what is read, and gives nothing of a record at which it has found something wrong: each header that
// is passed on proves what came before it.
type parsed struct {
	r io.Reader
	p *Parser
}

func (r *parsed) Read(b []byte) (int, error) {
	before := r.p.size
	n, err := r.r.Read(b)
	if _, perr := r.p.Write(b[:n]); perr != nil {
		return int(max(r.p.size, before) - before), perr
	}
	if err == io.EOF {
		if cerr := r.p.Close(); cerr != nil {
			err = cerr
		}
	}
	return n, err
}

// Read gives the stream from Mark.At on.
func (s *Splice) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for s.err == nil {
		var n int
		n, s.err = s.next(b)
		if n > 0 {
			return n, nil // an error comes with the next Read
		}
	}
	return 0, s.err
}

// Join reads until what there is of the stream has come again, and gives a parser that has seen it, for what is read then.
func (s *Splice) Join() (*Parser, error) {
	buf := make([]byte, 64<<10) // nothing is given of what there is
	for s.err == nil && !s.joined {
		_, s.err = s.next(buf)
	}
	if !s.joined {
		return nil, s.err
	}
	p := *s.whole
	s.whole.trail = nil // which is the other's now
	return &p, nil
}

// next gives some bytes, or none while what there is goes by.
func (s *Splice) next(b []byte) (int, error) {
	if !s.begun {
		s.begun = true
		return 0, s.why(s.find())
	}
	if len(s.out) == 0 && s.left == 0 {
		if err := s.record(); err != nil {
			return 0, s.why(err)
		}
	}
	var piece []byte
	if len(s.out) > 0 {
		piece = s.out[:min(len(s.out), len(b), s.most())]
		s.out = s.out[len(piece):]
		copy(b, piece)
	} else {
		n, err := s.in.Read(b[:min(uint64(len(b)), s.left, uint64(s.most()))])
		if n == 0 {
			return 0, s.why(err)
		}
		piece = b[:n]
		s.left -= uint64(n)
	}
	there := !s.joined
	if _, err := s.whole.Write(piece); err != nil {
		return 0, err
	}
	if there {
		return 0, s.join()
	}
	return len(piece), nil
}

// most is how many bytes may go by in one piece: none that is partly there.
func (s *Splice) most() int {
	if s.joined {
		return 1 << 30
	}
	return int(min(s.mark.At-s.whole.size, 1<<30))
}

// join proves what there is, once it has gone by.
func (s *Splice) join() error {
	p, m := s.whole, &s.mark
	recut := &RecutError{Point: m.point.start, At: m.At}
	if p.point.kind != TypeBegin && p.point.start == m.point.start && p.point != m.point && p.size == p.point.end {
		return recut // the point itself: no need to wait
	}
	if p.size < m.At {
		return nil
	}
	if p.tail() != m.tail {
		return recut
	}
	s.joined = true
	return nil
}

// find reads up to the record at the point, and leaves its header in head, to be passed on.
func (s *Splice) find() error {
	begin, err := s.header()
	if err != nil {
		return err
	}
	if begin.Type() != TypeBegin {
		return fmt.Errorf("%w: it begins with %s", ErrOtherwise, begin.Type())
	}
	is, was := begin.identity(), s.mark.own
	if !is.features.Has(FeatureResuming) {
		return fmt.Errorf("%w: it begins at its beginning", ErrOtherwise)
	}
	is.features &^= FeatureResuming
	was.features &^= FeatureResuming
	if is != was {
		return fmt.Errorf("%w: its BEGIN differs: features %q instead of %q, flags %x instead of %x", ErrOtherwise, is.features, was.features, is.flags, was.flags)
	}
	h := begin
	for range maxRepeated {
		n, err := h.Payload()
		if err != nil {
			return err
		}
		if _, err := s.in.Discard(int(n)); err != nil {
			return err
		}
		if h, err = s.header(); err != nil {
			return err
		}
		if point := s.mark.point; h.Type() == point.kind && h.Object() == point.object && h.Offset() == point.offset {
			s.pass(h)
			s.joined = s.mark.At == s.whole.size // there is nothing of it
			return nil
		}
		if h.Type() == TypeEnd {
			break
		}
	}
	return fmt.Errorf("%w: %s of object %d at %d is not among its first records", ErrOtherwise, s.mark.point.kind, s.mark.point.object, s.mark.point.offset)
}

// record takes the next record, to be passed on.
func (s *Splice) record() error {
	if s.whole.place == over {
		if s.ended {
			return io.EOF
		}
		s.ended = true
		if !s.joined {
			return &RecutError{Point: s.mark.point.start, At: s.mark.At}
		}
		return io.EOF
	}
	if s.whole.place == between { // the END of the wrapper, which is not sent again
		s.head = Header{atType: byte(TypeEnd)}
		s.out, s.left = s.head[:], 0
		return nil
	}
	h, err := s.header()
	if err == nil && h.Type() == TypeEnd {
		err = s.over() // END is passed on only then
	}
	if err != nil {
		return err
	}
	s.pass(h)
	return nil
}

// over is nil if there is nothing more of what is sent, and all of it was right.
func (s *Splice) over() error {
	switch _, err := s.in.ReadByte(); err {
	case io.EOF:
		return nil
	case nil:
		return ErrMore
	default:
		return err
	}
}

// pass makes the sums of a header those that it has in the whole stream, and passes it on.
func (s *Splice) pass(h Header) {
	s.whole.sign(&h)
	s.head = h
	s.out = s.head[:]
	s.left, _ = h.Payload() // which the other parser has looked at
}

// header reads one.
func (s *Splice) header() (h Header, err error) {
	_, err = io.ReadFull(s.in, h[:])
	return h, err
}

// why prefers what the parser of what is sent has found.
func (s *Splice) why(err error) error {
	if err != nil && s.sent.err != nil {
		return s.sent.err
	}
	return err
}
