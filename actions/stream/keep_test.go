package stream_test

import (
	"errors"
	"testing"

	"zfs2cloud/actions/stream"
)

// A Parser that was kept at any byte sees the rest as it would have; and what was wrong, too.
func TestKept(t *testing.T) {
	t.Parallel()
	for name, s := range single(t) {
		bad := with(s.bytes, len(s.bytes)-stream.HeaderSize-5, s.bytes[len(s.bytes)-stream.HeaderSize-5]^4)
		for i, cut := range cuts(s.bytes) {
			if i%7 > 0 {
				continue
			}
			for _, c := range []struct {
				bytes []byte
				want  error
			}{{s.bytes, nil}, {s.bytes[:len(s.bytes)-1], stream.ErrCut}, {bad, stream.ErrDamaged}} {
				if cut > len(c.bytes)-stream.HeaderSize-5 {
					continue
				}
				first, rest := stream.Of(s.to, s.from), stream.Of(s.to, s.from)
				_, err := first.Write(c.bytes[:cut])
				check(t, err)
				kept, err := first.MarshalBinary()
				check(t, err)
				check(t, rest.UnmarshalBinary(kept))
				if rest.Size() != uint64(cut) {
					t.Fatalf("%s, kept at %d: %d bytes", name, cut, rest.Size())
				}
				if _, err = rest.Write(c.bytes[cut:]); err == nil {
					err = rest.Close()
				}
				if !errors.Is(err, c.want) {
					t.Errorf("%s, kept at %d: %v, not %v", name, cut, err, c.want)
				}
			}
		}
	}
}

func TestKeptIsLookedAt(t *testing.T) {
	for _, text := range []string{"", "{}", "null", `{"head":"AAAA"}`} {
		if err := stream.Of(1, 0).UnmarshalBinary([]byte(text)); err == nil {
			t.Errorf("%q was taken up", text)
		}
	}
}
