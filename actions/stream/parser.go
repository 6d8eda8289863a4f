package stream

import "fmt"

// Parser is an io.Writer that a stream flows through, in whatever pieces, and that says what is wrong with it as
// soon as it shows. It allocates nothing, unless it is to Follow. The zero value takes any stream; Of makes one that
// demands a certain one.
type Parser struct {
	// Seen, if not nil, is shown each record as soon as its header was found right; it must not keep it. Its
	// payload comes later.
	Seen func(*Header)

	only     bool // a stream that is to be of one snapshot:
	to, from uint64

	place place
	size  uint64 // bytes of the stream that were seen, and were right, as far as that can be told yet
	good  uint64 // of them, those that a sum has proved
	start uint64 // where the record begins that is under way, or ended last
	head  Header
	have  int    // bytes of it
	left  uint64 // bytes of its payload that are to come

	sums uint64  // that were there, and right
	sum  Sum     // since the last BEGIN, up to the last whole word
	word [4]byte // a word that came in pieces
	odd  int     // bytes of it

	outer, own Begin  // the wrapper's, and the last one of a snapshot's stream
	ownAt      uint64 // where that begins
	id         identity
	streams    int    // BEGINs of snapshots' streams
	ends       uint64 // where the ENDs begin that were seen last
	ending     bool   // nothing but ENDs was seen since ends

	point, open point // where a send can be taken up again: the last such record, and one whose payload still flows
	err         error

	trail   *trail // nil unless it is kept
	watched bool   // the next record that begins makes entry
	entry   Entry
}

// place is what may come next.
type place int

const (
	atStart   place = iota // BEGIN
	inWrapper              // the END of a compound stream's list of properties
	between                // in a compound stream, BEGIN or the last END
	inStream               // a record of a snapshot's stream
	over                   // nothing
)

// Of makes a Parser that demands the stream of the snapshot with the GUID to, on the base with the GUID from (0
// for a full), and of no other beside it.
func Of(to, from uint64) *Parser { return &Parser{only: true, to: to, from: from} }

// Size is the number of bytes that were seen, up to the record at which an error showed.
func (p *Parser) Size() uint64 { return p.size }

// Begin is the BEGIN of the snapshot's stream that was seen last, and whether one was.
func (p *Parser) Begin() (Begin, bool) { return p.own, p.streams > 0 }

// Streams is how many snapshots' streams have begun.
func (p *Parser) Streams() int { return p.streams }

// Wrapper tells whether the stream is a compound one.
func (p *Parser) Wrapper() bool { return p.outer.Compound }

// Write is shown the next bytes. Once there was an error, it stays.
func (p *Parser) Write(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	all := len(b)
	for len(b) > 0 {
		if p.left == 0 {
			if p.place == over {
				p.err = fmt.Errorf("%w, at byte %d", ErrMore, p.size)
				return all - len(b), p.err
			}
			if p.have == 0 {
				p.start = p.size
				p.note()
			}
			n := copy(p.head[p.have:], b)
			p.have += n
			p.size += uint64(n)
			b = b[n:]
			if p.have < HeaderSize {
				break
			}
			p.have = 0
			if p.err = p.record(); p.err != nil {
				p.size = p.start
				return all - len(b), p.err
			}
			continue
		}
		n := int(min(p.left, uint64(len(b))))
		p.payload(b[:n])
		if p.trail != nil {
			p.trail.payload(b[:n])
		}
		b = b[n:]
		p.size += uint64(n)
		if p.left -= uint64(n); p.left == 0 {
			p.close()
		}
	}
	return all, nil
}

// payload goes on with the sum over bytes of a payload, whose length is a multiple of a word's.
func (p *Parser) payload(b []byte) {
	if p.odd > 0 {
		n := copy(p.word[p.odd:], b)
		b = b[n:]
		if p.odd += n; p.odd < len(p.word) {
			return
		}
		p.sum.add(p.word[:])
	}
	whole := len(b) &^ 3
	p.sum.add(b[:whole])
	p.odd = copy(p.word[:], b[whole:])
}

// close ends a record: all of it was seen.
func (p *Parser) close() {
	if p.open.kind != TypeBegin {
		p.open.end, p.open.after = p.size, p.sum
		p.point, p.open = p.open, point{}
	}
}

// record takes a header that is complete.
func (p *Parser) record() error {
	h := &p.head
	if h.Type() == TypeBegin || p.place == atStart {
		if err := p.begin(); err != nil {
			return err
		}
	} else if err := p.proved(); err != nil {
		return err
	}
	n, err := h.Payload()
	if err != nil {
		return p.damaged(err.Error())
	}
	if p.Seen != nil {
		p.Seen(h)
	}
	if p.trail != nil && p.place == inStream {
		p.trail.record(h, n)
	}
	p.left = n
	if p.left == 0 {
		p.close()
	}
	return nil
}

