package stream

import (
	"encoding/json"
	"fmt"
)

// kept is a Parser on disk.
type kept struct {
	Place place  `json:"place"`
	Size  uint64 `json:"size"`
	Good  uint64 `json:"good"`
	Start uint64 `json:"start"`
	Head  []byte `json:"head"`
	Have  int    `json:"have"`
	Left  uint64 `json:"left"`

	Sum  Sum    `json:"sum"`
	Word []byte `json:"word"` // what came of one

	Outer   Begin  `json:"outer"`
	Own     Begin  `json:"own"`
	OwnAt   uint64 `json:"own_at"`
	Streams int    `json:"streams"`
	Ends    uint64 `json:"ends"`
	Ending  bool   `json:"ending"`
}

// MarshalBinary keeps what was seen until now, at whatever byte, so that another process can be shown the rest. It has
// some 1,500 bytes. Of a Parser that found an error there is nothing to keep: that is returned. Marks and counts are not kept.
func (p *Parser) MarshalBinary() ([]byte, error) {
	if p.err != nil {
		return nil, p.err
	}
	return json.Marshal(kept{Place: p.place, Size: p.size, Good: p.good, Start: p.start, Head: p.head[:], Have: p.have, Left: p.left,
		Sum: p.sum, Word: p.word[:p.odd], Outer: p.outer, Own: p.own, OwnAt: p.ownAt, Streams: p.streams, Ends: p.ends, Ending: p.ending})
}

// UnmarshalBinary takes up what MarshalBinary kept of a Parser of the same stream.
func (p *Parser) UnmarshalBinary(data []byte) error {
	var k kept
	if err := json.Unmarshal(data, &k); err != nil {
		return err
	}
	if len(k.Head) != HeaderSize || k.Have < 0 || k.Have >= HeaderSize || len(k.Word) >= len(p.word) || k.Place < atStart || k.Place > over {
		return fmt.Errorf("not what was kept of a stream: %d, %d, %d and %d", len(k.Head), k.Have, len(k.Word), k.Place)
	}
	now := Parser{Seen: p.Seen, only: p.only, to: p.to, from: p.from, place: k.Place, size: k.Size, good: k.Good, start: k.Start, have: k.Have, left: k.Left,
		sum: k.Sum, outer: k.Outer, own: k.Own, ownAt: k.OwnAt, streams: k.Streams, ends: k.Ends, ending: k.Ending}
	copy(now.head[:], k.Head)
	now.odd = copy(now.word[:], k.Word)
	*p = now
	return nil
}
