package remote

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// idleRclone is a remote whose rclone is a script. It may be idle for half a second.
func idleRclone(t *testing.T, script string) Remote {
	t.Helper()
	program := filepath.Join(t.TempDir(), "rclone")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	r, err := Open(Options{Remote: "x:", Rclone: []string{program}, Idle: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// An rclone that does nothing is ended with all that it started, and tried again: asleep, stopped, or with statistics
// that show no progress, whatever their length.
func TestIdleIsEnded(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"asleep":  "trap '' TERM\nsleep 60 & echo $! >CHILD; wait",
		"stopped": "sleep 60 & echo $! >CHILD; kill -STOP $$",
		"talking": `sleep 60 & echo $! >CHILD
while :; do printf '{"stats":{"bytes":7,"text":"%5000s"}}\n' . >&2; sleep 0.02; done`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "child")
			r := idleRclone(t, strings.ReplaceAll(script, "CHILD", file))
			began := time.Now()
			_, err := r.List(t.Context(), &recorder{}, "", "")
			var idle *Idle
			if !errors.As(err, &idle) || !Temporary(err) || errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			if want := `list "x:": rclone moved nothing for 500ms, and was ended with all it had started`; err == nil || err.Error() != want {
				t.Errorf("says %q", err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("ended after %v", took)
			}
			text, err := os.ReadFile(file)
			pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil || pid == 0 {
				t.Fatalf("child: %q, %v", text, err)
			}
			// A process that was sent SIGKILL is gone when it next gets a processor.
			for until := time.Now().Add(20 * time.Second); alive(t, pid); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(until) {
					t.Fatal("what it started lives")
				}
			}
		})
	}
}

// alive tells whether a process is there that is no zombie.
func alive(t *testing.T, pid int) bool {
	t.Helper()
	if unix.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// One that works is not: it reads without a word (a local file's hash), or says that it transfers, though it is
// seen to move nothing (in a container).
func TestWorkIsNotIdle(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"reading":      `for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do head -c 200000 /dev/zero; sleep 0.1; done | cat >/dev/null; echo '[]'`,
		"transferring": `for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do echo '{"stats":{"bytes":'$i'}}' >&2; sleep 0.1; done; echo '[]'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := idleRclone(t, script).List(t.Context(), &recorder{}, "", ""); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestIdleFor(t *testing.T) {
	t.Parallel()
	if got := IdleFor(time.Minute, 100<<20); got != time.Minute+12*time.Second {
		t.Errorf("100 MiB: %v", got)
	}
	if got := IdleFor(0, 100<<20); got != 0 {
		t.Errorf("for ever: %v", got)
	}
}
