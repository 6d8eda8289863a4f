package durable

import (
	"os"

	"golang.org/x/sys/unix"
)

// stride is how much is written before the kernel is told to begin with the disk, in bytes.
const stride = 8 << 20

// Write writes, and has the disk begin with what was written so far, so that the fsync of a large file is not one
// long wait in the end, and the application beside us does not find the disk's queue full.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.written += int64(n)
	if f.written-f.begun >= stride {
		// An advice: without it everything is written by the fsync (sync_file_range(2)).
		_ = unix.SyncFileRange(int(f.Fd()), f.begun, f.written-f.begun, unix.SYNC_FILE_RANGE_WRITE)
		f.begun = f.written
	}
	return n, err
}

// Uncache tells the kernel that nobody will soon read what is in a file and on the disk, so that it does not keep that
// in the place of the application's data. It is an advice: posix_fadvise(2).
func Uncache(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }
