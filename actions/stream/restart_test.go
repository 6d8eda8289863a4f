package stream_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"testing"
	"testing/iotest"

	"zfs2cloud/actions/stream"
)

// part is a record of a stream, taken apart.
type part struct {
	h       stream.Header
	payload []byte
	at      int
}

func partsOf(t testing.TB, b []byte) (parts []part) {
	t.Helper()
	for _, at := range append([]int{0}, records(b)...) {
		h := stream.Header(b[at : at+stream.HeaderSize])
		n, err := h.Payload()
		check(t, err)
		parts = append(parts, part{h, b[at+stream.HeaderSize:][:n], at})
	}
	return parts
}

// inner are the records of the snapshot's own stream.
func inner(t testing.TB, b []byte) []part {
	t.Helper()
	all := partsOf(t, b)
	for i, p := range all {
		if p.h.Type() == stream.TypeBegin && p.h[16]&3 == 1 {
			all = all[i:]
			break
		}
	}
	end := slices.IndexFunc(all, func(p part) bool { return p.h.Type() == stream.TypeEnd })
	return all[:end+1]
}

// ordered are streams in the order in which OpenZFS sends them: each object with its blocks. (zfs-fuse sends some objects, and
// then their blocks.)
func ordered(t testing.TB) map[string]sent {
	t.Helper()
	all := newer(t)
	for name, s := range all {
		parts := partsOf(t, s.bytes)
		own := inner(t, s.bytes)
		first := slices.IndexFunc(parts, func(p part) bool { return p.at == own[0].at }) + 1
		slices.SortStableFunc(parts[first:first+len(own)-2], func(a, b part) int { return cmp.Compare(a.h.Object(), b.h.Object()) })
		var out bytes.Buffer
		w := stream.NewWriter(&out)
		for _, p := range parts {
			check(t, w.Record(p.h, p.payload))
		}
		s.bytes = out.Bytes()
		check(t, parse(stream.Of(s.to, s.from), s.bytes, 4096))
		all[name] = s
	}
	all["raw"] = rawStream(t)
	return all
}

// asks are the places at which a receive can go on, as tokens have them, and which record of the stream each is.
func asks(s sent, parts []part) (tokens []stream.Token, index []int) {
	for i, p := range parts {
		switch p.h.Type() {
		case stream.TypeObject:
			if p.h.Object() == 1 {
				continue // TestRestartAtNothing
			}
		case stream.TypeWrite, stream.TypeWriteEmbedded:
			if p.h.Offset() == 0 {
				continue // the same as its object
			}
		default:
			continue
		}
		tokens, index = append(tokens, stream.Token{To: s.to, From: s.from, Object: p.h.Object(), Offset: p.h.Offset()}), append(index, i)
	}
	return tokens, index
}

// wanted is what a receive goes on with at a record: made here in the plainest way.
func wanted(t testing.TB, parts []part, i int) []byte {
	t.Helper()
	begin, at := parts[0], parts[i].h
	binary.LittleEndian.PutUint64(begin.h[16:], binary.LittleEndian.Uint64(begin.h[16:])|uint64(stream.FeatureResuming)<<2)
	list := append([]byte{0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}, pair("resume_object", at.Object())...)
	list = append(list, pair("resume_offset", at.Offset())...)
	if len(begin.payload) > 0 {
		list = append(list, begin.payload[12:]...)
	} else {
		list = append(list, 0, 0, 0, 0)
	}
	begin.payload = list
	binary.LittleEndian.PutUint32(begin.h[4:], uint32(len(list)))
	out := []part{begin}
	raw := slices.IndexFunc(parts, func(p part) bool { return p.h.Type() == stream.TypeObjectRange }) >= 0
	for j := i; raw && j >= 0; j-- {
		if parts[j].h.Type() == stream.TypeObjectRange {
			out = append(out, parts[j])
			break
		}
	}
	if at.Type() != stream.TypeObject {
		blocks := false
		for _, p := range parts[:i] {
			if p.h.Type() == stream.TypeFreeObjects || p.h.Object() != at.Object() {
				continue
			}
			switch p.h.Type() {
			case stream.TypeWrite, stream.TypeWriteEmbedded:
				blocks = true
			case stream.TypeFree:
				if blocks || binary.LittleEndian.Uint64(p.h[24:]) != math.MaxUint64 {
					continue
				}
				fallthrough
			case stream.TypeObject, stream.TypeSpill:
				if !blocks {
					out = append(out, p)
				}
			}
		}
	}
	var b bytes.Buffer
	w := stream.NewWriter(&b)
	for _, p := range append(out, parts[i:]...) {
		check(t, w.Record(p.h, p.payload))
	}
	return b.Bytes()
}

