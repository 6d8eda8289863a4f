package proc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/state/crash"
	"zfs2cloud/workflow"
)

// termGrace is what a child has between SIGTERM and SIGKILL. rclone 1.76 cleans up in it.
const termGrace = 3 * time.Second

// killGrace is what a child has to be gone after SIGKILL.
const killGrace = 5 * time.Second

// ErrUnkillable is the error of a process that SIGKILL did not end: proc(5), state D. It ends once the disk, the
// server or the pool that it waits for answers, or with the machine. Nobody waits for it any more; what it
// inherited it keeps, the kids lock too.
var ErrUnkillable = errors.New("SIGKILL does not end it: it waits in the kernel, for a disk, a server or a pool that does not answer")

// child is a started program. Its process stays a zombie until reap, so that until then its number, and
// that of its group, can't have become another's.
type child struct {
	argv    []string // masked
	log     *slog.Logger
	now     func() time.Time
	ctx     context.Context
	started time.Time
	process *os.Process
	id      workflow.ProcessID
	hook    bool
	gate    *os.File // of a hook; nil once it is open
	gateMu  sync.Mutex
	*plumbing

	mu       sync.Mutex // held while the group is signalled, and while the process is reaped
	reaped   chan struct{}
	dying    sync.Once     // begins killGrace
	undying  chan struct{} // closed when killGrace is over
	waitOnce sync.Once
	waitErr  error
}

// ID names the process.
func (c *child) ID() workflow.ProcessID { return c.id }

// Kill sends SIGKILL to the group.
func (c *child) Kill() { c.signal(unix.SIGKILL) }

// signal signals the group while it is certainly the child's. A hook whose own process has ended is left
// alone: its group then is the application.
func (c *child) signal(sig syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.reaped:
		return
	default:
	}
	if c.hook && c.ended() {
		return
	}
	// It has its group since before it executed anything. ESRCH is the only error, and says that nobody
	// is left.
	_ = unix.Kill(-c.process.Pid, sig)
	if sig == unix.SIGKILL {
		c.dying.Do(func() { time.AfterFunc(killGrace, func() { close(c.undying) }) })
	}
}

// watch ends the child when its context ends.
func (c *child) watch(ctx context.Context) {
	select {
	case <-c.reaped:
		return
	case <-ctx.Done():
	}
	c.signal(unix.SIGTERM)
	timer := time.NewTimer(termGrace)
	defer timer.Stop()
	select {
	case <-c.reaped:
	case <-timer.C:
		c.signal(unix.SIGKILL)
	}
}

// Wait waits for the child and its output. It may be called more than once. A child that SIGKILL does not end is
// not waited for: ErrUnkillable.
func (c *child) Wait() error {
	c.waitOnce.Do(func() { c.waitErr = c.wait() })
	return c.waitErr
}

func (c *child) wait() error {
	exited := c.awaitExit()
	c.closeGate()
	left := c.plumbing.settle()
	if exited != nil {
		return c.because(fmt.Errorf("wait for %s, pid %d: %w", c.argv[0], c.id.PID, exited))
	}
	if left || c.stopped() {
		c.signal(unix.SIGKILL) // who keeps a pipe of ours open, or ignored the SIGTERM
	}
	state, err := c.reap()
	if err != nil {
		return fmt.Errorf("wait for %s: %w", c.argv[0], err)
	}
	crash.Point("ended " + filepath.Base(c.argv[0]))
	err = c.because(c.verdict(state))
	c.log.Debug("program ended", "argv", c.argv, "pid", c.id.PID,
		"took", c.now().Sub(c.started), "processor", state.UserTime()+state.SystemTime(), "exit", state.String(), "stderr", c.plumbing.tail())
	return err
}

// stopped tells whether the child was asked to end.
func (c *child) stopped() bool { return c.ctx != nil && c.ctx.Err() != nil }

// because puts in front of an error why the child was asked to end, if it was.
func (c *child) because(err error) error {
	if err != nil && c.stopped() && !errors.Is(err, context.Cause(c.ctx)) {
		return fmt.Errorf("%w: %w", context.Cause(c.ctx), err)
	}
	return err
}

// verdict says what is told of the ways in which it went wrong: our own reader's or writer's error comes
// first, since the child's is only its echo.
func (c *child) verdict(state *os.ProcessState) error {
	if err := c.plumbing.ownError(); err != nil {
		return err
	}
	if !state.Success() {
		e := &workflow.ExitError{Argv: c.argv, Code: state.ExitCode(), Stderr: c.plumbing.tail()}
		if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			e.Signal = ws.Signal().String()
		}
		return e
	}
	if c.plumbing.cutShort() {
		return fmt.Errorf("%s: %w", c.argv[0], ErrHeld)
	}
	return nil
}

// awaitExit waits until the process is a zombie, and leaves it one; or until it is clear that SIGKILL does not make
// it one.
func (c *child) awaitExit() error {
	exited := make(chan error, 1)
	go func() { exited <- waitZombie(c.process.Pid) }()
	select {
	case err := <-exited:
		return err
	case <-c.undying:
	}
	select {
	case err := <-exited:
		return err
	default:
		return ErrUnkillable
	}
}

func waitZombie(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// ended tells, under the lock and before the reaping, whether the process is a zombie.
func (c *child) ended() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, c.process.Pid, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
	return err == nil && info.Signo != 0
}

func (c *child) reap() (*os.ProcessState, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(c.reaped)
	return c.process.Wait()
}
