package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrFormat is the error of a manifest of a format that this program does not know.
var ErrFormat = errors.New("a format that this program does not read")

// maxHeader is far more than all but the chunks can need. It bounds what a parser is given at once.
const maxHeader = 64 << 10

// Decode reads a manifest. Whatever is not, byte for byte, what Encode makes of it is refused.
//
// It goes line by line and stops at the first that is wrong: a list of twenty million empty chunks would fit
// into MaxSize, and into gigabytes of memory.
func Decode(b []byte) (*Manifest, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%d bytes are more than a manifest has", len(b))
	}
	head, list, ok := bytes.Cut(b, []byte("\n"+chunksKey))
	if !ok || len(head) > maxHeader {
		return nil, errors.New("not a manifest")
	}
	m, err := decodeHeader(head)
	if err != nil {
		return nil, err
	}
	if m.Chunks, err = decodeChunks(m, list); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	again, err := m.encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, b) {
		return nil, errors.New("not as it is written: parsed and encoded again it is other bytes")
	}
	return m, nil
}

func decodeHeader(head []byte) (*Manifest, error) {
	object := append(bytes.TrimSuffix(bytes.Clone(head), []byte(",")), '}')
	var format struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(object, &format); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if format.Format != Format1 && format.Format != Format2 {
		return nil, fmt.Errorf("%w: %q", ErrFormat, format.Format)
	}
	var header struct {
		Format string `json:"format"`
		Manifest
	}
	if err := strict(object, &header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	m := header.Manifest
	if m.Chunks != nil {
		return nil, errors.New("header: it has chunks")
	}
	return &m, m.checkHeader()
}

func decodeChunks(m *Manifest, list []byte) ([]Chunk, error) {
	list, ok := bytes.CutSuffix(list, []byte("\n"+chunksEnd))
	if !ok {
		return nil, errors.New("the list of chunks has no end")
	}
	var chunks []Chunk
	for line := range bytes.SplitSeq(list, []byte(",\n")) {
		var c Chunk
		if err := strict(line, &c); err != nil {
			return nil, fmt.Errorf("chunk %d: %w", len(chunks), err)
		}
		m.Chunks = append(chunks, c)
		if err := m.checkChunk(len(chunks), c, m.Encryption()); err != nil {
			return nil, err
		}
		chunks = m.Chunks
	}
	return chunks, nil
}

// strict refuses keys that the format does not define. What else is wrong, encoding again shows.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
