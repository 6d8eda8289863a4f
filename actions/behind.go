package actions

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"errors"
	"hash"

	"zfs2cloud/actions/stream"
	"zfs2cloud/state"
)

// behind is what an export must know to go on behind a chunk without what came before it: the stream's mark there, and
// its SHA-256 until there. Each chunk's record has one (state.Chunk, Resume).
type behind struct {
	mark stream.Mark
	hash hash.Hash
}

var errBehind = errors.New("not the end of a chunk")

// bytes is the stored form, of some 300 bytes: the length of the mark, the mark, the state of the hash.
func (b behind) bytes() ([]byte, error) {
	mark, err := b.mark.MarshalBinary()
	if err != nil {
		return nil, err
	}
	state, ok := b.hash.(encoding.BinaryAppender)
	if !ok {
		return nil, errBehind
	}
	return state.AppendBinary(append(binary.AppendUvarint(nil, uint64(len(mark))), mark...))
}

func parseBehind(stored []byte) (b behind, err error) {
	length, n := binary.Uvarint(stored)
	if n <= 0 || length > uint64(len(stored)-n) {
		return b, errBehind
	}
	stored = stored[n:]
	if err := b.mark.UnmarshalBinary(stored[:length]); err != nil {
		return b, err
	}
	b.hash = sha256.New()
	state, ok := b.hash.(encoding.BinaryUnmarshaler)
	if !ok {
		return b, errBehind
	}
	return b, state.UnmarshalBinary(stored[length:])
}

// Behind is where the stream goes on behind a chunk, in bytes, as its record has it.
func Behind(c state.Chunk) (int64, error) {
	b, err := parseBehind(c.Resume)
	return int64(b.mark.At), err
}
