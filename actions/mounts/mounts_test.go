package mounts

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The second line is what OpenZFS 2.1 shows of a snapshot, the third a bind mount of a folder whose name has a blank.
const sample = `22 28 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
91 28 0:46 / /var/spool/zfs2cloud/20261125035200-full/files ro,nosuid,nodev,relatime shared:50 - zfs tank/data@20261125035200 ro,xattr,noacl
92 28 8:1 /a\040b\134 /mnt/x\011y rw - ext4 /dev/sda1 rw
`

func TestParse(t *testing.T) {
	all, err := parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	want := []Mount{
		{22, "0:21", "/", "/proc", []string{"rw", "nosuid", "nodev", "noexec", "relatime"}, "proc", "proc"},
		{91, "0:46", "/", "/var/spool/zfs2cloud/20261125035200-full/files", []string{"ro", "nosuid", "nodev", "relatime"}, "zfs", "tank/data@20261125035200"},
		{92, "8:1", `/a b\`, "/mnt/x\ty", []string{"rw"}, "ext4", "/dev/sda1"},
	}
	if !reflect.DeepEqual(all, want) {
		t.Errorf("%+v", all)
	}
	for _, bad := range []string{"1 2 3\n", "a 28 0:21 / /proc rw - proc proc rw\n", "22 28 0:21 / /proc rw proc proc\n"} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
}

// mount mounts a tmpfs under a snapshot's name, or skips.
func mount(t *testing.T, dir, source string, flags uintptr) {
	t.Helper()
	err := unix.Mount(source, dir, "tmpfs", flags, "")
	if errors.Is(err, unix.EPERM) {
		t.Skip("may not mount here")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}

const safely = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV

func TestProve(t *testing.T) {
	dir := t.TempDir()
	const snap = "tank/data@20261125035200"
	if _, err := Prove(dir, snap); !errors.Is(err, ErrNotMounted) {
		t.Errorf("nothing mounted: %v", err)
	}
	if _, err := Prove(filepath.Join(dir, "none"), snap); !errors.Is(err, ErrNotMounted) {
		t.Errorf("no folder: %v", err)
	}
	mount(t, dir, snap, safely)
	first, err := Prove(dir, snap)
	if err != nil || first.Mount == 0 || first.Device == "" {
		t.Fatalf("%+v, %v", first, err)
	}
	link := filepath.Join(t.TempDir(), "above")
	if err := os.Symlink(filepath.Dir(dir), link); err != nil {
		t.Fatal(err)
	}
	if again, err := Prove(filepath.Join(link, filepath.Base(dir)), snap); err != nil || again != first {
		t.Errorf("by a link above: %+v, %v", again, err)
	}
	if users := Users(dir); len(users) > 0 {
		t.Errorf("busy: %v", users)
	}
	open, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if users := Users(dir); len(users) != 1 {
		t.Errorf("users: %v", users)
	}
	open.Close()

	// The same name mounted once more is another mount, and hides the first.
	mount(t, dir, snap, safely)
	second, err := Prove(dir, snap)
	if err != nil || second == first {
		t.Errorf("mounted over: %+v, %v", second, err)
	}
}

func TestProveOther(t *testing.T) {
	const snap = "tank/data@20261125035200"
	for name, c := range map[string]struct {
		source string
		flags  uintptr
		part   string
	}{
		"another snapshot": {"tank/data@20261124035200", safely, `not tank/data@20261125035200 is mounted`},
		"writable":         {snap, unix.MS_NOSUID | unix.MS_NODEV, "has to be ro,nosuid,nodev"},
		"with devices":     {snap, unix.MS_RDONLY | unix.MS_NOSUID, "has to be"},
		"with suid":        {snap, unix.MS_RDONLY | unix.MS_NODEV, "has to be"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mount(t, dir, c.source, c.flags)
			_, err := Prove(dir, snap)
			var other *Other
			if !errors.As(err, &other) || !strings.Contains(err.Error(), c.part) {
				t.Error(err)
			}
		})
	}
	t.Run("a part of it", func(t *testing.T) {
		whole, dir := t.TempDir(), t.TempDir()
		mount(t, whole, snap, unix.MS_NOSUID|unix.MS_NODEV)
		if err := os.Mkdir(filepath.Join(whole, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
		mount(t, dir, "ignored", safely)
		if err := unix.Mount(filepath.Join(whole, "sub"), dir, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
		if _, err := Prove(dir, snap); err == nil || !strings.Contains(err.Error(), "/sub of ") {
			t.Error(err)
		}
	})
}

func TestSheltered(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Sheltered(dir, os.Getuid()); err != nil {
		t.Error(err)
	}
	for _, mode := range []os.FileMode{0o775, 0o777 | os.ModeSticky} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if err := Sheltered(dir, os.Getuid()); err == nil {
			t.Errorf("%v passed", mode)
		}
	}
	if os.Getuid() != 0 {
		return
	}
	if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	if err := Sheltered(dir, 0); err == nil {
		t.Error("a stranger's passed")
	}
}
