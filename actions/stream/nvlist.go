package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// A packed nvlist, as libnvpair's NV_ENCODE_NATIVE writes it on a little-endian machine (module/nvpair/nvpair.c,
// nvlist_pack): a head of encoding, byte order and two reserved bytes; the version and the flags of the list, 32 bits
// each; the pairs, each with its size first; a size of 0. A pair has its size, 32 bits; the length of its name with the
// NUL, 16 bits; 16 reserved bits; the number of its elements and its type, 32 bits each; name and value, each filled up
// with zeros to a multiple of 8 bytes.

// Types of pairs: data_type_t in include/sys/nvpair.h.
const (
	nvBoolean = 1 // a name that is there, or not
	nvUint64  = 8
	nvString  = 9
)

const (
	nvHead   = 12
	nvPair   = 16
	nvUnique = 1 // NV_UNIQUE_NAME
)

var errNvlist = errors.New("not a packed nvlist")

// nvlist is a list of which each name is there once. Values are uint64, string, or true.
type nvlist struct {
	names  []string // in their order
	values map[string]any
}

func (l *nvlist) set(name string, value any) {
	if l.values == nil {
		l.values = map[string]any{}
	}
	if _, there := l.values[name]; !there {
		l.names = append(l.names, name)
	}
	l.values[name] = value
}

func (l *nvlist) number(name string) uint64 { n, _ := l.values[name].(uint64); return n }
func (l *nvlist) text(name string) string   { s, _ := l.values[name].(string); return s }
func (l *nvlist) has(name string) bool      { return l.values[name] == true }

// pack makes bytes of it.
func (l *nvlist) pack() []byte {
	le := binary.LittleEndian
	b := []byte{0, 1, 0, 0} // native, little-endian
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, nvUnique)
	for _, name := range l.names {
		kind, count, value := uint32(nvBoolean), uint32(0), []byte(nil)
		switch v := l.values[name].(type) {
		case uint64:
			kind, count, value = nvUint64, 1, le.AppendUint64(nil, v)
		case string:
			kind, count, value = nvString, 1, append([]byte(v), 0)
		}
		label := filled(append([]byte(name), 0))
		value = filled(value)
		b = le.AppendUint32(b, uint32(nvPair+len(label)+len(value)))
		b = le.AppendUint16(b, uint16(len(name)+1))
		b = le.AppendUint16(b, 0)
		b = le.AppendUint32(b, count)
		b = le.AppendUint32(b, kind)
		b = append(append(b, label...), value...)
	}
	return le.AppendUint32(b, 0)
}

func filled(b []byte) []byte {
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

// unpack makes it of bytes. Pairs of other types are left out.
func unpack(b []byte) (l nvlist, err error) {
	le := binary.LittleEndian
	if len(b) < nvHead+4 || b[0] != 0 || b[1] != 1 || le.Uint32(b[4:]) != 0 {
		return l, errNvlist
	}
	for b = b[nvHead:]; ; {
		if len(b) < 4 {
			return l, errNvlist
		}
		size := le.Uint32(b)
		if size == 0 {
			return l, nil
		}
		if size < nvPair || uint64(size) > uint64(len(b)) {
			return l, errNvlist
		}
		pair := b[:size]
		b = b[size:]
		name := int(le.Uint16(pair[4:]))
		if label := int(roundUp(uint64(name))); name == 0 || nvPair+label > len(pair) || pair[nvPair+name-1] != 0 {
			return l, errNvlist
		}
		value := pair[nvPair+roundUp(uint64(name)):]
		label, kind := text(pair[nvPair:nvPair+name]), le.Uint32(pair[12:])
		switch {
		case kind == nvBoolean:
			l.set(label, true)
		case kind == nvUint64 && len(value) >= 8:
			l.set(label, le.Uint64(value))
		case kind == nvString && slices.Contains(value, 0):
			l.set(label, text(value))
		case kind == nvUint64 || kind == nvString:
			return l, fmt.Errorf("%w: %q has a value of %d bytes", errNvlist, label, len(value))
		}
	}
}
