package shapes

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A few files, of sizes around those of records and sectors, some compressible, with names, modes and links that get lost.
// (The demo has more of them, and takes an emulated processor minutes.)
var sizes = []int{0, 1, 100, 511, 512, 4097, 70_000, 131_073, 300_000}

// fill makes them.
func fill(dir string) error {
	if err := os.Mkdir(filepath.Join(dir, "a folder"), 0o711); err != nil {
		return err
	}
	for i, size := range sizes {
		if err := os.WriteFile(name(dir, i), text(i, size), 0o640); err != nil {
			return err
		}
	}
	return errors.Join(
		os.Chmod(name(dir, 3), 0o4755),
		os.Chmod(name(dir, 4), 0),
		os.Lchown(name(dir, 5), 1234, 4321),
		os.Link(name(dir, 6), filepath.Join(dir, "the same")),
		os.Symlink("nowhere", filepath.Join(dir, "link")),
	)
}

// change rewrites, appends, removes, renames, points the link elsewhere.
func change(dir string) error {
	link := filepath.Join(dir, "link")
	return errors.Join(
		os.WriteFile(name(dir, 7), text(70, 140_000), 0o640),
		os.WriteFile(name(dir, 1), text(71, 2000), 0o640),
		os.Truncate(name(dir, 8), 200_000),
		os.Remove(name(dir, 2)),
		os.Rename(name(dir, 5), filepath.Join(dir, "a folder", "moved")),
		os.Remove(link),
		os.Symlink("a folder", link),
	)
}

func name(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("file \u00e4 %d", i)) }

// text is another one for each i; every second is hard to compress.
func text(i, size int) []byte {
	b := bytes.Repeat(fmt.Appendf(nil, "line %d of a text that says little\n", i), size/30+1)[:size]
	if i%2 == 1 {
		x := uint32(i)
		for n := range b {
			x = x*1664525 + 1013904223
			b[n] = byte(x >> 24)
		}
	}
	return b
}
