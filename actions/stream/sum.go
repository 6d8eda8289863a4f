package stream

import "encoding/binary"

// Sum is a fletcher-4 sum: four running sums over 32-bit words in little-endian order, each the sum over the one
// before it (module/zcommon/zfs_fletcher.c). The zero Sum is that of nothing.
type Sum [4]uint64

// add goes on over B, whose length is a multiple of 4.
func (s *Sum) add(b []byte) {
	a, c, d, e := s[0], s[1], s[2], s[3]
	for ; len(b) >= 16; b = b[16:] {
		lo, hi := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:16])
		a += lo & 0xffffffff
		c += a
		d += c
		e += d
		a += lo >> 32
		c += a
		d += c
		e += d
		a += hi & 0xffffffff
		c += a
		d += c
		e += d
		a += hi >> 32
		c += a
		d += c
		e += d
	}
	for ; len(b) >= 4; b = b[4:] {
		a += uint64(binary.LittleEndian.Uint32(b))
		c += a
		d += c
		e += d
	}
	*s = Sum{a, c, d, e}
}

// sumAt reads a stored sum.
func sumAt(b []byte) (s Sum) {
	for i := range s {
		s[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return s
}

// put stores it.
func (s Sum) put(b []byte) {
	for i, word := range s {
		binary.LittleEndian.PutUint64(b[8*i:], word)
	}
}
