package state

import "fmt"

// Chunk is one chunk file of a backup, in one generation. It is its own journal: sealing and uploading
// are intents, sealed and uploaded results.
type Chunk struct {
	Job    string `json:"job"`
	Backup string `json:"backup"`
	N      int    `json:"n"`
	Gen    int    `json:"gen"` // 1 and up
	Name   string `json:"name"`
	State  Cell   `json:"state"`

	Plain       int64             `json:"plain,omitempty"` // bytes of the stream in it
	PlainSHA256 string            `json:"plain_sha256,omitempty"`
	Size        int64             `json:"size,omitempty"` // bytes of the file
	SHA256      string            `json:"sha256,omitempty"`
	Hashes      map[string]string `json:"hashes,omitempty"` // of the file, by kind: what the remote can be asked for

	// Resume is how a send goes on behind the chunk (package actions, behind: some 300 bytes), as long as it may have to.
	// Records of before there was such a thing have none, and neither has a chunk before the first object.
	Resume []byte `json:"resume,omitempty"`

	// Entry is what the backup's index has of the chunk (package stream, Entry: some 300 bytes, less than 74 KiB), until it is
	// committed. Records of before have none, and neither has a chunk in which nothing begins.
	Entry []byte `json:"entry,omitempty"`
}

func chunkKey(job, backup string, n, gen int) string {
	return fmt.Sprintf("%s/%s/%08d.%04d", job, backup, n, gen)
}

// PutChunk stores a chunk.
func (tx *Tx) PutChunk(c Chunk) error {
	return Put(tx, BucketChunks, chunkKey(c.Job, c.Backup, c.N, c.Gen), c)
}

// Chunk returns a chunk.
func (tx *Tx) Chunk(job, backup string, n, gen int) (Chunk, bool, error) {
	return Get[Chunk](tx, BucketChunks, chunkKey(job, backup, n, gen))
}

// Chunks lists all chunks of a backup, discarded generations included, by number and generation.
func (tx *Tx) Chunks(job, backup string) ([]Chunk, error) {
	return values[Chunk](tx, BucketChunks, job+"/"+backup+"/")
}

// ChunkBlock is how many numbers a block of chunks has, which ChunksIn lists: the last three digits in a key.
const ChunkBlock = 1000

// ChunksIn lists the chunks of one block of a backup, as Chunks does. Numbers have no gaps, so that behind a block that
// is empty there are no more. Whoever goes through a backup in this way needs no more memory for a large one.
func (tx *Tx) ChunksIn(job, backup string, block int) ([]Chunk, error) {
	return values[Chunk](tx, BucketChunks, fmt.Sprintf("%s/%s/%05d", job, backup, block))
}

// DropChunks removes the chunk records of a backup; its sums stay.
func (tx *Tx) DropChunks(job, backup string) error {
	chunks, err := tx.Chunks(job, backup)
	if err != nil {
		return err
	}
	for _, c := range chunks {
		if err := Delete(tx, BucketChunks, chunkKey(c.Job, c.Backup, c.N, c.Gen)); err != nil {
			return err
		}
	}
	return nil
}
