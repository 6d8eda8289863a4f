// Package zfstest makes ZFS pools for tests, on files. Where no ZFS answers, the test is skipped.
//
// In an ordinary container zfs-fuse makes pools, snapshots and streams, but can't mount anything. Then a
// pool's datasets have no folder, and data comes into them only by receiving a stream.
//
// Where it can, zfs-fuse 0.7 must not mount two datasets at the same moment: its daemon locks up for good, and
// every ZFS on the machine with it. Tests of one package run at once, and so do packages. So whatever mounts
// or unmounts goes through Run, which lets one program work at a time, on the whole machine.
package zfstest

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/zfs/zfstest/fuse"
)

// Pool makes a pool of a random name z2c-t…, on a file of that many MiB (at least 64), and destroys it at the
// end of the test. Where mounting works it is mounted in a folder of the test's, and so are its datasets:
// see Mountpoint.
func Pool(t testing.TB, sizeMiB int64) string {
	t.Helper()
	needZFS(t)
	fuse.Unstick(os.Stderr)
	dir := t.TempDir() // first, so that it is removed last
	image := filepath.Join(dir, "disk")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, sizeMiB<<20); err != nil {
		t.Fatal(err)
	}
	var b [8]byte
	rand.Read(b[:])
	pool := "z2c-t" + hex.EncodeToString(b[:])
	Run(t, "zpool", "create", "-m", "none", pool, image)
	t.Cleanup(func() {
		// What can't be unmounted, destroy tells.
		_, _ = run("zfs", "set", "mountpoint=none", pool)
		if _, err := runWhenFree("zpool", "destroy", "-f", pool); err != nil {
			t.Error(err)
		}
	})
	// zfs-fuse sets the mountpoint, and exits 1, if it can't mount.
	if _, err := run("zfs", "set", "mountpoint="+filepath.Join(dir, "pool"), pool); err != nil {
		Run(t, "zfs", "set", "mountpoint=none", pool)
	}
	return pool
}

// RunWhenFree is Run for what needs a dataset that was mounted a moment ago.
func RunWhenFree(t testing.TB, argv ...string) {
	t.Helper()
	if _, err := runWhenFree(argv...); err != nil {
		t.Fatal(err)
	}
}

// runWhenFree is run again for as long as zfs says "busy": zfs-fuse lets go of a mount some time after it said
// so, and tells nobody when.
func runWhenFree(argv ...string) (string, error) {
	for until := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		out, err := run(argv...)
		if err == nil || !strings.Contains(err.Error(), "busy") || time.Now().After(until) {
			return out, err
		}
	}
}

// Mountpoint is the folder of a dataset, if it is mounted.
func Mountpoint(t testing.TB, dataset string) (string, bool) {
	t.Helper()
	mounted, dir, _ := strings.Cut(Run(t, "zfs", "get", "-Hp", "-o", "value", "mounted,mountpoint", dataset), "\n")
	return strings.TrimSuffix(dir, "\n"), mounted == "yes"
}

// NeedMount is Mountpoint for tests that write files: where nothing can be mounted, they are skipped.
func NeedMount(t testing.TB, dataset string) string {
	t.Helper()
	dir, ok := Mountpoint(t, dataset)
	if !ok {
		t.Skipf("this ZFS can't mount %s", dataset)
	}
	return dir
}

// Run runs zfs or zpool, and gives what it wrote to stdout. If it fails, so does the test.
func Run(t testing.TB, argv ...string) string {
	t.Helper()
	out, err := run(argv...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// LockFile is locked by who has one mount or unmount at work: zfs-fuse 0.7 hangs at two.
func LockFile() string { return filepath.Join(os.TempDir(), "z2c-zfstest.lock") }

// run lets one program work at a time.
func run(argv ...string) (string, error) {
	lock, err := os.OpenFile(LockFile(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close() // and with it the lock goes
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", err
	}
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if err == nil {
		return string(out), nil
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return "", fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
}

// needZFS skips the test if there is no ZFS, or none that answers to us.
func needZFS(t testing.TB) {
	t.Helper()
	for _, program := range []string{"zfs", "zpool"} {
		if _, err := run(program, "list", "-H", "-o", "name"); err != nil {
			t.Skipf("no ZFS answers: %v", err)
		}
	}
}
