package actions

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/manifest"
)

// What a run left in its spool folder the next process finds, as far as there is room for it and it is what is to come.
func TestSpoolInherits(t *testing.T) {
	t.Parallel()
	m := &manifest.Manifest{Name: incrName}
	for n := range 6 {
		m.Chunks = append(m.Chunks, manifest.Chunk{N: n, Size: 10})
	}
	old := &manifest.Manifest{Name: fullName}
	for _, c := range []struct {
		name string
		most int64
		has  map[string]int // sizes
		stay []string
	}{
		{"nothing", 20, nil, nil},
		{"the next two", 20, map[string]int{spooled(m, m.Chunks[0]): 10, spooled(m, m.Chunks[1]): 10}, []string{spooled(m, m.Chunks[0]), spooled(m, m.Chunks[1])}},
		{"one that comes late", 20, map[string]int{spooled(m, m.Chunks[4]): 10}, nil},
		{"one that comes late, with room", 30, map[string]int{spooled(m, m.Chunks[4]): 10, spooled(m, m.Chunks[5]): 10}, []string{spooled(m, m.Chunks[4])}},
		{"half of one", 20, map[string]int{spooled(m, m.Chunks[0]): 9, spooled(m, m.Chunks[1]) + partSuffix: 10}, nil},
		{"one that was received", 20, map[string]int{spooled(old, m.Chunks[0]): 10}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			parent := t.TempDir()
			s, err := openSpool(parent, "7k3f", c.most, 20)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			for name, size := range c.has {
				if err := os.WriteFile(filepath.Join(s.dir, name), make([]byte, size), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.inherit([]*manifest.Manifest{m}); err != nil {
				t.Fatal(err)
			}
			list, err := os.ReadDir(s.dir)
			if err != nil {
				t.Fatal(err)
			}
			var stay []string
			for _, e := range list {
				stay = append(stay, e.Name())
			}
			if !slices.Equal(stay, c.stay) || s.used != int64(10*len(stay)) {
				t.Errorf("stay %v with %d bytes, not %v", stay, s.used, c.stay)
			}
		})
	}
}

// In a place that all may write to, a folder of the run's name that is not ours alone is not used.
func TestSpoolIsOurs(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(dir string) error{
		"a link": func(dir string) error {
			elsewhere := filepath.Join(filepath.Dir(dir), "elsewhere")
			return errors.Join(os.Mkdir(elsewhere, 0o700), os.Symlink(elsewhere, dir))
		},
		"open to others": func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o755)) },
		"a file":         func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
	} {
		parent := t.TempDir()
		if err := plant(spoolDir(parent, "7k3f")); err != nil {
			t.Fatal(err)
		}
		if s, err := openSpool(parent, "7k3f", 20, 20); err == nil {
			t.Errorf("%s: opened %s", name, s.dir)
		}
	}
}

// With more room than it needs the first chunks of a stream stay, in case it has to be received again.
func TestSpoolKeeps(t *testing.T) {
	t.Parallel()
	s, err := openSpool(t.TempDir(), "7k3f", 30, 20)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	m := &manifest.Manifest{Name: fullName}
	for n := range 3 {
		name := spooled(m, manifest.Chunk{N: n})
		if err := errors.Join(s.reserve(t.Context(), 10), os.WriteFile(filepath.Join(s.dir, name), make([]byte, 10), 0o600), s.received(name, 10)); err != nil {
			t.Fatal(err)
		}
		if want := n == 0; s.has(name, 10) != want {
			t.Errorf("chunk %d stays: %t", n, !want)
		}
	}
	if s.used != 10 {
		t.Errorf("%d bytes are used", s.used)
	}
	if err := s.whole(m); err != nil || s.used != 0 || s.has(spooled(m, manifest.Chunk{}), 10) {
		t.Errorf("%v; %d bytes are used by what is no longer needed", err, s.used)
	}
}

// bytesIn is how much lies in a folder.
func bytesIn(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	for _, e := range list {
		if info, err := e.Info(); err == nil { // else it is gone by now
			bytes += info.Size()
		}
	}
	return bytes
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
