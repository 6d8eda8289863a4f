package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// boltFile is the open database of one transaction.
type boltFile struct {
	folder *os.Root
	name   string
	path   string
	raw    *os.File // what bbolt reads and writes
	db     *bolt.DB
	broken error // bbolt panicked with this; its mutexes are in no known state, and it is not called again
}

// openBolt opens the database NAME behind the gate. The gate keeps our own kind away; the deadline is for a
// stranger who has the file open.
func openBolt(folder *os.Root, name string, write bool, deadline time.Time) (*boltFile, error) {
	f := &boltFile{folder: folder, name: name, path: filepath.Join(folder.Name(), name)}
	err := f.guard("", "", func() (err error) {
		f.db, err = bolt.Open(name, 0o600, &bolt.Options{
			ReadOnly:     !write,
			Timeout:      max(time.Until(deadline), time.Nanosecond), // 0 would wait for ever
			NoStatistics: true,
			OpenFile:     f.openRaw,
		})
		return err
	})
	switch {
	case err == nil:
		return f, nil
	case f.broken != nil:
		return nil, errors.Join(err, f.close())
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%w: another program has %s open", ErrBusy, f.path)
	case isDamage(err):
		return nil, f.damaged("", "", err)
	}
	return nil, fmt.Errorf("open %s: %w", f.path, err)
}

// openRaw opens the file for bbolt, inside the folder that was checked.
func (f *boltFile) openRaw(name string, flag int, mode os.FileMode) (*os.File, error) {
	raw, err := f.folder.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err
	}
	if err := private(raw); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	f.raw = raw
	return raw, nil
}

// close closes the file, and so lets bbolt's lock go. After a panic bbolt's own Close might wait for ever
// for a mutex that the panic left locked. Then its mapping stays until the process ends, and would keep the
// lock with it, closed file or not.
func (f *boltFile) close() error {
	if f.broken != nil {
		return errors.Join(unix.Flock(int(f.raw.Fd()), unix.LOCK_UN), f.raw.Close())
	}
	return f.guard("", "", f.db.Close)
}

// named makes an error of a commit say what failed, and on which file: bbolt hands on that of fdatasync(2) without a word, and
// of no other call.
func (f *boltFile) named(err error) error {
	if errno, bare := err.(unix.Errno); bare {
		return &os.PathError{Op: "fdatasync", Path: f.path, Err: errno}
	}
	return err
}

// begin begins a transaction.
func (f *boltFile) begin(write bool) (*Tx, error) {
	tx := &Tx{file: f, write: write, counts: map[string]int{}}
	err := f.guard("", "", func() (err error) {
		tx.bolt, err = f.db.Begin(write)
		return err
	})
	return tx, err
}
