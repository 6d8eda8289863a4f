package chunk

import (
	"bytes"
	"context"
	"fmt"
)

// A canary is a small message that tells two things: that this gpg, as it is set up on this host, gives back
// what it was given (text mode, for one, would change line endings), and, opened by a later run, that the
// passphrase is still the same. It stands in for a digest of the passphrase, which is never stored.
func canary() []byte {
	b := []byte("zfs2cloud-canary-1\r\n\x00\n\r\n")
	for c := range 256 {
		b = append(b, byte(c))
	}
	return append(b, "\r\n"...)
}

// NewCanary seals a canary, and opens it at once.
func NewCanary(ctx context.Context, s Sealer) (sealed []byte, err error) {
	var b bytes.Buffer
	if err := s.Seal(ctx, bytes.NewReader(canary()), &b); err != nil {
		return nil, fmt.Errorf("seal a canary: %w", err)
	}
	if err := OpenCanary(ctx, s, b.Bytes()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// OpenCanary opens what NewCanary made. ErrPassphrase (wrapped) means that it was another passphrase.
func OpenCanary(ctx context.Context, s Sealer, sealed []byte) error {
	var b bytes.Buffer
	want := canary()
	if err := s.Open(ctx, bytes.NewReader(sealed), &b, int64(len(want))); err != nil {
		return fmt.Errorf("open a canary: %w", err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		return fmt.Errorf("open a canary: gpg gives back other bytes than it was given; look at /etc/gnupg/gpg.conf")
	}
	return nil
}
