package actions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// errLost is the error of a chunk that was stored and is not there, or not as it was stored.
var errLost = errors.New("not there as it was stored")

// lostFiles are those of the chunks that are sealed, and whose files are not there, or not of their size.
func (k *Kit) lostFiles(ctx context.Context, b state.Backup, chunks []state.Chunk) (lost []state.Chunk, err error) {
	for _, c := range chunks {
		if !workflow.ChunkMachine.In(c.State, workflow.ChunkSealed) {
			continue
		}
		whole, err := k.fileIs(ctx, b, c, false)
		if err != nil {
			return nil, err
		}
		if !whole {
			lost = append(lost, c)
		}
	}
	return lost, nil
}

func goneOrChanged(b state.Backup, c state.Chunk) error {
	return fmt.Errorf("%s is gone or changed", inDir(b, c.Name))
}

// haveFile makes sure that a sealed chunk's file is there before it is sent, and of its size. Where the place
// has no hash to tell by afterwards, it is read and compared as a whole; so it is where the chunk was sealed for another
// place, and has no hash of this one's kind, which it then gets.
func (u *uploading) haveFile(ctx context.Context, fx workflow.Fx, c *state.Chunk) error {
	_, known := hashesOf(*c)[u.hash]
	whole, err := u.kit.fileIs(ctx, u.backup, *c, u.hash == "")
	if err == nil && whole && u.hash != "" && !known {
		whole, err = u.hashFile(ctx, c)
	}
	if err != nil || whole {
		return err
	}
	return u.sealAgain(fx, goneOrChanged(u.backup, *c), *c)
}

// hashFile computes the hash of a chunk's file that its place can be asked for, and tells whether the file is as it was sealed.
func (u *uploading) hashFile(ctx context.Context, c *state.Chunk) (whole bool, err error) {
	digest, whole, err := readFile(ctx, u.backup, *c, u.hash)
	if whole {
		hashes := hashesOf(*c)
		delete(hashes, "sha256")
		maps.Copy(hashes, digest.Hashes)
		c.Hashes = hashes
	}
	return whole, err
}

// readFile reads a chunk's file, and tells whether it is as it was sealed. The digest has hashes of further KINDS.
func readFile(ctx context.Context, b state.Backup, c state.Chunk, kinds ...string) (digest chunk.Digest, whole bool, err error) {
	f, err := os.Open(inDir(b, c.Name))
	if err != nil {
		return digest, false, err
	}
	defer f.Close()
	digest, err = chunk.HashFile(ctx, f, chunk.Digest{Size: c.Size, SHA256: c.SHA256}, kinds...)
	if errors.Is(err, chunk.ErrDiffers) {
		return digest, false, nil
	}
	return digest, err == nil, err
}

// fileIs tells whether a chunk's file is there as it was sealed, by its size or by all of it.
func (k *Kit) fileIs(ctx context.Context, b state.Backup, c state.Chunk, wholly bool) (bool, error) {
	name := inDir(b, c.Name)
	info, err := os.Lstat(name)
	if errors.Is(err, os.ErrNotExist) {
		// It is gone only if intermediate_basedir is there: else nobody knows.
		root, err := openDir(b.Dir)
		if err != nil {
			return false, k.givenUpDir(b.Dir, err)
		}
		return false, root.Close()
	}
	if err != nil {
		return false, err
	}
	same := info.Mode().IsRegular() && info.Size() == c.Size
	if !same || !wholly {
		return same, nil
	}
	_, same, err = readFile(ctx, b, c)
	return same, err
}

// lost takes chunks that are not at their place back to sealed. Those whose files are gone or changed too are sealed again, all
// in one go, since that may take a send of all that is before them.
func (u *uploading) lost(ctx context.Context, fx workflow.Fx, why error, chunks ...state.Chunk) error {
	var here, nowhere []state.Chunk
	for _, c := range chunks {
		whole, err := u.kit.fileIs(ctx, u.backup, c, true)
		switch {
		case err != nil:
			return errors.Join(why, err)
		case !whole || u.inPlace() || workflow.ChunkMachine.In(c.State, workflow.ChunkReleased):
			nowhere = append(nowhere, c)
		default:
			here = append(here, c)
		}
	}
	var err error
	if len(here) > 0 {
		err = fx.Note(func(tx *state.Tx, _ *state.Run) error {
			for i := range here {
				if _, err := moveChunk(tx, &here[i], workflow.ChunkLost); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err == nil && len(nowhere) > 0 {
		return u.sealAgain(fx, why, nowhere...)
	}
	return errors.Join(err, why)
}

// sealAgain discards chunks that are nowhere any more and reopens the export, which seals them in a new
// generation.
func (u *uploading) sealAgain(fx workflow.Fx, why error, lost ...state.Chunk) error {
	err := fx.Note(func(tx *state.Tx, _ *state.Run) error {
		if err := discardChunks(tx, lost); err != nil {
			return err
		}
		b, err := tx.MustBackup(u.backup.Job, u.backup.Name)
		if err != nil || !workflow.BackupMachine.In(b.State, workflow.BackupExported) {
			return err
		}
		if err := workflow.BackupMachine.Fire(tx, &b.State, workflow.BackupReopen); err != nil {
			return err
		}
		return tx.PutBackup(b)
	})
	if err != nil {
		return err
	}
	return &workflow.Back{To: workflow.Export, Err: why}
}
