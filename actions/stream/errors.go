package stream

import (
	"errors"
	"fmt"
)

// ErrCut is the error of a stream that ends before its end.
var ErrCut = errors.New("send stream is cut off")

// ErrOther is the error of a stream that is not of the snapshot it should be of.
var ErrOther = errors.New("send stream of something else")

// ErrMore is the error of a stream that goes on behind its end.
var ErrMore = errors.New("send stream goes on behind its end")

// ErrNoStream is the error of bytes that are no send stream.
var ErrNoStream = errors.New("not a ZFS send stream")

// ErrBigEndian is the error of a stream that was sent by a big-endian machine.
var ErrBigEndian = errors.New("send stream of a big-endian machine, which can't be read here")

// ErrDamaged is what every DamagedError is.
var ErrDamaged = errors.New("send stream is damaged")

// DamagedError is the error of a stream whose own sums, or the form of whose records, are wrong.
type DamagedError struct {
	Good uint64 // up to here, in bytes, all is right
	At   uint64 // where the record begins at which it showed
	What string // what is wrong with that record
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%v, somewhere in its bytes %d to %d: %s at byte %d", ErrDamaged, e.Good, e.At+HeaderSize-1, e.What, e.At)
}

// Is tells that it is ErrDamaged.
func (e *DamagedError) Is(target error) bool { return target == ErrDamaged }
