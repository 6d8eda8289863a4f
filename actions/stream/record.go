package stream

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"
)

// HeaderSize is the size of every record's header, in bytes.
const HeaderSize = 312

// Type is what a record says: drr_type of dmu_replay_record.
type Type uint32

// All types there are, as numbered in OpenZFS include/sys/zfs_ioctl.h.
const (
	TypeBegin         Type   = iota // a stream begins
	TypeObject                      // an object is made or changed; its bonus buffer follows
	TypeFreeObjects                 // a range of objects is not there
	TypeWrite                       // a block of an object; its content follows
	TypeFree                        // a range of an object is a hole
	TypeEnd                         // the stream ends
	TypeWriteByref                  // a block that an earlier record had already: `zfs send -D`, up to 0.8
	TypeSpill                       // an object's spill block; its content follows
	TypeWriteEmbedded               // a block so small that it lies in its pointer; its content follows
	TypeObjectRange                 // raw: what the objects that follow are encrypted with
	TypeRedact                      // a range of an object that was left out on purpose
	Types             = iota        // how many there are
)

var typeNames = [Types]string{"BEGIN", "OBJECT", "FREEOBJECTS", "WRITE", "FREE", "END", "WRITE_BYREF", "SPILL", "WRITE_EMBEDDED", "OBJECT_RANGE", "REDACT"}

// String is the name in zfs_ioctl.h, without DRR_.
func (t Type) String() string {
	if t < Types {
		return typeNames[t]
	}
	return fmt.Sprintf("record type %d", uint32(t))
}

// Where the fields lie in a header, in bytes: dmu_replay_record_t in OpenZFS include/sys/zfs_ioctl.h. Numbers
// without a note have 64 bits.
const (
	atType    = 0 // 32 bits
	atPayload = 4 // 32 bits; of BEGIN: how many bytes follow

	beginMagic    = 8
	beginVersion  = 16 // two bits of layout, then the features
	beginCreation = 24 // seconds since 1970
	beginKind     = 32 // 32 bits: dmu_objset_type_t
	beginFlags    = 36 // 32 bits: DRR_FLAG_…
	beginTo       = 40
	beginFrom     = 48
	beginName     = 56 // a C string of 256 bytes

	atObject = 8 // of OBJECT, WRITE, FREE, SPILL, WRITE_EMBEDDED, WRITE_BYREF, REDACT; of FREEOBJECTS and OBJECT_RANGE the first

	objectBonus    = 28 // 32 bits
	objectRawBonus = 36 // 32 bits

	writeOffset         = 24
	writeLogical        = 32
	writeCompression    = 50 // 8 bits; 0 is none
	writeCompressedSize = 96

	spillLength         = 16
	spillCompressedSize = 40

	embeddedOffset = 16
	embeddedSize   = 52 // 32 bits

	freeLength = 24 // all ones: to the object's end
	rangeCount = 16 // of OBJECT_RANGE

	endSum = 8 // the sum over all that came before END
	endTo  = 40

	atSum = 280 // of all but BEGIN, whose name lies there
)

const magic = 0x2F5bacbac // DMU_BACKUP_MAGIC

// The lowest two bits of versioninfo say how the stream is built: drr_headertype_t.
const (
	layoutMask     = 3
	layoutPlain    = 1
	layoutCompound = 2
)

// What a stream is of: dmu_objset_type_t in include/sys/fs/zfs.h.
const (
	kindFilesystem = 2
	kindVolume     = 3
)

// maxBlock is the most that a record with a block has: SPA_MAXBLOCKSIZE in include/sys/spa.h. zfs receive refuses more.
const maxBlock = 16 << 20

// Header is a record without its payload.
type Header [HeaderSize]byte

func (h *Header) u32(at int) uint32 { return binary.LittleEndian.Uint32(h[at:]) }
func (h *Header) u64(at int) uint64 { return binary.LittleEndian.Uint64(h[at:]) }

// Type is what it says.
func (h *Header) Type() Type { return Type(h.u32(atType)) }

