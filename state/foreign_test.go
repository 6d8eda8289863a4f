package state

import (
	"slices"
	"testing"
)

// What is on record of the Python tool's is a job's own.
func TestForeign(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	ok(t, s.Update(func(tx *Tx) error {
		ok(t, tx.PutForeign(Foreign{Job: "a", Name: "20240101000000-full", Pieces: 4}))
		ok(t, tx.PutForeign(Foreign{Job: "a", Name: "20240102000000"}))
		ok(t, tx.PutForeign(Foreign{Job: "ab", Name: "20240101000000-full"}))
		ok(t, tx.PutAdopted(Adopted{Job: "a", GUID: "1"}))
		ok(t, tx.PutAdopted(Adopted{Job: "a", GUID: "2"}))
		ok(t, tx.PutAdopted(Adopted{Job: "b", GUID: "1"}))
		return nil
	}))
	ok(t, s.Update(func(tx *Tx) error {
		ok(t, tx.DropAdopted("a", "3"))
		return tx.DropAdopted("a", "2")
	}))
	ok(t, s.View(func(tx *Tx) error {
		of, err := tx.Foreigns("a")
		ok(t, err)
		same(t, len(of), 2)
		same(t, of[0].Pieces, 4)
		all, err := tx.Foreigns("")
		ok(t, err)
		same(t, len(all), 3)
		_, known, err := tx.Foreign("ab", "20240102000000")
		ok(t, err)
		same(t, known, false)
		adopted, err := tx.AdoptedBy("a")
		ok(t, err)
		same(t, len(adopted), 1)
		same(t, adopted[0].GUID, "1")
		return nil
	}))
}

// Of a job that is dropped nothing stays in any bucket but that of its runs, and nothing else goes.
func TestDropJobWhole(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	apart := []string{BucketJobs, BucketRuns, BucketJournal, BucketLocks} // their keys begin with something else
	ok(t, s.Update(func(tx *Tx) error {
		for _, job := range []string{"a", "ab"} {
			ok(t, tx.PutJob(Job{ID: job}))
			for _, bucket := range Buckets {
				if !slices.Contains(apart, bucket) {
					ok(t, Put(tx, bucket, job+"/20240101000000-full", 1))
				}
			}
		}
		return tx.DropJobWhole("a")
	}))
	ok(t, s.View(func(tx *Tx) error {
		jobs, err := tx.Jobs()
		ok(t, err)
		same(t, len(jobs), 1)
		for _, bucket := range Buckets {
			if slices.Contains(apart, bucket) {
				continue
			}
			left, err := List[int](tx, bucket, "")
			ok(t, err)
			same(t, len(left), 1)
			same(t, left[0].Key, "ab/20240101000000-full")
		}
		return nil
	}))
}
