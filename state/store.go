package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"zfs2cloud/state/durable"
)

// Store is a database that is open only during a transaction.
type Store struct {
	path      string
	readWait  time.Duration
	writeWait time.Duration
	glances   bool        // a file that nobody has written to is not looked through for those who only read
	inspected atomic.Bool // this process has looked through the whole file
	updates   atomic.Int64
	updating  atomic.Int64 // ns
}

// New names a database. It opens nothing, and nothing need be there.
func New(path string) *Store {
	return &Store{path: path, readWait: time.Minute, writeWait: time.Minute}
}

// Glance is New for status, which is asked often and has to answer within a second: View waits for 700 ms only, and
// a file that is as the last transaction left it is not looked through before it is read: whoever wrote it had
// looked through it. Each record is held against its checksum all the same.
func Glance(path string) *Store {
	return &Store{path: path, readWait: 700 * time.Millisecond, writeWait: time.Minute, glances: true}
}

// Path is the name of the database file.
func (s *Store) Path() string { return s.path }

// View calls fn with a transaction that reads. After a minute without its turn it returns ErrBusy. What it
// sees is one moment of the database; if that has an older schema, or there never was one, what is not there yet is
// empty.
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
	switch never, err := s.neverWritten(folder); {
	case err != nil:
		return err
	case never:
		return viewNothing(fn)
	}
	err = s.transact(folder, false, deadline, func(tx *Tx) error {
		if err := tx.checkSchema(); err != nil {
			return err
		}
		return fn(tx)
	})
	if errors.Is(err, errNothing) {
		return viewNothing(fn)
	}
	return err
}

// neverWritten tells whether there is neither a database nor a gate, whose file would tell of one that was there.
func (s *Store) neverWritten(folder *os.Root) (bool, error) {
	for _, name := range []string{filepath.Base(s.path), filepath.Base(s.path) + gateSuffix} {
		info, err := folder.Stat(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, durable.Whole(folder, err)
		}
		if err == nil && info.Size() > 0 {
			return false, nil
		}
	}
	return true, nil
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
	began := time.Now()
	defer func() {
		s.updates.Add(1)
		s.updating.Add(time.Since(began).Nanoseconds())
	}()
	deadline := began.Add(s.writeWait)
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

// Spent is how many times Update was called, and how long all calls took together.
func (s *Store) Spent() (updates int64, took time.Duration) {
	return s.updates.Load(), time.Duration(s.updating.Load())
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
	if err := s.inspect(folder, name, gate, write, deadline); write && errors.Is(err, errNothing) {
		if err := markBeginning(gate); err != nil {
			return err
		}
	} else if err != nil {
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
	tx.gate = gate
	defer func() { err = errors.Join(err, tx.end()) }()
	return fn(tx)
}
