package stream_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"zfs2cloud/actions/stream"
)

func TestInAnyPieces(t *testing.T) {
	for name, s := range single(t) {
		for _, slice := range []int{1, 2, 3, 5, 7, 311, 312, 313, 4096, 65537, len(s.bytes)} {
			p := stream.Of(s.to, s.from)
			if err := parse(p, s.bytes, slice); err != nil || p.Size() != uint64(len(s.bytes)) {
				t.Errorf("%s, %d bytes at a time: %v, %d of %d bytes", name, slice, err, p.Size(), len(s.bytes))
			}
		}
	}
}

func TestOfAnotherSnapshot(t *testing.T) {
	for name, s := range single(t) {
		for _, wrong := range [][2]uint64{{s.to + 1, s.from}, {s.to, s.from + 1}, {s.from, s.to}} {
			p := stream.Of(wrong[0], wrong[1])
			if err := parse(p, s.bytes, 4096); !errors.Is(err, stream.ErrOther) || p.Size() > 4096 {
				t.Errorf("%s, as %v: %v, after %d bytes", name, wrong, err, p.Size())
			}
		}
	}
}

// Wherever a stream is cut, it is noticed; and nothing but that is said of what was there.
func TestCut(t *testing.T) {
	t.Parallel()
	for name, s := range single(t) {
		for _, cut := range cuts(s.bytes) {
			if err := parse(stream.Of(s.to, s.from), s.bytes[:cut], 65536); !errors.Is(err, stream.ErrCut) {
				t.Errorf("%s, cut to %d of %d bytes: %v", name, cut, len(s.bytes), err)
			}
		}
	}
}

// cuts are lengths to which a stream is cut: many near its ends, all where a record begins, and beside these.
func cuts(b []byte) []int {
	var at []int
	for n := 0; n < 700; n += 13 {
		at = append(at, n, len(b)-700+n)
	}
	for _, n := range records(b) {
		at = append(at, n-1, n, n+1)
	}
	slices.Sort(at)
	return slices.Compact(at)[1:]
}

// records is where records begin behind the first.
func records(b []byte) []int {
	var at []int
	p := &stream.Parser{}
	p.Seen = func(*stream.Header) { at = append(at, int(p.Size())-stream.HeaderSize) }
	p.Write(b)
	return at[1:]
}

// A bit that is another is found by the sums, or makes the stream another's. (But in what END has beside its sum and its
// GUID, which nothing reads, and zfs-fuse has no sum over.)
func TestAnyBitFlipped(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for name, s := range single(t) {
		var ends []int
		for _, at := range records(s.bytes) {
			if s.bytes[at] == byte(stream.TypeEnd) {
				ends = append(ends, at)
			}
		}
		unread := func(at int) bool {
			return slices.ContainsFunc(ends, func(end int) bool { return at >= end+4 && at < end+stream.HeaderSize })
		}
		for range 200 {
			at, bit := random.IntN(len(s.bytes)), byte(1)<<random.IntN(8)
			err := parse(stream.Of(s.to, s.from), with(s.bytes, at, s.bytes[at]^bit), 65536)
			if err == nil && !unread(at) {
				t.Errorf("%s, bit %d of byte %d flipped: it passed", name, bit, at)
			}
			var d *stream.DamagedError
			if errors.As(err, &d) && (d.Good > uint64(at) || d.At+stream.HeaderSize <= uint64(at)) {
				t.Errorf("%s, byte %d is another: %v", name, at, err)
			}
		}
		if goldens[name].wrapper {
			ends = ends[:len(ends)-1] // which has neither
		}
		for _, end := range ends {
			for at := 8; at < 48; at++ {
				if err := parse(stream.Of(s.to, s.from), with(s.bytes, end+at, s.bytes[end+at]^1), 65536); !errors.Is(err, stream.ErrDamaged) {
					t.Errorf("%s, byte %d of END: %v", name, at, err)
				}
			}
		}
	}
}

