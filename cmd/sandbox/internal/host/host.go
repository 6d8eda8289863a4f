// Package host runs the sandbox's programs on this machine.
//
// The sandbox stands for a person at a prompt: what it starts gets a fresh environment (no cloud
// credentials, no RCLONE_* settings, a home of its own), and whatever was started, and what it said, is
// written to one log, so that a failed demo can be read afterwards. A program that must keep its own
// process (to be killed half way) is started with Start; all else goes through Run.
package host

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Path is where the sandbox and its children look for programs.
const Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Host starts programs. Its zero value logs nowhere.
type Host struct {
	// Log gets each command line and all that the commands print.
	Log io.Writer
	// Home is HOME of the children; /nonexistent if empty.
	Home string

	mu sync.Mutex
}

// Command is a program to be run.
type Command struct {
	Argv  []string
	Dir   string
	Env   []string  // added to the fresh environment
	Stdin io.Reader // /dev/null if nil
	// Stdout gets the output instead of the log, Stderr the errors as well.
	Stdout, Stderr io.Writer
	// Whole marks a program that must not be stopped half way, neither by the context nor by our death.
	Whole bool
}

// Failure is a command that did not end well.
type Failure struct {
	Argv   []string
	Err    error
	Output string // the last lines of stderr, or of stdout if there is none
}

func (f *Failure) Error() string {
	text := fmt.Sprintf("%s: %v", strings.Join(f.Argv, " "), f.Err)
	if f.Output != "" {
		text += ": " + f.Output
	}
	return text
}

func (f *Failure) Unwrap() error { return f.Err }

// Run runs a program to its end and returns what it wrote to stdout.
func (h *Host) Run(ctx context.Context, argv ...string) (string, error) {
	var out bytes.Buffer
	err := h.Do(ctx, Command{Argv: argv, Stdout: &out})
	h.logf("%s", out.String())
	if f, ok := err.(*Failure); ok && f.Output == "" {
		f.Output = tail(out.String())
	}
	return out.String(), err
}

// Do runs a program to its end.
func (h *Host) Do(ctx context.Context, c Command) error {
	var errs bytes.Buffer
	cmd, err := h.command(ctx, c)
	if err != nil {
		return err
	}
	cmd.Stderr = &errs
	if c.Stderr != nil {
		cmd.Stderr = io.MultiWriter(&errs, c.Stderr)
	}
	began := time.Now()
	err = cmd.Run()
	h.logf("%s", errs.String())
	h.logf("# %v after %.2fs\n", outcome(err), time.Since(began).Seconds())
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &Failure{Argv: c.Argv, Err: err, Output: tail(errs.String())}
	}
	return nil
}

// Start starts a program and leaves it to the caller; its stderr goes to the log.
func (h *Host) Start(ctx context.Context, c Command) (*exec.Cmd, error) {
	cmd, err := h.command(ctx, c)
	if err != nil {
		return nil, err
	}
	cmd.Stderr = writer{h}
	return cmd, cmd.Start()
}

// command is c in a process group of its own, so that a ^C on the terminal reaches the sandbox alone,
// which then ends its children in good order.
func (h *Host) command(ctx context.Context, c Command) (*exec.Cmd, error) {
	program, ok := Find(c.Argv[0])
	if !ok {
		return nil, &Failure{Argv: c.Argv, Err: exec.ErrNotFound}
	}
	if c.Whole {
		ctx = context.WithoutCancel(ctx)
	}
	cmd := exec.CommandContext(ctx, program, c.Argv[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = append(h.environment(), c.Env...)
	cmd.Stdin = c.Stdin
	cmd.Stdout = c.Stdout
	if c.Stdout == nil {
		cmd.Stdout = writer{h}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if !c.Whole {
		// Else a sandbox killed with SIGKILL would leave programs at work on what the next one clears.
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	h.logf("\n$ %s\n", strings.Join(c.Argv, " "))
	return cmd, nil
}

func (h *Host) environment() []string {
	home := h.Home
	if home == "" {
		home = "/nonexistent"
	}
	env := []string{"PATH=" + Path, "HOME=" + home, "LC_ALL=C"}
	for _, name := range []string{"TZ", "TERM"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// Network is what of our environment a program needs to reach a package registry from behind a proxy.
func Network() []string {
	var env []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		switch strings.ToLower(name) {
		case "http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir":
			env = append(env, e)
		}
	}
	return env
}

// Find looks a program up where the children will.
func Find(name string) (string, bool) {
	if strings.Contains(name, "/") {
		return name, executable(name)
	}
	for dir := range strings.SplitSeq(Path, ":") {
		if file := dir + "/" + name; executable(file) {
			return file, true
		}
	}
	return "", false
}

func executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func (h *Host) logf(format string, args ...any) {
	fmt.Fprintf(writer{h}, format, args...)
}

// writer is the log, shared by commands that run at the same time.
type writer struct{ h *Host }

func (w writer) Write(p []byte) (int, error) {
	w.h.mu.Lock()
	defer w.h.mu.Unlock()
	if w.h.Log == nil {
		return len(p), nil
	}
	return w.h.Log.Write(p)
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return err.Error()
}

// tail is the last few lines of what a command said, on one line.
func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > 4 {
		lines = lines[len(lines)-4:]
	}
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, " / ")
}
