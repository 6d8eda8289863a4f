package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zfs2cloud/workflow"
)

func hookFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "output"))
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestHookWaitsAtItsGate(t *testing.T) {
	for name, first := range map[string]string{"script": "#!/bin/sh\n", "script without #!": ""} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("Z2C_CANARY", "ours")
			kids := hookFile(t)
			out := hookFile(t)
			w := &World{Kids: kids}
			// Its pid, its arguments, our environment, an empty stdin, both outputs, no more descriptors.
			s := workflow.Spec{Hook: true, Stdout: out, Env: []string{"ZFS2CLOUD_RUN=r1"}, Argv: []string{script(t,
				first+`echo "$$ $# $1 $Z2C_CANARY $ZFS2CLOUD_RUN"; readlink /proc/$$/fd/0; echo err >&2; ls /proc/self/fd; exit 9`+"\n"), "a b"}}
			c, err := w.Start(t.Context(), s)
			must(t, err)
			wantAlive(t, c.ID())
			if got := readFile(t, out.Name()); got != "" {
				t.Errorf("it ran before its gate was open: %q", got)
			}
			must(t, c.Release())
			must(t, c.Release())
			err = c.Wait()
			var exit *workflow.ExitError
			if !errors.As(err, &exit) || exit.Code != 9 || exit.Argv[0] != s.Argv[0] {
				t.Errorf("got %v", err)
			}
			want := fmt.Sprintf("%d 1 a b ours r1\n/dev/null\nerr\n0\n1\n2\n3\n", c.ID().PID) // 3: ls itself
			if got := readFile(t, out.Name()); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestHookEnvironmentGiven(t *testing.T) {
	t.Setenv("Z2C_CANARY", "changed since")
	out := hookFile(t)
	w := &World{HookEnv: []string{"PATH=/bin:/usr/bin", "Z2C_CANARY=as it was"}}
	c, err := w.Start(t.Context(), workflow.Spec{Hook: true, Stdout: out, Argv: []string{script(t, `echo "$Z2C_CANARY"`)}})
	must(t, err)
	must(t, c.Release())
	must(t, c.Wait())
	if got := readFile(t, out.Name()); got != "as it was\n" {
		t.Errorf("got %q", got)
	}
}

func TestHookRefused(t *testing.T) {
	t.Parallel()
	_, w := pipe(t)
	plain := filepath.Join(t.TempDir(), "plain")
	must(t, os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o644))
	for name, s := range map[string]workflow.Spec{
		"pipe":           {Argv: []string{"true"}, Stdout: w},
		"writer":         {Argv: []string{"true"}, Stdout: io.Discard},
		"stderr":         {Argv: []string{"true"}, Stderr: io.Discard},
		"stdin":          {Argv: []string{"true"}, Stdin: strings.NewReader("")},
		"extra":          {Argv: []string{"true"}, Extra: []*os.File{w}},
		"missing":        {Argv: []string{"/no/script"}},
		"not executable": {Argv: []string{plain}},
	} {
		s.Hook = true
		c, err := new(World).Start(t.Context(), s)
		if err == nil {
			c.Kill()
			_ = c.Wait()
		}
		if err == nil || !strings.Contains(err.Error(), s.Argv[0]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHookWhoseInterpreterIsMissing(t *testing.T) {
	t.Parallel()
	out := hookFile(t)
	s := workflow.Spec{Hook: true, Stdout: out, Argv: []string{script(t, "#!/no/interpreter\n")}}
	c, err := new(World).Start(t.Context(), s)
	must(t, err)
	must(t, c.Release())
	var exit *workflow.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || exit.Code != 127 {
		t.Errorf("got %v", err)
	}
	if got := readFile(t, out.Name()); !strings.Contains(got, s.Argv[0]) {
		t.Errorf("output %q", got)
	}
}

func TestHookKilledAtItsGate(t *testing.T) {
	t.Parallel()
	out := hookFile(t)
	c, err := new(World).Start(t.Context(), workflow.Spec{Hook: true, Stdout: out, Argv: []string{script(t, "echo ran\n")}})
	must(t, err)
	c.Kill()
	var exit *workflow.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || exit.Signal != "killed" {
		t.Errorf("got %v", err)
	}
	if got := readFile(t, out.Name()); got != "" {
		t.Errorf("it ran: %q", got)
	}
}

func TestHookNeverRunsIfWeDieBeforeItsGateOpens(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "out")
	h := startHelper(t, "shut", out, script(t, "echo ran\n"))
	id := h.process(t)
	wantAlive(t, id)
	h.kill(t)
	wantGone(t, id)
	if got := readFile(t, out); got != "" {
		t.Errorf("it ran: %q", got)
	}
}

func TestEndOfFileAtTheGateHasItsOwnStatus(t *testing.T) {
	t.Parallel()
	var exit *workflow.ExitError
	err := Run(t.Context(), new(World), workflow.Spec{Argv: []string{"sh", "-c", gateScript, "hook", "true"}})
	if !errors.As(err, &exit) || exit.Code != GateShut {
		t.Errorf("got %v", err)
	}
}

func TestHookOutlivesUs(t *testing.T) {
	t.Parallel()
	// The hook says the pid of the daemon it leaves behind, and that of its own, which stays too.
	fifo, w := pipe(t)
	name := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), w.Fd())
	hook := script(t, `sleep 1000 & echo $! >`+name+`; exec sleep 1000`)
	h := startHelper(t, "open", filepath.Join(t.TempDir(), "out"), hook)
	own, daemon := h.process(t), pidFrom(t, fifo)
	h.kill(t)
	wantStays(t, own)
	wantStays(t, daemon)
	must(t, EndGroup(own))
	wantGone(t, own)
	wantGone(t, daemon)
}

