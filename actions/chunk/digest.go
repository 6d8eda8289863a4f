package chunk

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
)

// Digest is the size of some bytes and what they hash to, in hex.
type Digest struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Hashes are of further kinds, by the names that rclone has for them. They serve to compare with what
	// a store says about an object, never as proof.
	Hashes map[string]string `json:"hashes,omitempty"`
}

// ErrDiffers is the error of bytes that are not those whose digest was stored.
var ErrDiffers = errors.New("not what was sealed")

// Is tells whether two digests are of the same bytes, by size and SHA-256.
func (d Digest) Is(other Digest) bool { return d.Size == other.Size && d.SHA256 == other.SHA256 }

// differs is nil if GOT is what was wanted.
func (d Digest) differs(got Digest) error {
	if got.Is(d) {
		return nil
	}
	if got.Size != d.Size {
		return fmt.Errorf("%w: %d bytes instead of %d", ErrDiffers, got.Size, d.Size)
	}
	return fmt.Errorf("%w: SHA-256 is %s instead of %s", ErrDiffers, got.SHA256, d.SHA256)
}

var kinds = map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New}

// Hasher digests what is written to it.
type Hasher struct {
	size   int64
	sha256 hash.Hash
	more   map[string]hash.Hash
}

// NewHasher makes a Hasher of size, SHA-256, and the kinds named: md5, sha1.
func NewHasher(names ...string) (*Hasher, error) {
	h := newHasher()
	for _, name := range names {
		if name == "sha256" {
			continue
		}
		make, ok := kinds[name]
		if !ok {
			return nil, fmt.Errorf("no hash of kind %q here", name)
		}
		h.more[name] = make()
	}
	return h, nil
}

func newHasher() *Hasher {
	return &Hasher{sha256: sha256.New(), more: map[string]hash.Hash{}}
}

// Write never fails.
func (h *Hasher) Write(p []byte) (int, error) {
	h.size += int64(len(p))
	h.sha256.Write(p)
	for _, m := range h.more {
		m.Write(p)
	}
	return len(p), nil
}

// Digest is of all that was written until now.
func (h *Hasher) Digest() Digest {
	d := Digest{Size: h.size, SHA256: hex.EncodeToString(h.sha256.Sum(nil))}
	for name, m := range h.more {
		if d.Hashes == nil {
			d.Hashes = map[string]string{}
		}
		d.Hashes[name] = hex.EncodeToString(m.Sum(nil))
	}
	return d
}
