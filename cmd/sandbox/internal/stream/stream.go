// Package stream reads what zfs send writes, as far as the sandbox must where file systems can't be
// mounted: there data comes into a dataset only by zfs receive, and can be looked at only by zfs send.
//
// Two prepared streams lie in testdata: the folder of package tree, and what its Change does to it, as
// zfs-fuse sent them, but without the content of the files (Strip). Inflate puts content back, noise or
// text by the file's number, and makes the sums right, so that any ZFS receives it. To compare, Sum
// reads a stream of whatever origin and leaves out what a copy can't have in common with its original.
//
// A stream is a row of records of 312 bytes in the sender's byte order (here always little-endian), some
// followed by a payload: sys/zfs_ioctl.h, dmu_replay_record. The offsets below are from there.
package stream

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"zfs2cloud/cmd/sandbox/internal/tree"
)

//go:embed testdata/full.zfs.gz
var full []byte

//go:embed testdata/changed.zfs.gz
var changed []byte

// Full writes the prepared full stream.
func Full(w io.Writer) error { return prepared(w, full, 0) }

// Changed writes the prepared incremental stream, for a dataset that received Full and whose newest
// snapshot has the GUID base: nothing has changed since, so any snapshot of it will do.
func Changed(w io.Writer, base uint64) error { return prepared(w, changed, base) }

func prepared(w io.Writer, stripped []byte, base uint64) error {
	r, err := gzip.NewReader(bytes.NewReader(stripped))
	if err != nil {
		return err
	}
	return Inflate(w, r, base)
}

const (
	recordSize = 312
	magic      = 0x2F5bacbac
	plainFile  = 19 // DMU_OT_PLAIN_FILE_CONTENTS
)

// The types of records.
const (
	begin = iota
	object
	freeObjects
	write
	free
	end
	writeByref
	spill
)

var order = binary.LittleEndian

// record is one record without its payload.
type record [recordSize]byte

func (r *record) kind() uint32 { return order.Uint32(r[0:]) }

// payload is the length of what follows the record in a whole stream.
func (r *record) payload() (int64, error) {
	var n uint64
	switch r.kind() {
	case begin, end, freeObjects, free, writeByref:
		n = uint64(order.Uint32(r[4:])) // drr_payloadlen: OpenZFS puts an nvlist behind BEGIN
	case object:
		n = (uint64(order.Uint32(r[28:])) + 7) &^ 7
	case write:
		n = order.Uint64(r[32:])
	case spill:
		n = order.Uint64(r[16:])
	default:
		return 0, fmt.Errorf("record of type %d in a stream", r.kind())
	}
	if n > 1<<30 {
		return 0, fmt.Errorf("record with %d bytes in a stream", n)
	}
	return int64(n), nil
}

// fileContent says whether the payload is some of a file's content.
func (r *record) fileContent() bool { return r.kind() == write && order.Uint32(r[16:]) == plainFile }

// reader reads a stream record by record. If it is stripped, file content has no payload in it.
type reader struct {
	from     *bufio.Reader
	stripped bool
}

// next returns io.EOF after the END record alone.
func (s *reader) next() (r record, payload []byte, err error) {
	if _, err := io.ReadFull(s.from, r[:]); err != nil {
		return r, nil, err
	}
	if r.kind() == begin && order.Uint64(r[8:]) != magic {
		return r, nil, errors.New("not a zfs stream")
	}
	n, err := r.payload()
	if err != nil {
		return r, nil, err
	}
	payload = make([]byte, n)
	if s.stripped && r.fileContent() {
		return r, payload, nil
	}
	if _, err := io.ReadFull(s.from, payload); err != nil {
		return r, nil, fmt.Errorf("payload: %w", io.ErrUnexpectedEOF)
	}
	return r, payload, nil
}

// each calls do for every record up to END, which must be the last.
func (s *reader) each(do func(*record, []byte) error) error {
	for {
		r, payload, err := s.next()
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		if err := do(&r, payload); err != nil {
			return err
		}
		if r.kind() == end {
			break
		}
	}
	if _, err := s.from.ReadByte(); err != io.EOF {
		return errors.New("bytes after the end of the stream")
	}
	return nil
}

// Strip copies a stream without the content of files.
func Strip(w io.Writer, from io.Reader) error {
	in := reader{from: bufio.NewReader(from)}
	return in.each(func(r *record, payload []byte) error {
		if r.fileContent() {
			payload = nil
			clear(r[56:96]) // drr_key, the sum of the content's block
		}
		_, err := w.Write(append(r[:], payload...))
		return err
	})
}

// Inflate makes a stream of a stripped one. A base other than 0 is written as the snapshot that an
// incremental starts from.
func Inflate(w io.Writer, stripped io.Reader, base uint64) error {
	in := reader{from: bufio.NewReader(stripped), stripped: true}
	out := bufio.NewWriterSize(w, 1<<20)
	var sum fletcher4
	var guid uint64
	err := in.each(func(r *record, payload []byte) error {
		switch {
		case r.kind() == begin:
			guid = order.Uint64(r[40:])
			if base != 0 {
				order.PutUint64(r[48:], base) // drr_fromguid
			}
		case r.kind() == end:
			sum.put(r[8:40])
		case r.fileContent():
			file, offset := order.Uint64(r[8:]), order.Uint64(r[24:])
			tree.Fill(payload, tree.Source(guid^file<<40^offset), file%2 == 0)
		}
		whole := append(r[:], payload...)
		sum.add(whole)
		_, err := out.Write(whole)
		return err
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// Sum reads a whole stream and returns a sum of it and its length. Two streams of the same snapshot,
// sent from the original and from a copy that was received, have the same sum. Left out is what these
// have not in common: the name of the snapshot in BEGIN, the sum of all in END, and the sum so far that
// OpenZFS puts at the end of each record. (Verified on zfs-fuse 0.7.)
func Sum(from io.Reader) (sum string, length int64, err error) {
	in := reader{from: bufio.NewReaderSize(from, 1<<20)}
	h := sha256.New()
	err = in.each(func(r *record, payload []byte) error {
		switch r.kind() {
		case begin:
			clear(r[56:312]) // drr_toname
		case end:
			clear(r[8:40])
			clear(r[280:312])
		default:
			clear(r[280:312])
		}
		length += int64(len(r) + len(payload))
		h.Write(r[:])
		h.Write(payload)
		return nil
	})
	return fmt.Sprintf("%x", h.Sum(nil)), length, err
}

// fletcher4 is the sum over a stream that its END record holds: zfs_fletcher.c.
type fletcher4 [4]uint64

func (f *fletcher4) add(p []byte) {
	a, b, c, d := f[0], f[1], f[2], f[3]
	for ; len(p) >= 4; p = p[4:] {
		a += uint64(order.Uint32(p))
		b += a
		c += b
		d += c
	}
	*f = fletcher4{a, b, c, d}
}

func (f *fletcher4) put(p []byte) {
	for i, word := range f {
		order.PutUint64(p[8*i:], word)
	}
}
