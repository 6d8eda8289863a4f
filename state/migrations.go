package state

import (
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"zfs2cloud/state/durable"
)

// bucketMeta holds what the database knows of itself.
const (
	bucketMeta = "meta"
	keySchema  = "schema"
)

// ErrNewer is the error of a database that a newer version of the program has written.
var ErrNewer = errors.New("state database is of a newer version")

var errMissing = errors.New("missing")

// migration leads from one schema to the next, in the transaction that first needs it.
type migration struct {
	what string
	do   func(*Tx) error
}

// migrations in order: number N, counted from 1, makes schema N out of N-1. What was released is never
// changed; a new schema is a new row at the end, with a test of its own.
var migrations = []migration{
	{"create the buckets", createBuckets},
	// An older program would take a backup for a base that was found bad, and lose the word of it.
	{"create the ledger of verifications", createBuckets},
	// An older program would forget what a job's record says of the Python tool's, and which of its snapshots are ours now.
	{"create the records of what the Python tool made", createBuckets},
}

func createBuckets(tx *Tx) error {
	for _, bucket := range Buckets {
		err := tx.touch(bucket, "", func() error {
			_, err := tx.bolt.CreateBucketIfNotExists([]byte(bucket))
			return err
		})
		if err != nil {
			return err
		}
	}
	// Once for all, before the first commit: a folder's entry survives a power cut only if the folder was
	// synced, and bbolt syncs the file alone.
	return durable.SyncDir(tx.file.folder, ".")
}

// migrate brings the database to the newest schema.
func (tx *Tx) migrate(list []migration) error {
	version, err := tx.schema(len(list))
	if err != nil || version == len(list) {
		return err
	}
	for _, m := range list[version:] {
		if err := m.do(tx); err != nil {
			return fmt.Errorf("%s: migrate: %s: %w", tx.file.path, m.what, err)
		}
	}
	return Put(tx, bucketMeta, keySchema, len(list))
}

// checkSchema is for readers, who take what is there.
func (tx *Tx) checkSchema() error {
	_, err := tx.schema(len(migrations))
	return err
}

// schema returns the version of the database, which is at most the newest known; 0 if it was just made.
func (tx *Tx) schema(newest int) (int, error) {
	version, known, err := Get[int](tx, bucketMeta, keySchema)
	if err != nil {
		return 0, err
	}
	if version > newest {
		return 0, fmt.Errorf("%w: %s has schema %d, this program knows up to %d", ErrNewer, tx.file.path, version, newest)
	}
	if !known {
		return 0, tx.checkUntouched()
	}
	return version, nil
}

// checkUntouched finds out why a database has no version. Without any bucket it is new. With ours it has
// lost it; with others it is another program's, and must be left alone.
func (tx *Tx) checkUntouched() error {
	var ours, others bool
	err := tx.touch("", "", func() error {
		return tx.bolt.ForEach(func(name []byte, _ *bolt.Bucket) error {
			if string(name) == bucketMeta || slices.Contains(Buckets, string(name)) {
				ours = true
			} else {
				others = true
			}
			return nil
		})
	})
	switch {
	case err != nil:
		return err
	case ours:
		return tx.file.damaged(bucketMeta, keySchema, errMissing)
	case others:
		return fmt.Errorf("%s: a database of another program", tx.file.path)
	}
	return nil
}