func TestBehindTheEnd(t *testing.T) {
	package_ := golden(t, "package")
	check(t, parse(&stream.Parser{}, package_, 4096))
	for name, s := range single(t) {
		for _, more := range [][]byte{{0}, s.bytes, s.bytes[len(s.bytes)-stream.HeaderSize:], golden(t, "incremental")} {
			b := append(bytes.Clone(s.bytes), more...)
			if err := parse(stream.Of(s.to, s.from), b, 4096); !errors.Is(err, stream.ErrMore) {
				t.Errorf("%s and %d bytes: %v", name, len(more), err)
			}
			if err := parse(&stream.Parser{}, b, 4096); !errors.Is(err, stream.ErrMore) {
				t.Errorf("%s and %d bytes, whatever it is: %v", name, len(more), err)
			}
		}
	}
	// The same snapshot twice, within one wrapper.
	s := single(t)["properties"]
	own := bytes.Index(s.bytes[stream.HeaderSize:], s.bytes[8:16]) + stream.HeaderSize - 8
	last := len(s.bytes) - stream.HeaderSize
	twice := append(append(bytes.Clone(s.bytes[:last]), s.bytes[own:last]...), s.bytes[last:]...)
	if err := parse(stream.Of(s.to, s.from), twice, 4096); !errors.Is(err, stream.ErrMore) {
		t.Errorf("the same snapshot twice: %v", err)
	}
	check(t, parse(&stream.Parser{}, twice, 4096))
}

// made is the smallest stream there can be, in one order of bytes. It has no records, and so its END's sum is that of
// BEGIN.
func made(order binary.ByteOrder, to, from uint64) []byte {
	b := make([]byte, 2*stream.HeaderSize)
	order.PutUint64(b[8:], 0x2F5bacbac)
	order.PutUint64(b[16:], 1)
	order.PutUint32(b[32:], 2)
	order.PutUint64(b[40:], to)
	order.PutUint64(b[48:], from)
	copy(b[56:], "tank@s")
	end := b[stream.HeaderSize:]
	order.PutUint32(end, 5)
	order.PutUint64(end[40:], to)
	var a, c, d, e uint64
	for i := 0; i < stream.HeaderSize; i += 4 {
		a += uint64(order.Uint32(b[i:]))
		c += a
		d += c
		e += d
	}
	for i, sum := range []uint64{a, c, d, e} {
		order.PutUint64(end[8+8*i:], sum)
	}
	return b
}

func TestOrderOfBytes(t *testing.T) {
	check(t, parse(stream.Of(1<<63+7, 9), made(binary.LittleEndian, 1<<63+7, 9), 100))
	if err := parse(stream.Of(7, 9), made(binary.BigEndian, 7, 9), 100); !errors.Is(err, stream.ErrBigEndian) {
		t.Error(err)
	}
}

