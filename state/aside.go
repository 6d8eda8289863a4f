package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"zfs2cloud/state/durable"
)

// asideMark stands in the name of a damaged database that was moved aside, before the time when it was.
const asideMark = ".damaged-"

// ErrNotOurs is the error of a damaged file of which nobody knows whether it ever was our database.
var ErrNotOurs = errors.New("it may never have been a state database of this program: look at it, then move it away by hand, or mend state_db")

// SetAside moves a damaged database aside, so that the next transaction begins a new one, and returns its new
// path: nothing if the database was lost, and there was nothing to move. It looks at the file once more behind the
// gate; if it is not damaged, SetAside does nothing and returns nil, or the error that keeps it from being looked
// at. FOUND is the damage. The caller has made sure that no other process works with the database.
func (s *Store) SetAside(now time.Time) (path string, found *DamagedError, err error) {
	deadline := time.Now().Add(s.writeWait)
	folder, err := openFolder(filepath.Dir(s.path))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	defer folder.Close()
	name := filepath.Base(s.path)
	gate, err := enter(folder, name, true, deadline)
	if err != nil {
		return "", nil, err
	}
	defer gate.Close()
	s.inspected.Store(false)
	err = s.inspect(folder, name, gate, true, deadline)
	found, damaged := errors.AsType[*DamagedError](err)
	switch {
	case errors.Is(err, errNothing):
		return "", nil, nil
	case !damaged:
		return "", nil, err
	}
	path, err = s.moveAside(folder, gate, now)
	return path, found, err
}

// moveAside gives the file another name, and then forgets what had been committed to it. A process that dies
// between the two leaves a database that is gone, which is said, too.
func (s *Store) moveAside(folder *os.Root, gate *os.File, now time.Time) (path string, err error) {
	if _, ours, err := readMark(gate); err != nil || !ours {
		return "", errors.Join(err, ErrNotOurs)
	}
	name := filepath.Base(s.path)
	aside := name + asideMark + now.UTC().Format("20060102150405")
	if _, err := folder.Lstat(aside); !errors.Is(err, fs.ErrNotExist) {
		return "", errors.Join(err, fmt.Errorf("%s is there already", aside))
	}
	switch info, err := folder.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", durable.Whole(folder, err)
	case info.Size() > 0:
		if err := errors.Join(folder.Rename(name, aside), durable.SyncDir(folder, ".")); err != nil {
			return "", err
		}
		path = filepath.Join(folder.Name(), aside)
	}
	return path, gate.Truncate(0)
}

// Aside returns the newest of the damaged databases that were moved aside, or nothing.
func (s *Store) Aside() (string, error) {
	entries, err := os.ReadDir(filepath.Dir(s.path))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	newest := ""
	for _, e := range entries { // by name
		if strings.HasPrefix(e.Name(), filepath.Base(s.path)+asideMark) {
			newest = filepath.Join(filepath.Dir(s.path), e.Name())
		}
	}
	return newest, err
}
