package proc

import (
	"context"
	"errors"
	"fmt"
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

// KillGroup sends SIGKILL to the group that this process leads. If the process has ended, or leads no
// group, nothing is signalled; the former is os.ErrProcessDone.
func KillGroup(id workflow.ProcessID) error {
	p, err := pinID(id)
	if err != nil {
		return err
	}
	defer p.close()
	st, err := readStat(id.PID)
	if err != nil {
		return err
	}
	if st.group != id.PID {
		return fmt.Errorf("process %d leads no group", id.PID)
	}
	err = p.signal(unix.SIGKILL, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	// Before Linux 6.9 a group goes by its number. It was this process's a moment ago.
	return unix.Kill(-id.PID, unix.SIGKILL)
}
