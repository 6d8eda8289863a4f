package stream_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"zfs2cloud/actions/stream"
)

// golden is a stream that zfs-fuse 0.7 made: testdata/golden/make.sh.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "golden", name+".gz"))
	check(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	check(t, err)
	b, err := io.ReadAll(z)
	check(t, err)
	return b
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The GUIDs of golden@a, golden@b, and golden@c and golden/child@c.
const (
	guidA      = 1364704191013991221
	guidB      = 4970015705909098041
	guidC      = 9960528147752471790
	guidChildC = 2263764036624811282
)

type counts map[stream.Type]int

var goldens = map[string]struct {
	to, from uint64 // of the last stream in it
	streams  int
	wrapper  bool
	name     string
	size     uint64
	counts   counts
}{
	"full":                   {guidA, 0, 1, false, "golden@a", 744184, counts{stream.TypeBegin: 1, stream.TypeObject: 18, stream.TypeFreeObjects: 3, stream.TypeWrite: 18, stream.TypeFree: 25, stream.TypeEnd: 1}},
	"incremental":            {guidB, guidA, 1, false, "golden@b", 199856, counts{stream.TypeBegin: 1, stream.TypeObject: 18, stream.TypeFreeObjects: 4, stream.TypeWrite: 4, stream.TypeFree: 23, stream.TypeEnd: 1}},
	"properties":             {guidB, 0, 1, true, "golden@b", 748216, counts{stream.TypeBegin: 2, stream.TypeObject: 18, stream.TypeFreeObjects: 4, stream.TypeWrite: 18, stream.TypeFree: 25, stream.TypeEnd: 3}},
	"incremental-properties": {guidB, guidA, 1, true, "golden@b", 201564, counts{stream.TypeBegin: 2, stream.TypeObject: 18, stream.TypeFreeObjects: 4, stream.TypeWrite: 4, stream.TypeFree: 23, stream.TypeEnd: 3}},
	"package":                {guidChildC, 0, 4, true, "golden/child@c", 977872, counts{stream.TypeBegin: 5, stream.TypeObject: 60, stream.TypeFreeObjects: 14, stream.TypeWrite: 29, stream.TypeFree: 78, stream.TypeEnd: 6}},
	"all-between":            {guidC, guidB, 2, true, "golden@c", 222424, counts{stream.TypeBegin: 3, stream.TypeObject: 37, stream.TypeFreeObjects: 8, stream.TypeWrite: 6, stream.TypeFree: 46, stream.TypeEnd: 4}},
}

func TestGolden(t *testing.T) {
	for name, want := range goldens {
		got := counts{}
		p := stream.Parser{Seen: func(h *stream.Header) { got[h.Type()]++ }}
		_, err := p.Write(golden(t, name))
		check(t, err)
		check(t, p.Close())
		begin, ok := p.Begin()
		if !ok || begin.To != want.to || begin.From != want.from || begin.Name != want.name || begin.Creation.Year() != 2026 ||
			begin.Volume || begin.Compound || begin.Features != 0 {
			t.Errorf("%s: %+v", name, begin)
		}
		if p.Streams() != want.streams || p.Wrapper() != want.wrapper || p.Size() != want.size || !maps.Equal(got, want.counts) {
			t.Errorf("%s: %d streams, wrapper %v, %d bytes, %v", name, p.Streams(), p.Wrapper(), p.Size(), got)
		}
	}
}

// single are the golden streams of one snapshot, as this program makes them.
func single(t testing.TB) map[string]sent {
	all := map[string]sent{}
	for name, g := range goldens {
		if g.streams == 1 {
			all[name] = sent{golden(t, name), g.to, g.from}
		}
	}
	return all
}

// sent is a stream, and whose it is.
type sent struct {
	bytes    []byte
	to, from uint64
}

// parse shows a parser a stream, n bytes at a time, to its end.
func parse(p *stream.Parser, b []byte, n int) error {
	for len(b) > 0 {
		n = min(n, len(b))
		if wrote, err := p.Write(b[:n]); err != nil {
			return err
		} else if wrote != n {
			return io.ErrShortWrite
		}
		b = b[n:]
	}
	return p.Close()
}

// with is a stream with other bytes at one place.
func with(b []byte, at int, other ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], other)
	return b
}
