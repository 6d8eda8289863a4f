package proc

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/workflow"
)

func TestInAndOut(t *testing.T) {
	t.Parallel()
	in := strings.Repeat("0123456789abcdef", 1<<16)
	out, err := Output(t.Context(), new(World), workflow.Spec{Argv: []string{"cat"}, Stdin: strings.NewReader(in)})
	if err != nil || string(out) != in {
		t.Errorf("%d of %d bytes, %v", len(out), len(in), err)
	}
}

func TestWritersOwnErrorWins(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	must(t, err)
	defer full.Close()
	s := workflow.Spec{Argv: []string{"cat", "/dev/zero"}, Stdout: struct{ io.Writer }{full}}
	err = Run(t.Context(), new(World), s)
	var exit *workflow.ExitError
	if !errors.Is(err, unix.ENOSPC) || errors.As(err, &exit) {
		t.Errorf("got %v", err)
	}
}

func TestReadersOwnErrorWins(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken reader")
	in := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken))
	for _, program := range []string{"cat", "cat; exit 3"} {
		s := sh(program)
		s.Stdin = in
		var exit *workflow.ExitError
		if err := Run(t.Context(), new(World), s); !errors.Is(err, broken) || errors.As(err, &exit) {
			t.Errorf("%s: got %v", program, err)
		}
	}
}

func TestChildThatStopsReading(t *testing.T) {
	t.Parallel()
	s := sh("exit 3")
	s.Stdin = strings.NewReader(strings.Repeat("x", 1<<20))
	var exit *workflow.ExitError
	if err := Run(t.Context(), new(World), s); !errors.As(err, &exit) || exit.Code != 3 {
		t.Errorf("got %v", err)
	}
	// Nor does a reader that gives nothing keep us.
	r, w := io.Pipe()
	defer w.Close()
	s.Stdin = r
	if err := Run(t.Context(), new(World), s); !errors.As(err, &exit) || exit.Code != 3 {
		t.Errorf("got %v", err)
	}
}

func TestGrandchildHoldsStderr(t *testing.T) {
	t.Parallel()
	r, w := pipe(t)
	s := sh(`sleep 1000 & echo $! >&3; echo last words >&2; exit 3`)
	s.Extra = []*os.File{w}
	begin := time.Now()
	child, err := new(World).Start(t.Context(), s)
	must(t, err)
	grandchild := pidFrom(t, r) // while it lives: once it is ended, nothing tells its number from another's
	err = child.Wait()
	var exit *workflow.ExitError
	if !errors.As(err, &exit) || exit.Code != 3 || exit.Stderr != "last words" {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begin); took < holdGrace || took > holdGrace+5*time.Second {
		t.Errorf("took %v", took)
	}
	wantGone(t, grandchild)
}

func TestGrandchildHoldsStdout(t *testing.T) {
	t.Parallel()
	// In a session of its own, so that no signal to the group reaches it. It writes on and on.
	r, w := pipe(t)
	s := sh(`setsid sh -c 'echo $$ >&3; while echo more; do sleep 0.1; done' 2>/dev/null & sleep 0.1; echo all`)
	s.Extra = []*os.File{w}
	var out bytes.Buffer
	s.Stdout = &out
	child, err := new(World).Start(t.Context(), s)
	must(t, err)
	grandchild := pidFrom(t, r)
	if err := child.Wait(); !errors.Is(err, ErrHeld) || !strings.Contains(out.String(), "all\n") {
		t.Errorf("got %q, %v", out.String(), err)
	}
	wantGone(t, grandchild)
}

// slow keeps the copying waiting for longer than any grace at its first write.
type slow struct {
	bytes.Buffer
	blocked <-chan time.Time
}

func (s *slow) Write(p []byte) (int, error) {
	<-s.blocked
	s.blocked = closedTimer
	return s.Buffer.Write(p)
}

var closedTimer = func() <-chan time.Time { c := make(chan time.Time); close(c); return c }()

func TestSlowWriterLosesNothing(t *testing.T) {
	t.Parallel()
	// The second half waits in the pipe, and the child has ended, long before the writer has done with the first.
	out := &slow{blocked: time.After(holdGrace + 400*time.Millisecond)}
	s := sh("echo first; sleep 0.2; head -c 60000 /dev/zero")
	s.Stdout = out
	if err := Run(t.Context(), new(World), s); err != nil || out.Len() != 60006 {
		t.Errorf("%d bytes, %v", out.Len(), err)
	}
}

func TestStderrGoesOnWithoutItsReader(t *testing.T) {
	t.Parallel()
	s := sh(`i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo line $i >&2; done; head -c 1000000 /dev/zero >&2; echo >&2; echo end >&2; exit 1`)
	s.Stderr = struct{ io.Writer }{brokenWriter{}}
	var exit *workflow.ExitError
	if err := Run(t.Context(), new(World), s); !errors.As(err, &exit) || exit.Stderr != "end" {
		t.Errorf("got %v", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestStderrIsCopied(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	s := sh("echo words >&2")
	s.Stderr = &b
	must(t, Run(t.Context(), new(World), s))
	if b.String() != "words\n" {
		t.Errorf("got %q", b.String())
	}
}

func TestRing(t *testing.T) {
	var r ring
	for i := range 1000 {
		_, _ = io.WriteString(&r, strings.Repeat("x", i%7)+"\n")
	}
	if got := strings.Count(r.String(), "\n"); got != ringLines-1 {
		t.Errorf("%d lines", got+1)
	}
	r = ring{}
	_, _ = io.WriteString(&r, strings.Repeat("long ", 2000)+"\nat https://u:geheim@host/x\n")
	if got := r.String(); got != "at https://***@host/x" {
		t.Errorf("got %q", got)
	}
	r = ring{}
	_, _ = io.WriteString(&r, strings.Repeat("y", 10000))
	if got := r.String(); got != strings.Repeat("y", ringBytes) {
		t.Errorf("%d bytes", len(got))
	}
}
