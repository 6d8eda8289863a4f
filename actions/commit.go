package actions

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"time"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
	"zfs2cloud/state/durable"
	"zfs2cloud/workflow"
)

// commit makes a backup whose chunks are all at its place one that can be relied on: the texts for people are stored,
// the index and the manifest are sealed and the manifest's exact bytes put on record, one last listing shows every chunk, those
// texts and the base's whole folder, and then the index and the manifest are stored. That is the commit.
func (u *uploading) commit(ctx context.Context) (err error) {
	if err := u.tidyPlace(ctx); err != nil {
		return err
	}
	if u.backup, err = u.seal(ctx); err != nil {
		return err
	}
	_, err = workflow.Once(ctx, u.s, workflow.Effect[workflow.Nothing]{
		Name: "commit",
		Do: func(ctx context.Context, fx workflow.Fx) (none workflow.Nothing, err error) {
			return none, u.store(ctx, fx)
		},
		Result: func(tx *state.Tx, r *state.Run, _ workflow.Nothing) error {
			return committed(tx, r.Job, u.backup.Name, u.s.Now())
		},
	})
	if err != nil {
		return err
	}
	return u.afterCommit(ctx)
}

// afterCommit does what is left to do once a backup is committed.
func (u *uploading) afterCommit(ctx context.Context) error {
	if err := u.releaseIndex(ctx); err != nil {
		return err
	}
	return u.kit.writeLastFull(ctx, u.s, u.backup)
}

// committed stores a commit.
func committed(tx *state.Tx, job, name string, now time.Time) error {
	b, err := tx.MustBackup(job, name)
	if err != nil {
		return err
	}
	j, ok, err := tx.Job(job)
	if err != nil || !ok {
		return errors.Join(err, fmt.Errorf("job %s on record: %v", job, ok))
	}
	if err := workflow.BackupMachine.Fire(tx, &b.State, workflow.BackupCommit); err != nil {
		return err
	}
	now = now.UTC()
	b.Committed, b.Seen, b.Manifest = &now, &now, nil
	j.Newest = &state.Commit{Name: b.Name, ManifestSHA256: b.ManifestSHA256, At: now}
	return errors.Join(tx.PutBackup(b), tx.PutJob(j))
}

// seal stores the texts for people and seals the manifest, once for the same chunks: what a resume stores, or another run that
// uploads the same backup, are these very bytes. They may be at the place already, and nothing is overwritten there.
// It returns the backup's record with them.
func (u *uploading) seal(ctx context.Context) (state.Backup, error) {
	type object struct {
		Bytes  []byte       `json:"-"` // they go into the backup's record, until it is committed
		SHA256 string       `json:"sha256"`
		Index  *state.Index `json:"-"`
	}
	sealed := func() (b state.Backup, err error) {
		err = u.s.View(func(tx *state.Tx) error {
			b, err = tx.MustBackup(u.backup.Job, u.backup.Name)
			return err
		})
		return b, err
	}
	b, err := sealed()
	if err != nil {
		return b, err
	}
	chunks, err := u.chunks()
	if err != nil {
		return b, err
	}
	_, backups, err := jobOf(u.s.View, b.Job)
	if err != nil {
		return b, err
	}
	of := fingerprint(chunks)
	if len(b.Manifest) > 0 && b.ManifestOf == of {
		return b, nil
	}
	m := manifestOf(b, chunks, u.kit.Tool)
	_, err = workflow.Once(ctx, u.s, workflow.Effect[object]{
		Name: "manifest", Afresh: true, // the backup's record tells whether it is sealed
		Do: func(ctx context.Context, fx workflow.Fx) (o object, err error) {
			sealer, err := u.kit.sealer(fx, b.Encryption)
			if err != nil {
				return o, err
			}
			if err := u.storeTexts(ctx, fx, sealer, m, chainNames(backups, b)); err != nil {
				return o, err
			}
			if o.Index, err = u.sealIndex(ctx, b, sealer); err != nil {
				if u.once || ctx.Err() != nil {
					return o, err
				}
				u.s.Log().Warn("there will be no index, without which a restore that is cut off reads again", "backup", b.Name, "err", err)
			}
			m.Index = named(o.Index)
			o.Bytes, o.SHA256, err = manifest.Seal(ctx, sealer, m)
			return o, err
		},
		Result: func(tx *state.Tx, r *state.Run, o object) error {
			b, err := tx.MustBackup(r.Job, u.backup.Name)
			if err != nil {
				return err
			}
			b.Manifest, b.ManifestOf, b.ManifestSHA256, b.ManifestSize = o.Bytes, of, o.SHA256, int64(len(o.Bytes))
			if b.Index = o.Index; o.Index != nil {
				b.Indexes = o.Index.Gen
			}
			return tx.PutBackup(b)
		},
	})
	if err != nil {
		return b, err
	}
	return sealed()
}

