package chunk

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"
)

var ourHead = []byte{0x8c, 0x0d, 4, 9, 3, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xd2}

// message is our head with parts behind it, each a length with as many bytes of body as are said.
func message(parts ...any) []byte {
	m := slices.Clone(ourHead)
	for _, p := range parts {
		switch p := p.(type) {
		case []byte:
			m = append(m, p...)
		case int:
			m = append(m, make([]byte, p)...)
		}
	}
	return m
}

func TestFramed(t *testing.T) {
	for name, m := range map[string][]byte{
		"one byte of length":   message([]byte{5}, 5),
		"two":                  message([]byte{193, 7}, 256+192+7),
		"five":                 message([]byte{255, 0, 1, 0, 1}, 65537),
		"parts":                message([]byte{224 + 9}, 512, []byte{224 + 13}, 8192, []byte{3}, 3),
		"parts, the last none": message([]byte{224 + 9}, 512, []byte{0}),
	} {
		for how, r := range map[string]io.Reader{"whole": bytes.NewReader(m), "bytes": iotest.OneByteReader(bytes.NewReader(m)), "eof": iotest.DataErrReader(bytes.NewReader(m))} {
			if got, err := io.ReadAll(&framed{r: r}); err != nil || !bytes.Equal(got, m) {
				t.Errorf("%s, %s: %d of %d bytes, %v", name, how, len(got), len(m), err)
			}
		}
		for cut := range m {
			if _, err := io.ReadAll(&framed{r: bytes.NewReader(m[:cut])}); !errors.Is(err, ErrPassphrase) {
				t.Fatalf("%s, cut to %d of %d bytes: %v", name, cut, len(m), err)
			}
		}
		if _, err := io.ReadAll(&framed{r: bytes.NewReader(append(m, 0))}); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%s, and a byte: %v", name, err)
		}
	}
	broken := errors.New("input/output error")
	if _, err := io.ReadAll(&framed{r: iotest.ErrReader(broken)}); !errors.Is(err, broken) || errors.Is(err, ErrPassphrase) {
		t.Error(err)
	}
}

// Whatever passes is one head and one body: nothing before it, nothing behind.
func FuzzFramed(f *testing.F) {
	f.Add([]byte{})
	f.Add(ourHead)
	f.Add(message([]byte{5}, 5))
	f.Add(message([]byte{193, 7}, 455))
	f.Add(message([]byte{255, 0, 0, 0, 1}, 1))
	f.Add(message([]byte{224}, 1, []byte{225}, 2, []byte{0}))
	f.Add(message([]byte{254}, 9))
	f.Add(slices.Concat(marker, message([]byte{5}, 5)))
	f.Add(slices.Concat(message([]byte{5}, 5), marker))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := io.ReadAll(&framed{r: bytes.NewReader(b)})
		single, serr := io.ReadAll(&framed{r: iotest.OneByteReader(bytes.NewReader(b))})
		if (err == nil) != (serr == nil) {
			t.Fatalf("at once: %v, byte by byte: %v", err, serr)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(got, b) || !bytes.Equal(single, b) || checkHead(b) != nil {
			t.Fatalf("%x passed as %x", b, got)
		}
		for _, other := range [][]byte{append(slices.Clone(b), 0), b[:len(b)-1], append([]byte{0xca}, b...)} {
			if _, err := io.ReadAll(&framed{r: bytes.NewReader(other)}); err == nil {
				t.Fatalf("%x passes, and so does %x", b, other)
			}
		}
	})
}
