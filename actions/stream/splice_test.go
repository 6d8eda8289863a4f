package stream_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/stream/streamtest"
)

func resummed(t testing.TB, b []byte) []byte {
	t.Helper()
	out, err := streamtest.Resummed(b)
	check(t, err)
	return out
}

func sentFor(t testing.TB, b []byte, token stream.Token) []byte {
	t.Helper()
	out, err := streamtest.Sent(b, token)
	check(t, err)
	return out
}

// markAt is the mark of the first bytes of a stream.
func markAt(t testing.TB, s sent, at int) (stream.Mark, bool) {
	t.Helper()
	p := stream.Of(s.to, s.from)
	_, err := p.Write(s.bytes[:at])
	check(t, err)
	m, ok := p.Mark()
	if !ok {
		return m, false
	}
	b, err := m.MarshalBinary()
	check(t, err)
	var again stream.Mark
	check(t, again.UnmarshalBinary(b))
	if again != m || len(b) > 200 {
		t.Fatalf("%d bytes\n%+v\nbecame\n%+v", len(b), m, again)
	}
	return again, true
}

// newer are streams as a newer ZFS has them, with sums in each record.
func newer(t testing.TB) map[string]sent {
	all := single(t)
	for name, s := range all {
		s.bytes = resummed(t, s.bytes)
		all[name] = s
	}
	return all
}

// Cut anywhere, and continued by what is sent for a mark's token: it is the stream as if it had not been cut.
func TestContinued(t *testing.T) {
	t.Parallel()
	for name, s := range newer(t) {
		check(t, parse(stream.Of(s.to, s.from), s.bytes, 4096))
		points := 0
		made := map[stream.Token][]byte{}
		for _, at := range append(cuts(s.bytes), len(s.bytes)) {
			m, ok := markAt(t, s, at)
			if !ok {
				continue
			}
			points++
			token := m.Token(goldens[name].name)
			if token.To != s.to || token.From != s.from || token.Bytes != m.Point() {
				t.Fatalf("%s: %+v", name, token)
			}
			if made[token] == nil {
				made[token] = sentFor(t, s.bytes, token)
			}
			marks := []stream.Mark{m}
			if points%8 == 0 {
				marks = append(marks, m.Back())
			}
			for _, mark := range marks {
				rest, err := io.ReadAll(stream.Continue(mark, bytes.NewReader(made[token])))
				if err != nil || !bytes.Equal(rest, s.bytes[mark.At:]) {
					t.Fatalf("%s, cut at %d: %d of %d bytes, %v", name, mark.At, len(rest), len(s.bytes)-at, err)
				}
			}
		}
		if points < 50 {
			t.Errorf("%s: %d marks", name, points)
		}
	}
}

// A stream that was continued can be continued again: its marks are those of the whole.
func TestContinuedTwice(t *testing.T) {
	t.Parallel()
	for name, s := range newer(t) {
		all := cuts(s.bytes)
		for i, at := range all {
			first, ok := markAt(t, s, at)
			if !ok || i%47 > 0 {
				continue
			}
			for j := i + 1; j < len(all); j += 41 {
				splice := stream.Continue(first, iotest.HalfReader(bytes.NewReader(sentFor(t, s.bytes, first.Token("")))))
				p, err := splice.Join()
				check(t, err)
				if p.Size() != uint64(at) {
					t.Fatalf("%s, joined at %d instead of %d", name, p.Size(), at)
				}
				rest := make([]byte, all[j]-at)
				if _, err := io.ReadFull(splice, rest); err != nil {
					t.Fatal(name, at, all[j], err)
				}
				if _, err := p.Write(rest); err != nil {
					t.Fatal(name, at, all[j], err)
				}
				m, ok := p.Mark()
				if want, _ := markAt(t, s, all[j]); !ok || m != want {
					t.Errorf("%s, continued at %d and marked at %d: %+v, want %+v", name, at, all[j], m, want)
				}
			}
		}
	}
}

// What was sent before is another stream than what is sent now: that is noticed, and from its point on it can be used.
func TestContinuedOtherwise(t *testing.T) {
	t.Parallel()
	for name, s := range newer(t) {
		for i, at := range cuts(s.bytes) {
			m, ok := markAt(t, s, at)
			if !ok || i%11 > 0 {
				continue
			}
			token := m.Token("")
			// Another byte in what there is behind the point: in the first payload that holds some.
			if m.At < m.Point()+2*stream.HeaderSize {
				continue
			}
			changed := bytes.Clone(s.bytes)
			changed[m.Point()+stream.HeaderSize+20] ^= 1
			other := sentFor(t, resummed(t, strip(changed)), token)
			got, err := io.ReadAll(stream.Continue(m, bytes.NewReader(other)))
			var recut *stream.RecutError
			if !errors.As(err, &recut) || recut.Point != m.Point() || len(got) > 0 {
				t.Fatalf("%s, cut at %d, point %d: %v, %d bytes", name, at, m.Point(), err, len(got))
			}
			got, err = io.ReadAll(stream.Continue(m.Back(), bytes.NewReader(other)))
			check(t, err)
			whole := append(bytes.Clone(s.bytes[:m.Point()]), got...)
			if err := parse(stream.Of(s.to, s.from), whole, 4096); err != nil {
				t.Fatalf("%s, cut at %d again: %v", name, m.Point(), err)
			}
		}
	}
}

// strip makes a stream of which Resummed makes the sums right: with none in its records.
func strip(b []byte) []byte {
	b = bytes.Clone(b)
	for _, at := range records(b) {
		clear(b[at+280 : at+stream.HeaderSize])
	}
	return b
}