// tidyPlace removes what was being written into the backup's folder when a process died. Nothing is under way there by now,
// and a chunk that was sealed again is sent under another name, over which no later try would write.
func (u *uploading) tidyPlace(ctx context.Context) error {
	_, err := workflow.Once(ctx, u.s, workflow.Effect[workflow.Nothing]{
		Name: "tidy", Afresh: true, // it looks what there is
		Do: func(ctx context.Context, fx workflow.Fx) (none workflow.Nothing, err error) {
			err = u.kit.retry(ctx, func(ctx context.Context) error { return u.place.Tidy(ctx, fx, u.backup.Name) })
			if errors.Is(err, remote.ErrDenied) { // it is in nobody's way
				u.s.Log().Warn("what an upload that was cut off left stays there", "err", err)
				err = nil
			}
			return none, err
		},
	})
	return err
}

// fingerprint tells apart the manifests that one backup can have: a chunk that was sealed again makes another.
func fingerprint(chunks []state.Chunk) string {
	sum := sha256.New()
	for _, c := range chunks {
		fmt.Fprintln(sum, c.Name, c.SHA256)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// store looks once more at all that the manifest will vouch for, and whether the place is still the job's, and stores
// it. If it was stored before the process died, those bytes are there already.
func (u *uploading) store(ctx context.Context, fx workflow.Fx) error {
	name := path.Join(u.backup.Name, manifestName(u.backup))
	if fx.Again {
		there, err := u.manifestThere(ctx, u.backup)
		if err != nil || there {
			return err
		}
	}
	ours := make(chan error, 1)
	go func() {
		ours <- u.kit.retry(ctx, func(ctx context.Context) error { return u.place.Check(ctx, u.s.Look()) })
	}()
	there, err := u.allThere(ctx, fx)
	if err := errors.Join(err, <-ours); err != nil {
		return err
	}
	if x := u.backup.Index; x != nil {
		if err := u.storeIndex(ctx, fx, there[x.Name]); err != nil {
			return err
		}
	}
	err = u.kit.retry(ctx, firstFresh(!there[manifestName(u.backup)], func(ctx context.Context, fresh bool) error {
		return u.putManifest(ctx, fx, name, fresh)
	}))
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	stored, err := u.manifestThere(ctx, u.backup)
	if err == nil && !stored {
		err = fmt.Errorf("%s at %s: %w", name, u.place, errLost)
	}
	return err
}

// putManifest stores the manifest. What lies under its name and is none makes way, as it does for a chunk.
func (u *uploading) putManifest(ctx context.Context, fx workflow.Fx, name string, fresh bool) error {
	err := u.place.PutBytes(ctx, fx, name, u.backup.Manifest, fresh)
	var conflict *remote.Conflict
	if !errors.As(err, &conflict) {
		return err
	}
	if there, err := u.manifestThere(ctx, u.backup); there || err != nil {
		return err
	}
	err = u.clear(ctx, fx, name)
	if errors.Is(err, errStays) { // it has this one name
		return &workflow.Hopeless{Err: err}
	}
	if err != nil {
		return err
	}
	return u.place.PutBytes(ctx, fx, name, u.backup.Manifest, false)
}

// manifestThere tells whether exactly a backup's manifest is at its place. Another one under its name is an
// error; what a cut upload left there, or a store altered, is none.
func (u *uploading) manifestThere(ctx context.Context, b state.Backup) (bool, error) {
	return u.kit.manifestThere(ctx, u.s.Look(), u.place, b)
}

func (k *Kit) manifestThere(ctx context.Context, look workflow.World, place remote.Remote, b state.Backup) (there bool, err error) {
	var got bytes.Buffer
	err = k.retry(ctx, func(ctx context.Context) error {
		got.Reset()
		return place.Get(ctx, look, path.Join(b.Name, manifestName(b)), manifest.MaxSize, &got)
	})
	torn := errors.Is(err, remote.ErrDamaged)
	switch {
	case errors.Is(err, remote.ErrNotThere):
		return false, nil
	case errors.Is(err, remote.ErrArchived):
		return k.manifestTold(ctx, look, place, b)
	case err != nil && !torn:
		return false, err
	case err == nil && bytes.Equal(got.Bytes(), b.Manifest):
		return true, nil
	}
	if !torn {
		torn, err = k.torn(ctx, look, b, got.Bytes())
	}
	if !torn {
		return false, errors.Join(otherManifest(b, place), err)
	}
	k.Log.Warn("what lies under the name of a manifest is none: an upload was cut off, or the store altered it", "backup", b.Name, "bytes", got.Len())
	return false, nil
}

func otherManifest(b state.Backup, place remote.Remote) error {
	return fmt.Errorf("%s of %s at %s is not the one that this run sealed", manifestName(b), b.Name, place)
}

// manifestTold is manifestThere where nothing can be read at once, as with a storage class for archives: the store's word is taken
// for it.
func (k *Kit) manifestTold(ctx context.Context, look workflow.World, place remote.Remote, b state.Backup) (there bool, err error) {
	err = k.retry(ctx, func(ctx context.Context) error {
		there, err = remote.Told(ctx, place, look, path.Join(b.Name, manifestName(b)), b.Manifest)
		return err
	})
	if _, other := errors.AsType[*remote.Conflict](err); other {
		return false, otherManifest(b, place)
	}
	return there, err
}

// torn tells whether an object that is not a backup's manifest is none at all: the beginning of it, or what does not open
// where the manifest itself does.
func (k *Kit) torn(ctx context.Context, look workflow.World, b state.Backup, object []byte) (bool, error) {
	if bytes.HasPrefix(b.Manifest, object) {
		return true, nil
	}
	sealer, err := k.sealer(look, b.Encryption)
	if err == nil {
		_, _, err = manifest.Open(ctx, sealer, b.Manifest, b.Name)
	}
	if err != nil {
		return false, err
	}
	_, _, err = manifest.Open(ctx, sealer, object, b.Name)
	switch {
	case err == nil, errors.Is(err, manifest.ErrFormat):
		return false, nil
	case errors.Is(err, chunk.ErrPassphrase), sealer.Kind() == settings.None && ctx.Err() == nil:
		return true, nil
	}
	return false, err
}

// allThere lists the backup's folder, and those of its chain. A chunk that is missing goes back, a text for people is stored
// again; without its base the backup is worth nothing. Each chunk's hash was asked for when it had been stored; it is compared once
// more where the store keeps it, but the whole backup is not read for that. TAKEN are the names that the listing shows.
func (u *uploading) allThere(ctx context.Context, fx workflow.Fx) (taken map[string]bool, err error) {
	var there map[string]remote.Object
	err = u.kit.retry(ctx, func(ctx context.Context) error {
		kept, err := u.place.KeepsHash(ctx, u.s.Look())
		hash := ""
		if kept {
			hash = u.hash
		}
		if err == nil {
			there, err = listing(ctx, u.s.Look(), u.place, u.backup.Name, hash)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	missing, err := u.missing(ctx, there)
	if err == nil && len(missing) > 0 {
		which := fmt.Sprintf("chunk %d", missing[0].N)
		if more := len(missing) - 1; more > 0 {
			which += fmt.Sprintf(" and %d more", more)
		}
		err = u.lost(ctx, fx, fmt.Errorf("%s at %s: %w", which, u.place, errLost), missing...)
	}
	if err != nil {
		return nil, err
	}
	_, backups, err := jobOf(u.s.View, u.backup.Job)
	if err != nil {
		return nil, err
	}
	whole := u.kit.wholeAt(ctx, u.s.Look(), u.place, u.s.View)
	for b, ok := baseOf(backups, u.backup); ok; b, ok = baseOf(backups, b) {
		is := workflow.BackupMachine.In(b.State, workflow.BackupCommitted)
		if is && b.Bad != nil {
			return nil, &workflow.Hopeless{Err: fmt.Errorf("its base %s was found bad by verify", b.Name)}
		}
		if is {
			is, err = whole(b)
		}
		if err != nil {
			return nil, err
		}
		if !is {
			return nil, &workflow.Hopeless{Err: fmt.Errorf("its base %s is no longer whole at %s", b.Name, u.place)}
		}
	}
	return namesOf(there), u.seeTexts(ctx, fx, there)
}

// askedFor is after how many chunks that a listing lacks, and that are not there, it is believed.
const askedFor = 16

// missing are the chunks that are not there as they were stored.
func (u *uploading) missing(ctx context.Context, there map[string]remote.Object) (missing []state.Chunk, err error) {
	err = u.eachBlock(func(block []state.Chunk) error {
		for _, c := range block {
			o, ok := there[c.Name]
			if !ok && len(missing) < askedFor { // it may be too new for a listing
				if o, ok, err = u.stat(ctx, c); err != nil {
					return err
				}
			}
			if same, _ := o.Matches(c.Size, hashesOf(c)); !ok || !same {
				missing = append(missing, c)
			}
		}
		return nil
	})
	return missing, err
}

func manifestName(b state.Backup) string { return manifest.FileName(settings.Encryption(b.Encryption)) }

// manifestOf is what the manifest of a backup says.
func manifestOf(b state.Backup, chunks []state.Chunk, tool string) *manifest.Manifest {
	m := &manifest.Manifest{Name: b.Name, Kind: manifest.Full, Created: b.Created.UTC().Truncate(time.Second), Tool: tool, Host: b.Host, Job: b.Job,
		PoolGUID: b.PoolGUID, Dataset: b.Dataset, DatasetGUID: b.DatasetGUID, Snapshot: b.Snapshot, SnapshotGUID: b.SnapshotGUID,
		SendFlags: b.SendFlags, SplitSize: b.SplitSize, StreamBytes: b.StreamBytes, StreamSHA256: b.StreamSHA256}
	if b.Base != nil {
		m.Kind = manifest.Incremental
		m.Base = &manifest.Base{Name: b.Base.Name, SnapshotGUID: b.Base.SnapshotGUID, ManifestSHA256: b.Base.ManifestSHA256}
	}
	if b.Previous != nil {
		m.Previous = &manifest.Previous{Name: b.Previous.Name, ManifestSHA256: b.Previous.ManifestSHA256}
	}
	for _, c := range current(chunks) {
		m.Chunks = append(m.Chunks, manifest.Chunk{N: c.N, Gen: c.Gen, Name: c.Name, Plain: c.Plain, Size: c.Size, SHA256: c.SHA256, PlainSHA256: c.PlainSHA256})
	}
	return m
}

// chainNames are the folders that a backup is based on, the full first.
func chainNames(backups []state.Backup, b state.Backup) []string {
	var names []string
	for base, ok := baseOf(backups, b); ok; base, ok = baseOf(backups, base) {
		names = append(names, base.Name)
	}
	slices.Reverse(names)
	return names
}

// lastFullFile is what the Python tool left in intermediate_basedir after a full; people watch its age. A backup is no
// worse without it.
const lastFullFile = "_last_full_backup"

func (k *Kit) writeLastFull(ctx context.Context, s *workflow.Session, b state.Backup) error {
	if !b.Full {
		return nil
	}
	_, err := workflow.Once(ctx, s, workflow.Effect[workflow.Nothing]{
		Name: "last full",
		Do: func(context.Context, workflow.Fx) (none workflow.Nothing, err error) {
			// As it wrote it: the snapshot's name, and its time in local time.
			text, err := json.Marshal([]string{b.Dataset + "@" + b.Snapshot, b.Created.Local().Format(time.DateTime)})
			if err != nil {
				return none, err
			}
			return none, durable.WriteFile(filepath.Join(b.Dir, lastFullFile), append(text, '\n'))
		},
	})
	if err != nil {
		return k.note(s, "%s is committed, but its %s could not be written: %v", b.Name, lastFullFile, err)
	}
	return nil
}
