package state

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// The test binary is also every other process that a test needs: started with ROLE in its environment it
// plays that role, says what it has to say a line at a time, and goes on at each line it is told.
const roleVariable = "Z2C_STATE_TEST_ROLE"

var roles = map[string]func(args []string) error{
	"count":      countRole,
	"read":       readRole,
	"hold":       holdRole,
	"hold flock": holdFlockRole,
	"own":        ownRole,
	"child":      func([]string) error { say("here"); return hear() },
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := roles[role](os.Args[1:]); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// say and hear are how a role talks with its test. At the end of input a role ends: none outlives the test.
func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

var toldToRole = bufio.NewReader(os.Stdin)

func hear() error {
	_, err := toldToRole.ReadString('\n')
	return err
}

// actor is a process that plays a role.
type actor struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func play(t testing.TB, role string, args ...string) *actor {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	ok(t, err)
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	a := &actor{t, cmd, in, bufio.NewReader(out)}
	t.Cleanup(func() { a.in.Close(); a.cmd.Wait() })
	return a
}

// line waits for what the actor says next.
func (a *actor) line() string {
	a.t.Helper()
	line, err := a.out.ReadString('\n')
	if err != nil {
		a.t.Fatalf("%s: %v", a.cmd.Args, err)
	}
	return line[:len(line)-1]
}

func (a *actor) expect(want string) {
	a.t.Helper()
	if got := a.line(); got != want {
		a.t.Fatalf("actor said %q, want %q", got, want)
	}
}

func (a *actor) tell() {
	a.t.Helper()
	_, err := io.WriteString(a.in, "\n")
	ok(a.t, err)
}

// kill ends the actor as kill -9 does, and returns when it is gone. Its pipes stay: it may have children.
func (a *actor) kill() {
	a.t.Helper()
	ok(a.t, a.cmd.Process.Kill())
	_, err := a.cmd.Process.Wait()
	ok(a.t, err)
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same[T comparable](t testing.TB, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func isErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

// newStore is a database in a folder that is not there yet.
func newStore(t testing.TB) *Store {
	return New(t.TempDir() + "/state/state.db")
}

// quickly fails a test whose fn takes longer.
func quickly(t testing.TB, limit time.Duration, fn func()) {
	t.Helper()
	start := time.Now()
	fn()
	if took := time.Since(start); took > limit {
		t.Fatalf("took %v, more than %v", took, limit)
	}
}