// pair is a number in a packed list.
func pair(name string, n uint64) []byte {
	b := []byte{40, 0, 0, 0, byte(len(name) + 1), 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0}
	b = append(b, name...)
	for len(b) < 32 {
		b = append(b, 0)
	}
	return binary.LittleEndian.AppendUint64(b, n)
}

// indexOf cuts a stream every SPLIT bytes, and makes the index of that.
func indexOf(t testing.TB, s sent, split int) []byte {
	t.Helper()
	p := stream.Of(s.to, s.from)
	p.Follow()
	var out bytes.Buffer
	w := stream.NewIndexWriter(&out)
	for piece := range slices.Chunk(s.bytes, split) {
		p.Watch()
		_, err := p.Write(piece)
		check(t, err)
		var entry []byte
		if e, ok := p.Entry(); ok {
			entry, err = e.MarshalBinary()
			check(t, err)
		}
		check(t, w.Add(entry))
	}
	return out.Bytes()
}

// The rest of a stream, made from the piece that its index names, or from its beginning without one, is what a receive goes on
// with, wherever it stands. The piece is the one that the record begins in, but where that has no entry before it.
func TestRestart(t *testing.T) {
	t.Parallel()
	for name, s := range ordered(t) {
		parts := inner(t, s.bytes)
		tokens, index := asks(s, parts)
		if len(tokens) < 15 {
			t.Fatalf("%s: %d places", name, len(tokens))
		}
		for _, split := range []int{len(s.bytes), 100_003, 4096, 313, 100} {
			table := indexOf(t, s, split)
			exact := 0
			for i, token := range tokens {
				want := wanted(t, parts, index[i])
				piece, e, err := stream.Find(bytes.NewReader(table), token)
				check(t, err)
				if at := parts[index[i]].at / split; piece == at {
					exact++
				} else if piece > at {
					t.Fatalf("%s by %d: record %d begins in piece %d, not %d", name, split, index[i], at, piece)
				}
				from := iotest.HalfReader(bytes.NewReader(s.bytes[piece*split:]))
				got, err := io.ReadAll(stream.Restart(from, uint64(piece*split), e, token))
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%s by %d, from record %d, %v: %d bytes instead of %d, %v", name, split, index[i], token, len(got), len(want), err)
				}
			}
			if split >= 4096 && exact < len(tokens)*2/3 {
				t.Errorf("%s by %d: only %d of %d were found in their own piece", name, split, exact, len(tokens))
			}
		}
		for i, token := range tokens {
			got, err := io.ReadAll(stream.Restart(bytes.NewReader(s.bytes), 0, stream.Entry{}, token))
			if err != nil || !bytes.Equal(got, wanted(t, parts, index[i])) {
				t.Fatalf("%s, read again, from record %d: %v", name, index[i], err)
			}
		}
	}
}

// A dataset of which nothing was saved yet is gone on with by the whole stream.
func TestRestartAtNothing(t *testing.T) {
	for name, s := range ordered(t) {
		token := stream.Token{To: s.to, From: s.from, Object: 1}
		got, err := io.ReadAll(stream.Restart(bytes.NewReader(s.bytes), 0, stream.Entry{}, token))
		check(t, err)
		was := inner(t, s.bytes)
		is := partsOf(t, got)
		if len(is) != len(was) {
			t.Errorf("%s: %d records instead of %d", name, len(is), len(was))
		}
		check(t, parse(stream.Of(s.to, s.from), got, 4096))
	}
}

// An export that was cut off anywhere and continued makes the entries that one would have made that was not; but of those
// that it can't know, and of these it says so.
func TestFollowContinued(t *testing.T) {
	t.Parallel()
	for name, s := range ordered(t) {
		const after = 5000
		for i, at := range cuts(s.bytes) {
			p := stream.Of(s.to, s.from)
			p.Follow()
			_, err := p.Write(s.bytes[:at])
			check(t, err)
			m, ok := p.Mark()
			if !ok || i%3 > 0 || at+after > len(s.bytes) {
				continue
			}
			stored := p.Trail()
			want := entryAfter(t, p, s.bytes[at:at+after])
			splice := stream.Continue(m, bytes.NewReader(sentFor(t, s.bytes, m.Token(""))))
			check(t, splice.Follow(stored))
			p, err = splice.Join()
			check(t, err)
			got := entryAfter(t, p, s.bytes[at:at+after])
			if !bytes.Equal(got, want) {
				// It was cut within the payload of an object: all but that is known.
				if len(got) >= len(want) || len(got) == 0 {
					t.Errorf("%s, cut at %d:\n%x, not\n%x", name, at, got, want)
				}
			}
			splice = stream.Continue(m, bytes.NewReader(sentFor(t, s.bytes, m.Token(""))))
			check(t, splice.Follow(nil))
			p, err = splice.Join()
			check(t, err)
			if unknown := entryAfter(t, p, s.bytes[at:at+after]); (len(unknown) == 0) != (len(want) == 0) || len(unknown) > len(want) {
				t.Errorf("%s, cut at %d, without what was known: %d bytes, not %d", name, at, len(unknown), len(want))
			}
		}
	}
}

