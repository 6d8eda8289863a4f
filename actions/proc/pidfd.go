package proc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/workflow"
)

// pin is a pidfd: as long as it is open, signals through it reach that process or nobody.
type pin struct {
	pid int
	f   *os.File
}

// pinPID pins whoever has this number; os.ErrProcessDone if nobody has.
func pinPID(pid int) (*pin, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil, os.ErrProcessDone // the latter two: the number is a thread's, so no process has it
	}
	if err != nil {
		return nil, fmt.Errorf("pin process %d: %w", pid, os.NewSyscallError("pidfd_open", err))
	}
	// Non-blocking is what makes os.NewFile hand it to the runtime's poller.
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(fmt.Errorf("pin process %d: %w", pid, err), unix.Close(fd))
	}
	return &pin{pid, os.NewFile(uintptr(fd), "pidfd")}, nil
}

// pinID pins a process and then makes sure that it is the one; os.ErrProcessDone if that one has ended.
func pinID(id workflow.ProcessID) (*pin, error) {
	if id.PID <= 0 {
		return nil, os.ErrProcessDone
	}
	p, err := pinPID(id.PID)
	if err != nil {
		return nil, err
	}
	alive, err := Alive(id)
	if err == nil && !alive {
		err = os.ErrProcessDone
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *pin) close() { _ = p.f.Close() }

// signal signals the process; os.ErrProcessDone if it has ended.
func (p *pin) signal(sig unix.Signal, flags int) error {
	raw, err := p.f.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, flags) })
	if err = errors.Join(err, sent); errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// gone waits until the process has ended, be it a zombie: pidfd_open(2), a pidfd is then readable.
func (p *pin) gone(ctx context.Context) error {
	raw, err := p.f.SyscallConn()
	if err != nil {
		return err
	}
	if err := p.f.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = p.f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var polled error
	err = raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if err != nil && !errors.Is(err, unix.EINTR) {
			polled = err
			return true
		}
		return n > 0
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return context.Cause(ctx)
	}
	return errors.Join(err, polled)
}

// WaitGone waits for a process that need not be our child to end. It returns at once if it has, and the
// context's error if that ends first.
func WaitGone(ctx context.Context, id workflow.ProcessID) error {
	p, err := pinID(id)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.close()
	return p.gone(ctx)
}

// EndGroup ends a process that need not be our child, with the group that it leads, as the end of its context ends a
// child: SIGTERM, SIGKILL where that is not enough, ErrUnkillable. Of a process that has ended, or leads no group,
// nobody is signalled; the latter is an error.
func EndGroup(id workflow.ProcessID) error {
	p, err := pinID(id)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.close()
	for _, try := range []struct {
		sig   unix.Signal
		grace time.Duration
	}{{unix.SIGTERM, termGrace}, {unix.SIGKILL, killGrace}} {
		if err = p.endGroup(try.sig, try.grace); !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	return fmt.Errorf("process %d: %w", id.PID, ErrUnkillable)
}

// endGroup signals the group that the process leads, unless the process has ended, and waits for its end.
func (p *pin) endGroup(sig unix.Signal, grace time.Duration) error {
	st, err := readStat(p.pid)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && (st.state == 'Z' || st.state == 'X'):
		return nil // what is left of its group is no longer its own
	case err != nil:
		return err
	case st.group != p.pid:
		return fmt.Errorf("process %d leads no group", p.pid)
	}
	err = p.signal(sig, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	if errors.Is(err, unix.EINVAL) {
		// Before Linux 6.9 a group goes by its number. It was this process's a moment ago.
		err = unix.Kill(-p.pid, sig)
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("end the group of process %d: %w", p.pid, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	return p.gone(ctx)
}
