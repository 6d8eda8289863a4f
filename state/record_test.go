package state

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
)

// A record that was not stored as it is, and where it is, is never taken for one that was.
func FuzzRecord(f *testing.F) {
	for _, v := range []any{nil, 1, "x", Run{ID: "r"}, Chunk{Name: "c"}, map[string]string{`"v":`: `}`}} {
		stored, err := seal("runs/r", v)
		ok(f, err)
		f.Add("runs/r", stored)
		f.Add("runs/s", stored)
		f.Add("runs/r", stored[:len(stored)-1])
		f.Add("runs/r", slices.Concat(stored, stored))
	}
	f.Add("", []byte(`{"c":"00000000","v":}`))
	f.Add("x", []byte(`{"c":"`))
	f.Fuzz(func(t *testing.T, place string, stored []byte) {
		value, err := unseal(place, stored)
		if err != nil {
			return
		}
		if sum := checksum(place, value); !bytes.Equal(stored, []byte(`{"c":"`+sum+`","v":`+string(value)+`}`)) {
			t.Fatalf("%q at %q is taken for %q", stored, place, value)
		}
		if _, err := unseal(place+"x", stored); err == nil {
			t.Fatalf("%q passes elsewhere too", stored)
		}
		for i := range stored {
			bad := bytes.Clone(stored)
			bad[i] ^= 1
			if _, err := unseal(place, bad); err == nil {
				t.Fatalf("%q passes, and so does %q", stored, bad)
			}
		}
	})
}

// What passes as a record's bytes and is none of its kind is an error, for each kind of record, never a panic; and what is
// read is stored again as it was read.
func FuzzRecordKinds(f *testing.F) {
	for _, v := range []any{Run{ID: "r", Steps: []Step{{Name: "lock"}}}, Job{ID: "j"}, Backup{Job: "j"}, Chunk{Job: "j"}, Lock{Why: "x"}, Entry{}} {
		b, err := json.Marshal(v)
		ok(f, err)
		f.Add(b)
	}
	for _, text := range []string{"null", "[]", "1e3", `{"id":9223372036854775808}`, `{"n":-1}`, `{"ID":1}`, `{"steps":[null]}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		again[Run](t, value)
		again[Job](t, value)
		again[Backup](t, value)
		again[Chunk](t, value)
		again[Lock](t, value)
		again[Entry](t, value)
	})
}

func again[T any](t *testing.T, value []byte) {
	t.Helper()
	var v, w T
	if json.Unmarshal(value, &v) != nil {
		return
	}
	first, err := seal("x", v)
	if err != nil {
		t.Fatalf("%q is read as %+v, which can't be stored: %v", value, v, err)
	}
	raw, err := unseal("x", first)
	ok(t, err)
	ok(t, json.Unmarshal(raw, &w))
	second, err := seal("x", w)
	ok(t, err)
	if !bytes.Equal(first, second) {
		t.Fatalf("%s, and then %s", first, second)
	}
}
