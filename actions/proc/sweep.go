package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/workflow"
)

const (
	sweepGrace = 2 * time.Second  // between SIGTERM and SIGKILL
	sweepLimit = 10 * time.Second // for all of it
)

// Swept is a process that Sweep ended.
type Swept struct {
	ID     workflow.ProcessID
	Argv   []string // secrets masked
	Killed bool     // SIGTERM was not enough
}

// Sweep ends the ordinary children that a dead run left behind, and whatever they started: the processes
// that inherited its kids file. These have a descriptor of that file, by device and inode, with an
// open-file-description lock on it. Whoever merely opened the file, to ask for the lock or to copy it, has
// none and is left alone; so are we.
//
// The caller owns the dataset, and sweeps before it starts children of its own. Processes of other users,
// which only root can look into, are not found: the lock itself tells whether somebody is left.
func Sweep(ctx context.Context, kidsFile string, log *slog.Logger) ([]Swept, error) {
	file, err := fileOf(kidsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, sweepLimit, ErrUnkillable)
	defer cancel()
	var all []Swept
	for {
		found, err := findHolders(file)
		if err != nil {
			return all, fmt.Errorf("sweep: %w", err)
		}
		if len(found) == 0 {
			return all, nil
		}
		// Again after that: one of them may have forked while we looked.
		swept, err := end(ctx, found, listener(log))
		closeAll(found)
		all = append(all, swept...)
		if err != nil {
			return all, fmt.Errorf("sweep: %w", err)
		}
	}
}

// end ends processes, politely first. It returns those that are gone.
func end(ctx context.Context, found []*holder, log *slog.Logger) (swept []Swept, err error) {
	for _, h := range found {
		log.Info("ending a process that outlived its run", "pid", h.ID.PID, "argv", h.Argv)
		if err := h.signal(unix.SIGTERM, 0); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return nil, fmt.Errorf("end process %d: %w", h.ID.PID, err)
		}
	}
	polite, cancel := context.WithTimeout(ctx, sweepGrace)
	defer cancel()
	for _, h := range found {
		if h.gone(polite) == nil {
			swept = append(swept, h.Swept)
			continue
		}
		h.Killed = true
		if err := h.signal(unix.SIGKILL, 0); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return swept, fmt.Errorf("kill process %d: %w", h.ID.PID, err)
		}
	}
	for _, h := range found {
		if !h.Killed {
			continue
		}
		if err := h.gone(ctx); err != nil {
			return swept, fmt.Errorf("process %d (%s): %w", h.ID.PID, strings.Join(h.Argv, " "), err)
		}
		swept = append(swept, h.Swept)
	}
	return swept, nil
}

// inode is a file's identity on this machine.
type inode struct {
	major, minor uint32
	number       uint64
}

// fileOf asks the kernel's memory only (AT_STATX_DONT_SYNC): among the descriptors of strangers are files on
// servers that hang.
func fileOf(path string) (inode, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &st); err != nil {
		return inode{}, &fs.PathError{Op: "statx", Path: path, Err: err}
	}
	return inode{st.Dev_major, st.Dev_minor, st.Ino}, nil
}

// holder is a process that inherited the kids file, pinned.
type holder struct {
	Swept
	*pin
}

func findHolders(file inode) ([]*holder, error) {
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []*holder
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() || !holds(pid, file) {
			continue
		}
		h, err := pinHolder(pid, file)
		if errors.Is(err, os.ErrProcessDone) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			closeAll(found)
			return nil, err
		}
		found = append(found, h)
	}
	return found, nil
}

func closeAll(found []*holder) {
	for _, h := range found {
		h.close()
	}
}

// pinHolder pins a process and looks again: only what holds the file while it is pinned is the one.
func pinHolder(pid int, file inode) (*holder, error) {
	p, err := pinPID(pid)
	if err != nil {
		return nil, err
	}
	if !holds(pid, file) {
		p.close()
		return nil, os.ErrProcessDone
	}
	id, err := IDOf(pid)
	if err != nil {
		p.close()
		return nil, err
	}
	return &holder{Swept{ID: id, Argv: commandLine(pid)}, p}, nil
}

// holds tells whether a process has a descriptor of the file with the lock on it. What can't be looked at
// (another user's process, or one that just ended) counts as no.
func holds(pid int, file inode) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	fds, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, fd := range fds {
		f, err := fileOf(filepath.Join(dir, fd.Name()))
		if err == nil && f == file && locked(pid, fd.Name()) {
			return true
		}
	}
	return false
}

// locked tells whether an open-file-description lock hangs on that descriptor, as proc_pid_fdinfo(5) shows.
func locked(pid int, fd string) bool {
	info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, fd))
	return err == nil && bytes.Contains(info, []byte(" OFDLCK "))
}

func commandLine(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return nil
	}
	return Mask(strings.Split(strings.TrimRight(string(b), "\x00"), "\x00"))
}
