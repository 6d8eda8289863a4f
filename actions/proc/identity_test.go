package proc

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/workflow"
)

func TestParseStat(t *testing.T) {
	line := "42 (a) R (b) S 1 40 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 123456 20 21\n"
	st, err := parseStat([]byte(line))
	if err != nil || st != (stat{state: 'S', group: 40, start: 123456}) {
		t.Errorf("got %+v, %v", st, err)
	}
	for _, bad := range []string{"", "42 (x) S 1", "42 (x) S 1 x 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 1"} {
		if st, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: got %+v", bad, st)
		}
	}
}

func TestAlive(t *testing.T) {
	t.Parallel()
	self, err := Self()
	must(t, err)
	wantAlive(t, self)
	for name, change := range map[string]func(*workflow.ProcessID){
		"earlier boot":    func(id *workflow.ProcessID) { id.Boot = "x" },
		"earlier process": func(id *workflow.ProcessID) { id.Start-- },
		"no process":      func(id *workflow.ProcessID) { id.PID = 1<<22 + 1 },
		"no number":       func(id *workflow.ProcessID) { id.PID = 0 },
	} {
		other := self
		change(&other)
		if alive, err := Alive(other); alive || err != nil {
			t.Errorf("%s: %v, %v", name, alive, err)
		}
		must(t, EndGroup(other))
		must(t, WaitGone(t.Context(), other))
	}
	if _, err := IDOf(1<<22 + 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no process: %v", err)
	}
}

func TestZombieIsNotAlive(t *testing.T) {
	t.Parallel()
	c, err := new(World).Start(t.Context(), workflow.Spec{Argv: []string{"true"}})
	must(t, err)
	must(t, c.(*child).awaitExit())
	if alive, err := Alive(c.ID()); alive || err != nil {
		t.Errorf("got %v, %v", alive, err)
	}
	must(t, c.Wait())
}

func TestWaitGone(t *testing.T) {
	t.Parallel()
	c, err := new(World).Start(t.Context(), workflow.Spec{Argv: []string{"sleep", "1000"}})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := WaitGone(ctx, c.ID()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	done := make(chan error)
	go func() { done <- WaitGone(context.Background(), c.ID()) }()
	c.Kill()
	must(t, <-done)
	_ = c.Wait()
}

func TestEndGroupOfNoLeader(t *testing.T) {
	t.Parallel()
	r, w := pipe(t)
	s := sh(`sleep 1000 & echo $! >&3; wait`)
	s.Extra = []*os.File{w}
	c, err := new(World).Start(t.Context(), s)
	must(t, err)
	member := pidFrom(t, r)
	if err := EndGroup(member); err == nil {
		t.Errorf("a member that leads no group: %v", err)
	}
	wantAlive(t, member)
	must(t, EndGroup(c.ID()))
	wantGone(t, member)
	_ = c.Wait()
}

// As for a user with "sudo zfs", where /proc is mounted with hidepid.
func TestWhereProcHidesOthers(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, who can mount, and become another")
	}
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	program := filepath.Join(dir, "sleep")
	must(t, exec.Command("cp", "/bin/sleep", program).Run())
	must(t, os.Chmod(program, 0o755|fs.ModeSetuid))
	for _, hidepid := range []string{"1", "2"} {
		cmd := helperCommand("hidden", hidepid, dir)
		cmd.SysProcAttr = &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
		out, err := cmd.Output()
		if exit, is := errors.AsType[*exec.ExitError](err); is {
			t.Errorf("hidepid=%s: %v, %s%s", hidepid, err, out, exit.Stderr)
		} else if err != nil {
			t.Skip(err) // in a chroot nothing can be made private
		} else if len(out) > 0 {
			t.Skipf("%s", out)
		}
	}
}

func TestBootTime(t *testing.T) {
	at, err := BootTime()
	must(t, err)
	if age := time.Since(at); age < 0 || age > 10*365*24*time.Hour {
		t.Errorf("got %v", at)
	}
}
