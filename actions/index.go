package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/stream"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// A backup of several chunks has an index beside them (package stream): what begins in which, so that a restore that was cut
// off goes on with no more than it needs. It is made of the chunks' records when all are sealed, sealed as they are, and stored
// before the manifest, which names it. Nothing hangs on it: without it a restore reads again from the first chunk on.

// beside are the names of what lies in a backup's folder beside chunks, claims and manifest.
func beside(b state.Backup) []string { return append(texts(b), indexNames(b)...) }

// indexNames are the names that an index of a backup may have, also one that was made, and is not on record.
func indexNames(b state.Backup) (names []string) {
	for gen := 1; gen <= b.Indexes+1; gen++ {
		names = append(names, manifest.IndexName(gen, settings.Encryption(b.Encryption)))
	}
	return names
}

// sealIndex makes the index of a backup's chunks, in their folder. There is none of a single chunk, and none where the records
// of the chunks tell nothing.
func (u *uploading) sealIndex(ctx context.Context, b state.Backup, sealer chunk.Sealer) (*state.Index, error) {
	chunks, known := 0, false
	err := u.eachBlock(func(block []state.Chunk) error {
		for _, c := range block {
			known = known || chunks > 0 && c.Entry != nil
			chunks++
		}
		return nil
	})
	if err != nil || !known {
		return nil, err
	}
	folder, err := os.OpenRoot(filepath.Join(b.Dir, b.Name))
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	if err := removeTemps(folder); err != nil { // of a process that died here; no chunk is sealed now
		return nil, err
	}
	x := &state.Index{Gen: b.Indexes + 1}
	x.Name = manifest.IndexName(x.Gen, settings.Encryption(b.Encryption))
	out, in := io.Pipe()
	go func() {
		w := stream.NewIndexWriter(in)
		in.CloseWithError(u.eachBlock(func(block []state.Chunk) error {
			for _, c := range block {
				if err := w.Add(c.Entry); err != nil {
					return err
				}
			}
			return nil
		}))
	}()
	var kinds []string
	if u.hash != "" && u.hash != "sha256" {
		kinds = []string{u.hash}
	}
	w, err := chunk.WriteFile(ctx, folder, x.Name, out, sealer, kinds)
	out.CloseWithError(errReaderGone)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	x.Plain, x.PlainSHA256 = w.Plain.Size, w.Plain.SHA256
	x.Size, x.SHA256, x.Hashes = w.Cipher.Size, w.Cipher.SHA256, w.Cipher.Hashes
	return x, nil
}

var errReaderGone = errors.New("nobody reads it any more")

// named is what the manifest says of an index.
func named(x *state.Index) *manifest.Index {
	if x == nil {
		return nil
	}
	return &manifest.Index{Gen: x.Gen, Name: x.Name, Plain: x.Plain, Size: x.Size, SHA256: x.SHA256, PlainSHA256: x.PlainSHA256}
}

// storeIndex brings the index that the backup has to its place. TAKEN says that a listing showed something of its name there.
func (u *uploading) storeIndex(ctx context.Context, fx workflow.Fx, taken bool) error {
	x := u.backup.Index
	c := state.Chunk{Job: u.backup.Job, Backup: u.backup.Name, Name: x.Name, Size: x.Size, SHA256: x.SHA256, Hashes: x.Hashes}
	here, err := u.kit.fileIs(ctx, u.backup, c, u.inPlace() || u.hash == "")
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist): // on a disk that is not mounted there is none
		return err
	case here && u.inPlace():
		return nil
	case here:
		err := u.kit.retry(ctx, firstFresh(!taken, func(ctx context.Context, fresh bool) error { return u.put(ctx, fx, c, fresh, nil) }))
		if err != nil && !errors.Is(err, errStays) {
			return fmt.Errorf("index: %w", err)
		}
	}
	o, there, err := u.stat(ctx, c)
	if err != nil {
		return err
	}
	if same, _ := o.Matches(c.Size, hashesOf(c)); there && same {
		return nil
	}
	err = fmt.Errorf("index of %s: %w", u.backup.Name, errLost)
	return errors.Join(err, fx.Note(func(tx *state.Tx, _ *state.Run) error {
		b, err := tx.MustBackup(u.backup.Job, u.backup.Name)
		if err != nil {
			return err
		}
		b.Manifest, b.ManifestOf = nil, "" // both are made again
		return tx.PutBackup(b)
	}))
}

