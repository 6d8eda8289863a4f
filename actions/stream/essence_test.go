package stream_test

import (
	"bytes"
	"testing"

	"zfs2cloud/actions/stream"
)

func TestEssence(t *testing.T) {
	t.Parallel()
	sum := func(b []byte, n int) string {
		e := stream.NewEssence()
		for len(b) > 0 {
			n = min(n, len(b))
			e.Write(b[:n])
			b = b[n:]
		}
		return e.Sum()
	}
	all := make([]byte, 3000)
	for i := range all {
		all[i] = byte(i * 7)
	}
	want := sum(all, len(all))
	for _, n := range []int{1, 7, 311, 312, 313, 1000} {
		if got := sum(all, n); got != want {
			t.Errorf("%d bytes at a time it is another", n)
		}
	}
	for i := range all {
		changed := bytes.Clone(all)
		changed[i] ^= 1
		inName, inEnd := i >= 56 && i < 312, i >= len(all)-312
		if same := sum(changed, 4096) == want; same != (inName || inEnd) {
			t.Fatalf("byte %d: same %v", i, same)
		}
	}
	if sum(all[:len(all)-1], 4096) == want {
		t.Error("a byte less is the same")
	}
}
