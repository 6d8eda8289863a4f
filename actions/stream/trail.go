package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// A receive that goes on in the middle of a stream has to be given again what the object under way was made to be, and, of
// a raw stream, what it is encrypted with. A trail keeps that while a stream goes by: less than maxTrail, whatever the
// stream; of an object that has more it knows that it does not know it.

const (
	maxTrail = 8 << 10  // bytes of payloads: a dnode's bonus buffer and a spill block; ZFS makes some 500 of them
	maxBegin = 64 << 10 // bytes behind BEGIN: what is encrypted how
)

// spot is where in a snapshot a record belongs. Records come in the order of their spots.
type spot struct {
	object, offset uint64
	block          bool // else the object itself
}

func (s spot) before(other spot) bool {
	switch {
	case s.object != other.object:
		return s.object < other.object
	case s.block != other.block:
		return other.block
	}
	return s.offset < other.offset
}

// spot is that of a record at which a receive can go on.
func (h *Header) spot() (s spot, ok bool) {
	switch h.Type() {
	case TypeObject:
		return spot{object: h.Object()}, true
	case TypeWrite, TypeWriteEmbedded:
		return spot{object: h.Object(), offset: h.Offset(), block: true}, true
	}
	return s, false
}

// saved is a record with its payload. Its sums are those of the stream that it is from.
type saved struct {
	head    Header
	payload []byte
}

// trail is the zero value before BEGIN.
type trail struct {
	begin  *saved  // of the snapshot; nil before it, or if it has too much behind it
	ranged *saved  // the last OBJECT_RANGE
	object []saved // the OBJECT that came last, and what belongs to it before its first block
	known  bool    // object is all of that
	blocks bool    // its first block has come
	last   spot    // of the last record that has one
	inside bool    // BEGIN has come
	fresh  bool    // and nothing else

	flows *saved // whose payload is to come
	most  uint64 // bytes of payloads that are kept of an object, if not maxTrail
}

// record goes on with a header, before N bytes of payload.
func (t *trail) record(h *Header, n uint64) {
	t.flows, t.fresh = nil, false
	if at, ok := h.spot(); ok {
		t.last = at
	}
	switch h.Type() {
	case TypeBegin:
		*t = trail{inside: true, fresh: true, most: t.most}
		if n <= maxBegin {
			t.begin = &saved{head: *h}
			t.flows = t.begin
		}
	case TypeObjectRange:
		t.ranged = &saved{head: *h}
	case TypeObject:
		t.object, t.known, t.blocks = t.object[:0], true, false
		t.keep(h, n)
	case TypeFree:
		if h.u64(freeLength) == math.MaxUint64 {
			t.keep(h, n)
		}
	case TypeSpill:
		t.keep(h, n)
	case TypeWrite, TypeWriteEmbedded:
		t.blocks = true
	}
}

// keep keeps a record that belongs to the object, unless its blocks have begun.
func (t *trail) keep(h *Header, n uint64) {
	if t.blocks || !t.known || len(t.object) > 0 && h.Object() != t.object[0].head.Object() {
		return
	}
	for _, s := range t.object {
		n += uint64(len(s.payload))
	}
	if n > max(t.most, maxTrail) {
		t.object, t.known = t.object[:0], false
		return
	}
	t.object = append(t.object, saved{head: *h})
	t.flows = &t.object[len(t.object)-1]
}

// payload goes on with bytes of the record's payload.
func (t *trail) payload(b []byte) {
	if t.flows != nil {
		t.flows.payload = append(t.flows.payload, b...)
	}
}

// clone shares nothing with it.
func (t *trail) clone() trail {
	c := *t
	c.object = slices.Clone(t.object)
	for i, s := range c.object {
		c.object[i].payload = bytes.Clone(s.payload)
	}
	for _, s := range []**saved{&c.begin, &c.ranged} {
		if *s != nil {
			*s = &saved{(*s).head, bytes.Clone((*s).payload)}
		}
	}
	c.flows = nil
	return c
}

