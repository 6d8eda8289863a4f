package stream

import (
	"encoding/json"
	"fmt"
)

// endsState is Ends on disk.
type endsState struct {
	Size    uint64 `json:"size"`
	First   []byte `json:"first"`
	Inner   []byte `json:"inner"`
	InnerAt uint64 `json:"inner_at"`
	HasAt   bool   `json:"has_at"`
	Last    []byte `json:"last"`
}

// MarshalBinary keeps what was seen until now, so that another process can be shown the rest.
func (e *Ends) MarshalBinary() ([]byte, error) {
	return json.Marshal(endsState{Size: e.size, First: e.first.bytes(), Inner: e.inner.bytes(), InnerAt: e.inner.at, HasAt: e.inner.set, Last: e.last.buf[:e.last.n]})
}

// UnmarshalBinary takes up what MarshalBinary kept.
func (e *Ends) UnmarshalBinary(data []byte) error {
	var s endsState
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	var now Ends
	if len(s.First) > HeaderSize || len(s.Inner) > HeaderSize || len(s.Last) > len(now.last.buf) {
		return fmt.Errorf("%d, %d and %d bytes of a stream's ends", len(s.First), len(s.Inner), len(s.Last))
	}
	now.size = s.Size
	now.first.n = copy(now.first.buf[:], s.First)
	now.inner.set, now.inner.at, now.inner.n = s.HasAt, s.InnerAt, copy(now.inner.buf[:], s.Inner)
	now.last.n = copy(now.last.buf[:], s.Last)
	*e = now
	return nil
}
