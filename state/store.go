package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Store is a database that is open only during a transaction.
type Store struct {
	path      string
	readWait  time.Duration
	writeWait time.Duration
}

// New names a database. It opens nothing, and nothing need be there.
func New(path string) *Store {
	return &Store{path: path, readWait: 700 * time.Millisecond, writeWait: time.Minute}
}

// Path is the name of the database file.
func (s *Store) Path() string { return s.path }

// View calls fn with a transaction that reads. After 700 ms without its turn it returns ErrBusy. What it
// sees is one moment of the database; if that has an older schema, what is not there yet is empty.
func (s *Store) View(fn func(*Tx) error) error {
	deadline := time.Now().Add(s.readWait)
	folder, err := openFolder(filepath.Dir(s.path))
	if errors.Is(err, fs.ErrNotExist) {
		return viewNothing(fn)
	}
	if err != nil {
		return err
	}
	defer folder.Close()
	info, err := folder.Stat(filepath.Base(s.path))
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return viewNothing(fn)
	}
	if err != nil {
		return err
	}
	return s.transact(folder, false, deadline, func(tx *Tx) error {
		if err := tx.checkSchema(); err != nil {
			return err
		}
		return fn(tx)
	})
}

func viewNothing(fn func(*Tx) error) error {
	tx := &Tx{}
	defer func() { tx.ended = true }()
	return fn(tx)
}

// Update calls fn with a transaction that writes, and commits it if fn returns nil. It waits a minute for
// its turn, then returns ErrBusy. It makes the database, and the folder that it is in, if they are not there.
//
// If Update returns an error, nothing of the transaction was stored, with one exception that no database can
// avoid: when the disk fails in the very commit, it may be there or not.
func (s *Store) Update(fn func(*Tx) error) error {
	deadline := time.Now().Add(s.writeWait)
	folder, err := makeFolder(filepath.Dir(s.path))
	if err != nil {
		return err
	}
	defer folder.Close()
	return s.transact(folder, true, deadline, func(tx *Tx) error {
		if err := tx.migrate(migrations); err != nil {
			return err
		}
		if err := fn(tx); err != nil {
			return err
		}
		return tx.commit()
	})
}

// transact opens the database behind the gate for one transaction. Whatever happens in fn, even a panic,
// the file is closed first and the gate opened last.
func (s *Store) transact(folder *os.Root, write bool, deadline time.Time, fn func(*Tx) error) (err error) {
	name := filepath.Base(s.path)
	gate, err := enter(folder, name, write, deadline)
	if err == nil {
		defer gate.Close()
	} else if write || !errors.Is(err, syscall.EROFS) { // nobody writes to a file system that is mounted read-only
		return err
	}
	file, err := openBolt(folder, name, write, deadline)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.close()) }()
	tx, err := file.begin(write)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tx.end()) }()
	return fn(tx)
}
