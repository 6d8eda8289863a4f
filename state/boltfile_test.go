package state

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestErrorOfCommitIsNamed(t *testing.T) {
	f := &boltFile{path: "/disk/state.db"}
	if err := f.named(unix.EIO); err.Error() != "fdatasync /disk/state.db: input/output error" || !errors.Is(err, unix.EIO) {
		t.Error(err)
	}
	if other := errors.New("another"); f.named(other) != other {
		t.Error("another error is not handed on as it is")
	}
}
