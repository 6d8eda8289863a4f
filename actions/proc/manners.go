package proc

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Manners are how programs give way to others on the machine; hooks, which start the application, have their
// caller's. The zero value changes nothing.
type Manners struct {
	Nice int // 0 to 19: nice(2)
	// IO is a value of ioprio_set(2), or 0.
	IO int
}

const (
	ioClassShift = 13 // linux/ioprio.h
	ioBestEffort = 2
	ioIdle       = 3
	ioWhoProcess = 1 // with 0 for which: the calling thread
)

// IOIdle has the disk when nobody else wants it.
const IOIdle = ioIdle << ioClassShift

// IOBestEffort is a level of best effort, 0 (first) to 7 (last).
func IOBestEffort(level int) int { return ioBestEffort<<ioClassShift | level }

// take gives the calling thread these manners. Those that it starts inherit them.
func (m Manners) take() error {
	var errs [2]error
	if m.Nice != 0 {
		errs[0] = unix.Setpriority(unix.PRIO_PROCESS, 0, m.Nice) // of a thread: setpriority(2), Bugs
	}
	if m.IO != 0 {
		if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, ioWhoProcess, 0, uintptr(m.IO)); errno != 0 {
			errs[1] = fmt.Errorf("I/O priority: %w", errno)
		}
	}
	return errors.Join(errs[:]...)
}
