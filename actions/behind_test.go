package actions

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"

	"zfs2cloud/actions/stream"
)

// goldenStream is one of package stream's fixtures.
func goldenStream(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("stream", "testdata", "golden", name+".gz"))
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

// What is stored behind a chunk is small, and the hash goes on from it.
func TestBehind(t *testing.T) {
	all := goldenStream(t, "properties")
	const at = 300_001
	p, h := &stream.Parser{}, sha256.New()
	p.Follow()
	p.Write(all[:at])
	h.Write(all[:at])
	mark, ok := p.Mark()
	if !ok {
		t.Fatal("no mark")
	}
	old, err := behind{mark, h, nil}.bytes()
	if err != nil || len(old) > 330 {
		t.Fatalf("%d bytes, %v", len(old), err)
	}
	if b, err := parseBehind(old); err != nil || b.mark != mark || b.trail != nil {
		t.Errorf("one of before: %v, %+v", err, b)
	}
	stored, err := behind{mark, h, p.Trail()}.bytes()
	if err != nil || len(stored) > 1200 {
		t.Fatalf("%d bytes, %v", len(stored), err)
	}
	b, err := parseBehind(stored)
	if err != nil || b.mark != mark {
		t.Fatalf("%v, %+v", err, b.mark)
	}
	b.hash.Write(all[at:])
	if want := sha256.Sum256(all); !bytes.Equal(b.hash.Sum(nil), want[:]) {
		t.Error("the hash is another")
	}
	if !bytes.Equal(b.trail, p.Trail()) {
		t.Error("the trail is another")
	}
	for n := range old {
		if _, err := parseBehind(stored[:n]); err == nil {
			t.Errorf("%d bytes of it are taken", n)
		}
	}
}
