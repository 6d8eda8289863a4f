package stream_test

import (
	"bytes"
	"testing"

	"zfs2cloud/actions/stream"
)

// bare is a stream without any sum.
func bare(b []byte) []byte {
	all := records(b)
	b = strip(b)
	for _, at := range all {
		if b[at] == byte(stream.TypeEnd) {
			clear(b[at+8 : at+40])
		}
	}
	return b
}

// What was read is written the same, with sums in each record, and what may not come is refused.
func TestWriter(t *testing.T) {
	for name := range goldens {
		b := golden(t, name)
		again := resummed(t, b)
		if !bytes.Equal(bare(again), bare(b)) || bytes.Equal(again, b) {
			t.Errorf("%s became something else", name)
		}
		check(t, parse(&stream.Parser{}, again, 4096))
		if !bytes.Equal(resummed(t, again), again) {
			t.Errorf("%s, written twice, is another", name)
		}
	}
	b := golden(t, "full")
	var out bytes.Buffer
	w := stream.NewWriter(&out)
	if err := w.Record(stream.Header(b[len(b)-stream.HeaderSize:]), nil); err == nil {
		t.Error("a stream begins with END")
	}
	w = stream.NewWriter(&out)
	check(t, w.Record(stream.Header(b[:stream.HeaderSize]), nil))
	if err := w.Record(stream.Header(b[stream.HeaderSize:2*stream.HeaderSize]), make([]byte, 3)); err == nil {
		t.Error("a payload of another length")
	}
}
