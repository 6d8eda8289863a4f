package chunk

import (
	"context"
	"os/exec"
	"sync"
	"testing"

	"zfs2cloud/actions/proc"
	"zfs2cloud/workflow"
)

// world is the real one, and remembers what was started.
type world struct {
	proc.World
	mu    sync.Mutex
	specs []workflow.Spec
}

func (w *world) Start(ctx context.Context, s workflow.Spec) (workflow.Child, error) {
	w.mu.Lock()
	w.specs = append(w.specs, s)
	w.mu.Unlock()
	return w.World.Start(ctx, s)
}

// gpg is the gpg of this machine; without one the test is skipped.
func gpg(t testing.TB, passphrase string) GPG {
	t.Helper()
	program(t, "gpg")
	return GPG{World: &world{}, Words: []string{"gpg"}, Passphrase: []byte(passphrase), TempDir: t.TempDir()}
}

func program(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
}
