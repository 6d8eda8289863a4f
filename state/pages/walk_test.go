package pages

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	bolt "go.etcd.io/bbolt"
)

// world is a database with all that one of ours has: branches, an overflowing value, an inline bucket, an empty
// one, and free pages.
func world(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	put := func(tx *bolt.Tx, bucket, key string, n int) {
		b, err := tx.CreateBucketIfNotExists([]byte(bucket))
		if err == nil && n > 0 {
			err = b.Put([]byte(key), bytes.Repeat([]byte(key), n))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for round := range 3 {
		err := db.Update(func(tx *bolt.Tx) error {
			put(tx, "empty", "", 0)
			put(tx, "inline", "a", 10)
			put(tx, "large", "long", 2500+round)
			for i := range 100 {
				put(tx, "many", fmt.Sprintf("%05d", 3*i+round), 20)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// told is all that a walk tells of a file.
func told(content []byte) (list []string, tx uint64, err error) {
	tx, err = Walk(bytes.NewReader(content), int64(len(content)), func(bucket string, key, value []byte) error {
		list = append(list, fmt.Sprintf("%s/%s=%s", bucket, key, value))
		return nil
	})
	slices.Sort(list)
	return list, tx, err
}

func TestWalkTellsWhatBboltTells(t *testing.T) {
	content := world(t)
	list, tx, err := told(content)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var want []string
	err = db.View(func(btx *bolt.Tx) error {
		if int(tx) != btx.ID() {
			t.Errorf("transaction %d, want %d", tx, btx.ID())
		}
		return btx.ForEach(func(name []byte, b *bolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				want = append(want, fmt.Sprintf("%s/%s=%s", name, k, v))
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	if len(want) != 302 || !slices.Equal(list, want) {
		t.Errorf("%d records were told, bbolt tells %d", len(list), len(want))
	}
}

// Whatever single bit is flipped, a walk ends and either finds it, or bbolt finds the same keys as before and Walk the
// same as bbolt: values are not its business.
func TestBitsFlipped(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	content := world(t)
	keysOf := func() (keys []string, err error) {
		_, err = Walk(bytes.NewReader(content), int64(len(content)), func(bucket string, key, value []byte) error {
			keys = append(keys, fmt.Sprintf("%s/%s %d", bucket, key, len(value)))
			return nil
		})
		return keys, err
	}
	before, err := keysOf()
	if err != nil {
		t.Fatal(err)
	}
	found, harmless, values := 0, 0, 0
	const step = 41 // others each time
	for at := random.IntN(step); at < len(content); at += step {
		bit := byte(1) << random.IntN(8)
		content[at] ^= bit
		after, err := keysOf()
		_, isBroken := errors.AsType[*Broken](err)
		switch {
		case isBroken:
			found++
		case err != nil:
			t.Errorf("byte %d, bit %#x: %v", at, bit, err)
		case slices.Equal(after, before):
			harmless++
		default:
			values++ // a key or a length, which a checksum over both finds
		}
		content[at] ^= bit
	}
	t.Logf("of %d bits %d were found, %d changed a key or a length, %d changed neither", len(content)/step, found, values, harmless)
	if found == 0 || values == 0 {
		t.Error("nothing was tried")
	}
}

// What is worse than a bit: garbage, another page's content, and a file that ends too soon.
func TestEveryPageReplaced(t *testing.T) {
	content := world(t)
	size := os.Getpagesize()
	random := rand.New(rand.NewPCG(1, 2))
	for at := 0; at < len(content); at += size {
		if _, _, err := told(content[:at]); at < 4*size && err == nil {
			t.Errorf("cut to %d bytes, and sound", at)
		}
		for _, kind := range []string{"zero", "inverted", "random", "another"} {
			bad := bytes.Clone(content)
			p := bad[at : at+size]
			for i := range p {
				switch kind {
				case "zero":
					p[i] = 0
				case "inverted":
					p[i] ^= 0xFF
				case "random":
					p[i] = byte(random.Uint32())
				case "another":
					p[i] = content[(at+size+i)%len(content)]
				}
			}
			_, tx, err := told(bad)
			if _, isBroken := errors.AsType[*Broken](err); err != nil && !isBroken {
				t.Errorf("page %d %s: %v", at/size, kind, err)
			}
			if at/size == 0 && err == nil && tx == 0 {
				t.Errorf("page %d %s: no transaction", at/size, kind)
			}
		}
	}
}

// A disk that does not read is no damage.
func TestReadErrorIsNoDamage(t *testing.T) {
	content := world(t)
	boom := errors.New("boom")
	_, err := Walk(failing{bytes.NewReader(content), boom}, int64(len(content)), func(string, []byte, []byte) error { return nil })
	if !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
}

// failing reads the metas, and then no more.
type failing struct {
	io.ReaderAt
	err error
}

func (f failing) ReadAt(b []byte, at int64) (int, error) {
	if at > int64(os.Getpagesize()) {
		return iotest.ErrReader(f.err).Read(b)
	}
	return f.ReaderAt.ReadAt(b, at)
}

func BenchmarkWalk(b *testing.B) {
	content := world(b)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if _, err := Walk(bytes.NewReader(content), int64(len(content)), func(string, []byte, []byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
