package chunk

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func said(lines ...string) status {
	st, err := readStatus(strings.NewReader("[GNUPG:] " + strings.Join(lines, "\n[GNUPG:] ") + "\n"))
	if err != nil {
		panic(err)
	}
	return st
}

// What 2.2.40 and 1.4.23 were seen to say, and how they exited.
func TestJudgeOpened(t *testing.T) {
	exit2 := errors.New("exit 2")
	good := []string{"BEGIN_DECRYPTION", "PLAINTEXT 62 1795597125 ", "PLAINTEXT_LENGTH 5", "DECRYPTION_OKAY", "GOODMDC", "END_DECRYPTION"}
	if err := judgeOpened(nil, said(good...)); err != nil {
		t.Errorf("genuine: %v", err)
	}
	for name, c := range map[string]struct {
		exit error
		st   status
	}{
		"nothing said":                 {nil, said()},
		"literal alone":                {nil, said("PLAINTEXT 62 1 p", "PLAINTEXT_LENGTH 100")},
		"1.4: no integrity packet":     {nil, said("PLAINTEXT 62 1 -", "PLAINTEXT_LENGTH 100", "DECRYPTION_OKAY")},
		"1.4: literal before genuine":  {exit2, said("PLAINTEXT 62 1 p", "DECRYPTION_OKAY", "GOODMDC")},
		"exit status alone":            {exit2, said(good...)},
		"two messages":                 {nil, said(append(good, good...)...)},
		"two plaintexts":               {nil, said(append(good, "PLAINTEXT 62 1 q")...)},
		"ignore-mdc-error in gpg.conf": {nil, said("PLAINTEXT 62 1 p", "BADMDC", "DECRYPTION_OKAY")},
	} {
		if err := judgeOpened(c.exit, c.st); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestJudgeSealed(t *testing.T) {
	head := []byte{0x8c, 0x0d, 4, 9, 3, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xd2}
	ok := said("END_ENCRYPTION")
	if err := judgeSealed(nil, ok, head, 166, 100); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"exit":       judgeSealed(errors.New("exit 2"), ok, head, 166, 100),
		"not said":   judgeSealed(nil, said(), head, 166, 100),
		"said twice": judgeSealed(nil, said("END_ENCRYPTION", "END_ENCRYPTION"), head, 166, 100),
		"no output":  judgeSealed(nil, ok, nil, 0, 100),
		"too short":  judgeSealed(nil, ok, head, 165, 100),
		"too long":   judgeSealed(nil, ok, head, 300, 100),
	} {
		if err == nil {
			t.Errorf("%s: passed", name)
		}
	}
	for i, b := range head {
		if i >= 6 && i < 14 {
			continue
		}
		other := bytes.Clone(head)
		other[i] = b ^ 1
		if judgeSealed(nil, ok, other, 166, 100) == nil {
			t.Errorf("another byte %d passed", i)
		}
	}
}

// Lengths that gpg 2.2.40 was seen to make of an unknown length of input.
func TestSealedBounds(t *testing.T) {
	for n, made := range map[int64]int64{0: 66, 1: 67, 511: 579, 8000: 8076, 8192: 8260, 100_000: 100_095, 50_000_000: 50_012_275} {
		if least, most := sealedBounds(n); made < least || made > most {
			t.Errorf("%d bytes make %d, bounds %d to %d", n, made, least, most)
		}
	}
}

func TestReadStatus(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	st, err := readStatus(strings.NewReader("GOODMDC\n[GNUPG:] GOODMDC\n" + long + "[GNUPG:] GOODMDC\n[GNUPG:] PLAINTEXT_LENGTH 3\n[GNUPG:] " +
		long + "\n[GNUPG:] DECRYPTION_OKAY"))
	if err != nil || st.count["GOODMDC"] != 1 || st.count["PLAINTEXT"] != 0 || st.count["DECRYPTION_OKAY"] != 1 || !st.looked {
		t.Errorf("%+v, %v", st, err)
	}
	if st := said("FAILURE gpg-exit 33554433"); st.looked {
		t.Error("a failure counts as a look at the message")
	}
}

func FuzzReadStatus(f *testing.F) {
	f.Add([]byte("[GNUPG:] GOODMDC\n"))
	f.Add([]byte("[GNUPG:] PLAINTEXT 62 1 \xff\n[GNUPG:] \n[GNUPG:]"))
	f.Add(bytes.Repeat([]byte("[GNUPG:] "), 1000))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := readStatus(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if len(st.count) != 4 {
			t.Fatalf("%v", st.count)
		}
		for word, n := range st.count {
			if most := bytes.Count(b, []byte(statusPrefix+word)); n > most {
				t.Fatalf("%s %d times, and it stands there %d times", word, n, most)
			}
		}
	})
}

func FuzzCheckHead(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x8c, 0x0d, 4, 9, 3, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xd2})
	f.Add([]byte{0x8c, 0x0d, 4, 9, 3, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xd4})
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkHead(b) == nil && (len(b) < headLen || b[0] != 0x8c || b[14] != 0xff || b[15] != 0xd2) {
			t.Fatalf("%x passed", b)
		}
	})
}