func entryAfter(t testing.TB, p *stream.Parser, next []byte) []byte {
	t.Helper()
	p.Watch()
	_, err := p.Write(next)
	check(t, err)
	e, ok := p.Entry()
	if !ok {
		return nil
	}
	b, err := e.MarshalBinary()
	check(t, err)
	if len(b) > 2000 {
		t.Errorf("an entry of %d bytes", len(b))
	}
	return b
}

// zfs-fuse sends some objects, and then their blocks: of such a stream some places can't be gone on at, and the others can.
func TestRestartInOtherOrder(t *testing.T) {
	s := newer(t)["full"]
	parts := inner(t, s.bytes)
	tokens, index := asks(s, parts)
	table := indexOf(t, s, 50_000)
	can := 0
	for i, token := range tokens {
		piece, e, err := stream.Find(bytes.NewReader(table), token)
		check(t, err)
		got, err := io.ReadAll(stream.Restart(bytes.NewReader(s.bytes[piece*50_000:]), uint64(piece)*50_000, e, token))
		switch {
		case err == nil && bytes.Equal(got, wanted(t, parts, index[i])):
			can++
		case !errors.Is(err, stream.ErrNoRestart) || len(got) > 0:
			t.Errorf("record %d, %v: %d bytes, %v", index[i], token, len(got), err)
		}
	}
	if can == 0 || can == len(tokens) {
		t.Errorf("%d of %d", can, len(tokens))
	}
}

// What can't be gone on with is refused, and gives nothing that ends like a stream.
func TestNoRestart(t *testing.T) {
	s := ordered(t)["full"]
	parts := inner(t, s.bytes)
	tokens, _ := asks(s, parts)
	good := tokens[len(tokens)/2]
	missing := good
	missing.Object, missing.Offset = 1<<40, 4096
	between := good
	between.Object, between.Offset = tokens[2].Object, 12345
	other := good
	other.To++
	raw := rawStream(t)
	rawTokens, _ := asks(raw, inner(t, raw.bytes))
	unranged := dropped(t, raw.bytes, stream.TypeObjectRange)
	for name, c := range map[string]struct {
		bytes []byte
		token stream.Token
		want  error
	}{
		"no such object":       {s.bytes, missing, stream.ErrNoRestart},
		"no such block":        {s.bytes, between, stream.ErrNoRestart},
		"another snapshot's":   {s.bytes, other, stream.ErrOther},
		"cut":                  {s.bytes[:len(s.bytes)-1], good, stream.ErrCut},
		"cut before its END":   {s.bytes[:len(s.bytes)-stream.HeaderSize], good, stream.ErrCut},
		"cut before its place": {s.bytes[:5000], good, stream.ErrCut},
		"more":                 {append(bytes.Clone(s.bytes), s.bytes...), good, stream.ErrMore},
		"a bit flipped":        {with(s.bytes, len(s.bytes)-3000, s.bytes[len(s.bytes)-3000]^1), good, stream.ErrDamaged},
		"flipped before":       {with(s.bytes, 3000, s.bytes[3000]^1), good, stream.ErrDamaged},
		"nothing":              {nil, good, stream.ErrCut},
		"no range":             {unranged, rawTokens[len(rawTokens)-1], stream.ErrNoRestart},
	} {
		got, err := io.ReadAll(stream.Restart(bytes.NewReader(c.bytes), 0, stream.Entry{}, c.token))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if parse(&stream.Parser{}, got, 4096) == nil {
			t.Errorf("%s: it is a whole stream", name)
		}
	}
	_, e, err := stream.Find(bytes.NewReader(indexOf(t, s, 100_003)), good)
	check(t, err)
	if _, err := io.ReadAll(stream.Restart(bytes.NewReader(s.bytes[700_000:]), 700_000, e, good)); !errors.Is(err, stream.ErrNoRestart) {
		t.Errorf("behind its entry: %v", err)
	}
}

// dropped is a stream without its records of a type.
func dropped(t testing.TB, b []byte, kind stream.Type) []byte {
	t.Helper()
	var out bytes.Buffer
	w := stream.NewWriter(&out)
	for _, p := range partsOf(t, b) {
		if p.h.Type() != kind {
			check(t, w.Record(p.h, p.payload))
		}
	}
	return out.Bytes()
}

