package actions

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// What lies in the spool folder nobody else can find, and nothing of it survives us.
func TestScratch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := openScratch(dir, "zfs2cloud-test-")
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

// A process that was killed may have made a file and not yet taken its name. What is no such file stays, and its folder.
func TestScratchIsCleared(t *testing.T) {
	t.Parallel()
	for name, stays := range map[string]bool{"1": false, "x": true} {
		dir := t.TempDir()
		s, err := openScratch(dir, "zfs2cloud-test-")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		err = clearSpools(dir, "zfs2cloud-test-")
		left, rerr := os.ReadDir(dir)
		if rerr != nil || (len(left) == 1) != stays || (err != nil) != stays {
			t.Errorf("%s: left %v, %v %v", name, left, err, rerr)
		}
	}
}
