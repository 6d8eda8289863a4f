package stream_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/actions/zfs/zfstest"
)

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

func TestRealStreams(t *testing.T) {
	t.Parallel()
	for kind, s := range real(t) {
		for _, slice := range []int{313, 4096, len(s.bytes)} {
			if err := parse(stream.Of(s.to, s.from), s.bytes, slice); err != nil {
				t.Errorf("%s, %d bytes at a time: %v", kind, slice, err)
			}
		}
		if got, err := readAll(s.bytes, 4096, s.to, s.from); err != nil || !bytes.Equal(got, s.bytes) {
			t.Errorf("%s: %d of %d bytes came, %v", kind, len(got), len(s.bytes), err)
		}
	}
}

// A send that breaks off leaves a stream that a Parser tells from a whole one. (Killing zfs does not do for a test:
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

	parser := stream.Of(uint64(info.GUID), 0)
	full := &filling{disk: parser, room: 1 << 20}
	child, err := p.Send(t.Context(), zfs.SendArgs{Snapshot: s}, full)
	check(t, err)
	if err := child.Wait(); !errors.Is(err, errFull) {
		t.Fatalf("want %v, got %v", errFull, err)
	}
	if err := parser.Close(); !errors.Is(err, stream.ErrCut) {
		t.Errorf("%d bytes of a send that broke off: %v", parser.Size(), err)
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
