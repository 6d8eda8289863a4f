// Package durable writes files that are there, whole, after a power cut, or not there at all.
//
// The idea is the old one: write under a temporary name, fsync, rename, fsync the folder. A name that is
// seen under its final form is whole; what a crash leaves under a temporary name is found by IsTemp.
// Names are relative to an *os.Root, so that no link planted in the folder leads elsewhere.
package durable

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"zfs2cloud/state/crash"
)

const tempMark = ".z2c-tmp-"

// IsTemp tells whether a base name is one that this package gave to an unfinished file.
func IsTemp(name string) bool { return strings.HasPrefix(path.Base(name), tempMark) }

// File is a file being written. Exactly one of Commit and Abort ends it; Abort after Commit does nothing.
type File struct {
	*os.File
	root *os.Root
	temp string
	name string
	done bool

	written, begun int64 // bytes: to the file, and those that the disk was told to begin with
}

// Whole makes the error of an operation in ROOT name the whole path, of which os.Root tells only what is below it.
func Whole(root *os.Root, err error) error {
	if p, ok := err.(*fs.PathError); ok && !filepath.IsAbs(p.Path) {
		return &fs.PathError{Op: p.Op, Path: filepath.Join(root.Name(), p.Path), Err: p.Err}
	}
	return err
}

// Create begins a file that will be NAME in ROOT, mode 0600. The temporary name is random and O_EXCL.
func Create(root *os.Root, name string) (*File, error) {
	var b [8]byte
	rand.Read(b[:])
	temp := path.Join(path.Dir(name), tempMark+hex.EncodeToString(b[:]))
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, Whole(root, err)
	}
	// The umask may have taken bits away, or, at 0777, all of them.
	if err := f.Chmod(0o600); err != nil {
		return nil, errors.Join(err, f.Close(), root.Remove(temp))
	}
	return &File{File: f, root: root, temp: temp, name: name}, nil
}

// Commit fsyncs the file, gives it its name, over whatever had it, and fsyncs the folder.
func (f *File) Commit() error {
	if f.done {
		return fs.ErrClosed
	}
	f.done = true
	err := f.File.Sync()
	if cerr := f.File.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		crash.Point("rename.before")
		err = f.root.Rename(f.temp, f.name)
		crash.Point("rename.after")
	}
	if err != nil {
		return errors.Join(err, f.root.Remove(f.temp))
	}
	return SyncDir(f.root, path.Dir(f.name))
}

// Abort removes what was written.
func (f *File) Abort() error {
	if f.done {
		return nil
	}
	f.done = true
	return errors.Join(f.File.Close(), f.root.Remove(f.temp))
}

// OpenNew opens a folder by its absolute path, and makes it if it is not there, mode 0700. The one that it lies in must exist.
func OpenNew(dir string) (*os.Root, error) {
	parent, err := os.OpenRoot(filepath.Dir(dir))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	if err := Mkdir(parent, filepath.Base(dir)); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.OpenRoot(dir)
}

// SyncDir fsyncs a folder, so that the names in it survive a power cut.
func SyncDir(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return Whole(root, err)
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("fsync folder: %w", err)
	}
	return nil
}

// Write makes NAME in ROOT have exactly this content, or leaves it as it was.
func Write(root *os.Root, name string, data []byte) error {
	f, err := Create(root, name)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Abort())
	}
	return f.Commit()
}

// WriteFile is Write for an absolute path whose folder is ours.
func WriteFile(name string, data []byte) error {
	root, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer root.Close()
	return Write(root, filepath.Base(name), data)
}

// RenameNew gives what is called FROM the name TO, which nothing has yet (fs.ErrExist), and fsyncs the folders of both. Some
// file systems can't do both in one (ZFS before 2.2): there it looks first.
func RenameNew(root *os.Root, from, to string) error {
	old, err := root.Open(path.Dir(from))
	if err != nil {
		return Whole(root, err)
	}
	defer old.Close()
	dir, err := root.Open(path.Dir(to))
	if err != nil {
		return Whole(root, err)
	}
	defer dir.Close()
	crash.Point("rename.before")
	err = unix.Renameat2(int(old.Fd()), path.Base(from), int(dir.Fd()), path.Base(to), unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		if _, lerr := root.Lstat(to); lerr == nil {
			err = unix.EEXIST
		} else if err = lerr; errors.Is(lerr, fs.ErrNotExist) {
			err = unix.Renameat(int(old.Fd()), path.Base(from), int(dir.Fd()), path.Base(to))
		}
	}
	crash.Point("rename.after")
	if err != nil {
		return &os.LinkError{Op: "rename", Old: filepath.Join(root.Name(), from), New: filepath.Join(root.Name(), to), Err: err}
	}
	return errors.Join(SyncDir(root, path.Dir(to)), SyncDir(root, path.Dir(from)))
}

// Remove removes NAME and fsyncs its folder. Neither need be there.
func Remove(root *os.Root, name string) error {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Whole(root, err)
	}
	crash.Point("remove.after")
	err := SyncDir(root, path.Dir(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// SyncParent fsyncs the folder in which something lies, or lay, by its absolute path. It need not be there.
func SyncParent(name string) error {
	root, err := os.OpenRoot(filepath.Dir(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(SyncDir(root, "."), root.Close())
}

// Mkdir makes a folder, mode 0700, and fsyncs its parent. That it exists is an error: mkdir is a claim.
func Mkdir(root *os.Root, name string) error {
	if err := root.Mkdir(name, 0o700); err != nil {
		return Whole(root, err)
	}
	crash.Point("mkdir.after")
	if err := root.Chmod(name, 0o700); err != nil {
		return err
	}
	return SyncDir(root, path.Dir(name))
}
