package stream_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"zfs2cloud/actions/stream"
)

func TestReaderPassesEveryByteOn(t *testing.T) {
	for name, s := range single(t) {
		r, begin, err := stream.Open(iotest.HalfReader(bytes.NewReader(s.bytes)), s.to, s.from)
		check(t, err)
		if begin.To != s.to || begin.From != s.from || begin.Compound || begin.Name == "" || r.Over() != nil {
			t.Errorf("%s: %+v, %v", name, begin, r.Over())
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, s.bytes) || r.Over() != io.EOF {
			t.Errorf("%s: %d of %d bytes came, %v, %v", name, len(got), len(s.bytes), err, r.Over())
		}
		for _, slice := range []int{1, 7, 311, 312, 313, 624, 625, 4096, 65537} {
			if got, err := readAll(s.bytes, slice, s.to, s.from); err != nil || !bytes.Equal(got, s.bytes) {
				t.Errorf("%s, %d bytes at a time: %d of %d bytes came, %v", name, slice, len(got), len(s.bytes), err)
			}
		}
	}
}

// Who reads never sees END of a stream with which something is wrong, and no header with a wrong sum.
func TestEndIsHeldBack(t *testing.T) {
	broken := errors.New("disk on fire")
	for name, s := range single(t) {
		ends := len(s.bytes) - stream.HeaderSize
		if goldens[name].wrapper {
			ends -= stream.HeaderSize
		}
		for what, c := range map[string]struct {
			from io.Reader
			want error
		}{
			"a byte more":        {io.MultiReader(bytes.NewReader(s.bytes), iotest.OneByteReader(bytes.NewReader([]byte{0}))), stream.ErrMore},
			"an error at EOF":    {io.MultiReader(bytes.NewReader(s.bytes), iotest.ErrReader(broken)), broken},
			"a byte less":        {bytes.NewReader(s.bytes[:len(s.bytes)-1]), stream.ErrCut},
			"cut before END":     {bytes.NewReader(s.bytes[:ends]), stream.ErrCut},
			"the last bit wrong": {bytes.NewReader(with(s.bytes, ends-1, s.bytes[ends-1]^0x80)), stream.ErrDamaged},
			"a second":           {io.MultiReader(bytes.NewReader(s.bytes), bytes.NewReader(s.bytes)), stream.ErrMore},
		} {
			r, _, err := stream.Open(c.from, s.to, s.from)
			check(t, err)
			got, err := io.ReadAll(r)
			if !errors.Is(err, c.want) || !errors.Is(r.Over(), c.want) {
				t.Errorf("%s, %s: %v, %v", name, what, err, r.Over())
			}
			before := ends
			if c.want == stream.ErrDamaged {
				before -= stream.HeaderSize // of a record without payload, whose own sum it is
			}
			if len(got) != before {
				t.Errorf("%s, %s: %d bytes were passed on, %d are before END", name, what, len(got), before)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	broken := errors.New("disk on fire")
	for name, s := range single(t) {
		if _, _, err := stream.Open(bytes.NewReader(s.bytes), s.to+1, s.from); !errors.Is(err, stream.ErrOther) {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := stream.Open(bytes.NewReader(s.bytes[:200]), s.to, s.from); !errors.Is(err, stream.ErrCut) {
			t.Errorf("%s, 200 bytes of it: %v", name, err)
		}
		if _, _, err := stream.Open(iotest.ErrReader(broken), s.to, s.from); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Properties without end.
	s := single(t)["properties"]
	head := with(s.bytes[:stream.HeaderSize], 4, 0xfc, 0xff, 0xff, 0xff)
	if _, _, err := stream.Open(io.MultiReader(bytes.NewReader(head), zeros{}), s.to, s.from); !errors.Is(err, stream.ErrNoStream) {
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
