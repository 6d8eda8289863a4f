package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Mark is what must be known of the beginning of a stream to go on behind it, without having it, or reading it again:
// where the last record begins at which a send can be taken up, what it was, and sums to prove that what is sent from
// there on joins what there is. It has less than 200 bytes (MarshalBinary).
type Mark struct {
	At uint64 // how many bytes of the stream there are

	wrapper bool
	ownAt   uint64 // where BEGIN is
	own     identity
	point   point
	tail    Sum // of all there is
}

// identity is what BEGIN has in common with that of the same stream when it is continued.
type identity struct {
	to, from, creation uint64
	features           Features
	kind, flags        uint32
}

func (h *Header) identity() identity {
	return identity{to: h.u64(beginTo), from: h.u64(beginFrom), creation: h.u64(beginCreation),
		features: Features(h.u64(beginVersion) >> 2), kind: h.u32(beginKind), flags: h.u32(beginFlags)}
}

// Mark tells how to go on behind what was seen until now. It is false where that can't be done: before the first
// object, in a package of several streams, and once something was wrong.
func (p *Parser) Mark() (Mark, bool) {
	if p.err != nil || p.streams != 1 || p.point.kind == TypeBegin {
		return Mark{}, false
	}
	return Mark{At: p.size, wrapper: p.outer.Compound, ownAt: p.ownAt, own: p.id, point: p.point, tail: p.tail()}, true
}

// tail is the sum over all that was seen, the beginning of a record and of a word included, the latter filled up with
// zeros.
func (p *Parser) tail() Sum {
	s := p.sum
	if p.odd > 0 {
		var word [4]byte
		copy(word[:], p.word[:p.odd])
		s.add(word[:])
	}
	if p.have > 0 {
		head := p.head
		clear(head[p.have:])
		s.add(head[:(p.have+3)&^3])
	}
	return s
}

// parser is one that has seen the stream up to the point.
func (m Mark) parser() *Parser {
	p := Of(m.own.to, m.own.from)
	p.place, p.size, p.start, p.good = inStream, m.point.start, m.point.start, m.point.start
	p.sum, p.outer.Compound, p.ownAt, p.id, p.streams = m.point.before, m.wrapper, m.ownAt, m.own, 1
	p.own = Begin{To: m.own.to, From: m.own.from, Features: m.own.features, Flags: m.own.flags, Volume: m.own.kind == kindVolume}
	return p
}

// Point is where the record begins, in bytes, from which on all of the stream is sent again.
func (m Mark) Point() uint64 { return m.point.start }

// Back is the mark of as much of the stream as there is before its Point.
func (m Mark) Back() Mark {
	m.At, m.tail = m.point.start, m.point.before
	return m
}

const markVersion = 1

var errMark = errors.New("not the mark of a stream")

// MarshalBinary makes bytes of it.
func (m Mark) MarshalBinary() ([]byte, error) {
	b := []byte{markVersion, 0, byte(m.point.kind)}
	if m.wrapper {
		b[1] = 1
	}
	for _, n := range m.numbers() {
		b = binary.AppendUvarint(b, *n)
	}
	b = binary.LittleEndian.AppendUint32(b, m.own.kind)
	b = binary.LittleEndian.AppendUint32(b, m.own.flags)
	for _, s := range m.sums() {
		for _, word := range s {
			b = binary.LittleEndian.AppendUint64(b, word)
		}
	}
	return b, nil
}

// UnmarshalBinary makes it of bytes.
func (m *Mark) UnmarshalBinary(b []byte) error {
	if len(b) < 3 || b[0] != markVersion || b[1] > 1 {
		return errMark
	}
	var got Mark
	got.wrapper, got.point.kind = b[1] == 1, Type(b[2])
	b = b[3:]
	for _, n := range got.numbers() {
		value, read := binary.Uvarint(b)
		if read <= 0 {
			return errMark
		}
		*n, b = value, b[read:]
	}
	sums := got.sums()
	if len(b) != 8+len(sums)*32 {
		return errMark
	}
	got.own.kind, got.own.flags = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	for i, s := range sums {
		*s = sumAt(b[8+32*i:])
	}
	if err := got.check(); err != nil {
		return err
	}
	*m = got
	return nil
}

func (m *Mark) numbers() []*uint64 {
	return []*uint64{&m.At, &m.ownAt, &m.own.to, &m.own.from, &m.own.creation, (*uint64)(&m.own.features),
		&m.point.start, &m.point.end, &m.point.object, &m.point.offset}
}

func (m *Mark) sums() []*Sum { return []*Sum{&m.point.before, &m.point.after, &m.tail} }

// check is an error if it is none that Parser.Mark makes.
func (m *Mark) check() error {
	length := m.point.end - m.point.start
	if m.point.kind != TypeObject && m.point.kind != TypeWrite || m.ownAt >= m.point.start || m.point.start >= m.point.end ||
		length < HeaderSize || length > HeaderSize+maxBlock || m.At < m.point.start || m.At >= 1<<63 {
		return fmt.Errorf("%w: %d bytes, of which the point is %d to %d", errMark, m.At, m.point.start, m.point.end)
	}
	return nil
}
