package proc

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// room is how much of what a script prints is sure to find room.
const room = 64 << 10

// MakeRoom reserves room behind the end of the file that takes what a script prints. On a full disk a script that ends with its
// first error (sh -e) is ended by its own echo, and it may be the one that starts the application: better that it has no such file.
// Only a disk that is full, or fails, is an error, not a file system that reserves nothing.
func MakeRoom(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	for {
		err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, info.Size(), room)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EIO), errors.Is(err, unix.EROFS),
			errors.Is(err, unix.EFBIG): // ulimit -f
			return &os.PathError{Op: "make room in", Path: f.Name(), Err: err}
		}
		return nil
	}
}