// Object is the number of the object that it is about, or of the first one; 0 for BEGIN and END.
func (h *Header) Object() uint64 {
	if t := h.Type(); t == TypeBegin || t == TypeEnd {
		return 0
	}
	return h.u64(atObject)
}

// Offset is where in the object a block is, in bytes; 0 where there is no such thing.
func (h *Header) Offset() uint64 {
	switch h.Type() {
	case TypeWrite:
		return h.u64(writeOffset)
	case TypeWriteEmbedded, TypeFree, TypeWriteByref, TypeRedact:
		return h.u64(embeddedOffset)
	}
	return 0
}

// Payload is how many bytes follow the header. It is an error if the type is not known, or no ZFS would send so much.
func (h *Header) Payload() (uint64, error) {
	var n uint64
	switch h.Type() {
	case TypeBegin:
		n = uint64(h.u32(atPayload)) // a packed nvlist
	case TypeObject: // DRR_OBJECT_PAYLOAD_SIZE
		if n = uint64(h.u32(objectRawBonus)); n == 0 {
			n = roundUp(uint64(h.u32(objectBonus)))
		}
	case TypeWrite: // DRR_WRITE_PAYLOAD_SIZE
		if n = h.u64(writeLogical); h[writeCompression] != 0 {
			n = h.u64(writeCompressedSize)
		}
	case TypeSpill: // DRR_SPILL_PAYLOAD_SIZE
		if n = h.u64(spillCompressedSize); n == 0 {
			n = h.u64(spillLength)
		}
	case TypeWriteEmbedded: // P2ROUNDUP(drr_psize, 8)
		n = roundUp(uint64(h.u32(embeddedSize)))
	case TypeFreeObjects, TypeFree, TypeEnd, TypeWriteByref, TypeObjectRange, TypeRedact:
	default:
		return 0, fmt.Errorf("there is no record of type %d", h.u32(atType))
	}
	if n%4 != 0 {
		return 0, fmt.Errorf("%s with a payload of %d bytes, which is no multiple of 4", h.Type(), n)
	}
	if n > maxBlock && h.Type() != TypeBegin {
		return 0, fmt.Errorf("%s with a payload of %d bytes", h.Type(), n)
	}
	return n, nil
}

func roundUp(n uint64) uint64 { return (n + 7) &^ 7 }

// Begin is what a BEGIN record says.
type Begin struct {
	To, From uint64 // GUIDs of the snapshot and of its base, which is 0 for a full
	Creation time.Time
	Name     string // the snapshot's name where it was sent: foreign text
	Volume   bool   // of a volume, not of a file system
	Features Features
	Flags    uint32 // DRR_FLAG_…
	Compound bool   // a wrapper, without GUIDs; the stream's own BEGIN follows
}

// begin reads a header that is that of a BEGIN record.
func (h *Header) begin() (Begin, error) {
	if h.u64(beginMagic) != magic {
		if binary.BigEndian.Uint64(h[beginMagic:]) == magic && h.u32(atType) == 0 {
			return Begin{}, ErrBigEndian
		}
		return Begin{}, fmt.Errorf("%w: no BEGIN record", ErrNoStream)
	}
	if h.Type() != TypeBegin {
		return Begin{}, fmt.Errorf("%w: no BEGIN record", ErrNoStream)
	}
	version := h.u64(beginVersion)
	b := Begin{
		To:       h.u64(beginTo),
		From:     h.u64(beginFrom),
		Creation: time.Unix(int64(h.u64(beginCreation)), 0).UTC(),
		Name:     text(h[beginName:]),
		Features: Features(version >> 2),
		Flags:    h.u32(beginFlags),
	}
	switch layout := version & layoutMask; layout {
	case layoutCompound:
		b.Compound = true
		return b, nil
	case layoutPlain:
	default:
		return Begin{}, fmt.Errorf("%w: unknown layout %d", ErrNoStream, layout)
	}
	switch kind := h.u32(beginKind); kind {
	case kindFilesystem:
	case kindVolume:
		b.Volume = true
	default:
		return Begin{}, fmt.Errorf("%w: neither of a file system nor of a volume, but of kind %d", ErrNoStream, kind)
	}
	return b, nil
}

// text is a C string in a field of fixed length.
func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}
