package state

import "fmt"

// Beside the records of each bucket stands how many there are. A flipped bit in a page of keys can make
// bbolt lose records without a word; then the numbers differ.

func countKey(bucket string) string { return "count/" + bucket }

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
		err = tx.file.damaged(bucket, "", fmt.Errorf("%d records instead of %d", seen, should))
	}
	return err
}

// Verify reads every record that there is, and returns the first damage it finds.
func (tx *Tx) Verify() error {
	for _, bucket := range append([]string{bucketMeta}, Buckets...) {
		err := tx.walk(bucket, "", func(key string, stored []byte) error {
			if _, err := unseal(place(bucket, key), stored); err != nil {
				return tx.file.damaged(bucket, key, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
