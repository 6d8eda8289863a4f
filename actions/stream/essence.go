package stream

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// Essence is an io.Writer that digests what of a stream stays the same when it was received and is sent again: the
// objects and what is written into them, without BEGIN, which has the dataset's name, END, whose sums are also over that,
// and what is freed: of a file that once was larger, more beyond its end is freed when it is sent where that was.
// Verified on zfs-fuse 0.7, whose records have no sums of their own; what it does not know, it says nothing of.
type Essence struct {
	sum     hash.Hash
	header  Header
	n       int    // bytes of it that have come
	payload uint64 // bytes that are yet to come behind it
	began   bool   // BEGIN was there
	counts  bool   // what flows is digested
	unknown bool
}

// NewEssence makes one.
func NewEssence() *Essence { return &Essence{sum: sha256.New()} }

// Write never fails.
func (e *Essence) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0 && !e.unknown; {
		if e.payload > 0 {
			n := int(min(e.payload, uint64(len(rest))))
			if e.counts {
				e.sum.Write(rest[:n])
			}
			e.payload, rest = e.payload-uint64(n), rest[n:]
			continue
		}
		n := copy(e.header[e.n:], rest)
		e.n, rest = e.n+n, rest[n:]
		if e.n == HeaderSize {
			e.n = 0
			e.record()
		}
	}
	return len(p), nil
}

// record looks at a header, and says how much comes behind it.
func (e *Essence) record() {
	h := &e.header
	if !e.began {
		begin, err := h.begin()
		e.began, e.unknown = true, err != nil || begin.Compound
	} else {
		switch h.Type() {
		case TypeObject, TypeWrite, TypeSpill, TypeWriteByref:
			e.counts = true
		case TypeFreeObjects, TypeFree, TypeEnd:
			e.counts = false
		default:
			e.unknown = true
		}
	}
	var err error
	if e.payload, err = h.Payload(); err != nil {
		e.unknown = true
	}
	if e.counts && !e.unknown {
		e.sum.Write(h[:])
	}
}

// Sum is the SHA-256 of what counts, if all was understood.
func (e *Essence) Sum() (sum string, known bool) {
	whole := e.began && !e.unknown && e.n == 0 && e.payload == 0
	return hex.EncodeToString(e.sum.Sum(nil)), whole
}
