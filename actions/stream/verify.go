package stream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxProperties bounds what is read of a wrapper before a byte is passed on. The properties of one
// dataset are a few kilobytes; the bound is for streams that lie about it.
const maxProperties = 16 << 20

// Verify reads the beginning of a stream and passes it on only if it is that of the snapshot with the GUID
// to, on the base with the GUID from (0 for a full). The reader it returns gives every byte, from the
// first on; Begin says what the stream is. The end is not looked at.
func Verify(r io.Reader, to, from uint64) (io.Reader, Begin, error) {
	var seen bytes.Buffer
	begin, err := readBegin(io.TeeReader(r, &seen))
	if err != nil {
		return nil, Begin{}, err
	}
	if err := begin.names(to, from); err != nil {
		return nil, Begin{}, err
	}
	return io.MultiReader(&seen, r), begin, nil
}

// readBegin reads up to and including the stream's own BEGIN.
func readBegin(r io.Reader) (Begin, error) {
	begin, err := readRecord(r)
	if err != nil || !begin.Compound {
		return begin, err
	}
	if begin.payload > maxProperties {
		return Begin{}, fmt.Errorf("%w: properties of %d bytes", ErrNoStream, begin.payload)
	}
	if _, err := io.CopyN(io.Discard, r, int64(begin.payload)+HeaderSize); err != nil {
		return Begin{}, cut(err)
	}
	inner, err := readRecord(r)
	if err == nil && inner.Compound {
		err = fmt.Errorf("%w: a wrapper within a wrapper", ErrNoStream)
	}
	return inner, err
}

func readRecord(r io.Reader) (Begin, error) {
	var header [HeaderSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return Begin{}, cut(err)
	}
	return ParseBegin(header[:])
}

// cut tells the end of a stream from an error in reading it.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: within its first records", ErrCut)
	}
	return err
}
