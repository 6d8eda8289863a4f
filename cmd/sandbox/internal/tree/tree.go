// Package tree makes a folder of data to back up, changes it as days go by, and tells whether two such
// folders are the same.
//
// The data is pseudo-random, and the same each time: a failed demo can be done again. It has what gets
// lost in backups: empty files, names with blanks and without letters, modes with setuid and without any
// right, foreign owners, old and odd times, links that lead nowhere. Half of the content compresses
// well, half not at all.
package tree

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// What Make makes.
const (
	Files = 1204
	Links = 61
	Dirs  = 43

	bigFiles    = 4
	middleFiles = 200
)

// What Change does to it.
const (
	Changed = 203
	Removed = 17
)

// Make fills an empty folder. Each file has one of share parts of the 180 MB that all of them have as a whole: 1 is
// everything.
func Make(root string, share int) error {
	for n := range Dirs {
		if err := os.MkdirAll(filepath.Join(root, dirName(n)), 0o755); err != nil {
			return err
		}
	}
	for n := range Files {
		if err := makeFile(filepath.Join(root, fileName(n)), n, size(n)/share); err != nil {
			return err
		}
	}
	for n := range Links {
		if err := makeLink(filepath.Join(root, linkName(n)), n); err != nil {
			return err
		}
	}
	return settleDirs(root)
}

// Change rewrites, appends to and overwrites the beginning of Changed files and removes Removed others,
// and points a link elsewhere. The share is that of Make.
func Change(root string, share int) error {
	for i := range Changed {
		if err := changeFile(filepath.Join(root, fileName(changedFile(i))), i, (96<<10)/share); err != nil {
			return err
		}
	}
	for i := range Removed {
		if err := os.Remove(filepath.Join(root, fileName(removedFile(i)))); err != nil {
			return err
		}
	}
	link := filepath.Join(root, linkName(0))
	if err := os.Remove(link); err != nil {
		return err
	}
	return makeLink(link, Links)
}

// changedFile is two of the big ones, every tenth of the middle ones, and small ones. Of each group of
// files, Change takes those with an even number and removal those with an odd one.
func changedFile(i int) int {
	const big, middle = 2, 20
	switch {
	case i < big:
		return i
	case i < big+middle:
		return bigFiles + 10*(i-big)
	default:
		return bigFiles + middleFiles + 4*(i-big-middle)
	}
}

func removedFile(i int) int { return bigFiles + 11 + i*50 | 1 }

func changeFile(name string, i, size int) error {
	flags := os.O_WRONLY
	switch i % 3 {
	case 0:
		flags |= os.O_TRUNC
	case 1:
		flags |= os.O_APPEND
	}
	f, err := os.OpenFile(name, flags, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := fill(f, Files+i, size); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	when := time.Unix(1764000000+int64(i), int64(i)*1001)
	return os.Chtimes(name, when, when)
}

func makeFile(name string, n, size int) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := fill(f, n, size); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	// The owner first: a change of owner takes the setuid bit off, chown(2).
	if err := os.Chown(name, 1000*(n%3), 100*(n%5)); err != nil {
		return err
	}
	if err := os.Chmod(name, modes[n%len(modes)]); err != nil {
		return err
	}
	return os.Chtimes(name, timeOf(n), timeOf(n))
}

var modes = []os.FileMode{0o644, 0o600, 0o755, 0o440, 0o000, 0o755 | os.ModeSetuid, 0o666, 0o755 | os.ModeSetgid}

// size of file n: a few big ones, some in the middle, many small ones, some of them empty.
func size(n int) int {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	switch {
	case n < bigFiles:
		return 16<<20 + r.IntN(1<<20)
	case n < bigFiles+middleFiles:
		return 300<<10 + r.IntN(80<<10)
	case n%37 == 0:
		return 0
	default:
		return r.IntN(88 << 10)
	}
}

func timeOf(n int) time.Time {
	r := rand.New(rand.NewPCG(uint64(n), 2))
	return time.Unix(978307200+r.Int64N(786000000), r.Int64N(1e9))
}

func dirName(n int) string {
	if n == 0 {
		return "d00"
	}
	return filepath.Join(dirName((n-1)/3), fmt.Sprintf("d%02d", n))
}

var names = []string{"f%04d", "with blank %04d", "-%04d", ".hidden%04d", "größe%04d", "%04d'\"$x"}

func fileName(n int) string {
	return filepath.Join(dirName(n%Dirs), fmt.Sprintf(names[n%len(names)], n))
}

func linkName(n int) string {
	return filepath.Join(dirName(n%Dirs), fmt.Sprintf("link%02d", n))
}

func makeLink(name string, n int) error {
	target := fmt.Sprintf("../nowhere/%d", n)
	if n%2 == 0 {
		target = filepath.Base(fileName(n))
	}
	if err := os.Symlink(target, name); err != nil {
		return err
	}
	if err := os.Lchown(name, 1000*(n%2), 100*(n%3)); err != nil {
		return err
	}
	when := unix.NsecToTimespec(timeOf(n).UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{when, when}, unix.AT_SYMLINK_NOFOLLOW)
}

// settleDirs gives the folders their owners and times, deepest first: what is made in a folder changes
// its time.
func settleDirs(root string) error {
	for n := Dirs - 1; n >= 0; n-- {
		name := filepath.Join(root, dirName(n))
		if err := os.Chown(name, 1000*(n%2), 100*(n%3)); err != nil {
			return err
		}
		if err := os.Chmod(name, []os.FileMode{0o755, 0o700, 0o777 | os.ModeSticky}[n%3]); err != nil {
			return err
		}
		if err := os.Chtimes(name, timeOf(n), timeOf(n)); err != nil {
			return err
		}
	}
	return nil
}

// fill writes length bytes that depend on n alone.
func fill(w io.Writer, n, length int) error {
	block := make([]byte, 128<<10)
	source := Source(uint64(n))
	for length > 0 {
		part := block[:min(length, len(block))]
		Fill(part, source, n%2 == 0)
		if _, err := w.Write(part); err != nil {
			return err
		}
		length -= len(part)
	}
	return nil
}

// Source is a stream of pseudo-random numbers of that name.
func Source(name uint64) *rand.ChaCha8 {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], name)
	return rand.NewChaCha8(seed)
}

// Fill fills p with noise, or with text that compresses well.
func Fill(p []byte, source *rand.ChaCha8, text bool) {
	if !text {
		source.Read(p)
		return
	}
	for len(p) > 0 {
		p = p[copy(p, words[source.Uint64()%uint64(len(words))]):]
	}
}

var words = []string{
	"snapshot ", "export ", "chunk ", "sealed, ", "uploaded ", "by night ", "the machine ", "went on ",
	"where it ", "had been ", "left.\n", "Nothing ", "was done ", "twice; ", "nothing half done ", "counted.\n",
}
