package actions

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/manifest"
)

// What lies in the spool folder nobody else can find, and nothing of it survives us.
func TestSpool(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := openSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.file()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("a chunk"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder %v %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(s.dir); err != nil || len(left) > 0 {
		t.Errorf("it has %v %v", left, err)
	}
	if err := errors.Join(f.Close(), s.close()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

func TestSpoolRoom(t *testing.T) {
	t.Parallel()
	chunks := []manifest.Chunk{{Size: 5}, {Size: 7}, {Size: 1}}
	if got := mostSpooled(chunks); got != 12 {
		t.Errorf("at most %d", got)
	}
	if got := mostSpooled(chunks[:1]); got != 5 {
		t.Errorf("of one chunk %d", got)
	}
	if err := hasRoom(t.TempDir(), math.MaxInt64); err == nil || !strings.Contains(err.Error(), "--spool") {
		t.Errorf("error %v", err)
	}
	if err := hasRoom(filepath.Join(t.TempDir(), "gone"), 1); err == nil {
		t.Error("a folder that is gone has room")
	}
}

// A full spool folder is not a full remote.
func TestSpoolFull(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("no /dev/full: %v", err)
	}
	defer full.Close()
	w := &spoolWriter{f: full}
	if _, err := w.Write([]byte("x")); !errors.Is(err, unix.ENOSPC) || !errors.Is(w.err, unix.ENOSPC) {
		t.Errorf("%v, %v", err, w.err)
	}
}
