package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"zfs2cloud/state/durable"
	"zfs2cloud/state/pages"
)

// A process looks through the whole file before its first transaction on it: its pages, the checksum of every
// record, and how many there are (package pages says why bbolt can't be asked). What other processes of ours
// change from then on, they change by bbolt, in a file that they have looked through, too. So a look at the
// status (Glance) relies on the file while the mark says that nobody but them has written to it.

// errNothing is the error of a database that is missing or empty, as one is that was never written.
var errNothing = errors.New("no database yet")

// inspect is an error unless the database NAME can be relied on. The gate is passed.
func (s *Store) inspect(folder *os.Root, name string, gate *os.File, write bool, deadline time.Time) error {
	m, _, err := readMark(gate)
	if err != nil {
		return err
	}
	info, err := folder.Stat(name)
	gone := errors.Is(err, fs.ErrNotExist)
	if err != nil && !gone {
		return durable.Whole(folder, err)
	}
	if gone || info.Size() == 0 {
		return s.lost(gone, m.Tx)
	}
	if s.inspected.Load() || s.glances && !write && m.untouched(info) {
		return nil
	}
	f, err := openBolt(folder, name, false, deadline)
	if err != nil {
		return err
	}
	if err := errors.Join(f.inspect(info.Size(), m.Tx), f.close()); err != nil {
		return err
	}
	s.inspected.Store(true)
	return nil
}

// lost says what a missing or empty database is.
func (s *Store) lost(gone bool, marked uint64) error {
	what := "it is empty"
	if gone {
		what = "it is gone"
	}
	if marked == 0 {
		return errNothing
	}
	return &DamagedError{Path: s.path, Cause: fmt.Errorf("%s, and %d transactions had been committed to it", what, marked)}
}

// inspect looks through an open file.
func (f *boltFile) inspect(size int64, marked uint64) error {
	c := census{file: f, seen: map[string]int{}, counts: map[string]int{}}
	tx, err := pages.Walk(f.raw, size, c.visit)
	if broken, is := errors.AsType[*pages.Broken](err); is {
		return &DamagedError{Path: f.path, Cause: broken}
	}
	if err != nil {
		return err
	}
	if tx < marked {
		return &DamagedError{Path: f.path, Cause: fmt.Errorf("transaction %d is the last in it, and %d had been committed", tx, marked)}
	}
	return c.verdict()
}

// census is what the records of a file say of themselves.
type census struct {
	file   *boltFile
	ours   bool // there is a record that only we can have written
	schema bool
	seen   map[string]int // records, by bucket
	counts map[string]int // how many there should be
	bad    error          // the first record that is not as it was stored
}

func (c *census) visit(bucket string, k, stored []byte) error {
	key := string(k)
	if bucket != bucketMeta {
		c.seen[bucket]++
	}
	value, err := unseal(place(bucket, key), stored)
	if err != nil {
		if c.bad == nil {
			c.bad = &DamagedError{Path: c.file.path, Bucket: bucket, Key: key, Cause: err}
		}
		return nil
	}
	c.ours = true
	counted, isCount := strings.CutPrefix(key, countPrefix)
	switch {
	case bucket != bucketMeta:
	case key == keySchema:
		c.schema = true
	case isCount:
		var n int
		if err := json.Unmarshal(value, &n); err != nil {
			return fmt.Errorf("%s: %w", place(bucket, key), err)
		}
		c.counts[counted] = n
	}
	return nil
}

// verdict judges what was seen. A file without any record of ours is another program's, or new: the schema tells.
func (c *census) verdict() error {
	switch {
	case !c.ours:
		return nil
	case c.bad != nil:
		return c.bad
	case !c.schema:
		return &DamagedError{Path: c.file.path, Bucket: bucketMeta, Key: keySchema, Cause: errMissing}
	}
	for _, bucket := range slices.Sorted(maps.Keys(c.counts)) {
		if err := c.compare(bucket); err != nil {
			return err
		}
	}
	for _, bucket := range slices.Sorted(maps.Keys(c.seen)) {
		if err := c.compare(bucket); err != nil {
			return err
		}
	}
	return nil
}

func (c *census) compare(bucket string) error {
	seen, should := c.seen[bucket], c.counts[bucket]
	if seen == should {
		return nil
	}
	return &DamagedError{Path: c.file.path, Bucket: bucket, Cause: miscounted(seen, should)}
}
