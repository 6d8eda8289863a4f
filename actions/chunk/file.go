package chunk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"zfs2cloud/state/durable"
)

// Written is what became of a piece.
type Written struct {
	Plain  Digest // size and SHA-256
	Cipher Digest // of the file, with the further kinds
}

// WriteFile seals a piece into the file NAME, which is there whole, after a power cut too, or not at all.
// KINDS are the further hashes of the file. An error of reading or writing comes back as it is (ENOSPC).
func WriteFile(ctx context.Context, root *os.Root, name string, plain io.Reader, s Sealer, kinds []string) (Written, error) {
	cipher, err := NewHasher(kinds...)
	if err != nil {
		return Written{}, err
	}
	f, err := durable.Create(root, name)
	if err != nil {
		return Written{}, err
	}
	clear := newHasher()
	if err := s.Seal(ctx, io.TeeReader(plain, clear), io.MultiWriter(f, cipher)); err != nil {
		return Written{}, errors.Join(err, f.Abort())
	}
	if err := f.Commit(); err != nil {
		return Written{}, err
	}
	return Written{Plain: clear.Digest(), Cipher: cipher.Digest()}, nil
}

// Prove reads a piece to its end and tells whether it is, byte for byte, the one that was sealed. An error is
// one of reading: nothing is known then.
func Prove(r io.Reader, want Digest) (bool, error) {
	h := newHasher()
	if _, err := io.Copy(h, r); err != nil {
		return false, err
	}
	return h.Digest().Is(want), nil
}

// CheckFile reads a whole file from its beginning and compares it with what was sealed: ErrDiffers (wrapped)
// if it is another.
func CheckFile(ctx context.Context, f io.ReadSeeker, cipher Digest) error {
	_, err := HashFile(ctx, f, cipher)
	return err
}

// HashFile is CheckFile, and has the file's digest with hashes of further KINDS.
func HashFile(ctx context.Context, f io.ReadSeeker, cipher Digest, kinds ...string) (Digest, error) {
	h, err := NewHasher(kinds...)
	if err != nil {
		return Digest{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Digest{}, err
	}
	if _, err := io.Copy(h, &reader{ctx: ctx, r: f}); err != nil {
		return Digest{}, err
	}
	return h.Digest(), cipher.differs(h.Digest())
}

// OpenFile writes the plaintext of a chunk file to W. The whole file is proved before gpg sees a byte of it,
// so what reaches W was sealed by who made the digests; that it was all of it, only a nil error says.
func OpenFile(ctx context.Context, f io.ReadSeeker, cipher, plain Digest, s Sealer, w io.Writer) error {
	if err := CheckFile(ctx, f, cipher); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	h := newHasher()
	if err := s.Open(ctx, f, io.MultiWriter(w, h), plain.Size); err != nil {
		return err
	}
	if err := plain.differs(h.Digest()); err != nil {
		return fmt.Errorf("plaintext: %w", err)
	}
	return nil
}
