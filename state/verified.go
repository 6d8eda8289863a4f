package state

import (
	"fmt"
	"time"
)

// Verified is what was last found when a backup, or one of its chunks, was verified at a level.
type Verified struct {
	Job    string `json:"job"`
	Backup string `json:"backup"`
	Level  string `json:"level"` // as package actions names them
	// Chunk is the number of a chunk; nil is the backup as a whole.
	Chunk *int      `json:"chunk,omitempty"`
	At    time.Time `json:"at"`
	Run   string    `json:"run"`
	// By is the step and its attempt: what it has proved it does not prove again.
	By string `json:"by"`
	// Bad is what was wrong, in words; empty if nothing was.
	Bad string `json:"bad,omitempty"`
	// Chunks and Bytes are how much was proved, of a whole.
	Chunks int   `json:"chunks,omitempty"`
	Bytes  int64 `json:"bytes,omitempty"`
	// SHA256 is that of a piece of the Python tool's, as it was when all of them were proved: nothing else tells of it.
	SHA256 string `json:"sha256,omitempty"`
	// Stream is how far the stream behind this chunk was looked at, for who goes on with the next.
	Stream []byte `json:"stream,omitempty"`
}

// Finding is when a backup was verified, and what was wrong; empty if nothing was.
type Finding struct {
	At  time.Time `json:"at"`
	Bad string    `json:"bad,omitempty"`
}

// Bad is what a verification found wrong with a committed backup. It stays until one that is as close finds nothing wrong with all
// of it, and until then nothing is based on such a backup.
type Bad struct {
	At    time.Time `json:"at"`
	Level string    `json:"level"`
	What  string    `json:"what"`
}

func verifiedPrefix(job, backup, level string) string {
	return backupKey(job, backup) + "/" + level + "/"
}

// key sorts the whole before its chunks.
func (v Verified) key() string {
	prefix := verifiedPrefix(v.Job, v.Backup, v.Level)
	if v.Chunk == nil {
		return prefix
	}
	return fmt.Sprintf("%s%08d", prefix, *v.Chunk)
}

// PutVerified stores what was found, in place of what was found before.
func (tx *Tx) PutVerified(v Verified) error { return Put(tx, BucketVerified, v.key(), v) }

// VerifiedWhole returns what was last found of a backup as a whole at a level.
func (tx *Tx) VerifiedWhole(job, backup, level string) (Verified, bool, error) {
	return Get[Verified](tx, BucketVerified, verifiedPrefix(job, backup, level))
}

// VerifiedChunks calls FN for what was last found of each chunk of a backup at a level, by number.
func (tx *Tx) VerifiedChunks(job, backup, level string, fn func(Verified) error) error {
	return Each(tx, BucketVerified, verifiedPrefix(job, backup, level), func(_ string, v Verified) error {
		if v.Chunk == nil {
			return nil
		}
		return fn(v)
	})
}

// DropVerifiedChunks removes what was found of the single chunks of a backup at a level; what was found of the whole stays.
func (tx *Tx) DropVerifiedChunks(job, backup, level string) error {
	return tx.dropVerified(verifiedPrefix(job, backup, level), func(v Verified) bool { return v.Chunk != nil })
}

// DropVerified removes all that was found of a backup.
func (tx *Tx) DropVerified(job, backup string) error {
	return tx.dropVerified(backupKey(job, backup)+"/", func(Verified) bool { return true })
}

func (tx *Tx) dropVerified(prefix string, which func(Verified) bool) error {
	var keys []string
	err := Each(tx, BucketVerified, prefix, func(key string, v Verified) error {
		if which(v) {
			keys = append(keys, key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return tx.deleteAll(BucketVerified, keys)
}
