package pages

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
)

const (
	magic   = 0xED0CDAED
	version = 2

	metaSize = 64
	sumAt    = 56 // the checksum is over all that stands before it
)

// noFreelist is the page of a list of free pages that was not stored.
const noFreelist = ^uint64(0)

// meta is what a meta page says.
type meta struct {
	pageSize uint64
	root     uint64 // page of the root bucket
	freelist uint64 // page of the list of free pages
	pages    uint64 // how many there are
	tx       uint64
}

// parseMeta reads a meta page; not ok is one that bbolt does not take either.
func parseMeta(page []byte) (m meta, ok bool) {
	if len(page) < headerSize+metaSize {
		return m, false
	}
	b, n := page[headerSize:headerSize+metaSize], binary.NativeEndian
	sum := fnv.New64a()
	sum.Write(b[:sumAt])
	if n.Uint32(b) != magic || n.Uint32(b[4:]) != version || n.Uint64(b[sumAt:]) != sum.Sum64() {
		return m, false
	}
	return meta{pageSize: uint64(n.Uint32(b[8:])), root: n.Uint64(b[16:]), freelist: n.Uint64(b[32:]), pages: n.Uint64(b[40:]), tx: n.Uint64(b[48:])}, true
}

// The second meta is looked for at every size that a page may have (bbolt, getPageSizeFromSecondMeta).
const (
	smallestPage = 1 << 10
	largestPage  = 1 << 24
)

// readMeta finds the meta that is in force: the newest whose checksum is right.
func readMeta(file io.ReaderAt, size int64) (m meta, err error) {
	first, ok, err := metaAt(file, 0)
	if err != nil {
		return m, err
	}
	if ok {
		second, also, err := metaAt(file, int64(first.pageSize))
		if also && second.tx > first.tx {
			first = second
		}
		return first, err
	}
	for at := int64(smallestPage); at <= largestPage && at < size; at *= 2 {
		second, ok, err := metaAt(file, at)
		if ok || err != nil {
			return second, err
		}
	}
	return m, &Broken{0, "neither meta page is as it was written"}
}

func metaAt(file io.ReaderAt, at int64) (m meta, ok bool, err error) {
	b := make([]byte, headerSize+metaSize)
	switch _, err := file.ReadAt(b, at); {
	case errors.Is(err, io.EOF):
		return m, false, nil
	case err != nil:
		return m, false, err
	}
	m, ok = parseMeta(b)
	return m, ok, nil
}
