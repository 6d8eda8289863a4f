package host_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"zfs2cloud/cmd/sandbox/internal/host"
)

func TestEnvironmentIsFresh(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("RCLONE_DRY_RUN", "true")
	out, err := (&host.Host{Home: "/somewhere"}).Run(t.Context(), "env")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "AWS_") || strings.Contains(out, "RCLONE_") || !strings.Contains(out, "HOME=/somewhere\n") {
		t.Error(out)
	}
}

func TestFailureSaysWhatWasSaid(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	_, err := (&host.Host{Log: &log}).Run(t.Context(), "sh", "-c", "echo one >&2; echo two >&2; exit 3")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(err.Error(), "one / two") {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(log.String(), "$ sh -c") || !strings.Contains(log.String(), "two\n") {
		t.Errorf("log %q", log.String())
	}
	if _, err := (&host.Host{}).Run(t.Context(), "no-such-program"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

func TestCancelReachesGrandchildren(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	// The grandchild holds the pipe of our output for as long as it lives.
	_, err := (&host.Host{}).Run(ctx, "sh", "-c", "sleep 60 & wait")
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 8*time.Second {
		t.Errorf("error %v after %v", err, time.Since(began))
	}
	if err := (&host.Host{}).Do(ctx, host.Command{Argv: []string{"true"}, Whole: true}); err != nil {
		t.Errorf("stopped, though it must not be: %v", err)
	}
}

func TestAlive(t *testing.T) {
	t.Parallel()
	self := host.Self()
	if !self.Alive() {
		t.Error("not alive ourselves")
	}
	for what, p := range map[string]host.Process{
		"another start": {PID: self.PID, Start: self.Start + 1, Boot: self.Boot},
		"another boot":  {PID: self.PID, Start: self.Start, Boot: "before"},
		"nobody":        {},
	} {
		if p.Alive() {
			t.Errorf("%s counts as alive", what)
		}
	}
	if line := host.CommandLine(os.Getpid()); len(line) == 0 || line[0] != os.Args[0] {
		t.Errorf("command line %q", line)
	}
}
