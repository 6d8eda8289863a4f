package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// chunkName is the name of a whole chunk, as it is in the end.
var chunkName = regexp.MustCompile(`\.zfs\.[0-9]{6}(\.g[0-9]+)?\.gpg$`)

// identity tells whether a file is still the one it was: written anew, or again, it has another inode
// or another time of change, which nobody can set.
type identity struct {
	inode   uint64
	changed syscall.Timespec
}

// seen is the files that lie in the folders below dir, whole chunks or not.
type seen map[string]fs.FileInfo

func look(dir string) (seen, error) {
	files := seen{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return ignoreGone(err)
		}
		info, err := e.Info()
		if err == nil {
			files[path] = info
		}
		return ignoreGone(err)
	})
	return files, err
}

// ignoreGone is for files that are renamed while we look.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// whole are the chunks that are there whole, by name: as long as they are in the other folder.
func (s seen) whole(other seen) map[string]identity {
	sizes := map[string]int64{}
	for path, info := range other {
		sizes[filepath.Base(path)] = info.Size()
	}
	chunks := map[string]identity{}
	for path, info := range s {
		name := filepath.Base(path)
		if size, known := sizes[name]; known && chunkName.MatchString(name) && info.Size() == size {
			stat := info.Sys().(*syscall.Stat_t)
			chunks[name] = identity{stat.Ino, stat.Ctim}
		}
	}
	return chunks
}

// arriving says whether a chunk with the number (and not a byte beyond a whole one of that split size) is half there,
// under whatever name rclone writes it.
func (s seen) arriving(number string, split int64) bool {
	for path, info := range s {
		if strings.Contains(filepath.Base(path), ".zfs."+number) && info.Size() > 0 && info.Size() < split {
			return true
		}
	}
	return false
}

// chunksOf counts the chunks of a folder of backups, under their own names.
func (s seen) chunks() int {
	n := 0
	for path := range s {
		if chunkName.MatchString(path) {
			n++
		}
	}
	return n
}

// uploads are the names of chunks that rclone was called to upload, of the calls after the first skip.
func uploads(calls string, skip int) (names map[string]bool, total int, err error) {
	text, err := os.ReadFile(calls)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	names = map[string]bool{}
	for call := range strings.Lines(string(text)) {
		total++
		if total <= skip || !uploading.MatchString(call) {
			continue
		}
		for word := range strings.FieldsSeq(call) {
			if name := filepath.Base(word); chunkName.MatchString(name) {
				names[name] = true
			}
		}
	}
	return names, total, err
}

var uploading = regexp.MustCompile(`(^| )(copy|copyto|move|moveto|rcat|sync)( |$)`)
