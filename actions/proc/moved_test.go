package proc_test

import (
	"io"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/proc"
)

// What a child of the group's first process copies counts, too.
func TestMoved(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sh", "-c", "head -c 300000 /dev/zero | cat >/dev/null; cat; :")
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Wait() })
	defer in.Close()
	through := func(n int) int64 {
		if _, err := in.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		sum, err := proc.Moved(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	before := through(1)
	if again, err := proc.Moved(cmd.Process.Pid); err != nil || again != before {
		t.Errorf("idle: %d, then %d, %v", before, again, err)
	}
	if after := through(1000); after-before != 2000 {
		t.Errorf("1000 bytes through it: %d", after-before)
	}
}
