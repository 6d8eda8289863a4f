package state

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// damage returns the DamagedError that err is, or fails.
func damage(t *testing.T, err error) *DamagedError {
	t.Helper()
	d, is := errors.AsType[*DamagedError](err)
	if !is {
		t.Fatalf("got %v, want damage", err)
	}
	return d
}

// meddle opens the file of a store with bare bbolt.
func meddle(t *testing.T, s *Store, fn func(*bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(s.Path(), 0o600, nil)
	ok(t, err)
	ok(t, db.Update(fn))
	ok(t, db.Close())
}

func filled(t *testing.T, n int) *Store {
	t.Helper()
	s := newStore(t)
	ok(t, s.Update(func(tx *Tx) error {
		for i := range n {
			ok(t, Put(tx, things, fmt.Sprintf("%04d", i), thing{"a thing among others", i}))
		}
		return nil
	}))
	return s
}

// trusted makes a store that has looked through its file already: what is damaged since, each record tells.
func trusted(s *Store) *Store {
	s.inspected.Store(true)
	return s
}

func TestFlippedBitIsSeen(t *testing.T) {
	t.Parallel()
	s := filled(t, 3)
	content, err := os.ReadFile(s.Path())
	ok(t, err)
	at := bytes.Index(content, []byte(`among others","N":1`))
	content[at] ^= 1
	ok(t, os.WriteFile(s.Path(), content, 0o600))
	d := damage(t, s.View(func(*Tx) error { return nil }))
	same(t, d.Bucket+" "+d.Key, "things 0001")
	ok(t, trusted(s).View(func(tx *Tx) error {
		_, _, err := Get[thing](tx, things, "0000")
		ok(t, err)
		_, _, err = Get[thing](tx, things, "0001")
		d := damage(t, err)
		same(t, d.Bucket+" "+d.Key, "things 0001")
		_, err = List[thing](tx, things, "")
		damage(t, err)
		return nil
	}))
}

func TestRecordUnderAnotherKeyIsSeen(t *testing.T) {
	t.Parallel()
	s := filled(t, 2)
	meddle(t, s, func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(things))
		return b.Put([]byte("0000"), bytes.Clone(b.Get([]byte("0001"))))
	})
	same(t, damage(t, s.View(func(*Tx) error { return nil })).Key, "0000")
	ok(t, trusted(s).View(func(tx *Tx) error {
		_, _, err := Get[thing](tx, things, "0000")
		same(t, damage(t, err).Key, "0000")
		return nil
	}))
}

func TestMissingRecordIsSeen(t *testing.T) {
	t.Parallel()
	s := filled(t, 3)
	meddle(t, s, func(tx *bolt.Tx) error { return tx.Bucket([]byte(things)).Delete([]byte("0001")) })
	same(t, damage(t, s.View(func(*Tx) error { return nil })).Bucket, things)
	ok(t, trusted(s).View(func(tx *Tx) error {
		_, err := List[thing](tx, things, "")
		same(t, damage(t, err).Bucket, things)
		return nil
	}))
}

func TestRecordOfAnotherTypeIsNoDamage(t *testing.T) {
	t.Parallel()
	ok(t, filled(t, 1).View(func(tx *Tx) error {
		_, _, err := Get[int](tx, things, "0000")
		if _, is := errors.AsType[*DamagedError](err); err == nil || is {
			t.Errorf("got %v, want an error that is no damage", err)
		}
		return nil
	}))
}

func TestFileThatIsNoDatabase(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"short", string(bytes.Repeat([]byte("long "), 10000))} {
		s := filled(t, 1)
		ok(t, os.WriteFile(s.Path(), []byte(content), 0o600))
		damage(t, s.View(func(*Tx) error { return nil }))
		damage(t, s.Update(func(*Tx) error { return nil }))
	}
	s := filled(t, 1)
	ok(t, os.Truncate(s.Path(), int64(os.Getpagesize()))) // one good meta page, and nothing else
	damage(t, s.View(func(*Tx) error { return nil }))
}

// A mapped page that the file does not have is no panic, but a signal.
func TestFaultIsDamage(t *testing.T) {
	t.Parallel()
	s := filled(t, 2000)
	damage(t, s.View(func(tx *Tx) error {
		ok(t, os.Truncate(s.Path(), 4*int64(os.Getpagesize())))
		_, err := List[thing](tx, things, "")
		damage(t, err)
		_, err = List[thing](tx, things, "") // bbolt is not called again, and nothing hangs
		return err
	}))
	damage(t, s.Update(func(tx *Tx) error { return nil }))
	// What was damaged is let go: whoever repairs it can open it.
	_, _, err := s.SetAside(time.Now())
	ok(t, err)
	ok(t, s.Update(func(*Tx) error { return nil }))
}

func TestDamageThatWasSwallowedCommitsNothing(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	damage(t, s.Update(func(tx *Tx) error {
		tx.touch(things, "a", func() error { panic("as bbolt does") })
		return nil
	}))
	ok(t, s.Update(func(*Tx) error { return nil }))
}

func TestLostSchemaAndStrangersFile(t *testing.T) {
	t.Parallel()
	s := filled(t, 1)
	meddle(t, s, func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte(bucketMeta)) })
	same(t, damage(t, s.View(func(*Tx) error { return nil })).Bucket, bucketMeta)

	s = filled(t, 0)
	ok(t, os.Remove(s.Path()))
	meddle(t, s, func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("v1")); return err })
	err := s.Update(func(*Tx) error { return nil })
	if _, is := errors.AsType[*DamagedError](err); err == nil || is {
		t.Fatalf("got %v, want an error that is no damage", err)
	}
}

func TestGlanceReliesOnAnUntouchedFileOnly(t *testing.T) {
	t.Parallel()
	s := filled(t, 3)
	nothing := func(*Tx) error { return nil }
	glance := func() error { return Glance(s.Path()).View(nothing) }
	ok(t, glance())
	content, err := os.ReadFile(s.Path())
	ok(t, err)
	content[bytes.Index(content, []byte(`among others","N":1`))] ^= 1
	ok(t, os.WriteFile(s.Path(), content, 0o600))
	damage(t, glance())

	// Were the file as the last transaction left it, nobody would look: only then does a glance cost less.
	gate, err := os.OpenFile(s.Path()+gateSuffix, os.O_RDWR, 0)
	ok(t, err)
	defer gate.Close()
	m, _, err := readMark(gate)
	ok(t, err)
	info, err := os.Stat(s.Path())
	ok(t, err)
	m.File = stampOf(info)
	ok(t, m.write(gate))
	ok(t, glance())
	damage(t, New(s.Path()).View(nothing))
	damage(t, Glance(s.Path()).Update(nothing))

	m.File.Boot = "the boot before"
	ok(t, m.write(gate))
	damage(t, glance())
}
