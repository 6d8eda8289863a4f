package proc

import (
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"zfs2cloud/workflow"
)

func TestSweepFindsWhoOutlivedADeadRun(t *testing.T) {
	t.Parallel()
	kids := filepath.Join(t.TempDir(), "kids")
	h := startHelper(t, "child", kids, "sh", "-c", `sleep 1000 & echo $!; wait`)
	a, b := h.process(t), h.process(t) // the wrapper and its child, in whatever order
	h.kill(t)
	wantOneGone(t, a, b) // the kernel ended the wrapper only
	swept, err := Sweep(t.Context(), kids, nil)
	must(t, err)
	if len(swept) != 1 || swept[0].Killed || !slices.Equal(swept[0].Argv, []string{"sleep", "1000"}) {
		t.Errorf("got %+v", swept)
	}
	wantGone(t, a)
	wantGone(t, b)
}

func TestSweepKillsWhoIgnoresSIGTERM(t *testing.T) {
	t.Parallel()
	kids := filepath.Join(t.TempDir(), "kids")
	h := startHelper(t, "child", kids, "sh", "-c", `trap '' TERM; sleep 1000 & echo $!; wait`)
	a, b := h.process(t), h.process(t)
	h.kill(t)
	wantOneGone(t, a, b)
	swept, err := Sweep(t.Context(), kids, nil)
	must(t, err)
	if len(swept) != 1 || !swept[0].Killed {
		t.Errorf("got %+v", swept)
	}
	wantGone(t, a)
	wantGone(t, b)
}

// wantOneGone waits until at least one of two processes has ended.
func wantOneGone(t *testing.T, a, b workflow.ProcessID) {
	t.Helper()
	done := make(chan error, 2)
	for _, id := range []workflow.ProcessID{a, b} {
		go func() { done <- WaitGone(t.Context(), id) }()
	}
	must(t, <-done)
}

func TestSweepLeavesReadersAndUsAlone(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "kids")
	kids, err := lockedFile(name) // ours
	must(t, err)
	defer kids.Close()
	reader := exec.Command("sh", "-c", `exec 3<>"$1"; exec sleep 1000`, "sh", name)
	must(t, reader.Start())
	defer reader.Wait()
	defer reader.Process.Kill()
	swept, err := Sweep(t.Context(), name, nil)
	if err != nil || len(swept) != 0 {
		t.Errorf("got %+v, %v", swept, err)
	}
	wantStays(t, identify(t, reader.Process.Pid))
	swept, err = Sweep(t.Context(), filepath.Join(t.TempDir(), "none"), nil)
	if err != nil || len(swept) != 0 {
		t.Errorf("no file: got %+v, %v", swept, err)
	}
}
