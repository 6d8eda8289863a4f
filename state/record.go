package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
)

// A record is stored as {"c":"CHECKSUM","v":VALUE}: JSON that any tool can read. The checksum covers the
// place (bucket and key, or a file's name) as well as the bytes of the value, so that a record that turns up
// under another's key is seen too.
const (
	recordHead   = `{"c":"`
	recordMiddle = `","v":`
	recordTail   = `}`
	sumLength    = 8 // CRC-32C in hex
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errChecksum is the error of a record that is not as it was stored.
var errChecksum = errors.New("checksum does not match")

// seal makes the stored form of a value.
func seal(place string, v any) ([]byte, error) {
	value, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	return []byte(recordHead + checksum(place, value) + recordMiddle + string(value) + recordTail), nil
}

// unseal returns the JSON of a value from its stored form, or errChecksum.
func unseal(place string, stored []byte) (json.RawMessage, error) {
	rest, ok := bytes.CutPrefix(stored, []byte(recordHead))
	if !ok || len(rest) < sumLength {
		return nil, errChecksum
	}
	sum, rest := string(rest[:sumLength]), rest[sumLength:]
	value, head := bytes.CutPrefix(rest, []byte(recordMiddle))
	value, tail := bytes.CutSuffix(value, []byte(recordTail))
	if !head || !tail || sum != checksum(place, value) {
		return nil, errChecksum
	}
	return value, nil
}

func checksum(place string, value []byte) string {
	sum := crc32.Update(0, castagnoli, []byte(place+"\x00"))
	return fmt.Sprintf("%08x", crc32.Update(sum, castagnoli, value))
}