// What is no continuation, or a damaged one, gives nothing that could be taken for one.
func TestNoContinuation(t *testing.T) {
	s := newer(t)["properties"]
	m, ok := markAt(t, s, 300_000)
	if !ok {
		t.Fatal("no mark")
	}
	good := sentFor(t, s.bytes, m.Token(""))
	elsewhere := m.Token("")
	elsewhere.Object, elsewhere.Offset = 18, 3<<20 // the end of the sparse file
	other := newer(t)["incremental"]
	om, _ := markAt(t, other, 150_000)
	flags := with(good, 36, good[36]^4)
	for name, c := range map[string]struct {
		sent []byte
		want error
	}{
		"the stream from its beginning": {s.bytes, stream.ErrOtherwise},
		"another from its beginning":    {newer(t)["full"].bytes, stream.ErrOther},
		"from another record":           {sentFor(t, s.bytes, elsewhere), stream.ErrOtherwise},
		"another stream":                {sentFor(t, other.bytes, om.Token("")), stream.ErrOther},
		"other flags":                   {resummed(t, strip(flags)), stream.ErrOtherwise},
		"nothing":                       {nil, stream.ErrCut},
		"cut":                           {good[:len(good)-1], stream.ErrCut},
		"cut before END":                {good[:len(good)-stream.HeaderSize], stream.ErrCut},
		"cut within what there is":      {good[:2000], stream.ErrCut},
		"more":                          {append(bytes.Clone(good), good...), stream.ErrMore},
		"a bit flipped":                 {with(good, len(good)-3000, good[len(good)-3000]^1), stream.ErrDamaged},
		"no stream":                     {bytes.Repeat([]byte("text "), 1000), stream.ErrNoStream},
	} {
		splice := stream.Continue(m, bytes.NewReader(c.sent))
		got, err := io.ReadAll(splice)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if bytes.HasSuffix(got, s.bytes[len(s.bytes)-stream.HeaderSize:]) {
			t.Errorf("%s: it came to its end", name)
		}
		var damaged *stream.DamagedError
		if errors.As(err, &damaged) { // nothing comes of the record at which it showed, whose sum proves what was before it
			most := len(s.bytes) - stream.HeaderSize - (len(good) - int(damaged.At)) - int(m.At)
			if len(got) != most {
				t.Errorf("%s: %d bytes came, %d are before %v", name, len(got), most, err)
			}
		} else if !bytes.HasPrefix(s.bytes[m.At:], got) {
			t.Errorf("%s: %d bytes that are others", name, len(got))
		}
	}
}

// What begins at the beginning is no continuation, also where the point is among the first records.
func TestContinuedFromTheBeginning(t *testing.T) {
	s := newer(t)["full"]
	m, ok := markAt(t, s, 4000)
	if !ok {
		t.Fatal("no mark")
	}
	if got, err := io.ReadAll(stream.Continue(m, bytes.NewReader(s.bytes))); !errors.Is(err, stream.ErrOtherwise) || len(got) > 0 {
		t.Errorf("%v, %d bytes", err, len(got))
	}
}

// Where there is no point there is no mark: before the first object, in a package, behind what is wrong.
func TestNoMark(t *testing.T) {
	for name, s := range single(t) {
		first := 0
		for _, at := range records(s.bytes) {
			if s.bytes[at] == byte(stream.TypeObject) {
				first = at
				break
			}
		}
		for _, at := range []int{0, 300, 313, first, first + stream.HeaderSize - 1} {
			if m, ok := markAt(t, s, at); ok {
				t.Errorf("%s at %d, whose first object is at %d: %+v", name, at, first, m)
			}
		}
	}
	b := golden(t, "package")
	p := &stream.Parser{}
	p.Write(b[:len(b)-20_000])
	if m, ok := p.Mark(); ok || p.Streams() < 2 {
		t.Errorf("%d streams, %+v", p.Streams(), m)
	}
	p = &stream.Parser{}
	p.Write(with(golden(t, "full"), 5000, 1))
	if m, ok := p.Mark(); ok {
		t.Errorf("%+v", m)
	}
}

// No bytes make it panic, and those that it takes for a mark it makes again.
func FuzzMark(f *testing.F) {
	s := single(f)["full"]
	p := stream.Of(s.to, s.from)
	p.Write(s.bytes[:300_000])
	m, _ := p.Mark()
	b, err := m.MarshalBinary()
	check(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again stream.Mark
		if m.UnmarshalBinary(b) != nil {
			return
		}
		out, err := m.MarshalBinary()
		check(t, err)
		check(t, again.UnmarshalBinary(out))
		if again != m {
			t.Errorf("%+v became %+v", m, again)
		}
	})
}

// Whatever is sent, a Splice does not panic, ends, and gives either an error or a stream that is whole.
func FuzzSplice(f *testing.F) {
	s := newer(f)["incremental-properties"]
	m, _ := markAt(f, s, 60_000)
	good := sentFor(f, s.bytes, m.Token(""))
	f.Add(good[:5000], 100)
	f.Add(good[len(good)-2000:], 1)
	f.Add(s.bytes[:3000], 312)
	f.Fuzz(func(t *testing.T, sent []byte, slice int) {
		got, err := io.ReadAll(stream.Continue(m, &slicer{sent, max(1, slice)}))
		if err != nil {
			return
		}
		if err := parse(stream.Of(s.to, s.from), append(bytes.Clone(s.bytes[:m.At]), got...), 4096); err != nil {
			t.Error(err)
		}
	})
}
