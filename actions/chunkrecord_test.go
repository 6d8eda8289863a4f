package actions

import (
	"errors"
	"path/filepath"
	"testing"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// A backup's sums follow its chunks through each transition, and nobody moves a chunk by what he knew of it before
// somebody else did.
func TestMoveChunk(t *testing.T) {
	store := state.New(filepath.Join(t.TempDir(), "state.db"))
	c := state.Chunk{Job: "j", Backup: "20261101030000-full", N: 3, Gen: 1, Name: "chunk", Plain: 100, Size: 166, Resume: []byte("mark")}
	other := state.Sums{Sealed: 3, Uploaded: 2, PlainSealed: 300, BytesSealed: 498, BytesUploaded: 332} // of chunks 0 to 2
	err := store.Update(func(tx *state.Tx) error {
		b := state.Backup{Job: c.Job, Name: c.Backup, Sums: other}
		if err := workflow.BackupMachine.Born(tx, &b.State); err != nil {
			return err
		}
		if err := tx.PutBackup(b); err != nil {
			return err
		}
		if err := workflow.ChunkMachine.Born(tx, &c.State); err != nil {
			return err
		}
		return tx.PutChunk(c)
	})
	if err != nil {
		t.Fatal(err)
	}
	sealed := other
	sealed.Sealed, sealed.PlainSealed, sealed.BytesSealed = 4, 400, 664
	uploaded := sealed
	uploaded.Uploaded, uploaded.BytesUploaded = 3, 498
	move := func(c *state.Chunk, event workflow.ChunkEvent) (sums state.Sums, err error) {
		err = store.Update(func(tx *state.Tx) error {
			_, err := moveChunk(tx, c, event)
			return err
		})
		if verr := store.View(func(tx *state.Tx) error {
			b, err := tx.MustBackup(c.Job, c.Backup)
			sums = b.Sums
			return err
		}); verr != nil {
			t.Fatal(verr)
		}
		return sums, err
	}
	var asSealed state.Chunk
	for _, step := range []struct {
		event workflow.ChunkEvent
		want  state.Sums
	}{
		{workflow.ChunkSeal, sealed}, {workflow.ChunkUpload, sealed}, {workflow.ChunkLost, sealed}, {workflow.ChunkUpload, sealed},
		{workflow.ChunkSeen, uploaded}, {workflow.ChunkLost, sealed}, {workflow.ChunkUpload, sealed}, {workflow.ChunkSeen, uploaded},
		{workflow.ChunkRelease, uploaded}, {workflow.ChunkDiscard, other},
	} {
		if sums, err := move(&c, step.event); err != nil || sums != step.want {
			t.Errorf("%s: %+v, %v; not %+v", step.event, sums, err, step.want)
		}
		if marked := len(c.Resume) > 0; marked == (step.event == workflow.ChunkDiscard) {
			t.Errorf("%s: marked: %v", step.event, marked)
		}
		if step.event == workflow.ChunkSeal {
			asSealed = c
		}
	}
	kept := state.Chunk{Job: c.Job, Backup: c.Backup, N: 4, Gen: 1, Name: "chunk of what is committed", Resume: []byte("mark")}
	err = store.Update(func(tx *state.Tx) error {
		b, err := tx.MustBackup(c.Job, c.Backup)
		if err == nil {
			err = workflow.BackupMachine.Fire(tx, &b.State, workflow.BackupExport)
		}
		if err == nil {
			err = workflow.BackupMachine.Fire(tx, &b.State, workflow.BackupCommit)
		}
		if err == nil {
			err = tx.PutBackup(b)
		}
		return errors.Join(err, born(tx, workflow.ChunkMachine, &kept.State, workflow.ChunkSeal, workflow.ChunkUpload, workflow.ChunkSeen), tx.PutChunk(kept))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := move(&kept, workflow.ChunkRelease); err != nil || kept.Resume != nil {
		t.Errorf("of a backup that is committed: mark %q, %v", kept.Resume, err)
	}
	if sums, err := move(&asSealed, workflow.ChunkDiscard); err == nil || sums != other {
		t.Errorf("a chunk that was discarded meanwhile is discarded again: %+v, %v", sums, err)
	}
}
