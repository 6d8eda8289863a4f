// Package streamtest makes of the streams of an old ZFS, which tests have, those of a newer one.
package streamtest

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"zfs2cloud/actions/stream"
)

// each takes a stream apart.
func each(b []byte, do func(h stream.Header, payload []byte) error) error {
	for len(b) > 0 {
		if len(b) < stream.HeaderSize {
			return stream.ErrCut
		}
		h := stream.Header(b[:stream.HeaderSize])
		n, err := h.Payload()
		if err != nil {
			return err
		}
		if b = b[stream.HeaderSize:]; uint64(len(b)) < n {
			return stream.ErrCut
		}
		if err := do(h, b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// Resummed is a stream whose records have sums of their own, all of them right. Of one of OpenZFS it makes the same.
func Resummed(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w := stream.NewWriter(&out)
	err := each(b, w.Record)
	return out.Bytes(), err
}

// Where the fields lie: package stream, record.go.
const (
	atPayload    = 4
	beginVersion = 16
	compound     = 2 // of its lowest bits
)

// Sent is what a ZFS sends of a stream for a token: a BEGIN that says so, what the object was, and the stream from the record
// on; without a wrapper.
func Sent(b []byte, t stream.Token) ([]byte, error) {
	var out bytes.Buffer
	w := stream.NewWriter(&out)
	var begin *stream.Header
	var object func() error
	found := false
	err := each(b, func(h stream.Header, payload []byte) error {
		kind := h.Type()
		switch version := binary.LittleEndian.Uint64(h[beginVersion:]); {
		case kind == stream.TypeBegin && version&3 == compound, kind == stream.TypeEnd && begin == nil:
			return nil
		case kind == stream.TypeBegin:
			binary.LittleEndian.PutUint64(h[beginVersion:], version|uint64(stream.FeatureResuming)<<2)
			binary.LittleEndian.PutUint32(h[atPayload:], uint32(len(resumeList)))
			begin = &h
			return nil
		case begin == nil: // behind END
			return nil
		case !found:
			if kind == stream.TypeObject && h.Object() == t.Object {
				object = func() error { return w.Record(h, payload) }
			}
			found = h.Object() == t.Object && h.Offset() == t.Offset && (kind == stream.TypeObject || kind == stream.TypeWrite && t.Offset > 0)
			if !found {
				return nil
			}
			if err := w.Record(*begin, resumeList); err != nil {
				return err
			}
			if kind != stream.TypeObject && object != nil {
				if err := object(); err != nil {
					return err
				}
			}
		}
		if kind == stream.TypeEnd {
			begin = nil
		}
		return w.Record(h, payload)
	})
	if err == nil && !found {
		err = fmt.Errorf("the stream has no record of object %d at %d", t.Object, t.Offset)
	}
	return out.Bytes(), err
}

// resumeList stands for the packed list behind BEGIN, which nobody here reads.
var resumeList = make([]byte, 96)
