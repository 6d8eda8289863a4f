package chunk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrPassphrase is the error of a message that was looked at and is not what we sealed. OpenPGP can't tell the
// one cause from the other.
var ErrPassphrase = errors.New("does not open: wrong passphrase, or changed by someone")

// judgeSealed is the only place that says what counts as sealed: EXIT is what waiting for gpg gave, HEAD the
// first bytes of what it wrote.
func judgeSealed(exit error, st status, head []byte, cipherLen, plainLen int64) error {
	if exit != nil {
		return fmt.Errorf("not sealed: %w", exit)
	}
	if n := st.count["END_ENCRYPTION"]; n != 1 {
		return fmt.Errorf("not sealed: gpg said END_ENCRYPTION %d times", n)
	}
	if err := checkHead(head); err != nil {
		return fmt.Errorf("not sealed: %w; look at /etc/gnupg/gpg.conf", err)
	}
	if least, most := sealedBounds(plainLen); cipherLen < least || cipherLen > most {
		return fmt.Errorf("not sealed: %d bytes became %d, not %d to %d; look at /etc/gnupg/gpg.conf",
			plainLen, cipherLen, least, most)
	}
	return nil
}

// judgeOpened is the only place that says what counts as opened: EXIT is what waiting for gpg gave. The
// caller compares the length.
func judgeOpened(exit error, st status) error {
	for _, word := range []string{"DECRYPTION_OKAY", "GOODMDC", "PLAINTEXT"} {
		if n := st.count[word]; n != 1 {
			return ErrPassphrase
		}
	}
	if exit != nil {
		return ErrPassphrase
	}
	return nil
}

const headLen = 16

// checkHead looks at the beginning of a message: RFC 4880, 5.3 and 5.13. A symmetric-key packet of 13 bytes
// (8c 0d), version 4, AES256, iterated and salted, SHA-256, 8 bytes of salt, the count (ff: 65,011,712); then
// encrypted data with integrity protection (d2). Other algorithms, a weaker count, no integrity or the AEAD
// packets of gpg 2.4, which 2.2 can't read, all begin otherwise.
func checkHead(head []byte) error {
	const salt, saltLen = 6, 8
	if len(head) < headLen ||
		!bytes.Equal(head[:salt], []byte{0x8c, 0x0d, 0x04, 0x09, 0x03, 0x08}) ||
		!bytes.Equal(head[salt+saltLen:headLen], []byte{s2kByte, 0xd2}) {
		return fmt.Errorf("the message begins %x, not as asked for", head)
	}
	return nil
}

// sealedBounds are the least and the most bytes that a message of N bytes of plaintext can have.
//
// Least: 15 for the symmetric-key packet; tag and length, version, 18 of random prefix; tag and length of the
// literal packet, its format, its empty name, its date; 22 for the integrity code: 66 in all. A longer body,
// of unknown length, comes in parts of at least 512 bytes, each with a byte before it (RFC 4880, 4.2.2.4), in
// both the literal packet and the one around it; the first parts may be followed by short ones, and a last
// length has up to five bytes. Compressed data would be below the least.
func sealedBounds(n int64) (least, most int64) {
	const overhead, part, slack = 66, 512, 64
	least = n + overhead
	return least, least + 2*(n/part) + slack
}

// status is what gpg said on its status descriptor: how often it said each of the words that we ask for.
type status struct {
	count map[string]int
	// looked: it came as far as saying something about a message.
	looked bool
}

const statusPrefix = "[GNUPG:] "

// readStatus reads to the end, in constant memory, whatever comes.
func readStatus(r io.Reader) (status, error) {
	st := status{count: map[string]int{"END_ENCRYPTION": 0, "DECRYPTION_OKAY": 0, "GOODMDC": 0, "PLAINTEXT": 0}}
	lines := bufio.NewReaderSize(r, 4096)
	for {
		line, err := lines.ReadSlice('\n')
		st.add(string(line))
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long line
			_, err = lines.ReadSlice('\n')
		}
		if err == io.EOF {
			return st, nil
		}
		if err != nil {
			return st, err
		}
	}
}

func (st *status) add(line string) {
	text, ok := strings.CutPrefix(line, statusPrefix)
	if !ok {
		return
	}
	word, _, _ := strings.Cut(strings.TrimRight(text, "\r\n"), " ")
	if n, ok := st.count[word]; ok {
		st.count[word] = n + 1
	}
	// FAILURE also tells of options that gpg does not know, or of a home that it can't use.
	if word != "FAILURE" {
		st.looked = true
	}
}