// begin takes a BEGIN.
func (p *Parser) begin() error {
	begin, err := p.head.begin()
	switch {
	case err != nil && p.place == atStart:
		return err
	case err != nil:
		return p.damaged(err.Error())
	case p.place == atStart && begin.Compound:
		p.outer, p.place = begin, inWrapper
	case p.place != atStart && p.place != between:
		return p.damaged("BEGIN within a stream")
	case begin.Compound:
		return p.damaged("BEGIN of a compound stream within another")
	case p.only && p.streams > 0:
		return fmt.Errorf("%w: a second one begins at byte %d", ErrMore, p.start)
	case p.only && (begin.To != p.to || begin.From != p.from):
		return fmt.Errorf("%w: snapshot GUID %d from %d, not %d from %d", ErrOther, begin.To, begin.From, p.to, p.from)
	default:
		p.own, p.ownAt, p.id, p.place = begin, p.start, p.head.identity(), inStream
		p.streams++
	}
	p.ending = false
	p.point, p.open = point{}, point{}
	p.sum = Sum{}
	p.sum.add(p.head[:])
	return nil
}

// proved takes any other record: it must be one that may come here, and its sums must be right.
func (p *Parser) proved() error {
	h := &p.head
	kind := h.Type()
	if kind >= Types {
		return p.damaged(fmt.Sprintf("there is no record of type %d", uint32(kind)))
	}
	if kind == TypeEnd && !p.ending {
		p.ends, p.ending = p.start, true
	}
	if p.place == between { // END of the wrapper: nothing is set in it, and there is no sum
		if kind != TypeEnd {
			return p.damaged(fmt.Sprintf("%s between two streams", kind))
		}
		p.place = over
		return nil
	}
	before := p.sum
	p.sum.add(h[:atSum])
	if kind == TypeEnd {
		if sumAt(h[endSum:]) != before {
			return p.damaged("END, whose sum is not that of what came before it,")
		}
		p.good = p.start
		p.sums++
	}
	if stored := sumAt(h[atSum:]); stored != (Sum{}) {
		if stored != p.sum {
			return p.damaged(fmt.Sprintf("%s, whose sum is not that of what came before it,", p.describe()))
		}
		p.good = p.size
		p.sums++
	}
	p.sum.add(h[atSum:])
	switch {
	case kind == TypeEnd:
		return p.end()
	case p.place == inWrapper:
		return p.damaged(fmt.Sprintf("%s before the end of the properties", kind))
	case kind == TypeObject || kind == TypeWrite:
		p.open = point{kind: kind, start: p.start, before: before, object: h.Object(), offset: h.Offset()}
	}
	return nil
}

// end takes the END of properties, or of a snapshot's stream.
func (p *Parser) end() error {
	var of uint64
	if p.place == inStream {
		of = p.own.To
	}
	if to := p.head.u64(endTo); to != of {
		return p.damaged(fmt.Sprintf("END of another stream (GUID %d)", to))
	}
	p.place = over
	if p.outer.Compound {
		p.place = between
	}
	return nil
}

// sign makes the sums of a header right that comes next.
func (p *Parser) sign(h *Header) {
	if h.Type() == TypeBegin || p.place == between {
		return // which have none
	}
	sum := p.sum
	if h.Type() == TypeEnd {
		sum.put(h[endSum:])
	}
	if clear(h[atSum:]); p.place == inWrapper {
		return // OpenZFS makes only the other one there
	}
	sum.add(h[:atSum])
	sum.put(h[atSum:])
}

// describe names the record under way.
func (p *Parser) describe() string {
	h := &p.head
	if object := h.Object(); object != 0 {
		return fmt.Sprintf("%s of object %d", h.Type(), object)
	}
	return h.Type().String()
}

func (p *Parser) damaged(what string) error {
	return &DamagedError{Good: p.good, At: p.start, What: what}
}

// Close is told that the stream has ended, and says whether it was there to its end.
func (p *Parser) Close() error {
	if p.err == nil && p.place == atStart && p.have >= beginVersion && p.head.u64(beginMagic) != magic {
		p.err = fmt.Errorf("%w: no BEGIN record", ErrNoStream)
	}
	if p.err == nil && p.place != over {
		p.err = fmt.Errorf("%w: %s", ErrCut, p.missing())
	}
	if p.err == nil && p.only && p.streams == 0 {
		p.err = fmt.Errorf("%w: there is no snapshot in it", ErrOther)
	}
	return p.err
}

func (p *Parser) missing() string {
	switch {
	case p.streams == 0:
		return fmt.Sprintf("after %d bytes, within its first records", p.size)
	case p.place == between:
		return fmt.Sprintf("after %d bytes, without the END record of its wrapper", p.size)
	}
	return fmt.Sprintf("after %d bytes, without its END record", p.size)
}

// safe is how much of the stream may be passed on: no part of a header that was not yet found right, and no END
// that could yet turn out to be none.
func (p *Parser) safe() uint64 {
	switch {
	case p.ending:
		return p.ends
	case p.have > 0:
		return p.start
	}
	return p.size
}

// point is a record at which a send can be taken up again.
type point struct {
	kind           Type // OBJECT or WRITE; BEGIN (0) is none
	start, end     uint64
	before, after  Sum // of all before it, and with it
	object, offset uint64
}