func TestWhatIsNoStream(t *testing.T) {
	good := made(binary.LittleEndian, 1, 0)
	for name, bad := range map[string][]byte{
		"zeros":              make([]byte, 700),
		"a few zeros":        make([]byte, 20),
		"text":               bytes.Repeat([]byte("text "), 100),
		"a short text":       []byte("This is no stream."),
		"another record":     with(good, 0, 5),
		"another magic":      with(good, 8, 0xad),
		"an unknown layout":  with(good, 16, 3),
		"an unknown kind":    with(good, 32, 9),
		"it begins with END": good[stream.HeaderSize:],
	} {
		if err := parse(stream.Of(1, 0), bad, 4096); !errors.Is(err, stream.ErrNoStream) {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := stream.Open(bytes.NewReader(bad), 1, 0); !errors.Is(err, stream.ErrNoStream) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, n := range []int{0, 1, 8, 20, 311} {
		if err := parse(stream.Of(1, 0), good[:n], 4096); !errors.Is(err, stream.ErrCut) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// What has its sums right and is still no stream.
func TestBadForm(t *testing.T) {
	good := made(binary.LittleEndian, 1, 0)
	end := good[stream.HeaderSize:]
	record := func(at int, to ...byte) []byte {
		return append(bytes.Clone(good[:stream.HeaderSize]), with(end, at, to...)...)
	}
	for name, bad := range map[string][]byte{
		"END of another snapshot":        record(40, 2),
		"END of another sum":             record(8, end[8]+1),
		"a wrong trailing sum":           record(280, 1),
		"an unknown type":                record(0, 11),
		"a type beyond all":              record(0, 0, 0, 0, 0x80),
		"BEGIN in a stream":              append(bytes.Clone(good[:stream.HeaderSize]), good...),
		"a block too large":              record(0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2),
		"a length that no word measures": record(0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9),
	} {
		if err := parse(stream.Of(1, 0), bad, 4096); !errors.Is(err, stream.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := parse(&stream.Parser{}, with(good, 16, 2), 4096); !errors.Is(err, stream.ErrDamaged) {
		t.Errorf("a wrapper that ends a snapshot: %v", err)
	}
	empty := with(made(binary.LittleEndian, 0, 0), 16, 2)
	binary.LittleEndian.PutUint64(empty[stream.HeaderSize+8:], binary.LittleEndian.Uint64(empty[stream.HeaderSize+8:])+1)
	fix(empty)
	empty = append(empty, with(make([]byte, stream.HeaderSize), 0, 5)...)
	check(t, parse(&stream.Parser{}, empty, 4096))
	if err := parse(stream.Of(1, 0), empty, 4096); !errors.Is(err, stream.ErrOther) {
		t.Errorf("a wrapper around nothing: %v", err)
	}
	if _, _, err := stream.Open(bytes.NewReader(empty), 1, 0); !errors.Is(err, stream.ErrOther) {
		t.Errorf("a wrapper around nothing: %v", err)
	}
}

// fix makes the sum of the END right that follows a BEGIN alone.
func fix(b []byte) {
	var a, c, d, e uint64
	for i := 0; i < stream.HeaderSize; i += 4 {
		a += uint64(binary.LittleEndian.Uint32(b[i:]))
		c += a
		d += c
		e += d
	}
	for i, sum := range []uint64{a, c, d, e} {
		binary.LittleEndian.PutUint64(b[stream.HeaderSize+8+8*i:], sum)
	}
}

func TestErrorsStay(t *testing.T) {
	s := single(t)["full"]
	p := stream.Of(s.to, s.from)
	bad := with(s.bytes, 5000, s.bytes[5000]^1)
	_, err := p.Write(bad)
	if !errors.Is(err, stream.ErrDamaged) {
		t.Fatal(err)
	}
	if n, again := p.Write(bad); n != 0 || again != err || p.Close() != err {
		t.Error(n, again, p.Close())
	}
}

// However large a stream is, a parser takes no more memory.
func TestNothingIsAllocated(t *testing.T) {
	b := golden(t, "package")
	if n := testing.AllocsPerRun(10, func() {
		var p stream.Parser
		for i := 0; i < len(b); i += 1000 {
			p.Write(b[i:min(len(b), i+1000)])
		}
		if p.Close() != nil {
			t.Fail()
		}
	}); n > 6 { // the parser, and the names of its BEGINs
		t.Errorf("%.0f allocations", n)
	}
}

func TestFeatures(t *testing.T) {
	f := stream.FeatureRaw | stream.FeatureEmbed | 1<<18 | 1<<40
	if got := f.String(); got != "embed_data bit_18 raw bit_40" {
		t.Error(got)
	}
	if !f.Has(stream.FeatureRaw|stream.FeatureEmbed) || f.Has(stream.FeatureRaw|stream.FeatureResuming) {
		t.Error(f)
	}
}

// No input makes it panic or hang, the pieces in which it comes make no difference, and a Reader passes on exactly what
// may be passed on.
func FuzzStream(f *testing.F) {
	f.Add([]byte(nil), 1)
	f.Add(made(binary.LittleEndian, 1, 0), 5)
	f.Add(made(binary.BigEndian, 1, 0), 400)
	small := golden(f, "incremental-properties")
	f.Add(small[:9000], 313)
	f.Add(with(small, 4, 0xff, 0xff, 0xff, 0xff)[:3000], 313)
	f.Fuzz(func(t *testing.T, b []byte, slice int) {
		slice = max(1, slice)
		whole, sliced := &stream.Parser{}, &stream.Parser{}
		err, serr := parse(whole, b, max(1, len(b))), parse(sliced, b, slice)
		if (err == nil) != (serr == nil) || err != nil && err.Error() != serr.Error() || whole.Size() != sliced.Size() {
			t.Errorf("in one piece: %v, %d; %d bytes at a time: %v, %d", err, whole.Size(), slice, serr, sliced.Size())
		}
		begin, _ := whole.Begin()
		got, rerr := readAll(b, slice, begin.To, begin.From)
		if !bytes.HasPrefix(b, got) {
			t.Error("the reader gives something else")
		}
		if rerr == nil && (err != nil || len(got) != len(b)) || err == nil && whole.Streams() == 1 && rerr != nil {
			t.Errorf("the parser says %v, the reader %v after %d of %d bytes", err, rerr, len(got), len(b))
		}
	})
}

// readAll reads a stream through a Reader, in pieces.
func readAll(b []byte, slice int, to, from uint64) ([]byte, error) {
	r, _, err := stream.Open(&slicer{b, slice}, to, from)
	if err != nil {
		return nil, err
	}
	var got []byte
	for piece := make([]byte, min(slice, 1<<20)); ; {
		n, err := r.Read(piece)
		got = append(got, piece[:n]...)
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return got, err
		}
	}
}

// slicer reads so many bytes at a time.
type slicer struct {
	b []byte
	n int
}

func (s *slicer) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.n)], s.b)
	s.b = s.b[n:]
	return n, nil
}
