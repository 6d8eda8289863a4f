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

// behind is what an export must know to go on behind a chunk without what came before it: the stream's mark there, its
// SHA-256 until there, and, for the entries of the chunks to come, its trail. Each chunk's record has one (state.Chunk, Resume).
type behind struct {
	mark stream.Mark
	hash hash.Hash
	// trail is what the parser goes on to follow with; nil in records of before there was an index.
	trail []byte
}

// hashState is the length of what sha256 keeps of itself.
const hashState = 108

var errBehind = errors.New("not the end of a chunk")

// bytes is the stored form, of some 600 bytes: the length of the mark, the mark, the state of the hash, the trail.
func (b behind) bytes() ([]byte, error) {
	mark, err := b.mark.MarshalBinary()
	if err != nil {
		return nil, err
	}
	state, ok := b.hash.(encoding.BinaryAppender)
	if !ok {
		return nil, errBehind
	}
	stored, err := state.AppendBinary(append(binary.AppendUvarint(nil, uint64(len(mark))), mark...))
	return append(stored, b.trail...), err
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
	if stored = stored[length:]; len(stored) > hashState {
		stored, b.trail = stored[:hashState], stored[hashState:]
	}
	return b, state.UnmarshalBinary(stored)
}

// Behind is where the stream goes on behind a chunk, in bytes, as its record has it.
func Behind(c state.Chunk) (int64, error) {
	b, err := parseBehind(c.Resume)
	return int64(b.mark.At), err
}
