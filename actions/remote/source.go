package remote

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"zfs2cloud/workflow"
)

// open opens what is to be stored, if it is the plain file of the size that it should be. rclone would take a
// folder too, and copy all that is in it.
func (s Source) open() (*os.File, error) {
	if !filepath.IsAbs(s.Path) {
		return nil, fmt.Errorf("%q: not an absolute path", s.Path)
	}
	f, err := os.OpenFile(s.Path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%q: not a regular file", s.Path)
	case info.Size() != s.Size:
		err = fmt.Errorf("%q has %d bytes, not %d", s.Path, info.Size(), s.Size)
	default:
		return f, nil
	}
	return nil, errors.Join(err, f.Close())
}

// taken looks whether a name is free, and if it isn't, whether by what was to be stored; else the error is a
// *Conflict. Hashed tells whether a hash said so, or the size alone. The hash is asked for only when
// there is something: stores compute it by reading.
func taken(ctx context.Context, r Remote, w workflow.World, name string, size int64, hashes map[string]string) (there, hashed bool, err error) {
	have, err := r.Stat(ctx, w, name, "")
	if errors.Is(err, ErrNotThere) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	if same, _ := have.Matches(size, nil); same {
		kind, err := r.HashKind(ctx, w)
		if err != nil {
			return false, false, err
		}
		if have, err = r.Stat(ctx, w, name, kind); err != nil {
			return false, false, err
		}
	}
	same, hashed := have.Matches(size, hashes)
	if !same {
		return false, false, &Conflict{Remote: r.String(), Name: name, There: have, Size: size}
	}
	return true, hashed, nil
}

// takenBytes is taken for what is small enough to be read and compared.
func takenBytes(ctx context.Context, r Remote, w workflow.World, name string, data []byte) (bool, error) {
	size := int64(len(data))
	there, hashed, err := taken(ctx, r, w, name, size, hashesOf(data))
	if !there || hashed || err != nil {
		return there, err
	}
	var have bytes.Buffer
	err = r.Get(ctx, w, name, size, &have)
	if err != nil && !errors.Is(err, ErrArchived) && !errors.Is(err, ErrDamaged) {
		return false, err
	}
	if err != nil || !bytes.Equal(have.Bytes(), data) {
		return false, &Conflict{Remote: r.String(), Name: name, There: Object{Size: size}, Size: size}
	}
	return true, nil
}

// Told tells whether a store has these bytes under a name, as far as size and hash say so, or the size alone where it has no hash: for
// what can't be read. If it has something else, the error is a *Conflict.
func Told(ctx context.Context, r Remote, w workflow.World, name string, data []byte) (bool, error) {
	there, _, err := taken(ctx, r, w, name, int64(len(data)), hashesOf(data))
	return there, err
}

// hashesOf is every kind of hash that a store may have.
func hashesOf(data []byte) map[string]string {
	s256, s1, m := sha256.Sum256(data), sha1.Sum(data), md5.Sum(data)
	return map[string]string{
		"sha256": hex.EncodeToString(s256[:]),
		"sha1":   hex.EncodeToString(s1[:]),
		"md5":    hex.EncodeToString(m[:]),
	}
}
