package outage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// remove is the one kind of call that is no program's: the removal of a folder of chunk files, which the kernel tells of.
const remove = "remove"

// watch has the moment come when the first of the folders that lie there is looked into (Before), has lost a file (During),
// or is gone (After). Then all programs are stopped but this one, where the moment is not to go by: what they did
// since they were woken last is not on the disk yet.
func (g *guest) watch() error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return err
	}
	folders, err := filepath.Glob(filepath.Join(spool, "*"))
	if err != nil || len(folders) == 0 {
		return errors.Join(err, fmt.Errorf("nothing lies in %s that could be removed", spool))
	}
	mask := map[string]uint32{Before: unix.IN_OPEN, During: unix.IN_DELETE, After: unix.IN_DELETE_SELF}[g.End.When]
	for _, dir := range folders {
		if _, err := unix.InotifyAddWatch(fd, dir, mask); err != nil {
			return fmt.Errorf("watch %s: %w", dir, err)
		}
	}
	go func() {
		if _, err := unix.Read(fd, make([]byte, 4096)); err != nil {
			fmt.Println("sandbox: inotify:", err)
			return
		}
		if g.End.When != During {
			_ = unix.Kill(-1, unix.SIGSTOP)
		}
		if err := os.Mkdir(filepath.Join(run, "cut"), 0o700); err != nil {
			fmt.Println("sandbox:", err)
		}
		say(Moment)
	}()
	return nil
}
