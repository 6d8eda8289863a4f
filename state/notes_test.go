package state

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func notes(t *testing.T, f Folder, kind, guid string) string {
	t.Helper()
	list, err := f.Notes(kind, guid)
	ok(t, err)
	var got []string
	for _, n := range list {
		var v string
		ok(t, n.Decode(&v))
		got = append(got, n.GUID+" "+n.ID+" "+v)
	}
	return strings.Join(got, ", ")
}

func TestNotes(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	same(t, notes(t, f, "bracket", "1"), "")
	ok(t, f.DropNote("bracket", "1", "r"))
	ok(t, f.PutNote("bracket", "1", "run2", "b"))
	ok(t, f.PutNote("bracket", "1", "run1", "a"))
	ok(t, f.PutNote("bracket", "1", "run1", "a again"))
	ok(t, f.PutNote("bracket", "2", "run3", "c"))
	ok(t, f.PutNote("lock", "1", "", "held"))
	live, err := f.Own("1", me("n"))
	ok(t, err)
	defer live.Close()
	same(t, notes(t, f, "bracket", "1"), "1 run1 a again, 1 run2 b")
	same(t, notes(t, f, "bracket", ""), "1 run1 a again, 1 run2 b, 2 run3 c")
	same(t, notes(t, f, "lock", "1"), "1  held")
	ok(t, f.DropNote("bracket", "1", "run1"))
	ok(t, f.DropNote("bracket", "1", "run1"))
	ok(t, f.DropNote("lock", "1", ""))
	same(t, notes(t, f, "bracket", "1"), "1 run2 b")
	same(t, notes(t, f, "lock", ""), "")
	if f.PutNote("bracket", "1", "../x", "") == nil || f.PutNote("a.b", "1", "", "") == nil {
		t.Error("a name that is no file's was taken")
	}
}

func TestDamagedNoteStillCounts(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	ok(t, f.PutNote("bracket", "1", "run1", "a"))
	ok(t, f.PutNote("bracket", "1", "run2", "b"))
	ok(t, os.WriteFile(filepath.Join(f.Dir, "1.bracket.run1.json"), []byte("{"), 0o600))
	list, err := f.Notes("bracket", "1")
	ok(t, err)
	same(t, len(list), 2)
	same(t, list[0].ID, "run1")
	isErr(t, list[0].Decode(new(string)), errChecksum)
	ok(t, list[1].Decode(new(string)))
}
