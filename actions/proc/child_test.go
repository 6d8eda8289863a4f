package proc

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"zfs2cloud/workflow"
)

func TestCancelEndsTheGroup(t *testing.T) {
	t.Parallel()
	r, w := pipe(t)
	s := sh(`sleep 1000 & echo $! >&3; wait`)
	s.Extra = []*os.File{w}
	ctx, cancel := context.WithCancel(t.Context())
	c, err := new(World).Start(ctx, s)
	must(t, err)
	grandchild := pidFrom(t, r)
	cancel()
	err = c.Wait()
	var exit *workflow.ExitError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &exit) || exit.Signal != "terminated" {
		t.Errorf("got %v", err)
	}
	wantGone(t, grandchild)
}

func TestCancelKillsWhoIgnoresSIGTERM(t *testing.T) {
	t.Parallel()
	r, w := pipe(t)
	s := sh(`trap '' TERM; echo $$ >&3; while :; do sleep 1000; done`)
	s.Extra = []*os.File{w}
	ctx, cancel := context.WithCancel(t.Context())
	c, err := new(World).Start(ctx, s)
	must(t, err)
	pidFrom(t, r)
	begin := time.Now()
	cancel()
	err = c.Wait()
	var exit *workflow.ExitError
	if !errors.As(err, &exit) || exit.Signal != "killed" {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begin); took < termGrace {
		t.Errorf("killed after %v", took)
	}
}

func TestSIGTERMLetsTheChildFinish(t *testing.T) {
	t.Parallel()
	r, w := pipe(t)
	s := sh(`trap 'exit 0' TERM; echo $$ >&3; while :; do sleep 0.1; done`)
	s.Extra = []*os.File{w}
	ctx, cancel := context.WithCancel(t.Context())
	c, err := new(World).Start(ctx, s)
	must(t, err)
	pidFrom(t, r)
	cancel()
	if err := c.Wait(); err != nil {
		t.Errorf("its work was done, yet: %v", err)
	}
}

func TestKill(t *testing.T) {
	t.Parallel()
	c, err := new(World).Start(t.Context(), workflow.Spec{Argv: []string{"sleep", "1000"}})
	must(t, err)
	c.Kill()
	var exit *workflow.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || exit.Signal != "killed" || exit.Code != -1 {
		t.Errorf("got %v", err)
	}
	c.Kill() // of nobody
	if err := c.Release(); err != nil {
		t.Errorf("release of no hook: %v", err)
	}
}
