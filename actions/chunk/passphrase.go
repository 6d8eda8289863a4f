package chunk

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// CheckPassphrase tells whether every gpg reads this passphrase as what it is, and why not. gpg reads up to
// the first line feed, a NUL cuts without a word, an empty one is refused, and 1.4 fails at 5,000 bytes; a
// person must be able to type it when all else is lost. The passphrase itself is in no error.
func CheckPassphrase(p []byte) error {
	const most = 200
	switch {
	case len(p) == 0:
		return errors.New("the passphrase is empty")
	case len(p) > most:
		return fmt.Errorf("the passphrase has %d bytes; at most %d are possible", len(p), most)
	case !utf8.Valid(p):
		return errors.New("the passphrase is not UTF-8")
	}
	for _, r := range string(p) {
		if unicode.IsControl(r) {
			return fmt.Errorf("the passphrase holds a control character (%U)", r)
		}
	}
	return nil
}
