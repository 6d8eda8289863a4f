package manifest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/settings"
)

// label makes, put behind the passphrase, the one that manifests are sealed under.
const label = " zfs2cloud-manifest-1"

// Seal makes the object that is stored, and its SHA-256. S is the job's sealer, as for chunks. Sealing again
// makes another object: a run seals once, and keeps the bytes.
func Seal(ctx context.Context, s chunk.Sealer, m *Manifest) (object []byte, sha string, err error) {
	plain, err := Encode(m)
	if err != nil {
		return nil, "", fmt.Errorf("manifest: %w", err)
	}
	if m.Encryption() != s.Kind() {
		return nil, "", fmt.Errorf("manifest: its chunks are of encryption %q, it would be of %q", m.Encryption(), s.Kind())
	}
	var b bytes.Buffer
	if err := s.Derived(label).Seal(ctx, bytes.NewReader(plain), &b); err != nil {
		return nil, "", fmt.Errorf("manifest: %w", err)
	}
	if b.Len() > MaxSize {
		return nil, "", fmt.Errorf("manifest: sealed it has %d bytes, %d are possible: use a larger split size", b.Len(), MaxSize)
	}
	return b.Bytes(), hashOf(b.Bytes()), nil
}

// Open opens what lies as manifest in a folder, by the job's sealer, and gives the object's SHA-256 along with
// it. chunk.ErrPassphrase (wrapped) says that it is not genuine; whatever the error, nothing of it is to be
// believed. An error does not name the folder: whoever knows why it was opened does.
func Open(ctx context.Context, s chunk.Sealer, object []byte, folder string) (*Manifest, string, error) {
	m, err := open(ctx, s, object, folder)
	if errors.Is(err, chunk.ErrPassphrase) {
		return nil, "", fmt.Errorf("its manifest %w", err) // which goes on "does not open"
	}
	if err != nil {
		return nil, "", fmt.Errorf("its manifest: %w", err)
	}
	return m, hashOf(object), nil
}

func open(ctx context.Context, s chunk.Sealer, object []byte, folder string) (*Manifest, error) {
	if len(object) > MaxSize {
		return nil, fmt.Errorf("%d bytes are more than a manifest has", len(object))
	}
	var b bytes.Buffer
	if err := s.Derived(label).OpenAtMost(ctx, bytes.NewReader(object), &b, MaxSize); err != nil {
		return nil, err
	}
	return Read(b.Bytes(), s.Kind(), folder)
}

// Read takes a manifest's text as Open does once the object is open: who kept the text of one that Open has opened may
// read it again.
func Read(text []byte, enc settings.Encryption, folder string) (*Manifest, error) {
	m, err := Decode(text)
	if err != nil {
		return nil, err
	}
	if m.Name != folder {
		return nil, fmt.Errorf("it is that of %q", m.Name)
	}
	if m.Encryption() != enc {
		return nil, fmt.Errorf("its chunks are of encryption %q, it is of %q", m.Encryption(), enc)
	}
	return m, nil
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
