package actions

import (
	"errors"
	"os"
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
