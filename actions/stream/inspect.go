package stream

import "io"

// Summary is what is in a stream.
type Summary struct {
	Wrapper bool    // of properties, around one stream or more
	Streams []Begin // in their order
	Bytes   uint64
	Records [Types]Tally // by Type
	Sums    uint64       // that were there, and right
}

// Tally counts records, and the bytes that follow them.
type Tally struct{ Count, Payload uint64 }

// Inspect reads a stream to its end, or to where something is wrong with it, and says what it found until there.
func Inspect(r io.Reader) (Summary, error) {
	var s Summary
	p := &Parser{}
	p.Seen = func(h *Header) {
		if p.streams > len(s.Streams) {
			s.Streams = append(s.Streams, p.own)
		}
		t := &s.Records[h.Type()]
		n, _ := h.Payload()
		t.Count++
		t.Payload += n
	}
	_, err := io.CopyBuffer(p, onlyReader{r}, make([]byte, 256<<10))
	if err == nil {
		err = p.Close()
	}
	s.Wrapper, s.Bytes, s.Sums = p.Wrapper(), p.Size(), p.sums
	return s, err
}

// onlyReader hides what else a reader can, so that the buffer is used.
type onlyReader struct{ io.Reader }
