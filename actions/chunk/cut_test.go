package chunk

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"
)

func pieces(t *testing.T, r io.Reader, size int64) (lens []int, all []byte, err error) {
	t.Helper()
	c, err := NewCutter(r, size)
	if err != nil {
		t.Fatal(err)
	}
	for {
		p, err := c.Next()
		if err == io.EOF {
			_, again := c.Next()
			if again != io.EOF {
				t.Errorf("after the end: %v", again)
			}
			return lens, all, nil
		}
		if err != nil {
			return lens, all, err
		}
		b, err := io.ReadAll(p)
		lens, all = append(lens, len(b)), append(all, b...)
		if err != nil {
			return lens, all, err
		}
	}
}

func TestCutter(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	for _, c := range []struct {
		length int
		size   int64
		want   []int
	}{
		{0, 10, nil},
		{1, 10, []int{1}},
		{10, 10, []int{10}},
		{11, 10, []int{10, 1}},
		{30, 10, []int{10, 10, 10}},
		{300_000, 100_000, []int{100_000, 100_000, 100_000}},
		{300_001, 150_000, []int{150_000, 150_000, 1}},
		{5, 1 << 62, []int{5}},
	} {
		for name, r := range map[string]io.Reader{
			"straight":     bytes.NewReader(data[:c.length]),
			"data and EOF": iotest.DataErrReader(bytes.NewReader(data[:c.length])),
			"halves":       iotest.HalfReader(bytes.NewReader(data[:c.length])),
		} {
			lens, all, err := pieces(t, r, c.size)
			if err != nil || !slices.Equal(lens, c.want) || !bytes.Equal(all, data[:c.length]) {
				t.Errorf("%d bytes by %d, %s: %v, %v", c.length, c.size, name, lens, err)
			}
		}
	}
}

func TestCutterErrors(t *testing.T) {
	broken := errors.New("the pool went away")
	for _, good := range []int{0, 5, 10, 15} {
		r := io.MultiReader(bytes.NewReader(make([]byte, good)), iotest.ErrReader(broken))
		if _, _, err := pieces(t, r, 10); !errors.Is(err, broken) {
			t.Errorf("broken after %d bytes: %v", good, err)
		}
	}
	c, _ := NewCutter(bytes.NewReader(make([]byte, 30)), 10)
	p, _ := c.Next()
	p.Read(make([]byte, 3))
	if _, err := c.Next(); err == nil {
		t.Error("a piece read in part, and the next was given")
	}
	if _, err := NewCutter(nil, 0); err == nil {
		t.Error("pieces of 0 bytes")
	}
}
