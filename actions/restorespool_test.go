package actions

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
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
			inherited, err := s.inherit([]*manifest.Manifest{m})
			if err != nil {
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
			if !slices.Equal(stay, c.stay) || s.used != int64(10*len(stay)) || inherited != len(stay) {
				t.Errorf("stay %v with %d bytes, not %v; %d are said to", stay, s.used, c.stay, inherited)
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

// Whatever an earlier process left, and however far ahead of what is received is fetched: there is room for the next chunk
// once all before it are received, never more lies there than may, and nothing stays.
func TestSpoolNeverWaitsForEver(t *testing.T) {
	t.Parallel()
	over, end := context.WithCancel(t.Context())
	end()
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		type piece struct {
			of *manifest.Manifest
			manifest.Chunk
		}
		var chain []*manifest.Manifest
		var all []manifest.Chunk
		var pieces []piece
		for _, name := range []string{fullName, incrName} {
			m := &manifest.Manifest{Name: name}
			for n := range 1 + random.IntN(20) {
				m.Chunks = append(m.Chunks, manifest.Chunk{N: n, Size: 1 + random.Int64N(10)})
				pieces = append(pieces, piece{m, m.Chunks[n]})
			}
			chain, all = append(chain, m), append(all, m.Chunks...)
		}
		s, err := openSpool(t.TempDir(), "7k3f", random.Int64N(120), mostSpooled(all))
		if err != nil {
			t.Fatal(err)
		}
		write := func(p piece) {
			if err := os.WriteFile(filepath.Join(s.dir, spooled(p.of, p.Chunk)), make([]byte, p.Size), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range pieces {
			if random.IntN(3) > 0 {
				write(p)
			}
		}
		if _, err := s.inherit(chain); err != nil {
			t.Fatal(err)
		}
		var fetched []piece
		for next := 0; next < len(pieces) || len(fetched) > 0; {
			if next < len(pieces) && (len(fetched) == 0 || random.IntN(2) == 0) {
				p := pieces[next]
				name := spooled(p.of, p.Chunk)
				if s.has(name, p.Size) {
					s.reached(p.Size)
				} else if s.reserve(over, p.Size) == nil {
					write(p)
				} else if len(fetched) == 0 {
					t.Fatalf("seed %d: %s waits for ever: %d of %d bytes are used, %d by what was received, %d by what is to come",
						seed, name, s.used, s.most, s.kept, s.ahead)
				}
				if s.has(name, p.Size) {
					fetched, next = append(fetched, p), next+1
					continue
				}
			}
			p := fetched[0]
			fetched = fetched[1:]
			if err := s.received(spooled(p.of, p.Chunk), p.Size); err != nil {
				t.Fatal(err)
			}
			if p.N == len(p.of.Chunks)-1 {
				if err := s.whole(p.of); err != nil {
					t.Fatal(err)
				}
			}
			if lie := bytesIn(t, s.dir); lie > s.most {
				t.Fatalf("seed %d: %d bytes lie there, of %d", seed, lie, s.most)
			}
		}
		if s.used != 0 || s.kept != 0 || s.ahead != 0 || bytesIn(t, s.dir) != 0 {
			t.Fatalf("seed %d: %d bytes are used in the end, %d kept, %d ahead", seed, s.used, s.kept, s.ahead)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
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
