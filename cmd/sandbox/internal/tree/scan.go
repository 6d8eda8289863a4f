package tree

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Entry is all that a backup must keep of a file, folder or link. Access times are not compared:
// looking changes them.
type Entry struct {
	Mode     fs.FileMode
	UID, GID uint32
	Time     time.Time // of the last change of content
	Size     int64     // of a file
	Sum      [sha256.Size]byte
	Link     string // where a link leads
}

// Tree is a folder's content by path, the folder itself among it as ".".
type Tree map[string]Entry

// Scan reads a whole folder.
func Scan(root string) (Tree, error) {
	t := Tree{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		t[name], err = read(path)
		return err
	})
	return t, err
}

func read(path string) (Entry, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return Entry{}, err
	}
	stat := info.Sys().(*syscall.Stat_t)
	e := Entry{Mode: info.Mode(), UID: stat.Uid, GID: stat.Gid, Time: info.ModTime()}
	switch {
	case e.Mode.IsRegular():
		e.Size = info.Size()
		e.Sum, err = sum(path)
	case e.Mode&fs.ModeSymlink != 0:
		e.Link, err = os.Readlink(path)
	}
	return e, err
}

func sum(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// Files counts the regular files and their bytes.
func (t Tree) Files() (count int, bytes int64) {
	for _, e := range t {
		if e.Mode.IsRegular() {
			count++
			bytes += e.Size
		}
	}
	return count, bytes
}

// Diff says how other differs from t, a line a difference, in the order of the paths.
func (t Tree) Diff(other Tree) []string {
	paths := map[string]bool{}
	for p := range t {
		paths[p] = true
	}
	for p := range other {
		paths[p] = true
	}
	var lines []string
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		a, here := t[p]
		b, there := other[p]
		switch {
		case !there:
			lines = append(lines, fmt.Sprintf("%q is missing", p))
		case !here:
			lines = append(lines, fmt.Sprintf("%q should not be there", p))
		default:
			for _, d := range a.diff(b) {
				lines = append(lines, fmt.Sprintf("%q: %s", p, d))
			}
		}
	}
	return lines
}

func (e Entry) diff(o Entry) []string {
	var d []string
	if e.Mode != o.Mode {
		d = append(d, fmt.Sprintf("mode %v, was %v", o.Mode, e.Mode))
	}
	if e.UID != o.UID || e.GID != o.GID {
		d = append(d, fmt.Sprintf("owner %d:%d, was %d:%d", o.UID, o.GID, e.UID, e.GID))
	}
	if !e.Time.Equal(o.Time) {
		d = append(d, fmt.Sprintf("time %v, was %v", o.Time.UTC(), e.Time.UTC()))
	}
	if e.Size != o.Size {
		d = append(d, fmt.Sprintf("size %d, was %d", o.Size, e.Size))
	}
	if e.Sum != o.Sum {
		d = append(d, "other content")
	}
	if e.Link != o.Link {
		d = append(d, fmt.Sprintf("leads to %q, was %q", o.Link, e.Link))
	}
	return d
}
