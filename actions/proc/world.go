package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/state/crash"
	"zfs2cloud/workflow"
)

// World is the real workflow.World. The zero value works. Its fields are set before the first Start.
type World struct {
	// Kids, if set, is inherited by ordinary children, behind Spec.Extra.
	Kids *os.File
	// Manners are those of ordinary children.
	Manners Manners
	// Log gets each start and each end of a child at debug level. Nil means nobody listens.
	Log *slog.Logger
	// Clock is time.Now if nil.
	Clock func() time.Time
	// HookEnv is the environment of hooks, that of our caller. Nil means os.Environ().
	HookEnv []string
}

var _ workflow.World = (*World)(nil)

// Now is the clock.
func (w *World) Now() time.Time {
	if w.Clock != nil {
		return w.Clock()
	}
	return time.Now()
}

// Start starts a program: see workflow.World and workflow.Spec.
func (w *World) Start(ctx context.Context, s workflow.Spec) (workflow.Child, error) {
	if len(s.Argv) == 0 {
		return nil, errors.New("start: no program named")
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("start %s: %w", s.Argv[0], context.Cause(ctx))
	}
	path, err := lookPathIn(s.Argv[0], s.Dir)
	if err != nil {
		return nil, err
	}
	if s.Dir != "" {
		// Otherwise the kernel's "no such file" would read as if the program were missing.
		if _, err := os.Stat(s.Dir); err != nil {
			return nil, fmt.Errorf("start %s: folder: %w", s.Argv[0], err)
		}
	}
	begin := w.startOrdinary
	if s.Hook {
		begin = w.startHook
	}
	c, err := begin(path, s)
	if err != nil {
		return nil, startError(s.Argv[0], err)
	}
	c.log.Debug("program started", "argv", c.argv, "pid", c.id.PID)
	go c.watch(ctx)
	c.ctx = ctx
	return c, nil
}

// startError makes what exec(2) refused an ErrNoProgram, such as a script whose interpreter is missing.
func startError(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s: %w: %w", name, workflow.ErrNoProgram, err)
	}
	return fmt.Errorf("start %s: %w", name, err)
}

func (w *World) startOrdinary(path string, s workflow.Spec) (*child, error) {
	p := new(plumbing)
	defer p.closeTheirs()
	files := make([]*os.File, 3, 4+len(s.Extra))
	var err [3]error
	files[0], err[0] = p.stdin(s.Stdin)
	files[1], err[1] = p.stdout(s.Stdout)
	files[2], err[2] = p.stderr(s.Stderr)
	if err := errors.Join(err[:]...); err != nil {
		p.closeOurs()
		return nil, err
	}
	files = append(files, s.Extra...)
	if w.Kids != nil && !s.Leaves {
		files = append(files, w.Kids)
	}
	sys := &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	c, startErr := w.fork(path, s, s.Argv, files, sys)
	if errors.Is(startErr, unix.ENOEXEC) {
		// As a shell and execvp(3) do with a script that has no "#!".
		c, startErr = w.fork(shell, s, append([]string{shell, path}, s.Argv[1:]...), files, sys)
	}
	if startErr != nil {
		p.closeOurs()
		return nil, startErr
	}
	c.plumbing = p
	p.flow()
	return c, nil
}

// fork starts the process and learns who it is. It can't be gone before we waited for it.
func (w *World) fork(path string, s workflow.Spec, argv []string, files []*os.File, sys *unix.SysProcAttr) (*child, error) {
	attr := &os.ProcAttr{Dir: s.Dir, Env: w.environment(s), Files: files, Sys: sys}
	crash.Point("start.before " + filepath.Base(path))
	manners := w.Manners
	if s.Hook {
		manners = Manners{} // it starts the application
	}
	process, err := startProcess(path, argv, attr, manners)
	if err != nil {
		return nil, err
	}
	crash.Point("start.after " + filepath.Base(path))
	c := &child{
		argv:    Mask(s.Argv),
		log:     listener(w.Log),
		now:     w.Now,
		started: w.Now(),
		process: process,
		hook:    s.Hook,
		reaped:  make(chan struct{}),
		undying: make(chan struct{}),
	}
	c.id, err = IDOf(process.Pid)
	if err != nil && !s.Hook {
		// A set-user-id program, such as sudo, is hidden from an ordinary user where /proc is mounted with hidepid.
		c.id, err = workflow.ProcessID{PID: process.Pid}, nil
	}
	if err != nil {
		c.Kill()
		return nil, errors.Join(err, c.Wait())
	}
	return c, nil
}

// listener makes no logger one that nobody listens to.
func listener(log *slog.Logger) *slog.Logger {
	if log != nil {
		return log
	}
	return slog.New(slog.DiscardHandler)
}

func (w *World) environment(s workflow.Spec) []string {
	base := childEnv()
	if s.Hook {
		base = w.HookEnv
		if base == nil {
			base = os.Environ()
		}
	}
	return mergeEnv(slices.Concat(base, s.Env))
}

// Output runs a program to its end and returns what it wrote to stdout, at most 64 MiB. The error is
// Wait's, and what was written until then comes with it.
func Output(ctx context.Context, w workflow.World, s workflow.Spec) ([]byte, error) {
	out := bounded{left: outputLimit}
	s.Stdout = &out
	err := Run(ctx, w, s)
	return out.data, err
}

// Run runs a program to its end.
func Run(ctx context.Context, w workflow.World, s workflow.Spec) error {
	c, err := w.Start(ctx, s)
	if err != nil {
		return err
	}
	return c.Wait()
}

const outputLimit = 64 << 20

// bounded keeps what is written to it, up to a limit.
type bounded struct {
	data []byte
	left int
}

var _ io.Writer = (*bounded)(nil)

func (b *bounded) Write(p []byte) (int, error) {
	if len(p) > b.left {
		return 0, fmt.Errorf("more than %d MiB of output", outputLimit>>20)
	}
	b.left -= len(p)
	b.data = append(b.data, p...)
	return len(p), nil
}