// The stored form: flags, the last spot, the number of records, the records; each the length of its header without the zeros
// at its end and without its sum, that, and the same of its payload.

const (
	trailKnown = 1 << iota
	trailBlocks
	trailBlock // the last spot is one
	trailRange // the first record is an OBJECT_RANGE
	trailBegin // BEGIN comes before all of them
)

var errTrail = errors.New("not what is kept of a stream")

// append makes bytes of it. BEGIN is among them if nothing has come behind it. An object of which the payload is under way
// counts as one that is not known.
func (t *trail) append(b []byte) []byte {
	var flags byte
	var all []saved
	if t.fresh && t.begin != nil {
		flags |= trailBegin
		all = append(all, *t.begin)
	}
	if t.ranged != nil {
		flags |= trailRange
		all = append(all, *t.ranged)
	}
	if t.known && !t.cut() {
		flags |= trailKnown
		all = append(all, t.object...)
	}
	if t.blocks {
		flags |= trailBlocks
	}
	if t.last.block {
		flags |= trailBlock
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, t.last.object)
	b = binary.AppendUvarint(b, t.last.offset)
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, s := range all {
		head := s.head
		if head.Type() != TypeBegin {
			clear(head[atSum:])
		}
		for _, part := range [][]byte{bytes.TrimRight(head[:], "\x00"), s.payload} {
			b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
		}
	}
	return b
}

// cut tells whether a record that is kept has not come to its end.
func (t *trail) cut() bool {
	if t.flows == nil {
		return false
	}
	n, _ := t.flows.head.Payload()
	return uint64(len(t.flows.payload)) < n
}

// parse takes it from bytes, and gives those behind it.
func (t *trail) parse(b []byte) (rest []byte, err error) {
	if len(b) == 0 || b[0] >= trailBegin<<1 {
		return nil, errTrail
	}
	flags := b[0]
	b = b[1:]
	number := func() (n uint64) {
		n, read := binary.Uvarint(b)
		if read <= 0 {
			err = errTrail
			return 0
		}
		b = b[read:]
		return n
	}
	got := trail{inside: true, known: flags&trailKnown != 0, blocks: flags&trailBlocks != 0, fresh: flags&trailBegin != 0}
	got.last = spot{object: number(), offset: number(), block: flags&trailBlock != 0}
	count := number()
	for i := uint64(0); i < count && err == nil; i++ {
		var s saved
		if s, b, err = parseSaved(b); err != nil {
			return nil, err
		}
		switch kind := s.head.Type(); {
		case kind == TypeBegin && got.fresh && got.begin == nil:
			got.begin = &s
		case kind == TypeObjectRange && flags&trailRange != 0 && got.ranged == nil:
			got.ranged = &s
		case kind == TypeObject && len(got.object) == 0, (kind == TypeFree || kind == TypeSpill) && len(got.object) > 0:
			got.object = append(got.object, s)
		default:
			return nil, errTrail
		}
	}
	if err != nil || got.fresh != (got.begin != nil) || (flags&trailRange != 0) != (got.ranged != nil) || len(got.object) > 0 && !got.known {
		return nil, errTrail
	}
	*t = got
	return b, nil
}

func parseSaved(b []byte) (s saved, rest []byte, err error) {
	for _, most := range []uint64{HeaderSize, maxBegin} {
		n, read := binary.Uvarint(b)
		if read <= 0 || n > most || n > uint64(len(b)-read) {
			return s, nil, errTrail
		}
		part := b[read : read+int(n)]
		if b = b[read+int(n):]; most == HeaderSize {
			copy(s.head[:], part)
		} else {
			s.payload = bytes.Clone(part)
		}
	}
	if n, err := s.head.Payload(); err != nil || n != uint64(len(s.payload)) {
		return s, nil, errTrail
	}
	return s, b, nil
}
