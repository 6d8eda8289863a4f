package actions

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"testing"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/stream/streamtest"
)

// chunksOfStream takes a stream apart as an export does, and gives what is stored behind each chunk, as far as it can be gone on
// there, and what the index has of each.
func chunksOfStream(t *testing.T, in *sending, split int64) (all [][]byte, behinds, entries map[int][]byte) {
	t.Helper()
	cutter, err := chunk.NewCutter(in.from, split)
	if err != nil {
		t.Fatal(err)
	}
	behinds, entries = map[int][]byte{}, map[int][]byte{}
	for {
		piece, err := cutter.Next()
		if err == io.EOF {
			break
		}
		c := in.piece(piece, split)
		b, err := io.ReadAll(c)
		if err != nil {
			t.Fatalf("chunk %d of %d bytes: %v", len(all), split, err)
		}
		if c.behind != nil {
			behinds[len(all)] = c.behind
		}
		entries[len(all)] = c.entry
		all = append(all, b)
	}
	if err := in.parser.Close(); err != nil {
		t.Fatal(err)
	}
	return all, behinds, entries
}

func sendingOf(b []byte, to, from uint64) *sending {
	in := &sending{from: bytes.NewReader(b), parser: stream.Of(to, from), hash: sha256.New()}
	in.parser.Follow()
	return in
}

// recordsOf is where the records of a stream begin, and END.
func recordsOf(t *testing.T, b []byte) (at []int) {
	t.Helper()
	for i := 0; i < len(b); {
		h := stream.Header(b[i : i+stream.HeaderSize])
		n, err := h.Payload()
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, i)
		i += stream.HeaderSize + int(n)
	}
	return at
}

// Cut at each record, and near it, in one, two or three chunks, and continued by another stream: what comes of it is the old one
// up to the point, and the new one from there on, in the chunks that a send of just that would have been cut into.
func TestCutAgain(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"full", "incremental-properties"} {
		old, err := streamtest.Resummed(goldenStream(t, name))
		if err != nil {
			t.Fatal(err)
		}
		p := &stream.Parser{}
		if _, err := p.Write(old); err != nil {
			t.Fatal(err)
		}
		begin, _ := p.Begin()
		tried, within := 0, 0
		for i, at := range recordsOf(t, old) {
			for j, off := range []int{-1, 0, 1, stream.HeaderSize + 5} {
				of := 1 + (i+j)%3
				split := (at + off) / of
				if split < 1 || split*of > len(old) {
					continue
				}
				if did, kept := cutAgainAt(t, old, begin, int64(split), of-1); did {
					tried++
					if kept > 0 {
						within++
					}
				}
			}
		}
		if tried < 50 || within < 50 {
			t.Errorf("%s: %d were tried, %d of them within a chunk", name, tried, within)
		}
	}
}

// cutAgainAt has what is sent differ from what was sealed, up to and with the chunk LAST, in the last record there is as a whole.
func cutAgainAt(t *testing.T, old []byte, begin stream.Begin, split int64, last int) (tried bool, kept int64) {
	t.Helper()
	before, behinds, entries := chunksOfStream(t, sendingOf(old, begin.To, begin.From), split)
	if behinds[last] == nil {
		return false, 0
	}
	at, err := parseBehind(behinds[last])
	if err != nil {
		t.Fatal(err)
	}
	point := at.mark.Point()
	h := stream.Header(old[point : point+stream.HeaderSize])
	const within = stream.HeaderSize + 20
	size, _ := h.Payload()
	if size < 24 || at.mark.At < point+within+1 {
		return false, 0 // nothing in it that could be another
	}
	other := bytes.Clone(old)
	other[point+within] ^= 1
	for _, i := range recordsOf(t, other) {
		clear(other[i+stream.HeaderSize-32 : i+stream.HeaderSize])
	}
	if other, err = streamtest.Resummed(other); err != nil {
		t.Fatal(err)
	}
	sent, err := streamtest.Sent(other, at.mark.Token(""))
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Continue(at.mark, bytes.NewReader(sent)).Join()
	differs, ok := errors.AsType[*stream.RecutError](err)
	if !ok {
		t.Fatalf("split %d, behind %d chunks: %v", split, last+1, err)
	}
	r, err := recutAt(differs.Point, split, func(n int) (behind, error) {
		if behinds[n] == nil {
			return behind{}, errBehind
		}
		return parseBehind(behinds[n])
	})
	if err != nil {
		if r.n > 0 && behinds[r.n-1] == nil {
			return false, 0 // a chunk before the first object
		}
		t.Fatal(err)
	}
	if r.n > last || r.n*int(split)+int(r.keep) != int(point) {
		t.Fatalf("split %d: chunk %d is cut again at %d, the point is %d", split, r.n, r.keep, point)
	}
	splice := stream.Continue(at.mark.Back(), bytes.NewReader(sent))
	in := &sending{hash: r.hash, seen: r.keep, entry: entries[r.n]}
	if err := splice.Follow(at.trail); err != nil {
		t.Fatal(err)
	}
	if in.parser, err = splice.Join(); err != nil {
		t.Fatal(err)
	}
	in.from = io.MultiReader(bytes.NewReader(before[r.n][:r.keep]), splice)
	got, marks, made := chunksOfStream(t, in, split)

	whole := append(bytes.Clone(old[:point]), other[point:]...)
	for _, i := range recordsOf(t, whole) {
		clear(whole[i+stream.HeaderSize-32 : i+stream.HeaderSize])
	}
	if whole, err = streamtest.Resummed(whole); err != nil {
		t.Fatal(err)
	}
	straight := sendingOf(whole, begin.To, begin.From)
	want, wantMarks, wantMade := chunksOfStream(t, straight, split)
	if len(got) != len(want)-r.n {
		t.Fatalf("split %d, cut again at %d: %d chunks instead of %d", split, point, len(got), len(want)-r.n)
	}
	for i := range got {
		// While the first record that is new has not come to its end, nothing is known to go on from.
		known := marks[i] != nil || (r.n+i+1)*int(split) >= int(point+stream.HeaderSize+size)
		if !bytes.Equal(got[i], want[r.n+i]) || known && !sameBehind(t, marks[i], wantMarks[r.n+i]) {
			t.Fatalf("split %d, cut again at %d: chunk %d is another, or what is stored behind it", split, point, r.n+i)
		}
	}
	for i := range got {
		// Where it was cut within an object, less is known.
		if a, b := made[i], wantMade[r.n+i]; !bytes.Equal(a, b) && (len(a) >= len(b) || len(a) == 0 || i == 0) {
			t.Fatalf("split %d, cut again at %d: the entry of chunk %d is\n%x instead of\n%x", split, point, r.n+i, a, b)
		}
	}
	if a, b := hex.EncodeToString(in.hash.Sum(nil)), hex.EncodeToString(straight.hash.Sum(nil)); a != b {
		t.Fatalf("split %d, cut again at %d: the SHA-256 of the whole is %s instead of %s", split, point, a, b)
	}
	return true, r.keep
}

// sameBehind compares what is stored behind a chunk, but for the trail, of which less may be known.
func sameBehind(t *testing.T, a, b []byte) bool {
	t.Helper()
	is, err := parseBehind(a)
	if err != nil {
		t.Fatal(err)
	}
	was, err := parseBehind(b)
	if err != nil {
		t.Fatal(err)
	}
	return is.mark == was.mark && bytes.Equal(is.hash.Sum(nil), was.hash.Sum(nil)) && len(is.trail) > 0
}
