package stream

import "encoding/binary"

// Packed is a token's list, as it is before it is deflated.
func Packed(text string) ([]byte, error) { return packedOf(text) }

// Unpack reads a packed list.
func Unpack(b []byte) error { _, err := unpack(b); return err }

// Resummed is a stream whose records have sums of their own, all of them right: what a newer ZFS would have made of one of
// an old one.
func Resummed(b []byte) []byte {
	var out []byte
	p := &Parser{}
	for len(b) > 0 {
		h := Header(b[:HeaderSize])
		switch {
		case h.Type() == TypeBegin || p.place == between:
		case p.place == inWrapper:
			p.sum.put(h[endSum:])
		default:
			p.sign(&h)
		}
		n, _ := h.Payload()
		record := append(h[:], b[HeaderSize:HeaderSize+n]...)
		if _, err := p.Write(record); err != nil {
			panic(err)
		}
		out = append(out, record...)
		b = b[HeaderSize+n:]
	}
	return out
}

// Sent is what a ZFS sends of a stream for a token: BEGIN that says so, what the object was, and the stream from the record
// on, or nil if there is no such record.
func Sent(b []byte, t Token) []byte {
	var begin, out, object []byte
	found := false
	for at := uint64(0); at < uint64(len(b)); {
		h := Header(b[at : at+HeaderSize])
		n, _ := h.Payload()
		record := append([]byte(nil), b[at:at+HeaderSize+n]...)
		at += HeaderSize + n
		switch kind := h.Type(); {
		case kind == TypeBegin && h.u64(beginVersion)&layoutMask == layoutCompound, kind == TypeEnd && begin == nil:
			continue
		case kind == TypeBegin:
			version := h.u64(beginVersion) | uint64(FeatureResuming)<<2
			binary.LittleEndian.PutUint64(record[beginVersion:], version)
			var l nvlist
			l.set("resume_object", t.Object)
			l.set("resume_offset", t.Offset)
			packed := l.pack()
			binary.LittleEndian.PutUint32(record[atPayload:], uint32(len(packed)))
			begin = append(record[:HeaderSize], packed...)
			continue
		case !found:
			if kind == TypeObject && h.Object() == t.Object {
				object = record
			}
			found = h.Object() == t.Object && (kind == TypeObject && t.Offset == 0 || kind == TypeWrite && h.Offset() == t.Offset && t.Offset > 0)
			if !found {
				continue
			}
			out = append(out, begin...)
			if kind != TypeObject {
				out = append(out, object...)
			}
		}
		out = append(out, record...)
		if h.Type() == TypeEnd {
			break
		}
	}
	if !found {
		return nil
	}
	return Resummed(out)
}
