package proc

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/workflow"
)

// helperVar makes the test binary a program of its own, which a test can kill.
const helperVar = "Z2C_PROC_HELPER"

func TestMain(m *testing.M) {
	if name := os.Getenv(helperVar); name != "" {
		if err := helpers[name](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if err := CloseInherited(); err != nil { // as the program does
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// The tests wait more than they work.
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	// Keeps the tests' goroutines off the main thread, which alone doesn't end with a goroutine locked to it.
	runtime.LockOSThread()
	os.Exit(m.Run())
}

var helpers = map[string]func([]string) error{
	// child starts its arguments as an ordinary child that holds a locked kids file (the first one), says
	// the child's pid and stays.
	"child": func(args []string) error {
		kids, err := lockedFile(args[0])
		if err != nil {
			return err
		}
		w := &World{Kids: kids}
		c, err := w.Start(context.Background(), workflow.Spec{Argv: args[1:], Stdout: os.Stdout})
		if err != nil {
			return err
		}
		fmt.Println(c.ID().PID)
		return stay()
	},
	// shut and open start a hook that writes to the first argument, say its pid and stay; open opens its gate.
	"shut": func(args []string) error { return hookHelper(args, false) },
	"open": func(args []string) error { return hookHelper(args, true) },
	// brief runs a hook and ends as soon as the hook's own process has.
	"brief": runHook,
	// descriptors runs a hook that lists its descriptors, after CloseInherited.
	"descriptors": func(args []string) error {
		if err := CloseInherited(); err != nil {
			return err
		}
		return runHook(args)
	},
	// hidden is an ordinary user, from whom /proc hides the processes of others, as the first argument says. He runs the
	// second, which is root's for as long as it lives, and asks what the group of a program of his own has moved.
	"hidden": func(args []string) error {
		// The test's folder is below ones that only root can enter.
		err := errors.Join(unix.Mount("proc", "/proc", "proc", 0, "hidepid="+args[0]), unix.Mount(args[1], "/tmp", "", unix.MS_BIND, ""))
		if err != nil {
			fmt.Println("skip", err)
			return nil
		}
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
			return err
		}
		if err := Run(context.Background(), new(World), workflow.Spec{Argv: []string{"/tmp/sleep", "0.1"}}); err != nil {
			return err
		}
		c, err := new(World).Start(context.Background(), workflow.Spec{Argv: []string{"sleep", "1000"}})
		if err != nil {
			return err
		}
		defer c.Wait()
		defer c.Kill()
		_, err = Moved(c.ID().PID)
		return err
	},
	// core runs a hook after it took the core files from itself.
	"core": func(args []string) error {
		l := unix.Rlimit{Cur: 0, Max: coreAtStart.Max}
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &l); err != nil {
			return err
		}
		return runHook(args)
	},
}

func hookHelper(args []string, open bool) error {
	c, out, err := startHookTo(args)
	if err != nil {
		return err
	}
	defer out.Close()
	if open {
		if err := c.Release(); err != nil {
			return err
		}
	}
	fmt.Println(c.ID().PID)
	return stay()
}

func runHook(args []string) error {
	c, out, err := startHookTo(args)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := c.Release(); err != nil {
		return err
	}
	return c.Wait()
}

func startHookTo(args []string) (workflow.Child, *os.File, error) {
	out, err := os.Create(args[0])
	if err != nil {
		return nil, nil, err
	}
	c, err := new(World).Start(context.Background(), workflow.Spec{Argv: args[1:], Hook: true, Stdout: out})
	return c, out, err
}

func lockedFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return f, unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
}

// stay ends with the test, if nobody kills it before: its stdin is then closed.
func stay() error {
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// helper is a running one.
type helper struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

func helperCommand(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	// Under -race a program sleeps a second before it exits, unless told otherwise.
	cmd.Env = append(os.Environ(), helperVar+"="+name, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	return cmd
}

func startHelper(t *testing.T, name string, args ...string) *helper {
	t.Helper()
	cmd := helperCommand(name, args...)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return &helper{cmd, bufio.NewReader(out)}
}

// process reads the pid of a process from the helper's output.
func (h *helper) process(t *testing.T) workflow.ProcessID {
	t.Helper()
	line, err := h.out.ReadString('\n')
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	must(t, err)
	return identify(t, pid)
}

func (h *helper) kill(t *testing.T) {
	t.Helper()
	must(t, h.cmd.Process.Kill())
	_, err := h.cmd.Process.Wait()
	must(t, err)
}

func identify(t *testing.T, pid int) workflow.ProcessID {
	t.Helper()
	id, err := IDOf(pid)
	must(t, err)
	t.Cleanup(func() {
		if p, err := pinID(id); err == nil {
			_ = p.signal(unix.SIGKILL, 0)
			p.close()
		}
	})
	return id
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantGone(t *testing.T, id workflow.ProcessID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := WaitGone(ctx, id); err != nil {
		t.Fatalf("process %d: %v", id.PID, err)
	}
}

func wantAlive(t *testing.T, id workflow.ProcessID) {
	t.Helper()
	alive, err := Alive(id)
	must(t, err)
	if !alive {
		t.Fatalf("process %d is gone", id.PID)
	}
}

// wantStays is wantAlive for a process that a signal might be about to end.
func wantStays(t *testing.T, id workflow.ProcessID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := WaitGone(ctx, id); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("process %d is gone (%v)", id.PID, err)
	}
}

func sh(script string, args ...string) workflow.Spec {
	return workflow.Spec{Argv: append([]string{"sh", "-c", script, "sh"}, args...)}
}

// script makes an executable file.
func script(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "z2c-script")
	// Written by a child: had we it open for writing while another test forks, execve would say ETXTBSY.
	cmd := exec.Command("sh", "-c", `cat >"$1" && chmod 755 "$1"`, "sh", name)
	cmd.Stdin = strings.NewReader(text)
	must(t, cmd.Run())
	return name
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	return string(b)
}

// pidFrom waits for a line on the read end of a pipe, a pid.
func pidFrom(t *testing.T, r io.Reader) workflow.ProcessID {
	t.Helper()
	line, err := bufio.NewReader(r).ReadString('\n')
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	must(t, err)
	return identify(t, pid)
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	return r, w
}
