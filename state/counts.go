package state

import "fmt"

// Beside the records of each bucket stands how many there are. A flipped bit in a page of keys can make
// bbolt lose records without a word; then the numbers differ.

const countPrefix = "count/"

func countKey(bucket string) string { return countPrefix + bucket }

func miscounted(seen, should int) error { return fmt.Errorf("%d records instead of %d", seen, should) }

// count notes that a bucket gains or loses records. Bucket meta, where the numbers are, is not counted.
func (tx *Tx) count(bucket string, by int) error {
	if bucket == bucketMeta {
		return nil
	}
	n, err := tx.counted(bucket)
	if err != nil {
		return err
	}
	tx.counts[bucket] = n + by
	return nil
}

// counted returns how many records a bucket should have.
func (tx *Tx) counted(bucket string) (int, error) {
	if n, changed := tx.counts[bucket]; changed {
		return n, nil
	}
	n, _, err := Get[int](tx, bucketMeta, countKey(bucket))
	return n, err
}

func (tx *Tx) storeCounts() error {
	for bucket, n := range tx.counts {
		if err := Put(tx, bucketMeta, countKey(bucket), n); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) compareCount(bucket string, seen int) error {
	if bucket == bucketMeta {
		return nil
	}
	should, err := tx.counted(bucket)
	if err == nil && seen != should {
		err = tx.file.damaged(bucket, "", miscounted(seen, should))
	}
	return err
}
