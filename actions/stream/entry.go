package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Entry is what must be known of the beginning of a stream to begin to receive behind it, without having it or reading it
// again: what is kept in an index for each piece that the stream is cut into. It is of the first record that begins in that
// piece. The zero Entry is the beginning of a stream.
//
// Its stored form has some 300 bytes, and less than 10 KiB whatever the stream is; the first has BEGIN too, and less than 74 KiB.
type Entry struct {
	at      uint64 // where the record begins
	sum     Sum    // of what is before it
	wrapper bool
	trail   trail
}

// Follow has the parser of a stream keep what Entry and Trail tell, from the stream's beginning on.
func (p *Parser) Follow() { p.trail = &trail{} }

// Follow has the parser that Join gives keep what Entry and Trail tell. STORED is what Trail gave where the mark is; nil if
// that is not known: then there are entries for what comes from the next object on.
func (s *Splice) Follow(stored []byte) error {
	t := &trail{inside: true}
	if len(stored) > 0 {
		if rest, err := t.parse(stored); err != nil || len(rest) > 0 {
			return errTrail
		}
	}
	s.whole.trail = t // what comes twice does not change it
	return nil
}

// Trail is the stored form of what Follow goes on with; nil if nothing is kept.
func (p *Parser) Trail() []byte {
	if p.trail == nil {
		return nil
	}
	return p.trail.append(nil)
}

// Watch has Entry be of the first record that begins from now on.
func (p *Parser) Watch() {
	p.entry, p.watched = Entry{}, p.trail != nil
	if p.have == 0 && p.left == 0 {
		p.note()
	}
}

// Entry is the entry of the piece that has begun with Watch. It is false while no record of a snapshot has begun in it.
func (p *Parser) Entry() (Entry, bool) { return p.entry, p.entry.at > 0 }

// note makes the entry of the record that begins.
func (p *Parser) note() {
	if p.watched && p.place == inStream {
		p.entry = Entry{at: p.size, sum: p.sum, wrapper: p.outer.Compound, trail: p.trail.clone()}
		p.watched = false
	}
}

const entryVersion = 1

var errEntry = errors.New("not an entry of an index")

// MarshalBinary makes bytes of it.
func (e Entry) MarshalBinary() ([]byte, error) {
	b := []byte{entryVersion, 0}
	if e.wrapper {
		b[1] = 1
	}
	b = binary.AppendUvarint(b, e.at)
	for _, word := range e.sum {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	return e.trail.append(b), nil
}

// UnmarshalBinary makes it of bytes.
func (e *Entry) UnmarshalBinary(b []byte) error {
	if len(b) < 2 || b[0] != entryVersion || b[1] > 1 {
		return errEntry
	}
	got := Entry{wrapper: b[1] == 1}
	at, read := binary.Uvarint(b[2:])
	if read <= 0 || len(b) < 2+read+32 || at == 0 || at >= 1<<63 {
		return errEntry
	}
	got.at, got.sum = at, sumAt(b[2+read:])
	if rest, err := got.trail.parse(b[2+read+32:]); err != nil || len(rest) > 0 {
		return fmt.Errorf("%w: %w", errEntry, errTrail)
	}
	*e = got
	return nil
}

// parser is one that has seen the stream up to the entry.
func (e Entry) parser(to, from uint64) *Parser {
	p := Of(to, from)
	if e.at == 0 {
		return p
	}
	p.place, p.size, p.start, p.good = inStream, e.at, e.at, e.at
	p.sum, p.outer.Compound, p.streams = e.sum, e.wrapper, 1
	p.own = Begin{To: to, From: from}
	return p
}

// leadsTo tells whether a receive that goes on at a spot can be given what it needs by what comes from the entry on.
func (e *Entry) leadsTo(s spot) bool {
	return e.trail.last.before(s) && (e.trail.known || e.trail.last.object != s.object)
}
