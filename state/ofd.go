package state

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/state/durable"
)

// Locks here belong to an open file description (fcntl(2), "Open file description locks"): they exclude
// goroutines of one process as well as processes, are inherited with the descriptor, and go when its last
// copy is closed, however its holders die. A lock of a description is lost when its *os.File becomes
// unreachable and is finalized, so whoever holds one keeps the file.

// errHeld is the answer of a lock that someone else holds.
var errHeld = errors.New("lock held")

// wholeFile is the range of a lock over a file of whatever length.
var wholeFile = span{0, 0}

// span is a range of bytes, of which a file may have fewer; length 0 is up to the end.
type span struct{ start, length int64 }

func (s span) flock(kind int16) *unix.Flock_t {
	return &unix.Flock_t{Type: kind, Whence: 0, Start: s.start, Len: s.length}
}

// tryLock takes a lock, F_RDLCK or F_WRLCK, at once, or returns errHeld.
func tryLock(f *os.File, s span, kind int16) error {
	err := fcntlLock(f, unix.F_OFD_SETLK, s.flock(kind))
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) { // fcntl(2): either may come back
		return errHeld
	}
	return err
}

// isLocked tells whether anybody else holds a lock on any of these bytes. It takes none, not even for a
// moment: a probe that did would turn away an owner who comes just then.
func isLocked(f *os.File, s span) (bool, error) {
	query := s.flock(unix.F_WRLCK)
	if err := fcntlLock(f, unix.F_OFD_GETLK, query); err != nil {
		return false, err
	}
	return query.Type != unix.F_UNLCK, nil
}

func fcntlLock(f *os.File, command int, lock *unix.Flock_t) error {
	err := unix.FcntlFlock(f.Fd(), command, lock)
	runtime.KeepAlive(f)
	if err != nil {
		return &os.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return nil
}

// waiting bounds how many threads of this process wait in the kernel. The kernel's wait has no deadline and
// nothing ends it, so one that was given up goes on until the lock is free; without a bound, a process that
// asks again and again beside a stopped writer would pile up threads.
var waiting = make(chan struct{}, 64)

// waitLock takes a lock, waiting for it until the deadline; then it returns errHeld. It waits in the kernel,
// which wakes whoever is first: polling instead leaves the lock idle between two looks, and whoever waits
// behind it waits along. On an error the file is closed, or will be.
func waitLock(f *os.File, kind int16, deadline time.Time) error {
	if err := tryLock(f, wholeFile, kind); !errors.Is(err, errHeld) {
		return closeUnless(err == nil, f, err)
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case waiting <- struct{}{}:
	case <-timer.C:
		return closeUnless(false, f, errHeld)
	}

	taken, givenUp := make(chan error), make(chan struct{})
	go func() {
		defer func() { <-waiting }()
		err := lockInKernel(f, kind)
		select {
		case taken <- err:
		case <-givenUp:
			f.Close() // which lets go of a lock that nobody wants any more
		}
	}()
	select {
	case err := <-taken:
		return closeUnless(err == nil, f, err)
	case <-timer.C:
		close(givenUp)
		return errHeld
	}
}

func lockInKernel(f *os.File, kind int16) error {
	for {
		err := fcntlLock(f, unix.F_OFD_SETLKW, wholeFile.flock(kind))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func closeUnless(keep bool, f *os.File, err error) error {
	if keep {
		return err
	}
	return errors.Join(err, f.Close())
}

// openLockFile opens a file whose only use is to be locked. It is made if need be, and never removed: a
// removed one would leave two processes each with a lock of the same name.
func openLockFile(folder *os.Root, name string) (*os.File, error) {
	f, err := folder.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, durable.Whole(folder, err)
	}
	if err := private(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// private makes sure that a file of ours is one, and closed to others: whoever may read it may lock it.
func private(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a regular file", f.Name())
	}
	if info.Mode().Perm() == 0o600 {
		return nil
	}
	return f.Chmod(0o600)
}
