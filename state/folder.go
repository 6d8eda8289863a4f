package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrUnsafe is the error of a folder in which others could put what they like. It comes as an UnsafeError.
var ErrUnsafe = errors.New("folder is not safe to keep state in")

// UnsafeError says which folder is not safe, and why.
type UnsafeError struct {
	Dir   string
	Owner int         // its user
	Mode  fs.FileMode // of what is in fs.ModePerm and fs.ModeSticky
}

func (e *UnsafeError) Error() string {
	if e.Foreign() {
		return fmt.Sprintf("%v: %s belongs to user %d, not to %d", ErrUnsafe, e.Dir, e.Owner, os.Geteuid())
	}
	return fmt.Sprintf("%v: %s is writable by others (mode %04o)", ErrUnsafe, e.Dir, e.Mode.Perm())
}

// Foreign tells a folder of another user from one that others may write to.
func (e *UnsafeError) Foreign() bool { return e.Owner != os.Geteuid() }

func (e *UnsafeError) Unwrap() error { return ErrUnsafe }

// ErrNotLocal is the error of a folder that is on no disk of this machine, or on none at all.
var ErrNotLocal = errors.New("not on a local disk")

// openFolder opens a folder and makes sure, on what was opened, that it is ours alone to write. It does not
// close an existing folder to readers: it may have been there for other things. The files are closed to them.
func openFolder(dir string) (*os.Root, error) {
	folder, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if err := checkFolder(folder); err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	return folder, nil
}

func checkFolder(folder *os.Root) error {
	info, err := folder.Stat(".")
	if err != nil {
		return err
	}
	e := &UnsafeError{Dir: folder.Name(), Owner: int(info.Sys().(*syscall.Stat_t).Uid), Mode: info.Mode() & (fs.ModePerm | fs.ModeSticky)}
	if e.Foreign() || e.Mode&0o022 != 0 {
		return e
	}
	return nil
}

// makeFolder is openFolder, and makes the folder if it is not there, but not its parents: those that are
// missing may be a disk that is not mounted.
func makeFolder(dir string) (*os.Root, error) {
	err := os.Mkdir(dir, 0o700)
	switch {
	case errors.Is(err, fs.ErrExist):
		return openFolder(dir)
	case err != nil:
		return nil, err
	}
	// The umask may have taken bits away, or, at 0777, all of them.
	if err := errors.Join(os.Chmod(dir, 0o700), syncPath(filepath.Dir(dir))); err != nil {
		return nil, err
	}
	return openFolder(dir)
}

func syncPath(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// notLocal lists remote file systems, where locks and mapped files are not to be trusted, and those that are gone after a
// power cut. FUSE may be either; it is counted here since nobody can tell.
var notLocal = map[int64]string{
	unix.NFS_SUPER_MAGIC:   "NFS",
	unix.SMB_SUPER_MAGIC:   "SMB",
	unix.CIFS_SUPER_MAGIC:  "CIFS",
	unix.SMB2_SUPER_MAGIC:  "SMB2",
	unix.AFS_SUPER_MAGIC:   "AFS",
	unix.AFS_FS_MAGIC:      "AFS",
	unix.CODA_SUPER_MAGIC:  "Coda",
	unix.CEPH_SUPER_MAGIC:  "Ceph",
	unix.OCFS2_SUPER_MAGIC: "OCFS2",
	unix.V9FS_MAGIC:        "9p",
	unix.FUSE_SUPER_MAGIC:  "FUSE",
	unix.TMPFS_MAGIC:       "tmpfs",
	unix.RAMFS_MAGIC:       "ramfs",
}

// OnLocalDisk returns ErrNotLocal, with the kind of file system, if a path is on none that keeps a database
// well. A path that is not there yet counts as the first of its parents that is.
func OnLocalDisk(path string) error {
	var st unix.Statfs_t
	err := unix.Statfs(path, &st)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(path) != path {
		return OnLocalDisk(filepath.Dir(path))
	}
	if err != nil {
		return &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	if kind, bad := notLocal[int64(st.Type)]; bad {
		return fmt.Errorf("%w: %s is on %s", ErrNotLocal, path, kind)
	}
	return nil
}