// Whom SIGTERM does not end, SIGKILL does, and whoever is in the group.
func TestEndGroupInsists(t *testing.T) {
	t.Parallel()
	fifo, w := pipe(t)
	name := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), w.Fd())
	h := startHelper(t, "open", filepath.Join(t.TempDir(), "out"), script(t, `trap '' TERM; sleep 1000 & echo $! >`+name+`; wait; wait`))
	own, child := h.process(t), pidFrom(t, fifo)
	h.kill(t)
	must(t, EndGroup(own))
	wantGone(t, own)
	wantGone(t, child)
}

// A hook that has ended is not ended again: what is left of its group is the application.
func TestEndGroupLeavesAHooksDaemonAlone(t *testing.T) {
	t.Parallel()
	out := hookFile(t)
	c, err := new(World).Start(t.Context(), workflow.Spec{Hook: true, Stdout: out, Argv: []string{script(t, "sleep 1000 & echo $!\n")}})
	must(t, err)
	must(t, c.Release())
	must(t, c.(*child).awaitExit()) // a zombie: it still leads its group
	must(t, EndGroup(c.ID()))
	must(t, c.Wait())
	f, err := os.Open(out.Name())
	must(t, err)
	defer f.Close()
	wantStays(t, pidFrom(t, f))
}

func TestHooksDaemonIsLeftAlone(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "out")
	cmd := helperCommand("brief", out, script(t, "sleep 1000 & echo $!\n"))
	must(t, cmd.Run())
	f, err := os.Open(out)
	must(t, err)
	defer f.Close()
	wantStays(t, pidFrom(t, f))
}

func TestCancelAndKillAfterAHookLeaveItsDaemonAlone(t *testing.T) {
	t.Parallel()
	out := hookFile(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := new(World).Start(ctx, workflow.Spec{Hook: true, Stdout: out, Argv: []string{script(t, "sleep 1000 & echo $!\n")}})
	must(t, err)
	must(t, c.Release())
	must(t, c.(*child).awaitExit()) // a zombie: its group may still be signalled
	c.Kill()
	cancel()
	must(t, c.Wait())
	f, err := os.Open(out.Name())
	must(t, err)
	defer f.Close()
	wantStays(t, pidFrom(t, f))
}

func TestCancelEndsAHookAtWork(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c, err := new(World).Start(ctx, workflow.Spec{Hook: true, Argv: []string{"sleep", "1000"}})
	must(t, err)
	must(t, c.Release())
	cancel()
	var exit *workflow.ExitError
	if err := c.Wait(); !errors.Is(err, context.Canceled) || !errors.As(err, &exit) || exit.Signal != "terminated" {
		t.Errorf("got %v", err)
	}
}

func TestHookHasOurCallersCoreLimit(t *testing.T) {
	t.Parallel()
	if coreAtStart.Max < 8*512 {
		t.Skip("needs a hard limit on core files that is not 0")
	}
	out := filepath.Join(t.TempDir(), "out")
	cmd := helperCommand("core", out, script(t, "ulimit -c\n"))
	// Through a shell, so that the helper begins with a limit that is neither ours nor 0.
	cmd.Args = append([]string{"sh", "-c", `ulimit -S -c 8; exec "$@"`, "sh", "/proc/" + fmt.Sprint(os.Getpid()) + "/exe"}, cmd.Args[1:]...)
	cmd.Path = shell
	must(t, cmd.Run())
	if got := readFile(t, out); got != "8\n" {
		t.Errorf("core limit %q", got)
	}
}
