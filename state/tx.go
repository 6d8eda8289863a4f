package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"zfs2cloud/state/crash"
)

// Tx is a transaction. It is used by one goroutine, and not after the function it was handed to returned.
type Tx struct {
	file   *boltFile
	bolt   *bolt.Tx // nil in an empty database
	gate   *os.File // nil where there is none
	write  bool
	ended  bool
	walks  int            // calls of Each under way
	counts map[string]int // of the buckets that this transaction changed
	undo   []func()       // takes Cells back
}

// Keyed is a record and the key it is stored under.
type Keyed[T any] struct {
	Key   string
	Value T
}

var (
	errEnded    = errors.New("transaction has ended")
	errReadOnly = errors.New("transaction only reads")
	errWalking  = errors.New("bucket changed while it is walked")
)

// Put stores a record under a key, in place of the one there.
func Put[T any](tx *Tx, bucket, key string, v T) error {
	if err := tx.mayWrite(); err != nil {
		return err
	}
	stored, err := seal(place(bucket, key), v)
	if err != nil {
		return err
	}
	return tx.put(bucket, key, stored)
}

// Get returns the record under a key, and whether there is one.
func Get[T any](tx *Tx, bucket, key string) (T, bool, error) {
	var v T
	stored, err := tx.get(bucket, key)
	if err != nil || stored == nil {
		return v, false, err
	}
	if err := tx.decode(bucket, key, stored, &v); err != nil {
		return v, false, err
	}
	return v, true, nil
}

// Delete removes the record under a key, which need not be there.
func Delete(tx *Tx, bucket, key string) error {
	if err := tx.mayWrite(); err != nil {
		return err
	}
	stored, err := tx.get(bucket, key)
	if err != nil || stored == nil {
		return err
	}
	if err := tx.count(bucket, -1); err != nil {
		return err
	}
	return tx.touch(bucket, key, func() error { return tx.bolt.Bucket([]byte(bucket)).Delete([]byte(key)) })
}

// List returns all records whose key begins with a prefix, in the order of their keys.
func List[T any](tx *Tx, bucket, prefix string) ([]Keyed[T], error) {
	var list []Keyed[T]
	err := Each(tx, bucket, prefix, func(key string, v T) error {
		list = append(list, Keyed[T]{key, v})
		return nil
	})
	return list, err
}

// Each calls fn for all records whose key begins with a prefix, in the order of their keys, until fn
// returns an error. fn must not change the database. A walk over a whole bucket (no prefix) also finds that
// a record is missing.
func Each[T any](tx *Tx, bucket, prefix string, fn func(key string, v T) error) error {
	return tx.walk(bucket, prefix, func(key string, stored []byte) error {
		var v T
		if err := tx.decode(bucket, key, stored, &v); err != nil {
			return err
		}
		return fn(key, v)
	})
}

func (tx *Tx) mayWrite() error {
	switch {
	case tx.ended:
		return errEnded
	case !tx.write:
		return errReadOnly
	case tx.walks > 0:
		return errWalking
	}
	return nil
}

// place is what a record's checksum ties it to.
func place(bucket, key string) string { return bucket + "/" + key }

func (tx *Tx) put(bucket, key string, stored []byte) error {
	old, err := tx.get(bucket, key)
	if err != nil {
		return err
	}
	if old == nil {
		if err := tx.count(bucket, +1); err != nil {
			return err
		}
	}
	return tx.touch(bucket, key, func() error {
		b, err := tx.bolt.CreateBucketIfNotExists([]byte(bucket))
		if err != nil {
			return err
		}
		return b.Put([]byte(key), stored)
	})
}

// get returns a copy of what is stored, or nil.
func (tx *Tx) get(bucket, key string) (stored []byte, err error) {
	err = tx.touch(bucket, key, func() error {
		if b := tx.bolt.Bucket([]byte(bucket)); b != nil {
			stored = bytes.Clone(b.Get([]byte(key)))
		}
		return nil
	})
	return stored, err
}

// decode checks and parses what is stored. Bytes that are as we stored them, and yet do not fit the type,
// are our mistake and no damage.
func (tx *Tx) decode(bucket, key string, stored []byte, v any) error {
	value, err := unseal(place(bucket, key), stored)
	if err != nil {
		return tx.file.damaged(bucket, key, err)
	}
	if err := json.Unmarshal(value, v); err != nil {
		return fmt.Errorf("%s: %w", place(bucket, key), err)
	}
	return nil
}

// walk calls fn with a copy of each key and value that begin with a prefix.
func (tx *Tx) walk(bucket, prefix string, fn func(key string, stored []byte) error) error {
	tx.walks++
	defer func() { tx.walks-- }()
	var cursor *bolt.Cursor
	seen := 0
	for {
		var key string
		var stored []byte
		err := tx.touch(bucket, "", func() error {
			var k, v []byte
			if cursor != nil {
				k, v = cursor.Next()
			} else if b := tx.bolt.Bucket([]byte(bucket)); b != nil {
				cursor = b.Cursor()
				k, v = cursor.Seek([]byte(prefix))
			}
			if k != nil && bytes.HasPrefix(k, []byte(prefix)) {
				key, stored = string(k), append([]byte{}, v...)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if stored == nil {
			break
		}
		seen++
		if err := fn(key, stored); err != nil {
			return err
		}
	}
	if prefix != "" {
		return nil
	}
	return tx.compareCount(bucket, seen)
}

// touch is the only way to bbolt inside a transaction: see boltFile.guard. An empty database has nothing to
// touch.
func (tx *Tx) touch(bucket, key string, fn func() error) error {
	if tx.ended {
		return errEnded
	}
	if tx.bolt == nil {
		return nil
	}
	err := tx.file.guard(bucket, key, fn)
	if _, isDamage := errors.AsType[*DamagedError](err); err == nil || isDamage {
		return err
	}
	return fmt.Errorf("%s: %w", place(bucket, key), err)
}

// commit ends a writing transaction and makes it last.
func (tx *Tx) commit() error {
	if err := tx.storeCounts(); err != nil {
		return err
	}
	crash.Point("commit.before")
	committed := mark{Tx: uint64(tx.bolt.ID())}
	if err := tx.file.guard("", "", tx.bolt.Commit); err != nil {
		return tx.file.named(err)
	}
	crash.Point("commit.after")
	tx.bolt, tx.undo = nil, nil
	// The commit stands, whatever becomes of its mark: one that is left behind accuses nobody.
	if info, err := tx.file.raw.Stat(); err == nil {
		committed.File = stampOf(info)
	}
	_ = committed.write(tx.gate)
	return nil
}

// end ends a transaction that was not committed, and is called after commit, too.
func (tx *Tx) end() error {
	tx.ended = true
	for i := len(tx.undo) - 1; i >= 0; i-- {
		tx.undo[i]()
	}
	if tx.bolt == nil || tx.file.broken != nil {
		return nil
	}
	err := tx.file.guard("", "", tx.bolt.Rollback)
	if errors.Is(err, berrors.ErrTxClosed) { // a commit that failed has rolled back
		return nil
	}
	return err
}
