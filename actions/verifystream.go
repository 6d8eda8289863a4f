package actions

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/stream"
)

// streamCheck is what the plaintext of a whole backup flows through, in order. It can be kept between two chunks.
type streamCheck struct {
	sum    hash.Hash
	parser *stream.Parser
	bytes  int64
	wrong  string // what the parser found, which takes no more then
}

func newStreamCheck(m *manifest.Manifest) *streamCheck {
	return &streamCheck{sum: sha256.New(), parser: stream.Of(streamGUIDs(m))}
}

// Write never fails: what is wrong with the stream is not the chunk's fault.
func (s *streamCheck) Write(p []byte) (int, error) {
	s.sum.Write(p)
	s.bytes += int64(len(p))
	if s.wrong == "" {
		if _, err := s.parser.Write(p); err != nil {
			s.wrong = err.Error()
		}
	}
	return len(p), nil
}

// judge says what is wrong with the stream that flowed by, by its own sums first: they tell where.
func (s *streamCheck) judge(m *manifest.Manifest) error {
	if s.wrong != "" {
		return errors.New(s.wrong)
	}
	if err := s.parser.Close(); err != nil {
		return err
	}
	if s.bytes != m.StreamBytes {
		return fmt.Errorf("%d bytes instead of %d", s.bytes, m.StreamBytes)
	}
	if sum := hex.EncodeToString(s.sum.Sum(nil)); sum != m.StreamSHA256 {
		return fmt.Errorf("SHA-256 is %s instead of %s", sum, m.StreamSHA256)
	}
	return nil
}

type streamState struct {
	Sum    []byte `json:"sum"`
	Parser []byte `json:"parser"`
	Bytes  int64  `json:"bytes"`
	Wrong  string `json:"wrong,omitempty"`
}

// MarshalBinary keeps what flowed by.
func (s *streamCheck) MarshalBinary() ([]byte, error) {
	sum, err := s.sum.(encoding.BinaryMarshaler).MarshalBinary() // crypto/sha256 promises it
	if err != nil {
		return nil, err
	}
	var parser []byte
	if s.wrong == "" {
		if parser, err = s.parser.MarshalBinary(); err != nil {
			return nil, err
		}
	}
	return json.Marshal(streamState{sum, parser, s.bytes, s.wrong})
}

// UnmarshalBinary takes up what MarshalBinary kept.
func (s *streamCheck) UnmarshalBinary(data []byte) error {
	var kept streamState
	if err := json.Unmarshal(data, &kept); err != nil {
		return err
	}
	s.bytes, s.wrong = kept.Bytes, kept.Wrong
	if s.wrong == "" {
		if err := s.parser.UnmarshalBinary(kept.Parser); err != nil {
			return err
		}
	}
	return s.sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(kept.Sum)
}
