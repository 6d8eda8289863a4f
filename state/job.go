package state

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// Job is a dataset and the place where its backups go. Backups, chains and snapshots belong to a job.
type Job struct {
	ID          string    `json:"id"` // 128 random bits in hex
	Dataset     string    `json:"dataset"`
	DatasetGUID string    `json:"dataset_guid"` // decimal; a renamed dataset stays the same job
	PoolGUID    string    `json:"pool_guid"`
	Place       string    `json:"place"` // the remote, or intermediate_basedir where the sequence has no upload step
	Config      string    `json:"config"`
	Created     time.Time `json:"created"`
	// MaxAge is backup_max_age of that config when it was last run, for who judges the job by another config; 0: not known.
	MaxAge time.Duration `json:"max_age,omitempty"`

	// Fresh says that nobody has looked yet whether this is an older job, whose record was lost.
	Fresh bool `json:"fresh,omitempty"`
	// Used says that the job's marker was stored at its place: from then on a place without it is an
	// error, never a new beginning.
	Used bool `json:"used"`
	// Newest is the newest commit ever, kept when its backup expires.
	Newest *Commit `json:"newest,omitempty"`
	// Children are the datasets below that no backup of this job covers, as last told to the user.
	Children []string `json:"children,omitempty"`
	// Left is what of the Python tool's was last seen, and nobody has taken over; nil: nobody has looked yet.
	Left *Left `json:"left,omitempty"`
}

// Commit names a committed backup beyond doubt.
type Commit struct {
	Name           string    `json:"name"`
	ManifestSHA256 string    `json:"manifest_sha256"` // of the stored object
	At             time.Time `json:"at"`
}

// NewJobID makes the identity of a job.
func NewJobID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Jobs lists all jobs.
func (tx *Tx) Jobs() ([]Job, error) { return values[Job](tx, BucketJobs, "") }

// Job returns a job by its id.
func (tx *Tx) Job(id string) (Job, bool, error) { return Get[Job](tx, BucketJobs, id) }

// PutJob stores a job.
func (tx *Tx) PutJob(j Job) error { return Put(tx, BucketJobs, j.ID, j) }

// DropJob removes a job of which nothing else is on record.
func (tx *Tx) DropJob(id string) error { return Delete(tx, BucketJobs, id) }

// ofJobs are the buckets whose keys begin with a job.
var ofJobs = []string{BucketBackups, BucketChunks, BucketVerified, BucketForeign, BucketAdopted, BucketOpened}

// DropJobWhole removes a job, and all else that is on record of it but its runs.
func (tx *Tx) DropJobWhole(id string) error {
	for _, bucket := range ofJobs {
		var keys []string
		err := tx.walk(bucket, jobPrefix(id), func(key string, _ []byte) error {
			keys = append(keys, key)
			return nil
		})
		if err != nil {
			return err
		}
		if err := tx.deleteAll(bucket, keys); err != nil {
			return err
		}
	}
	return tx.DropJob(id)
}

func (tx *Tx) deleteAll(bucket string, keys []string) error {
	for _, key := range keys {
		if err := Delete(tx, bucket, key); err != nil {
			return err
		}
	}
	return nil
}

// values is List without the keys, which the records carry themselves.
func values[T any](tx *Tx, bucket, prefix string) ([]T, error) {
	list, err := List[T](tx, bucket, prefix)
	if err != nil {
		return nil, err
	}
	out := make([]T, 0, len(list))
	for _, kv := range list {
		out = append(out, kv.Value)
	}
	return out, nil
}
