package pool_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"zfs2cloud/cmd/sandbox/internal/host"
	"zfs2cloud/cmd/sandbox/internal/pool"
)

// Tests with pools are not parallel: mounts at the same moment can wedge zfs-fuse for ever.

const size = 128 << 20

func open(t *testing.T, base string, stays bool) *pool.Sandbox {
	t.Helper()
	s, err := pool.Open(t.Context(), &host.Host{}, pool.Options{Base: base, Size: size, Stays: stays})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

func needZFS(t *testing.T) {
	t.Helper()
	if _, err := (&host.Host{}).Run(t.Context(), "zpool", "list"); err != nil {
		t.Skip("no ZFS answers")
	}
}

func there(t *testing.T, name string) bool {
	t.Helper()
	out, err := (&host.Host{}).Run(t.Context(), "zpool", "list", "-H", "-o", "name")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains("\n"+out, "\n"+name+"\n")
}

// dead is a process that was.
func dead(t *testing.T) *host.Process {
	t.Helper()
	p := host.Self()
	p.Start++
	return &p
}

// disown makes the sandbox's record name a process that is gone.
func disown(t *testing.T, base, name string) {
	t.Helper()
	record, err := json.Marshal(pool.Record{Name: name, Owner: dead(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(base, name+".json"), record, 0o600); err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, base string) []string {
	t.Helper()
	entries, err := os.ReadDir(base)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != "lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestCloseLeavesNothing(t *testing.T) {
	needZFS(t)
	base := t.TempDir()
	s := open(t, base, false)
	if !there(t, s.Name) {
		t.Fatal("no pool")
	}
	if s.Mounts() { // a mounted file system does not keep it from going
		mounted(t, s)
	}
	if _, err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if there(t, s.Name) || len(files(t, base)) > 0 {
		t.Errorf("left: pool %v, files %v", there(t, s.Name), files(t, base))
	}
}

// mounted makes a file system in the sandbox.
func mounted(t *testing.T, s *pool.Sandbox) (dir string) {
	t.Helper()
	dir = filepath.Join(s.Dir, "mnt")
	if _, err := (&host.Host{}).Run(t.Context(), "zfs", "create", "-o", "mountpoint="+dir, s.Name+"/data"); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWhoIsInTheWayIsNamed(t *testing.T) {
	needZFS(t)
	base := t.TempDir()
	s := open(t, base, false)
	if !s.Mounts() {
		t.Skip("file systems can't be mounted: ", s.NoMount)
	}
	shell := exec.Command("sleep", "60")
	shell.Dir = mounted(t, s)
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Close(t.Context())
	if err == nil || !strings.Contains(err.Error(), "in use by sleep (pid "+strconv.Itoa(shell.Process.Pid)+")") {
		t.Errorf("error %v", err)
	}
	shell.Process.Kill()
	shell.Wait()
	if _, err := s.Close(t.Context()); err != nil || there(t, s.Name) {
		t.Errorf("not cleared once nobody is in the way: %v", err)
	}
}

func TestLeftoverIsCleared(t *testing.T) {
	needZFS(t)
	base := t.TempDir()
	old := open(t, base, false)
	disown(t, base, old.Name)
	next := open(t, base, false)
	if there(t, old.Name) {
		t.Error("the leftover's pool is still there")
	}
	if len(next.Cleared) != 1 || next.Cleared[0] != old.Name {
		t.Errorf("cleared %v", next.Cleared)
	}
	if got := len(files(t, base)); got != 2 { // its folder and record
		t.Errorf("files: %v", files(t, base))
	}
}

func TestOthersAreLeftAlone(t *testing.T) {
	needZFS(t)
	base := t.TempDir()
	alive, stays := open(t, base, false), open(t, base, true)
	open(t, base, false)
	if !there(t, alive.Name) || !there(t, stays.Name) {
		t.Error("a sandbox that is in use was cleared")
	}
	cleared, _, err := pool.Down(t.Context(), &host.Host{}, base)
	if err != nil || len(cleared) != 1 || cleared[0] != stays.Name {
		t.Errorf("down cleared %v, %v; want %s", cleared, err, stays.Name)
	}
	if !there(t, alive.Name) || there(t, stays.Name) {
		t.Error("down cleared the wrong one")
	}
}

// A record is no licence to destroy a pool that only has the same name.
func TestPoolOnAnotherFileIsLeftAlone(t *testing.T) {
	needZFS(t)
	mine, other := t.TempDir(), t.TempDir()
	s := open(t, other, false)
	disown(t, mine, s.Name)
	if _, _, err := pool.Down(t.Context(), &host.Host{}, mine); err != nil {
		t.Error(err)
	}
	if !there(t, s.Name) {
		t.Error("the pool is gone")
	}
}

func TestUnreadableRecordIsLeftAlone(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	for name, text := range map[string]string{
		"z2c-111111.json": "{",
		"z2c-222222.json": `{"name":"../elsewhere"}`,
		"tank.json":       `{"name":"tank"}`,
	} {
		if err := os.WriteFile(filepath.Join(base, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cleared, _, err := pool.Down(t.Context(), &host.Host{}, base)
	if err == nil || len(cleared) > 0 {
		t.Errorf("cleared %v, error %v", cleared, err)
	}
	if len(files(t, base)) != 3 {
		t.Errorf("files: %v", files(t, base))
	}
}

// The number in the pid file is another process's by now. That one answers, before and after: a look at its
// command line does not tell, which is empty until the kernel has laid out the arguments, and Start comes
// back before that.
func TestForeignProcessIsLeftAlone(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	foreign := exec.Command("cat")
	in, err := foreign.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := foreign.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := foreign.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { foreign.Process.Kill(); foreign.Wait() }()
	answers := bufio.NewReader(out)
	answer := func() error {
		if _, err := io.WriteString(in, "there\n"); err != nil {
			return err
		}
		_, err := answers.ReadString('\n')
		return err
	}
	if err := answer(); err != nil {
		t.Fatal(err)
	}
	pid := []byte(strconv.Itoa(foreign.Process.Pid))
	if err := os.WriteFile(filepath.Join(base, "zfs-fuse.pid"), pid, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := pool.Down(t.Context(), &host.Host{}, base); err != nil {
		t.Fatal(err)
	}
	if err := answer(); err != nil {
		t.Errorf("the process is gone: %v", err)
	}
}