// releaseIndex removes the file of an index that is at its place, where those of the chunks have gone as well.
func (u *uploading) releaseIndex(ctx context.Context) error {
	if u.backup.Index == nil || u.keepsFiles() {
		return nil
	}
	_, err := workflow.Once(ctx, u.s, workflow.Effect[workflow.Nothing]{
		Name: "release index",
		Do: func(context.Context, workflow.Fx) (none workflow.Nothing, err error) {
			_, err = removeFiles(u.backup, slices.Values(indexNames(u.backup)))
			return none, err
		},
	})
	return err
}

// checkIndex says what is wrong with the index that lies at a remote beside a backup, or nothing. With a SEALER it is opened, and
// not only compared with the manifest.
func checkIndex(ctx context.Context, f *fetcher, m *manifest.Manifest, sealer chunk.Sealer) (wrong string, err error) {
	x := m.Index
	file, err := f.get(ctx, wanted{m.Name, manifest.Chunk{Name: x.Name, Size: x.Size}})
	if err == nil {
		defer file.Close()
		cipher := chunk.Digest{Size: x.Size, SHA256: x.SHA256}
		if sealer == nil {
			err = chunk.CheckFile(ctx, file, cipher)
		} else {
			err = openIndex(ctx, file, m, sealer, func(r io.Reader) error {
				n, err := stream.ReadIndex(r, func(int, stream.Entry, bool) error { return nil })
				if err == nil && n != len(m.Chunks) {
					err = fmt.Errorf("%w: of %d chunks instead of %d", stream.ErrIndex, n, len(m.Chunks))
				}
				return err
			})
		}
	}
	if isVerdict(err) || errors.Is(err, stream.ErrIndex) {
		return err.Error(), nil
	}
	return "", err
}

// openIndex proves an index's file and has its plaintext read.
func openIndex(ctx context.Context, f io.ReadSeeker, m *manifest.Manifest, sealer chunk.Sealer, read func(io.Reader) error) error {
	x := m.Index
	out, in := io.Pipe()
	opened := make(chan error, 1)
	go func() {
		err := chunk.OpenFile(ctx, f, chunk.Digest{Size: x.Size, SHA256: x.SHA256}, chunk.Digest{Size: x.Plain, SHA256: x.PlainSHA256}, sealer, in)
		in.CloseWithError(err)
		opened <- err
	}()
	err := read(out)
	out.CloseWithError(errReaderGone)
	if oerr := <-opened; oerr != nil && !errors.Is(oerr, errReaderGone) {
		return oerr // of which the other is the echo
	}
	return err
}

// find fills in with which chunk, and what is known before it, a part is gone on with. Without an index it is the first.
func (r *restoring) find(ctx context.Context, fx workflow.Fx, run state.Run, p *part, m *manifest.Manifest) error {
	if m.Index == nil {
		return nil
	}
	sealer, err := r.plan.catalog.SealerOf(fx, m)
	if err != nil {
		return err
	}
	scratch, err := openSpoolScratch(run)
	if err != nil {
		return fmt.Errorf("spool folder: %w", err)
	}
	defer scratch.close()
	f := &fetcher{kit: r.kit, world: fx, remote: r.plan.catalog.Remote, scratch: scratch, full: "--spool names another"}
	file, err := f.get(ctx, wanted{m.Name, manifest.Chunk{Name: m.Index.Name, Size: m.Index.Size}})
	if err != nil {
		return err
	}
	defer file.Close()
	var n int
	var e stream.Entry
	err = openIndex(ctx, file, m, sealer, func(in io.Reader) (err error) {
		n, e, err = stream.Find(in, p.token)
		return err
	})
	if err == nil && n >= len(m.Chunks) {
		err = fmt.Errorf("%w: of more chunks than there are", stream.ErrIndex)
	}
	if err == nil {
		p.chunk, p.at, p.entry = n, uint64(n)*uint64(m.SplitSize), e
	}
	return err
}

// openSpoolScratch makes a folder in the run's spool folder, where what a process that died has left goes with all else.
func openSpoolScratch(run state.Run) (*scratch, error) {
	dir := spoolDir(run.Restore.Spool, run.ID)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := checkOwnFolder(dir); err != nil {
		return nil, err
	}
	return openScratch(dir, "index-")
}
