package stream

import (
	"bytes"
	"compress/zlib"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Token says where in a stream a send is to be taken up: what `zfs send -t` takes, and what a dataset that was received
// in part has as its receive_resume_token. (lib/libzfs/libzfs_sendrecv.c, zfs_send_resume_token_to_nvlist, and
// module/zfs/dsl_dataset.c, get_receive_resume_token.)
type Token struct {
	To, From       uint64 // GUIDs; From is 0 for a full
	Object, Offset uint64 // of the record that is to come first; offset 0 is the object itself
	Bytes          uint64 // that were received: shown to people, and must be there
	Name           string // of the snapshot: where to look for it first
	LargeBlocks    bool   // -L
	Embed          bool   // -e
	Compress       bool   // -c
	Raw            bool   // -w
}

// ErrToken is the error of a text that is no token.
var ErrToken = errors.New("not a resume token")

const (
	tokenVersion = "1"
	maxPacked    = 64 << 10 // bytes of a token's list; those of ZFS have a few hundred
)

// Token is the token for the rest of a stream. NAME is the snapshot's name now. What does not hang on the stream, such as
// the flags of -L, -e and -c, has to be given to zfs send as well.
func (m Mark) Token(name string) Token {
	t := Token{To: m.own.to, From: m.own.from, Object: m.point.object, Offset: m.point.offset, Bytes: m.point.start, Name: name}
	f := m.own.features
	t.LargeBlocks, t.Embed, t.Compress, t.Raw = f.Has(FeatureLargeBlocks), f.Has(FeatureEmbed), f.Has(FeatureCompressed), f.Has(FeatureRaw)
	return t
}

// flags are the names of what is true or not there.
func (t *Token) flags() map[string]*bool {
	return map[string]*bool{"largeblockok": &t.LargeBlocks, "embedok": &t.Embed, "compressok": &t.Compress, "rawok": &t.Raw}
}

// String is the token as zfs takes it: version, sum and length in hex, and the deflated list.
func (t Token) String() string {
	var l nvlist
	if t.From != 0 {
		l.set("fromguid", t.From)
	}
	l.set("object", t.Object)
	l.set("offset", t.Offset)
	l.set("bytes", t.Bytes)
	l.set("toguid", t.To)
	l.set("toname", t.Name)
	flags := t.flags()
	for _, name := range []string{"largeblockok", "embedok", "compressok", "rawok"} {
		if *flags[name] {
			l.set(name, true)
		}
	}
	packed := l.pack()
	var deflated bytes.Buffer
	z := zlib.NewWriter(&deflated)
	z.Write(packed) // into memory: no error
	z.Close()
	return fmt.Sprintf("%s-%x-%x-%x", tokenVersion, tokenSum(deflated.Bytes()), len(packed), deflated.Bytes())
}

// tokenSum is the first word of the sum over what whole words there are.
func tokenSum(b []byte) uint64 {
	var s Sum
	s.add(b)
	return s[0]
}

// ParseToken reads a token.
func ParseToken(text string) (Token, error) {
	packed, err := packedOf(text)
	if err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	l, err := unpack(packed)
	if err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	t := Token{To: l.number("toguid"), From: l.number("fromguid"), Object: l.number("object"), Offset: l.number("offset"),
		Bytes: l.number("bytes"), Name: l.text("toname")}
	for name, flag := range t.flags() {
		*flag = l.has(name)
	}
	return t, nil
}

// packedOf is the packed list in a token.
func packedOf(text string) ([]byte, error) {
	parts := strings.Split(text, "-")
	if len(parts) != 4 || parts[0] != tokenVersion || len(text) > 4*maxPacked {
		return nil, errors.New("its form")
	}
	sum, err1 := strconv.ParseUint(parts[1], 16, 64)
	length, err2 := strconv.ParseUint(parts[2], 16, 64)
	deflated, err3 := hex.DecodeString(parts[3])
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	if tokenSum(deflated) != sum {
		return nil, errors.New("its sum is another")
	}
	in := bytes.NewReader(deflated) // of which zlib takes no byte too many
	z, err := zlib.NewReader(in)
	if err != nil {
		return nil, err
	}
	packed, err := io.ReadAll(io.LimitReader(z, maxPacked+1))
	if err != nil {
		return nil, err
	}
	if uint64(len(packed)) != length || in.Len() > 0 {
		return nil, fmt.Errorf("a list of %d bytes instead of %d, and %d behind it", len(packed), length, in.Len())
	}
	return packed, nil
}
