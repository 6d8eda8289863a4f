package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/zfs/zfstest/fuse"
	"zfs2cloud/cmd/sandbox/internal/host"
)

// A ZFS that hangs must not hang the sandbox.
const answerTime = 20 * time.Second

// ErrNoZFS is the error of a machine where no ZFS answers and none can be started.
var ErrNoZFS = errors.New("no ZFS answers")

// answers says whether there is a ZFS at work.
func answers(ctx context.Context, h *host.Host) bool {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	_, err := h.Run(ctx, "zpool", "list", "-H", "-o", "name")
	return err == nil
}

func pidFile(base string) string { return filepath.Join(base, "zfs-fuse.pid") }

// wake sees to it that a ZFS answers: one that is there, else the kernel's, else a zfs-fuse of our own.
func wake(ctx context.Context, h *host.Host, base string) error {
	fuse.Unstick(io.Discard)
	if answers(ctx, h) {
		return nil
	}
	if _, fuse := host.Find("zfs-fuse"); !fuse {
		if _, err := h.Run(ctx, "modprobe", "zfs"); err != nil || !answers(ctx, h) {
			return fmt.Errorf("%w: the zfs program is there, but neither the kernel's module zfs nor zfs-fuse", ErrNoZFS)
		}
		return nil
	}
	// No --daemon flag: zfs-fuse goes to the background by itself, once it listens. It would mount its
	// statistics at /zfs-kstat, outside of all that we clear.
	if _, err := h.Run(ctx, "zfs-fuse", "--no-kstat-mount", "--pidfile", pidFile(base)); err != nil {
		return err
	}
	for range 100 {
		if answers(ctx, h) {
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: zfs-fuse was started and is silent", ErrNoZFS)
}

// ours is the pid of a daemon that a sandbox started and that still runs, or 0. Its command line, with
// our pid file in it, is the proof; the number alone could be anyone's by now.
func ours(base string) int {
	text, err := os.ReadFile(pidFile(base))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || !slices.Contains(host.CommandLine(pid), pidFile(base)) {
		return 0
	}
	return pid
}

// sleep ends the daemon that a sandbox started, if no pool needs it any more. Foreign pools on it keep
// it alive; which, is returned.
func sleep(ctx context.Context, h *host.Host, base string) (kept []string, err error) {
	pid := ours(base)
	if pid == 0 {
		return nil, os.RemoveAll(pidFile(base))
	}
	if kept := pools(ctx, h); len(kept) > 0 {
		return kept, nil
	}
	// A descriptor of the process: unlike its number, it can't come to mean another.
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil || ours(base) != pid {
		return nil, err
	}
	defer unix.Close(fd)
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil && err != unix.ESRCH {
			return nil, err
		}
		// On SIGTERM zfs-fuse waits up to ten seconds for its threads.
		if ended(fd, 15*time.Second) {
			return nil, os.RemoveAll(pidFile(base))
		}
	}
	return nil, fmt.Errorf("zfs-fuse, pid %d, does not end", pid)
}

func ended(pidfd int, within time.Duration) bool {
	deadline := time.Now().Add(within)
	for {
		left := time.Until(deadline)
		if left < 0 {
			return false
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if err == nil && n == 1 {
			return true
		}
	}
}

// pools are the names of all pools; none if ZFS does not answer.
func pools(ctx context.Context, h *host.Host) []string {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	out, err := h.Run(ctx, "zpool", "list", "-H", "-o", "name")
	if err != nil {
		return nil
	}
	return strings.Fields(out)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
