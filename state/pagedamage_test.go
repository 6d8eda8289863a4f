package state

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
)

// lived is a database that has been in use: of many pages, some of them branches, some free, with a record that
// needs several.
func lived(t testing.TB) *Store {
	t.Helper()
	s := newStore(t)
	for round := range 3 {
		ok(t, s.Update(func(tx *Tx) error {
			ok(t, tx.PutJob(Job{ID: "j", Dataset: "tank/data", Place: "box:"}))
			ok(t, tx.PutRun(Run{ID: fmt.Sprint("run", round), Job: "j", DatasetGUID: "1"}))
			ok(t, tx.PutBackup(Backup{Job: "j", Name: "20260101000000-full", Manifest: make([]byte, 9000+round)}))
			for n := range 150 {
				ok(t, tx.PutChunk(Chunk{Job: "j", Backup: "20260101000000-full", N: n, Gen: round + 1, Name: "a chunk", Size: int64(n)}))
				ok(t, tx.PutEntry(EffectKey("run", n, 1, "effect"), Entry{}))
			}
			return nil
		}))
	}
	return s
}

// content is every record there is.
func content(tx *Tx) (all []string, err error) {
	for _, bucket := range append([]string{bucketMeta}, Buckets...) {
		err := tx.walk(bucket, "", func(key string, stored []byte) error {
			all = append(all, place(bucket, key)+" "+string(stored))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// asBefore reads a database whose file was damaged: what is read is all as it was, or the error is damage. Then it
// writes to it, and reads again.
func asBefore(t *testing.T, s *Store, before []string) (found bool) {
	t.Helper()
	read := func() ([]string, error) {
		var all []string
		err := New(s.Path()).View(func(tx *Tx) (err error) {
			all, err = content(tx)
			return err
		})
		return all, err
	}
	after, err := read()
	if err != nil {
		damage(t, err)
	} else if !slices.Equal(after, before) {
		t.Fatalf("%d records, and not the %d as before", len(after), len(before))
	}
	werr := New(s.Path()).Update(func(tx *Tx) error { return tx.PutJob(Job{ID: "k"}) })
	if (werr == nil) != (err == nil) {
		t.Fatalf("reading: %v; writing: %v", err, werr)
	}
	if werr != nil {
		damage(t, werr)
		return true
	}
	if after, err = read(); err != nil || len(after) != len(before)+1 {
		t.Fatalf("after writing: %d records, of %d, and %v", len(after), len(before)+1, err)
	}
	return false
}

// Every page, one at a time, is damaged in every way: nothing crashes or hangs, and no record that is wrong or
// missing passes for right. (bbolt#325, #335, #446: opening such a file panicked, once in a goroutine where no recover helps.)
func TestEveryPageDamaged(t *testing.T) {
	t.Parallel()
	s := lived(t)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	file, err := os.ReadFile(s.Path())
	ok(t, err)
	gate, err := os.ReadFile(s.Path() + gateSuffix)
	ok(t, err)
	var before []string
	ok(t, s.View(func(tx *Tx) (err error) {
		before, err = content(tx)
		return err
	}))
	size := os.Getpagesize()
	found, tried := 0, 0
	try := func(what string, bad []byte) {
		ok(t, os.WriteFile(s.Path(), bad, 0o600))
		ok(t, os.WriteFile(s.Path()+gateSuffix, gate, 0o600))
		t.Logf("seed %d: %s", seed, what)
		tried++
		if asBefore(t, s, before) {
			found++
		}
	}
	ways := []struct {
		name   string
		damage func(page []byte)
	}{
		{"a bit of its header flipped", func(p []byte) { p[random.IntN(16)] ^= 1 << random.IntN(8) }},
		{"a bit of its elements flipped", func(p []byte) { p[16+random.IntN(64)] ^= 1 << random.IntN(8) }},
		{"a bit flipped", func(p []byte) { p[random.IntN(size)] ^= 1 << random.IntN(8) }},
		{"inverted", func(p []byte) {
			for i := range p {
				p[i] ^= 0xFF
			}
		}},
		{"zeroed", func(p []byte) { clear(p) }},
		{"replaced by another", func(p []byte) { copy(p, file[size*random.IntN(len(file)/size):]) }},
	}
	for at := 0; at < len(file); at += size {
		for _, way := range ways {
			bad := bytes.Clone(file)
			way.damage(bad[at : at+size])
			try(fmt.Sprintf("page %d of %d %s", at/size, len(file)/size, way.name), bad)
		}
		try(fmt.Sprintf("cut before page %d", at/size), file[:at])
		try(fmt.Sprintf("cut in page %d", at/size), file[:at+size/2])
		try(fmt.Sprintf("zeroed from page %d on", at/size), append(bytes.Clone(file[:at]), make([]byte, len(file)-at)...))
	}
	if found < tried/4 || found == tried {
		t.Errorf("damage was found %d times of %d", found, tried)
	}
}

// The page that names the last commit is damaged: bbolt goes back to the commit before without a word.
func TestLostCommitIsSeen(t *testing.T) {
	t.Parallel()
	s := filled(t, 3)
	older, err := os.ReadFile(s.Path())
	ok(t, err)
	ok(t, s.Update(func(tx *Tx) error { return Put(tx, things, "last", 1) }))
	ok(t, os.WriteFile(s.Path(), older, 0o600)) // the same, by an older copy
	damage(t, New(s.Path()).View(func(*Tx) error { return nil }))
	damage(t, New(s.Path()).Update(func(*Tx) error { return nil }))
}

func TestDatabaseThatIsGone(t *testing.T) {
	t.Parallel()
	for what, lose := range map[string]func(string) error{
		"gone":  os.Remove,
		"empty": func(path string) error { return os.Truncate(path, 0) },
	} {
		s := filled(t, 3)
		ok(t, s.View(func(*Tx) error { return nil }))
		ok(t, lose(s.Path()))
		damage(t, s.View(func(*Tx) error { return nil }))
		damage(t, s.Update(func(*Tx) error { return nil }))
		aside, found, err := s.SetAside(time.Now())
		ok(t, err)
		if aside != "" || found == nil {
			t.Errorf("%s: moved to %q, damage %v", what, aside, found)
		}
		ok(t, s.View(func(*Tx) error { return nil }))
		ok(t, s.Update(func(*Tx) error { return nil }))
	}
}

func TestSetAside(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 3, 52, 0, 0, time.UTC)
	s := filled(t, 3)
	aside, found, err := s.SetAside(now)
	ok(t, err)
	if aside != "" || found != nil {
		t.Fatalf("a sound one was moved to %q: %v", aside, found)
	}
	garbage := bytes.Repeat([]byte("garbage "), 1<<12)
	ok(t, os.WriteFile(s.Path(), garbage, 0o600))
	aside, found, err = s.SetAside(now)
	ok(t, err)
	same(t, aside, s.Path()+".damaged-20261125035200")
	if found == nil {
		t.Error("no damage was told")
	}
	moved, err := os.ReadFile(aside)
	ok(t, err)
	same(t, bytes.Equal(moved, garbage), true)
	newest, err := s.Aside()
	ok(t, err)
	same(t, newest, aside)
	ok(t, s.View(func(tx *Tx) error {
		list, err := List[thing](tx, things, "")
		same(t, len(list), 0)
		return err
	}))
	ok(t, s.Update(func(tx *Tx) error { return Put(tx, things, "new", 1) }))
}

// A file that was never ours is left where it is, whatever state_db says.
func TestStrangersFileIsNotSetAside(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	ok(t, s.Update(func(*Tx) error { return nil }))
	ok(t, os.Remove(s.Path()+gateSuffix))
	ok(t, os.WriteFile(s.Path(), []byte("root:x:0:0:root:/root:/bin/bash\n"), 0o600))
	damage(t, s.View(func(*Tx) error { return nil }))
	_, _, err := s.SetAside(time.Now())
	isErr(t, err, ErrNotOurs)
	_, err = os.Stat(s.Path())
	ok(t, err)
}

// The first writer dies while it makes the file: nothing was lost, and nobody is needed.
func TestFileHalfMadeIsSetAside(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	no := errors.New("no")
	isErr(t, s.Update(func(*Tx) error { return no }), no)
	ok(t, os.WriteFile(s.Path(), make([]byte, 3*os.Getpagesize()), 0o600))
	damage(t, s.Update(func(*Tx) error { return nil }))
	_, _, err := s.SetAside(time.Now())
	ok(t, err)
	ok(t, s.Update(func(*Tx) error { return nil }))
}

func BenchmarkInspect(b *testing.B) {
	s := newStore(b)
	for from := 0; from < 100_000; from += 10_000 {
		ok(b, s.Update(func(tx *Tx) error {
			for n := range 10_000 {
				c := Chunk{Job: NewJobID(), Backup: "20260101000000-full", N: from + n, Gen: 1, Name: "tank-data@20260101000000.zfs.000000.gpg",
					PlainSHA256: NewJobID() + NewJobID(), SHA256: NewJobID() + NewJobID(), Hashes: map[string]string{"md5": NewJobID()}}
				ok(b, tx.PutChunk(c))
			}
			return nil
		}))
	}
	for b.Loop() {
		s.inspected.Store(false)
		ok(b, s.View(func(*Tx) error { return nil }))
	}
}
