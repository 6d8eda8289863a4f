package pages

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
)

// Visit is told of a key with its value, in a bucket named by its path from the root. Both are good only until it
// returns.
type Visit func(bucket string, key, value []byte) error

// Walk goes through a file of so many bytes, and returns the number of the transaction that is in force. Its error
// is a *Broken if the file is damaged, else that of the reader or of VISIT. Nobody may write meanwhile.
func Walk(file io.ReaderAt, size int64, visit Visit) (tx uint64, err error) {
	w := &walk{file: file, visit: visit}
	if w.meta, err = readMeta(file, size); err != nil {
		return 0, err
	}
	if err := w.measure(size); err != nil {
		return 0, err
	}
	w.todo = []step{{page: w.meta.root}}
	for len(w.todo) > 0 {
		last := len(w.todo) - 1
		next := w.todo[last]
		w.todo = w.todo[:last]
		if err := w.tree(next); err != nil {
			return 0, err
		}
	}
	return w.meta.tx, w.free()
}

// walk is a walk under way.
type walk struct {
	file  io.ReaderAt
	visit Visit
	meta  meta
	known []bool // by page: it is in use, or free
	todo  []step
}

// step is a page of a tree that is to be looked at, with what the page above promises of its keys.
type step struct {
	page      uint64
	bucket    string
	low, high []byte // its keys are not below LOW, and below HIGH; nil: no bound
	inside    bool   // it lies in an element of another page
}

// measure compares the number of pages with the file, so that what they take in memory is bounded by it.
func (w *walk) measure(size int64) error {
	switch p := w.meta.pageSize; {
	case p < smallestPage || p > largestPage || p&(p-1) != 0:
		return broken(0, "pages of %d bytes", p)
	case w.meta.pages < 2 || w.meta.pages > uint64(size)/p:
		return broken(0, "%d pages of %d bytes do not fit into %d", w.meta.pages, p, size)
	}
	w.known = make([]bool, w.meta.pages)
	w.known[0], w.known[1] = true, true
	return nil
}

// take reads a page with those that belong to it, and notes that they are in use.
func (w *walk) take(number uint64) (page, error) {
	if number >= w.meta.pages {
		return page{}, broken(number, "there are only %d", w.meta.pages)
	}
	b := make([]byte, w.meta.pageSize)
	if err := w.read(number, b); err != nil {
		return page{}, err
	}
	if self := binary.NativeEndian.Uint64(b); self != number {
		return page{}, broken(number, "it says that it is page %d", self)
	}
	more := uint64(binary.NativeEndian.Uint32(b[12:]))
	if more >= w.meta.pages-number {
		return page{}, broken(number, "%d pages are to follow it, and there are %d in all", more, w.meta.pages)
	}
	for n := number; n <= number+more; n++ {
		if w.known[n] {
			return page{}, broken(n, "it is referred to twice")
		}
		w.known[n] = true
	}
	if more > 0 {
		rest := make([]byte, more*w.meta.pageSize)
		if err := w.read(number+1, rest); err != nil {
			return page{}, err
		}
		b = append(b, rest...)
	}
	return parsePage(number, b), nil
}

func (w *walk) read(number uint64, b []byte) error {
	_, err := w.file.ReadAt(b, int64(number*w.meta.pageSize))
	if errors.Is(err, io.EOF) {
		return broken(number, "the file ends before it does")
	}
	return err
}

// tree looks at one page of a bucket's tree.
func (w *walk) tree(s step) error {
	p, err := w.take(s.page)
	if err != nil {
		return err
	}
	switch p.kind {
	case branchKind:
		return w.branch(p, s)
	case leafKind:
		return w.leaf(p, s)
	}
	return broken(s.page, "its kind is %#x, in the tree of a bucket", p.kind)
}

func (w *walk) branch(p page, s step) error {
	all, err := p.elements()
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return broken(p.number, "it is a branch that leads nowhere")
	}
	if err := inOrder(p, all, s); err != nil {
		return err
	}
	for i, e := range all {
		high := s.high
		if i+1 < len(all) {
			high = all[i+1].key
		}
		w.todo = append(w.todo, step{page: e.child, bucket: s.bucket, low: bytes.Clone(e.key), high: bytes.Clone(high)})
	}
	return nil
}

func (w *walk) leaf(p page, s step) error {
	all, err := p.elements()
	if err != nil {
		return err
	}
	if err := inOrder(p, all, s); err != nil {
		return err
	}
	for _, e := range all {
		switch {
		case e.isBucket && s.inside:
			err = broken(p.number, "bucket %q has a bucket and no page of its own", s.bucket) // bbolt, Bucket.inlineable
		case e.isBucket:
			err = w.bucket(p, e, strings.TrimPrefix(s.bucket+"/"+string(e.key), "/"))
		case s.bucket == "":
			err = broken(p.number, "the root has %q, which is no bucket", e.key)
		default:
			err = w.visit(s.bucket, e.key, e.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inOrder compares the keys of a page with each other and with what the page above promises.
func inOrder(p page, all []element, s step) error {
	for i, e := range all {
		switch {
		case i == 0 && bytes.Compare(e.key, s.low) < 0, i > 0 && bytes.Compare(e.key, all[i-1].key) <= 0,
			s.high != nil && bytes.Compare(e.key, s.high) >= 0:
			return broken(p.number, "key %q is out of order", e.key)
		}
	}
	return nil
}

// bucket looks at the bucket that is an element of a leaf: at its root page, or at the page that is in it.
func (w *walk) bucket(p page, e element, path string) error {
	const rootSize = 16
	if len(e.value) < rootSize {
		return broken(p.number, "bucket %q has %d bytes", path, len(e.value))
	}
	if root := binary.NativeEndian.Uint64(e.value); root != 0 {
		w.todo = append(w.todo, step{page: root, bucket: path})
		return nil
	}
	inside := e.value[rootSize:]
	if len(inside) < headerSize {
		return broken(p.number, "bucket %q has %d bytes", path, len(e.value))
	}
	q := parsePage(p.number, inside)
	if q.kind != leafKind {
		return broken(p.number, "bucket %q is of kind %#x", path, q.kind)
	}
	return w.leaf(q, step{page: p.number, bucket: path, inside: true})
}

// free reads the list of free pages. With it, all pages must be accounted for.
func (w *walk) free() error {
	if w.meta.freelist == noFreelist {
		return nil // bbolt finds out which are free by a walk like this one
	}
	p, err := w.take(w.meta.freelist)
	if err != nil {
		return err
	}
	if p.kind != freelistKind {
		return broken(p.number, "its kind is %#x, and it should list the free pages", p.kind)
	}
	ids, err := p.freeIDs()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if id >= w.meta.pages || w.known[id] {
			return broken(p.number, "page %d is not free", id)
		}
		w.known[id] = true
	}
	for n, known := range w.known {
		if !known {
			return broken(uint64(n), "it is neither in use nor free")
		}
	}
	return nil
}