// rawStream is what OpenZFS sends with -w, made up: with a list behind BEGIN, ranges, spill blocks, frees to the end, embedded
// blocks, and an object whose spill block is more than is kept.
func rawStream(t testing.TB) sent {
	t.Helper()
	const to = 0x1234567890
	var out bytes.Buffer
	w := stream.NewWriter(&out)
	record := func(kind stream.Type, payload int, fields map[int]uint64) {
		var h stream.Header
		h[0] = byte(kind)
		for at, v := range fields {
			binary.LittleEndian.PutUint64(h[at:], v)
		}
		b := make([]byte, payload)
		for i := range b {
			b[i] = byte(i*7 + int(kind) + out.Len())
		}
		check(t, w.Record(h, b))
	}
	var begin stream.Header
	list := append([]byte{0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}, append(pair("DSL_CRYPTO_GUI", 7), 0, 0, 0, 0)...)
	binary.LittleEndian.PutUint32(begin[4:], uint32(len(list)))
	binary.LittleEndian.PutUint64(begin[8:], 0x2F5bacbac)
	binary.LittleEndian.PutUint64(begin[16:], 1|uint64(stream.FeatureRaw|stream.FeatureCompressed)<<2)
	binary.LittleEndian.PutUint64(begin[24:], 1_700_000_000)
	begin[32] = 2
	binary.LittleEndian.PutUint64(begin[40:], to)
	copy(begin[56:], "tank/raw@a")
	check(t, w.Record(begin, list))
	for object := uint64(1); object < 100; object++ {
		if object == 1 || object%32 == 0 {
			record(stream.TypeObjectRange, 0, map[int]uint64{8: object / 32 * 32, 16: 32})
		}
		if object%10 == 9 {
			record(stream.TypeFreeObjects, 0, map[int]uint64{8: object, 16: 1})
			continue
		}
		record(stream.TypeObject, 320, map[int]uint64{8: object, 24: 4096 | 320<<32, 32: 320 << 32})
		record(stream.TypeFree, 0, map[int]uint64{8: object, 16: 1 << 20, 24: math.MaxUint64})
		switch object % 4 {
		case 1:
			record(stream.TypeSpill, 512, map[int]uint64{8: object, 16: 512})
		case 2:
			if object == 50 {
				record(stream.TypeSpill, 16<<10, map[int]uint64{8: object, 16: 16 << 10})
			}
		}
		record(stream.TypeWrite, 2048, map[int]uint64{8: object, 24: 0, 32: 4096, 48: 15 << 16, 96: 2048})
		record(stream.TypeFree, 0, map[int]uint64{8: object, 16: 4096, 24: 4096})
		record(stream.TypeWriteEmbedded, 56, map[int]uint64{8: object, 16: 8192, 24: 4096, 48: 53 << 32})
		record(stream.TypeWrite, 4096, map[int]uint64{8: object, 24: 16384, 32: 4096})
	}
	record(stream.TypeEnd, 0, map[int]uint64{40: to})
	s := sent{bytes: out.Bytes(), to: to}
	check(t, parse(stream.Of(to, 0), s.bytes, 4096))
	return s
}

// The object with too much to keep can't be gone on with from a piece behind it, and Find names none.
func TestTooMuchToKeep(t *testing.T) {
	s := rawStream(t)
	const split = 1000
	table := indexOf(t, s, split)
	at := 0
	for _, p := range inner(t, s.bytes) {
		if p.h.Type() == stream.TypeObject && p.h.Object() == 50 {
			at = p.at
		}
	}
	token := stream.Token{To: s.to, Object: 50, Offset: 16384}
	piece, _, err := stream.Find(bytes.NewReader(table), token)
	check(t, err)
	if piece > at/split || piece < at/split-1 {
		t.Errorf("piece %d, the object begins in %d", piece, at/split)
	}
	_, err = stream.ReadIndex(bytes.NewReader(table), func(n int, e stream.Entry, there bool) error {
		b, err := e.MarshalBinary()
		if err == nil && n > 0 && len(b) > 10<<10 {
			err = fmt.Errorf("entry %d has %d bytes", n, len(b))
		}
		return err
	})
	check(t, err)
}

// No bytes make it panic, and what it takes for an entry it makes again.
func FuzzIndex(f *testing.F) {
	s := rawStream(f)
	table := indexOf(f, s, 20_000)
	f.Add(table)
	f.Add(table[:len(table)-1])
	f.Add([]byte("zfs2cloud-index-1\n\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		pieces, err := stream.ReadIndex(bytes.NewReader(b), func(_ int, e stream.Entry, there bool) error {
			if !there {
				return nil
			}
			out, err := e.MarshalBinary()
			check(t, err)
			var again stream.Entry
			check(t, again.UnmarshalBinary(out))
			return nil
		})
		if err == nil && pieces > len(b) {
			t.Error(pieces)
		}
		stream.Find(bytes.NewReader(b), stream.Token{Object: 5, Offset: 4096})
	})
}
