package state

import (
	"fmt"
	"time"
)

// Backup is one exported snapshot, from its export's first effect to the day when it expires.
type Backup struct {
	Job  string `json:"job"`
	Name string `json:"name"` // its folder: STAMP or STAMP-full
	Run  string `json:"run"`  // the run that began it

	State   Cell      `json:"state"`
	Full    bool      `json:"full"`
	Reason  string    `json:"reason"` // why full or incremental, in words
	Created time.Time `json:"created"`
	Base    *Base     `json:"base,omitempty"`
	// Previous is the job's last commit when this one was begun.
	Previous *Commit `json:"previous,omitempty"`

	Dataset      string   `json:"dataset"`
	DatasetGUID  string   `json:"dataset_guid"`
	PoolGUID     string   `json:"pool_guid"`
	Host         string   `json:"host"`
	Snapshot     string   `json:"snapshot"`
	SnapshotGUID string   `json:"snapshot_guid"`
	SendFlags    []string `json:"send_flags"`
	SplitSize    int64    `json:"split_size"`
	Encryption   string   `json:"encryption"`
	Dir          string   `json:"dir"`   // intermediate_basedir that its folder is in
	Place        string   `json:"place"` // where it is, or will be, committed

	// Claims are the objects by which this host claims its folder at a remote: one for each process that uploads it.
	// Claimed is the last that was found to be alone; Contested says that another host's was seen.
	Claims    []string `json:"claims,omitempty"`
	Claimed   string   `json:"claimed,omitempty"`
	Contested bool     `json:"contested,omitempty"`

	// Canary is a message sealed with the passphrase of this backup; only that passphrase opens it.
	Canary []byte `json:"canary,omitempty"`

	Estimate     int64  `json:"estimate,omitempty"` // of the stream, in bytes; 0: not known
	StreamBytes  int64  `json:"stream_bytes,omitempty"`
	StreamSHA256 string `json:"stream_sha256,omitempty"`
	Sums         Sums   `json:"sums"`

	// Files: it is not made of chunks; the snapshot's files themselves were synced.
	Files *Files `json:"files,omitempty"`

	// Index is the file that tells what begins in which chunk. A backup of one chunk has none, and neither have those of before
	// there was such a thing.
	Index *Index `json:"index,omitempty"`
	// Indexes is the generation of the last index that was made, whether it came to be the backup's or not.
	Indexes int `json:"indexes,omitempty"`

	Manifest       []byte `json:"manifest,omitempty"`    // the exact object, until it is committed
	ManifestOf     string `json:"manifest_of,omitempty"` // the chunks that it names, as package actions tells them apart
	ManifestSHA256 string `json:"manifest_sha256,omitempty"`
	ManifestSize   int64  `json:"manifest_size,omitempty"`

	Committed *time.Time `json:"committed,omitempty"`
	// Going: its manifest is being deleted from its place. If who did that died, a listing tells whether it still is there.
	Going bool `json:"going,omitempty"`
	// Unmade: it was, by a prune. What is there still is left over.
	Unmade bool `json:"unmade,omitempty"`
	// Seen is when a listing last showed it whole at its place.
	Seen *time.Time `json:"seen,omitempty"`
	// Verified is what the last verification at each level found: what the ledger says of the whole, for those who ask of
	// many backups at once.
	Verified map[string]Finding `json:"verified,omitempty"`
	// Bad is what the first verification found that found it bad.
	Bad *Bad `json:"bad,omitempty"`
	// Pruned says that its intermediate folder was removed.
	Pruned bool `json:"pruned,omitempty"`
}

// Index is a file beside the chunks, sealed as they are.
type Index struct {
	Gen         int               `json:"gen"` // 1 and up: another one for other chunks
	Name        string            `json:"name"`
	Plain       int64             `json:"plain"`
	PlainSHA256 string            `json:"plain_sha256"`
	Size        int64             `json:"size"`
	SHA256      string            `json:"sha256"`
	Hashes      map[string]string `json:"hashes,omitempty"` // as a chunk's
}

// Files is a sync, as far as it has come: in the process that is, or was the last, at it.
type Files struct {
	Into    string `json:"into"`  // the remote's folder that was made equal to the snapshot
	Bytes   int64  `json:"bytes"` // of files that were transferred
	Total   int64  `json:"total"` // that were to be transferred
	Sent    int64  `json:"sent"`  // files transferred
	There   int64  `json:"there"` // objects there before
	Deleted int64  `json:"deleted"`
	Deletes int64  `json:"deletes"` // that were to be deleted
}

// Base is what an incremental is based on.
type Base struct {
	Name           string `json:"name"`
	Snapshot       string `json:"snapshot"`
	SnapshotGUID   string `json:"snapshot_guid"`
	ManifestSHA256 string `json:"manifest_sha256"`
}

// Sums are counts over a backup's chunks in their present generation, so that nobody who only asks how
// far things are has to read every chunk.
type Sums struct {
	Sealed        int   `json:"sealed"`         // encrypted here, uploaded or not
	Uploaded      int   `json:"uploaded"`       // seen on the remote
	PlainSealed   int64 `json:"plain_sealed"`   // bytes of the stream
	BytesSealed   int64 `json:"bytes_sealed"`   // bytes of chunk files
	BytesUploaded int64 `json:"bytes_uploaded"` // bytes of chunk files
}

func backupKey(job, name string) string { return job + "/" + name }

// Backup returns a backup of a job by its name.
func (tx *Tx) Backup(job, name string) (Backup, bool, error) {
	return Get[Backup](tx, BucketBackups, backupKey(job, name))
}

// MustBackup is Backup where a missing record is an error.
func (tx *Tx) MustBackup(job, name string) (Backup, error) {
	b, ok, err := tx.Backup(job, name)
	if err == nil && !ok {
		err = fmt.Errorf("no record of backup %s", name)
	}
	return b, err
}

// PutBackup stores a backup.
func (tx *Tx) PutBackup(b Backup) error { return Put(tx, BucketBackups, backupKey(b.Job, b.Name), b) }

// DropBackup removes the record of a backup, but not those of its chunks.
func (tx *Tx) DropBackup(job, name string) error {
	return Delete(tx, BucketBackups, backupKey(job, name))
}

// Backups lists the backups of a job, or of all jobs if it is empty, by job and name: the oldest first.
func (tx *Tx) Backups(job string) ([]Backup, error) {
	return values[Backup](tx, BucketBackups, jobPrefix(job))
}

// jobPrefix begins the keys of what belongs to a job, or, if it is empty, to any.
func jobPrefix(job string) string {
	if job == "" {
		return ""
	}
	return job + "/"
}
