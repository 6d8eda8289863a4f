package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// HeaderSize is the size of every record's header.
const HeaderSize = 312

// Where the fields lie: dmu_replay_record_t in OpenZFS include/sys/zfs_ioctl.h.
const (
	magic = 0x2F5bacbac

	typeBegin = 0
	typeEnd   = 5

	atType     = 0
	atPayload  = 4
	atMagic    = 8
	atVersion  = 16
	atCreation = 24
	atKind     = 32
	atTo       = 40 // of BEGIN and of END alike
	atFrom     = 48
	atName     = 56
)

// The lowest two bits of versioninfo say how the stream is built.
const (
	layoutMask     = 3
	layoutPlain    = 1
	layoutCompound = 2
)

// What a stream is of: dmu_objset_type_t.
const (
	kindFilesystem = 2
	kindVolume     = 3
)

// ErrCut is the error of a stream that ends before its end.
var ErrCut = errors.New("send stream is cut off")

// ErrOther is the error of a stream that is not of the snapshot it should be of.
var ErrOther = errors.New("send stream of something else")

// ErrNoStream is the error of bytes that are no send stream.
var ErrNoStream = errors.New("not a ZFS send stream")

// Begin is what the first record says.
type Begin struct {
	To, From uint64 // GUIDs of the snapshot and of its base, which is 0 for a full
	Creation time.Time
	Name     string // the snapshot's name where it was sent: foreign text
	Volume   bool   // of a volume, not of a file system
	Features uint64 // DMU_BACKUP_FEATURE_…, bit 0 being the lowest
	Compound bool   // a wrapper, without GUIDs; the stream's own BEGIN follows

	payload uint64 // bytes that follow the header
	order   binary.ByteOrder
}

// ParseBegin reads the header of a BEGIN record, the first 312 bytes of b.
func ParseBegin(b []byte) (Begin, error) {
	if len(b) < HeaderSize {
		return Begin{}, fmt.Errorf("%w: %d bytes", ErrCut, len(b))
	}
	order := byteOrder(b)
	if order == nil || order.Uint32(b[atType:]) != typeBegin {
		return Begin{}, fmt.Errorf("%w: no BEGIN record", ErrNoStream)
	}
	version := order.Uint64(b[atVersion:])
	layout := version & layoutMask
	if layout != layoutPlain && layout != layoutCompound {
		return Begin{}, fmt.Errorf("%w: unknown layout %d", ErrNoStream, layout)
	}
	begin := Begin{
		To:       order.Uint64(b[atTo:]),
		From:     order.Uint64(b[atFrom:]),
		Creation: time.Unix(int64(order.Uint64(b[atCreation:])), 0).UTC(),
		Name:     text(b[atName:HeaderSize]),
		Features: version >> 2,
		Compound: layout == layoutCompound,
		payload:  uint64(order.Uint32(b[atPayload:])),
		order:    order,
	}
	if begin.Compound {
		return begin, nil
	}
	switch kind := order.Uint32(b[atKind:]); kind {
	case kindFilesystem:
	case kindVolume:
		begin.Volume = true
	default:
		return Begin{}, fmt.Errorf("%w: neither of a file system nor of a volume, but of kind %d", ErrNoStream, kind)
	}
	return begin, nil
}

// names checks that a stream is of the snapshot TO on the base FROM.
func (b Begin) names(to, from uint64) error {
	if b.To != to || b.From != from {
		return fmt.Errorf("%w: snapshot GUID %d from %d, not %d from %d", ErrOther, b.To, b.From, to, from)
	}
	return nil
}

// isEnd tells whether b is the header of the END record of the snapshot TO.
func isEnd(b []byte, order binary.ByteOrder, to uint64) bool {
	return order.Uint32(b[atType:]) == typeEnd && order.Uint64(b[atTo:]) == to
}

// byteOrder finds the order of bytes in which the magic number makes sense.
func byteOrder(b []byte) binary.ByteOrder {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if order.Uint64(b[atMagic:]) == magic {
			return order
		}
	}
	return nil
}

// text is a C string in a field of fixed length.
func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}
