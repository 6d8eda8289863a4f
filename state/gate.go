package state

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrBusy is the error of a transaction that did not get its turn in time.
var ErrBusy = errors.New("state database busy")

// The gate and its turnstile are two files beside the database.
const (
	gateSuffix      = ".gate"
	turnstileSuffix = ".turn"
)

// enter passes the gate to the database NAME and returns the gate's file, which is to be closed after the
// transaction: that opens the gate to the next.
//
// There are two locks. All take the turnstile, then the gate, then let the turnstile go. Readers share the
// gate, and a writer has it alone. A writer at the turnstile waits only for those who are already inside:
// nobody passes it while it waits for the gate. With the gate alone, readers who overlap for ever would keep
// it shut for ever.
func enter(folder *os.Root, name string, write bool, deadline time.Time) (*os.File, error) {
	turnstile, err := take(folder, name+turnstileSuffix, unix.F_WRLCK, deadline)
	if err != nil {
		return nil, err
	}
	defer turnstile.Close()
	kind := int16(unix.F_RDLCK)
	if write {
		kind = unix.F_WRLCK
	}
	return take(folder, name+gateSuffix, kind, deadline)
}

func take(folder *os.Root, name string, kind int16, deadline time.Time) (*os.File, error) {
	f, err := openLockFile(folder, name)
	if err != nil {
		return nil, err
	}
	if err := waitLock(f, kind, deadline); err != nil {
		if errors.Is(err, errHeld) {
			return nil, fmt.Errorf("%w: others hold %s", ErrBusy, f.Name())
		}
		return nil, err
	}
	return f, nil
}
