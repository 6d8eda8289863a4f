package stream_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"zfs2cloud/cmd/sandbox/internal/stream"
)

// How testdata was made: in a dataset that package tree filled, and changed between its snapshots,
//
//	zfs send pool/data@one >DIR/full; zfs send -i one pool/data@two >DIR/changed
//	go test ./cmd/sandbox/internal/stream -run TestStripUndoesInflate -record DIR
//
// and once more without, since the files are compiled in.
var recorded = flag.String("record", "", "make testdata from the streams in this folder")

func record(t *testing.T) {
	t.Helper()
	for _, name := range []string{"full", "changed"} {
		in, err := os.Open(filepath.Join(*recorded, name))
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		var out bytes.Buffer
		z, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
		if err := stream.Strip(z, in); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("testdata", name+".zfs.gz"), out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// stripped is a fixture as it lies in testdata, unpacked.
func stripped(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestStripUndoesInflate(t *testing.T) {
	if *recorded != "" {
		record(t)
	}
	want := stripped(t, "changed.zfs.gz")
	var whole, again bytes.Buffer
	if err := stream.Inflate(&whole, bytes.NewReader(want), 0); err != nil {
		t.Fatal(err)
	}
	if err := stream.Strip(&again, &whole); err != nil {
		t.Fatal(err)
	}
	// END's sum is made anew, the rest is what it was.
	cut := len(want) - 312
	if !bytes.Equal(want[:cut], again.Bytes()[:cut]) {
		t.Error("not the same after Inflate and Strip")
	}
}

func TestSum(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := stream.Changed(&b, 0x0123456789abcdef); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	sum := func(b []byte) string {
		s, n, err := stream.Sum(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if n != int64(len(b)) {
			t.Errorf("%d of %d bytes read", n, len(b))
		}
		return s
	}
	flipped := func(at int) []byte {
		c := bytes.Clone(whole)
		c[at] ^= 1
		return c
	}
	want := sum(whole)
	if sum(flipped(60)) != want {
		t.Error("another name in BEGIN is another sum")
	}
	if sum(flipped(len(whole)-300)) != want {
		t.Error("another sum in END is another sum")
	}
	if sum(flipped(48)) == want {
		t.Error("another base is the same sum")
	}
	if sum(flipped(len(whole)/2)) == want {
		t.Error("a flipped bit in the middle is the same sum")
	}
	for _, cut := range []int{1, 312, len(whole) / 2} {
		if _, _, err := stream.Sum(bytes.NewReader(whole[:len(whole)-cut])); err == nil {
			t.Errorf("no error without the last %d bytes", cut)
		}
	}
	if _, _, err := stream.Sum(bytes.NewReader(append(bytes.Clone(whole), 0))); err == nil {
		t.Error("no error with a byte behind END")
	}
}
