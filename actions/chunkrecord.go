package actions

import (
	"fmt"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// moveChunk takes a chunk one transition on, and its backup's sums with it, and returns the backup. C is what the caller
// knows: if the record was moved by somebody else meanwhile, that is an error, and nothing is stored. A chunk that is
// counted out twice would leave sums that no chunk makes up for, and an export that never comes to its end.
func moveChunk(tx *state.Tx, c *state.Chunk, event workflow.ChunkEvent) (b state.Backup, err error) {
	now, ok, err := tx.Chunk(c.Job, c.Backup, c.N, c.Gen)
	if err != nil {
		return b, err
	}
	if !ok || now.State != c.State {
		return b, fmt.Errorf("chunk %d of %s (%s) is %q on record, and not %q any more", c.N, c.Backup, c.Name, now.State, c.State)
	}
	if b, err = tx.MustBackup(c.Job, c.Backup); err != nil {
		return b, err
	}
	sums := b.Sums
	count(&sums, now, -1)
	if err := workflow.ChunkMachine.Fire(tx, &c.State, event); err != nil {
		return b, err
	}
	count(&sums, *c, 1)
	if workflow.ChunkMachine.In(c.State, workflow.ChunkDiscarded) || workflow.BackupMachine.In(b.State, workflow.BackupCommitted) {
		c.Resume, c.Entry = nil, nil // no send goes on behind it any more, and the index is made
	}
	if err := tx.PutChunk(*c); err != nil || sums == b.Sums {
		return b, err
	}
	b.Sums = sums
	return b, tx.PutBackup(b)
}

// count adds a chunk to its backup's sums, or takes it out.
func count(s *state.Sums, c state.Chunk, sign int) {
	if seen(c) {
		s.Uploaded += sign
		s.BytesUploaded += int64(sign) * c.Size
	}
	if seen(c) || workflow.ChunkMachine.In(c.State, workflow.ChunkSealed, workflow.ChunkUploading) {
		s.Sealed += sign
		s.PlainSealed += int64(sign) * c.Plain
		s.BytesSealed += int64(sign) * c.Size
	}
}

// seen tells whether a chunk was seen at its place.
func seen(c state.Chunk) bool {
	return workflow.ChunkMachine.In(c.State, workflow.ChunkUploaded, workflow.ChunkReleased)
}

// current are a backup's chunks in their present generation, by number.
func current(chunks []state.Chunk) []state.Chunk {
	var out []state.Chunk
	for _, c := range chunks {
		if stands(c) {
			out = append(out, c)
		}
	}
	return out
}

// eachBlock gives the chunks of a backup in their present generation, some at a time. FN may change the database.
func eachBlock(view viewer, job, backup string, fn func([]state.Chunk) error) error {
	for block := 0; ; block++ {
		all, err := chunksIn(view, job, backup, block)
		if err != nil || len(all) == 0 {
			return err
		}
		if err := fn(current(all)); err != nil {
			return err
		}
	}
}

func chunksIn(view viewer, job, backup string, block int) (all []state.Chunk, err error) {
	err = view(func(tx *state.Tx) error {
		all, err = tx.ChunksIn(job, backup, block)
		return err
	})
	return all, err
}

// ledger looks chunks up while their stream goes by.
type ledger struct {
	view        viewer
	job, backup string
	block       int
	newest      map[int]state.Chunk // by number, of the block; nil before the first look
}

// at is the chunk with a number in its newest generation, as it was when the stream came into its block: the zero Chunk
// if there is none. It may be discarded.
func (l *ledger) at(n int) (state.Chunk, error) {
	if block := n / state.ChunkBlock; l.newest == nil || block != l.block {
		all, err := chunksIn(l.view, l.job, l.backup, block)
		if err != nil {
			return state.Chunk{}, err
		}
		l.block, l.newest = block, map[int]state.Chunk{}
		for _, c := range all { // generations in their order
			l.newest[c.N] = c
		}
	}
	return l.newest[n], nil
}

// stands tells whether there is such a chunk, and it was not discarded.
func stands(c state.Chunk) bool {
	return c.Name != "" && !workflow.ChunkMachine.In(c.State, workflow.ChunkDiscarded)
}

// hashesOf are the hashes known of a chunk's file, by kind.
func hashesOf(c state.Chunk) map[string]string {
	hashes := map[string]string{"sha256": c.SHA256}
	for kind, sum := range c.Hashes {
		hashes[kind] = sum
	}
	return hashes
}
