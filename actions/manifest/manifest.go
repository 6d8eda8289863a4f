package manifest

import (
	"time"

	"zfs2cloud/actions/settings"
)

// The formats. A new key means a new one, and a reader reads all there are.
const (
	Format1 = "zfs2cloud-manifest-1"
	Format2 = "zfs2cloud-manifest-2" // names an index
)

// MaxSize is the most that a manifest may have, sealed or not, in bytes.
const MaxSize = 64 << 20

// Kind says what a backup's stream holds.
type Kind string

const (
	Full        Kind = "full"
	Incremental Kind = "incremental"
)

// Manifest is what a backup consists of. GUIDs are decimal strings, hashes are SHA-256 in lower-case hex.
type Manifest struct {
	Name         string    `json:"name"` // of the folder
	Kind         Kind      `json:"kind"`
	Created      time.Time `json:"created"` // UTC, whole seconds; the true time, should the stamp be ahead of it
	Tool         string    `json:"tool"`
	Host         string    `json:"host"`
	Job          string    `json:"job"` // 128 random bits in hex
	PoolGUID     string    `json:"pool_guid"`
	Dataset      string    `json:"dataset"`
	DatasetGUID  string    `json:"dataset_guid"`
	Snapshot     string    `json:"snapshot"` // its name behind the @: the stamp, or another that another tool gave it
	SnapshotGUID string    `json:"snapshot_guid"`
	SendFlags    []string  `json:"send_flags"`
	Base         *Base     `json:"base"`     // nil for a full
	Previous     *Previous `json:"previous"` // the job's last commit before; nil for the first
	SplitSize    int64     `json:"split_size"`
	StreamBytes  int64     `json:"stream_bytes"`
	StreamSHA256 string    `json:"stream_sha256"`
	Index        *Index    `json:"index"` // nil where there is none, which is format 1
	Chunks       []Chunk   `json:"chunks"`
}

// Index is the file that tells what begins in which chunk, so that a restore that was cut off goes on with no more than what
// it needs (package stream, Find). It is sealed as a chunk is. A backup is whole without it.
type Index struct {
	Gen         int    `json:"gen"`
	Name        string `json:"name"`
	Plain       int64  `json:"plain"`
	Size        int64  `json:"size"`
	SHA256      string `json:"sha256"`
	PlainSHA256 string `json:"plain_sha256"`
}

// Base is the backup that an incremental starts from.
type Base struct {
	Name           string `json:"name"`
	SnapshotGUID   string `json:"snapshot_guid"`
	ManifestSHA256 string `json:"manifest_sha256"` // of the object as it is stored
}

// Previous is the commit before this one.
type Previous struct {
	Name           string `json:"name"`
	ManifestSHA256 string `json:"manifest_sha256"`
}

// Chunk is one file.
type Chunk struct {
	N           int    `json:"n"`
	Gen         int    `json:"gen"`
	Name        string `json:"name"`
	Plain       int64  `json:"plain"`  // bytes of the stream in it
	Size        int64  `json:"size"`   // of the file
	SHA256      string `json:"sha256"` // of the file
	PlainSHA256 string `json:"plain_sha256"`
}

// Encryption is how the chunks were sealed, by their names.
func (m *Manifest) Encryption() settings.Encryption {
	if len(m.Chunks) > 0 && m.Chunks[0].Name == m.chunkName(m.Chunks[0], settings.None) {
		return settings.None
	}
	return settings.GPG
}

// Bytes is the size of all chunk files together.
func (m *Manifest) Bytes() int64 {
	var sum int64
	for _, c := range m.Chunks {
		sum += c.Size
	}
	return sum
}
