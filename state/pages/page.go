package pages

import (
	"encoding/binary"
	"fmt"
)

// Broken is the error of a file that is not as it was written.
type Broken struct {
	Page uint64
	What string
}

func (e *Broken) Error() string { return fmt.Sprintf("page %d: %s", e.Page, e.What) }

func broken(page uint64, format string, args ...any) error {
	return &Broken{page, fmt.Sprintf(format, args...)}
}

// headerSize is that of a page, and of each of its elements.
const headerSize = 16

const (
	branchKind   = 0x01
	leafKind     = 0x02
	freelistKind = 0x10
)

// page is one page with what belongs to it.
type page struct {
	number uint64
	kind   uint16
	count  int
	bytes  []byte // of all of it, the header too
}

// parsePage reads a page's header.
func parsePage(number uint64, b []byte) page {
	n := binary.NativeEndian
	return page{number: number, kind: n.Uint16(b[8:]), count: int(n.Uint16(b[10:])), bytes: b}
}

// element is what one element of a branch or leaf says.
type element struct {
	key, value []byte // no value in a branch
	child      uint64 // of a branch
	isBucket   bool   // of a leaf
}

// elements reads all elements of a page.
func (p page) elements() ([]element, error) {
	heads := headerSize * (1 + p.count)
	if heads > len(p.bytes) {
		return nil, broken(p.number, "%d elements are more than it has room for", p.count)
	}
	all := make([]element, p.count)
	for i := range all {
		at := headerSize * (1 + i)
		e := p.head(at)
		begin, end := uint64(at)+e.at, uint64(at)+e.at+e.keySize+e.valueSize
		if begin < uint64(heads) || end > uint64(len(p.bytes)) {
			return nil, broken(p.number, "element %d is not in it", i)
		}
		all[i] = element{key: p.bytes[begin : begin+e.keySize], value: p.bytes[begin+e.keySize : end], child: e.child, isBucket: e.isBucket}
	}
	return all, nil
}

// elementHead is where an element's key and value are, from the head's own place on. Each is of 32 bits, so
// that their sum can't overflow.
type elementHead struct {
	at, keySize, valueSize uint64
	child                  uint64
	isBucket               bool
}

func (p page) head(at int) elementHead {
	b, n := p.bytes[at:at+headerSize], binary.NativeEndian
	if p.kind == branchKind {
		return elementHead{at: uint64(n.Uint32(b)), keySize: uint64(n.Uint32(b[4:])), child: n.Uint64(b[8:])}
	}
	return elementHead{at: uint64(n.Uint32(b[4:])), keySize: uint64(n.Uint32(b[8:])), valueSize: uint64(n.Uint32(b[12:])), isBucket: n.Uint32(b)&1 != 0}
}

// freeIDs reads a list of free pages.
func (p page) freeIDs() ([]uint64, error) {
	n, count, ids := binary.NativeEndian, uint64(p.count), p.bytes[headerSize:]
	if count == 0xFFFF { // then the first of the list is how many there are
		if len(ids) < 8 {
			return nil, broken(p.number, "it has no room for its count")
		}
		count, ids = n.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return nil, broken(p.number, "%d free pages are more than it has room for", count)
	}
	list := make([]uint64, count)
	for i := range list {
		list[i] = n.Uint64(ids[8*i:])
	}
	return list, nil
}
