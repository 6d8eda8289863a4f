package main

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// BenchmarkChunks is what a look by status and the checkpoint of one more chunk take, by how many chunks the run has:
// alone, and beside 50 others who look at the status every second.
func BenchmarkChunks(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		c := newTale(b)
		chunk := manyChunks(c, n)
		for _, readers := range []int{0, 50} {
			stop := beside(c, readers)
			b.Run(fmt.Sprintf("status of %d beside %d", n, readers), func(b *testing.B) {
				for b.Loop() {
					if _, err := c.status(StatusCmd{}); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(fmt.Sprintf("checkpoint of %d beside %d", n, readers), func(b *testing.B) {
				for b.Loop() {
					chunk.N++
					chunk.State = state.Cell{}
					c.put(func(tx *state.Tx) error {
						at(c, tx, workflow.ChunkMachine, &chunk.State, workflow.ChunkSeal)
						return tx.PutChunk(chunk)
					})
				}
			})
			stop()
		}
	}
}

// beside has so many look at the status every second, until it is stopped.
func beside(c *tale, readers int) (stop func()) {
	ctx, cancel := context.WithCancel(c.Context())
	var over sync.WaitGroup
	for n := range readers {
		over.Go(func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			wait := time.After(time.Duration(n) * time.Second / time.Duration(readers)) // spread over the second
			for {
				select {
				case <-ctx.Done():
					return
				case <-wait:
				case <-tick.C:
				}
				wait = nil
				if _, err := c.status(StatusCmd{}); err != nil {
					c.Error(err)
					return
				}
			}
		})
	}
	return func() { cancel(); over.Wait() }
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
