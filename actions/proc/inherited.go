package proc

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// CloseInherited keeps descriptors that our parent left open (a shell's `9>lock`, a cron's) from our
// children: a hook's daemon would hold such a lock for as long as it lives. They stay open here, since who
// gave them may mean us to hold them. To be called at the program's start.
func CloseInherited() error {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("inherited descriptors: %w", err)
	}
	for _, e := range fds {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}
