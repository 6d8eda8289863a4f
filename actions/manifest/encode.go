package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// chunksKey begins the list of chunks, on a line of its own.
const (
	chunksKey = `"chunks":[` + "\n"
	chunksEnd = "]}\n"
)

// Encode writes a manifest: the keys in order, one chunk a line, no blanks. It is the only form that Decode
// accepts.
func Encode(m *Manifest) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	b, err := m.encode()
	if err == nil && len(b) > MaxSize {
		err = fmt.Errorf("%d chunks make a manifest of %d bytes, %d are possible: use a larger split size", len(m.Chunks), len(b), MaxSize)
	}
	return b, err
}

type field struct {
	key   string
	value any
}

// header is all but the chunks, line by line.
func (m *Manifest) header() [][]field {
	flags := m.SendFlags
	if flags == nil {
		flags = []string{}
	}
	lines := [][]field{
		{{"format", m.format()}},
		{{"name", m.Name}, {"kind", m.Kind}, {"created", m.Created}, {"tool", m.Tool}},
		{{"host", m.Host}, {"job", m.Job}, {"pool_guid", m.PoolGUID}, {"dataset", m.Dataset}, {"dataset_guid", m.DatasetGUID}},
		{{"snapshot", m.Snapshot}, {"snapshot_guid", m.SnapshotGUID}, {"send_flags", flags}},
		{{"base", m.Base}},
		{{"previous", m.Previous}},
		{{"split_size", m.SplitSize}, {"stream_bytes", m.StreamBytes}, {"stream_sha256", m.StreamSHA256}},
	}
	if m.Index != nil {
		lines = append(lines, []field{{"index", m.Index}})
	}
	return lines
}

// format is the first that has all that it says.
func (m *Manifest) format() string {
	if m.Index != nil {
		return Format2
	}
	return Format1
}

func (m *Manifest) encode() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for _, line := range m.header() {
		for _, f := range line {
			if err := put(&b, f.key); err != nil {
				return nil, err
			}
			b.WriteByte(':')
			if err := put(&b, f.value); err != nil {
				return nil, err
			}
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString(chunksKey)
	for i, c := range m.Chunks {
		if err := put(&b, c); err != nil {
			return nil, err
		}
		if i < len(m.Chunks)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString(chunksEnd)
	return b.Bytes(), nil
}

func put(b *bytes.Buffer, v any) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the line feed that Encode adds
	return nil
}
