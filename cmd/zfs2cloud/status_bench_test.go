package main

import (
	"fmt"
	"testing"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// BenchmarkChunks is what a look by status and the checkpoint of one more chunk take, by how many chunks the run has.
func BenchmarkChunks(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		c := newTale(b)
		chunk := manyChunks(c, n)
		b.Run(fmt.Sprintf("status of %d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := c.status(StatusCmd{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("checkpoint of %d", n), func(b *testing.B) {
			for b.Loop() {
				chunk.N++
				chunk.State = state.Cell{}
				c.put(func(tx *state.Tx) error {
					at(c, tx, workflow.ChunkMachine, &chunk.State, workflow.ChunkSeal)
					return tx.PutChunk(chunk)
				})
			}
		})
	}
}

// manyChunks puts a run on record that was killed when it had sealed N chunks, and returns the last.
func manyChunks(c *tale, n int) state.Chunk {
	c.job("tank/data", taleGUID, taleJob)
	name := c.backup(taleJob, today("03:52:00"), state.Backup{Run: "7k3f", Full: true, Sums: state.Sums{Sealed: n}})
	c.run(taleRun{Run: state.Run{Backup: name}, state: []workflow.RunEvent{workflow.RunStart},
		steps: [][]workflow.StepEvent{stepDone, stepDone, stepDone, stepDone, stepRunning}})
	chunk := state.Chunk{Job: taleJob, Backup: name, N: -1, Gen: 1, Plain: 1 << 30, Size: 1 << 30, SHA256: fmt.Sprintf("%064d", n), PlainSHA256: fmt.Sprintf("%064d", n)}
	for left := n; left > 0; left -= 10_000 { // a transaction is in memory
		c.put(func(tx *state.Tx) error {
			for range min(left, 10_000) {
				chunk.N++
				chunk.State = state.Cell{}
				chunk.Name = fmt.Sprintf("tank-data@20261125035200.zfs.%06d.gpg", chunk.N)
				at(c, tx, workflow.ChunkMachine, &chunk.State, workflow.ChunkSeal)
				if err := tx.PutChunk(chunk); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return chunk
}
