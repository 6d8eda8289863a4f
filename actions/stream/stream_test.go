package stream_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/actions/zfs/zfstest"
)

// sent is a stream of this machine's zfs, and whose it is.
type sent struct {
	bytes    []byte
	to, from uint64
}

// real sends one of each kind.
func real(t *testing.T) map[string]sent {
	t.Helper()
	pool := zfstest.Pool(t, 96)
	if dir, ok := zfstest.Mountpoint(t, pool); ok {
		content := bytes.Repeat([]byte("content "), 100_000)
		if err := os.WriteFile(filepath.Join(dir, "file"), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := zfs.Program{World: &proc.World{}, Words: []string{"zfs"}}
	d, err := zfs.ParseDataset(pool)
	check(t, err)
	guids := map[string]uint64{"": 0}
	snapshots := map[string]*zfs.Snapshot{}
	for _, name := range []string{"a", "b"} {
		s, err := d.Snapshot(name)
		check(t, err)
		check(t, p.TakeSnapshot(t.Context(), s, map[string]string{zfs.Property: "j/r/1"}))
		info, err := p.Snapshot(t.Context(), s)
		check(t, err)
		guids[name], snapshots[name] = uint64(info.GUID), &s
	}
	streams := map[string]sent{}
	for kind, c := range map[string]struct {
		snapshot, base string
		flags          []string
	}{
		"full":                                {"a", "", nil},
		"incremental, of nothing":             {"b", "a", nil},
		"full with properties":                {"a", "", []string{"-p"}},
		"incremental, of nothing, properties": {"b", "a", []string{"-p"}},
	} {
		var out bytes.Buffer
		child, err := p.Send(t.Context(), zfs.SendArgs{Snapshot: *snapshots[c.snapshot], Base: snapshots[c.base], Flags: c.flags}, &out)
		check(t, err)
		check(t, child.Wait())
		streams[kind] = sent{out.Bytes(), guids[c.snapshot], guids[c.base]}
	}
	return streams
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// through lets a stream flow through Ends, n bytes at a time.
func through(b []byte, n int) *stream.Ends {
	var ends stream.Ends
	for len(b) > 0 {
		n = min(n, len(b))
		ends.Write(b[:n])
		b = b[n:]
	}
	return &ends
}

func TestEndsOfRealStreams(t *testing.T) {
	t.Parallel()
	for kind, s := range real(t) {
		for _, slice := range []int{1, 7, 311, 312, 313, 4096, len(s.bytes)} {
			ends := through(s.bytes, slice)
			if err := ends.Check(s.to, s.from); err != nil || ends.Size() != uint64(len(s.bytes)) {
				t.Errorf("%s, %d bytes at a time: %v, %d of %d bytes", kind, slice, err, ends.Size(), len(s.bytes))
			}
		}
		whole := through(s.bytes, 4096)
		if err := whole.Check(s.to+1, s.from); !errors.Is(err, stream.ErrOther) {
			t.Errorf("%s, another snapshot: %v", kind, err)
		}
		if err := whole.Check(s.to, s.from+1); !errors.Is(err, stream.ErrOther) {
			t.Errorf("%s, another base: %v", kind, err)
		}
		if err := through(append(bytes.Clone(s.bytes), 0), 4096).Check(s.to, s.from); err == nil {
			t.Errorf("%s, with a byte more: it passed", kind)
		}
		for _, cut := range cuts(len(s.bytes)) {
			if err := through(s.bytes[:cut], 4096).Check(s.to, s.from); !errors.Is(err, stream.ErrCut) {
				t.Errorf("%s, cut to %d of %d bytes: %v", kind, cut, len(s.bytes), err)
			}
		}
	}
}

// What one process has seen of a stream, another goes on with, wherever the one was cut off.
func TestEndsBetweenProcesses(t *testing.T) {
	t.Parallel()
	for kind, s := range real(t) {
		for _, cut := range cuts(len(s.bytes)) {
			kept, err := through(s.bytes[:cut], 4096).MarshalBinary()
			check(t, err)
			var ends stream.Ends
			check(t, ends.UnmarshalBinary(kept))
			ends.Write(s.bytes[cut:])
			if err := ends.Check(s.to, s.from); err != nil || ends.Size() != uint64(len(s.bytes)) {
				t.Fatalf("%s, taken up after %d bytes: %v, %d of %d bytes", kind, cut, err, ends.Size(), len(s.bytes))
			}
		}
	}
	var ends stream.Ends
	if err := ends.UnmarshalBinary([]byte(`{"last":"` + strings.Repeat("AAAA", 400) + `"}`)); err == nil {
		t.Error("more than there is room for was taken")
	}
}

// cuts are lengths to which a stream is cut: all near its ends and near its records, and some between.
func cuts(length int) []int {
	var at []int
	for n := 0; n < length; n++ {
		if n < 2000 || n > length-700 || n%312 == 0 {
			at = append(at, n)
		}
	}
	return at
}

// A send that breaks off leaves a stream that Ends tells from a whole one. (Killing zfs does not do for a test:
// with zfs-fuse it is the daemon that writes, and it goes on while someone reads.)
func TestSendThatBreaksOff(t *testing.T) {
	t.Parallel()
	pool := zfstest.Pool(t, 96)
	dir := zfstest.NeedMount(t, pool)
	check(t, os.WriteFile(filepath.Join(dir, "file"), make([]byte, 4<<20), 0o600))
	p := zfs.Program{World: &proc.World{}, Words: []string{"zfs"}}
	d, err := zfs.ParseDataset(pool)
	check(t, err)
	s, err := d.Snapshot("s")
	check(t, err)
	check(t, p.TakeSnapshot(t.Context(), s, nil))
	info, err := p.Snapshot(t.Context(), s)
	check(t, err)

	var ends stream.Ends
	full := &filling{disk: &ends, room: 1 << 20}
	child, err := p.Send(t.Context(), zfs.SendArgs{Snapshot: s}, full)
	check(t, err)
	if err := child.Wait(); !errors.Is(err, errFull) {
		t.Fatalf("want %v, got %v", errFull, err)
	}
	if err := ends.Check(uint64(info.GUID), 0); !errors.Is(err, stream.ErrCut) {
		t.Errorf("%d bytes of a send that broke off: %v", ends.Size(), err)
	}
}

var errFull = errors.New("disk full")

// filling is a disk with room for so many bytes.
type filling struct {
	disk io.Writer
	room int
}

func (f *filling) Write(p []byte) (int, error) {
	if len(p) > f.room {
		return 0, errFull
	}
	f.room -= len(p)
	return f.disk.Write(p)
}

func TestVerifyPassesEveryByteOn(t *testing.T) {
	t.Parallel()
	for kind, s := range real(t) {
		r, begin, err := stream.Verify(iotest.HalfReader(bytes.NewReader(s.bytes)), s.to, s.from)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, s.bytes) {
			t.Errorf("%s: %d of %d bytes came, %v", kind, len(got), len(s.bytes), err)
		}
		if begin.To != s.to || begin.From != s.from || begin.Volume || begin.Compound || begin.Creation.IsZero() || begin.Name == "" {
			t.Errorf("%s: %+v", kind, begin)
		}
		for _, wrong := range [][2]uint64{{s.to + 1, s.from}, {s.to, s.from + 1}, {s.from, s.to}} {
			if _, _, err := stream.Verify(bytes.NewReader(s.bytes), wrong[0], wrong[1]); !errors.Is(err, stream.ErrOther) {
				t.Errorf("%s: it passed for %v: %v", kind, wrong, err)
			}
		}
		if _, _, err := stream.Verify(bytes.NewReader(s.bytes[:200]), s.to, s.from); !errors.Is(err, stream.ErrCut) {
			t.Errorf("%s, 200 bytes of it: %v", kind, err)
		}
		broken := errors.New("disk on fire")
		if _, _, err := stream.Verify(iotest.ErrReader(broken), s.to, s.from); !errors.Is(err, broken) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// made is the smallest stream there can be, in one order of bytes.
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
	return b
}

func TestEitherOrderOfBytes(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		b := made(order, 1<<63+7, 9)
		if err := through(b, 100).Check(1<<63+7, 9); err != nil {
			t.Errorf("%v: %v", order, err)
		}
		begin, err := stream.ParseBegin(b)
		if err != nil || begin.To != 1<<63+7 || begin.From != 9 || begin.Name != "tank@s" {
			t.Errorf("%v: %+v, %v", order, begin, err)
		}
	}
}

func TestWhatIsNoStream(t *testing.T) {
	good := made(binary.LittleEndian, 1, 0)
	for name, damage := range map[string]func([]byte){
		"zeros":          func(b []byte) { clear(b) },
		"other record":   func(b []byte) { b[0] = 5 },
		"other magic":    func(b []byte) { b[8]++ },
		"unknown layout": func(b []byte) { b[16] = 3 },
		"unknown kind":   func(b []byte) { b[32] = 9 },
	} {
		b := bytes.Clone(good)
		damage(b)
		if err := through(b, 4096).Check(1, 0); !errors.Is(err, stream.ErrNoStream) {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := stream.Verify(bytes.NewReader(b), 1, 0); !errors.Is(err, stream.ErrNoStream) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A stream of other streams, cut behind an END within it, has an END at its end too.
func TestEndOfAnotherStream(t *testing.T) {
	b := made(binary.LittleEndian, 1, 0)
	b[stream.HeaderSize+40] = 2
	if err := through(b, 4096).Check(1, 0); !errors.Is(err, stream.ErrCut) {
		t.Error(err)
	}
}

// No input makes it panic, and what Ends lets pass, Verify does, in whatever pieces it comes.
func FuzzStream(f *testing.F) {
	plain := made(binary.LittleEndian, 1, 0)
	wrapper := made(binary.LittleEndian, 0, 0)
	wrapper[16] = 2
	end := make([]byte, stream.HeaderSize)
	end[0] = 5
	f.Add([]byte(nil), 1)
	f.Add(plain, 5)
	f.Add(made(binary.BigEndian, 1, 0), 400)
	f.Add(append(append(bytes.Clone(wrapper), plain...), end...), 313)
	huge := bytes.Clone(wrapper)
	copy(huge[4:], "\xff\xff\xff\xff")
	f.Add(append(huge, plain...), 313)
	f.Fuzz(func(t *testing.T, b []byte, slice int) {
		slice = max(1, slice)
		whole, sliced := through(b, max(1, len(b))).Check(1, 0), through(b, slice).Check(1, 0)
		if (whole == nil) != (sliced == nil) {
			t.Errorf("in one piece: %v; %d bytes at a time: %v", whole, slice, sliced)
		}
		r, _, err := stream.Verify(bytes.NewReader(b), 1, 0)
		if whole == nil && err != nil {
			t.Errorf("Ends passes it, Verify says %v", err)
		}
		if err == nil {
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, b) {
				t.Errorf("Verify passes on %d of %d bytes, %v", len(got), len(b), err)
			}
		}
	})
}
