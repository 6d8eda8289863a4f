package state

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	berrors "go.etcd.io/bbolt/errors"

	"zfs2cloud/state/durable"
)

// DamagedError says that the database is not as it was written. It is never the error of a wait that was
// too long, of a full disk, or of a disk that does not read.
type DamagedError struct {
	Path   string
	Bucket string // empty: the file as a whole
	Key    string // empty: the bucket as a whole
	Cause  error
}

func (e *DamagedError) Error() string {
	switch {
	case e.Bucket == "":
		return fmt.Sprintf("%s is damaged: %v", e.Path, e.Cause)
	case e.Key == "":
		return fmt.Sprintf("%s is damaged in bucket %s: %v", e.Path, e.Bucket, e.Cause)
	}
	return fmt.Sprintf("%s is damaged in bucket %s, key %q: %v", e.Path, e.Bucket, e.Key, e.Cause)
}

func (e *DamagedError) Unwrap() error { return e.Cause }

// guard is the only way to bbolt. It turns what bbolt panics with on a damaged file, and the fault of a page
// that the file does not have, into a DamagedError. It must be kept tight: a panic in code of ours is a
// mistake of ours, and a file must not be called damaged for that.
func (f *boltFile) guard(bucket, key string, fn func() error) (err error) {
	if f.broken != nil {
		return f.broken
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			f.broken = f.damaged(bucket, key, fmt.Errorf("%v", p))
			err = f.broken
		}
	}()
	return fn()
}

// damaged makes the error for damage that was found, unless the disk is to blame: a page that can't be read
// shows as a fault in the mapped file, and only reading it again through the descriptor tells why.
func (f *boltFile) damaged(bucket, key string, cause error) error {
	if err := f.readThrough(); err != nil {
		return err
	}
	return &DamagedError{Path: f.path, Bucket: bucket, Key: key, Cause: cause}
}

func (f *boltFile) readThrough() error {
	file, err := f.folder.Open(f.name)
	if err != nil {
		return durable.Whole(f.folder, err)
	}
	defer file.Close()
	_, err = io.Copy(io.Discard, file)
	return err
}

// isDamage tells whether bbolt refuses to open a file for what is in it.
func isDamage(err error) bool {
	for _, known := range []error{berrors.ErrInvalid, berrors.ErrChecksum, berrors.ErrVersionMismatch} {
		if errors.Is(err, known) {
			return true
		}
	}
	return strings.HasPrefix(err.Error(), "file size too small") // bbolt has no value for this one; a test pins it
}
