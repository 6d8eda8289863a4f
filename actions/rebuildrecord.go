package actions

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// rebuilding is the one transaction in which a lost job's record is made again. Every state in it is reached by the
// events that lead there.
type rebuilding struct {
	tx      *state.Tx
	f       *finding
	job     state.Job
	backups []state.Backup // the oldest first
}

func (b *rebuilding) all() error {
	if err := state.Delete(b.tx, state.BucketJobs, b.f.fresh.ID); err != nil {
		return err
	}
	if err := b.tx.PutJob(b.job); err != nil {
		return err
	}
	if err := b.earlier(); err != nil {
		return err
	}
	return b.found()
}

// more adds to the record of a job that has one.
func (b *rebuilding) more() error {
	if err := b.tx.PutJob(b.job); err != nil {
		return err
	}
	return b.found()
}

// found records what was found of the job: its backups, what it left in intermediate_basedir, and its snapshots.
func (b *rebuilding) found() error {
	for _, e := range slices.Backward(b.f.mine) { // the newest stands first
		if err := b.backup(e); err != nil {
			return fmt.Errorf("backup %s: %w", e.Name, err)
		}
	}
	if err := b.leftovers(); err != nil {
		return err
	}
	for _, m := range b.f.marks {
		if err := b.run(m); err != nil {
			return fmt.Errorf("run %s: %w", m.Run, err)
		}
	}
	return nil
}

// earlier makes the runs that the fresh job had, all of them given up, the found job's.
func (b *rebuilding) earlier() error {
	runs, err := b.tx.Runs()
	if err != nil {
		return err
	}
	for _, r := range runs {
		if r.Job != b.f.fresh.ID {
			continue
		}
		r.Job = b.job.ID
		if err := b.tx.PutRun(r); err != nil {
			return err
		}
	}
	backups, err := b.tx.Backups(b.f.fresh.ID)
	if err != nil {
		return err
	}
	for _, k := range backups {
		err := b.tx.DropBackup(k.Job, k.Name)
		k.Job, k.Place = b.job.ID, b.job.Place
		_, taken, terr := b.tx.Backup(k.Job, k.Name)
		if err = errors.Join(err, terr); err == nil && !taken {
			err = b.tx.PutBackup(k)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// backup records what a manifest says. One whose chunks are not all there is on record as expired, as it is when a
// listing before an incremental shows that.
func (b *rebuilding) backup(e *catalog.Entry) error {
	m := e.Manifest
	object := e.Objects[manifest.FileName(m.Encryption())]
	r := state.Backup{Job: b.job.ID, Name: m.Name, Run: b.runOf(m.SnapshotGUID), Full: m.Base == nil, Reason: "known by its manifest alone: the record was lost",
		Created: m.Created, Dataset: m.Dataset, DatasetGUID: m.DatasetGUID, PoolGUID: m.PoolGUID, Host: m.Host, Snapshot: m.Snapshot, SnapshotGUID: m.SnapshotGUID,
		SendFlags: m.SendFlags, SplitSize: m.SplitSize, Encryption: string(m.Encryption()), Dir: b.f.kit.Settings.IntermediateDir, Place: b.job.Place,
		StreamBytes: m.StreamBytes, StreamSHA256: m.StreamSHA256, ManifestSHA256: e.SHA256, ManifestSize: object.Size, Committed: &m.Created}
	if m.Base != nil {
		r.Base = &state.Base{Name: m.Base.Name, SnapshotGUID: m.Base.SnapshotGUID, ManifestSHA256: m.Base.ManifestSHA256}
		if base := b.f.manifest(m.Base.Name); base != nil {
			r.Base.Snapshot = base.Snapshot
		}
	}
	if x := m.Index; x != nil {
		r.Indexes = x.Gen
		r.Index = &state.Index{Gen: x.Gen, Name: x.Name, Plain: x.Plain, PlainSHA256: x.PlainSHA256, Size: x.Size, SHA256: x.SHA256}
	}
	r.Claims = claimsIn(e) // none is another host's, or it would not have been committed
	if m.Previous != nil {
		r.Previous = &state.Commit{Name: m.Previous.Name, ManifestSHA256: m.Previous.ManifestSHA256}
	}
	_, here := b.f.spool[m.Name]
	r.Pruned = !here
	events := []workflow.BackupEvent{workflow.BackupExport, workflow.BackupCommit}
	whole := e.Whole() == nil
	if whole {
		now := b.f.now
		r.Seen = &now
	} else {
		events = append(events, workflow.BackupExpire)
	}
	if err := born(b.tx, workflow.BackupMachine, &r.State, events...); err != nil {
		return err
	}
	for _, c := range m.Chunks {
		r.Sums.Sealed++
		r.Sums.Uploaded++
		r.Sums.PlainSealed += c.Plain
		r.Sums.BytesSealed += c.Size
		r.Sums.BytesUploaded += c.Size
		if whole {
			if err := b.chunk(r, c, here); err != nil {
				return err
			}
		}
	}
	b.backups = append(b.backups, r)
	return b.tx.PutBackup(r)
}

// chunk records a chunk that was seen at its place.
func (b *rebuilding) chunk(r state.Backup, c manifest.Chunk, here bool) error {
	events := []workflow.ChunkEvent{workflow.ChunkSeal, workflow.ChunkUpload, workflow.ChunkSeen}
	if !here {
		events = append(events, workflow.ChunkRelease)
	}
	k := state.Chunk{Job: r.Job, Backup: r.Name, N: c.N, Gen: c.Gen, Name: c.Name, Plain: c.Plain, PlainSHA256: c.PlainSHA256, Size: c.Size, SHA256: c.SHA256}
	if err := born(b.tx, workflow.ChunkMachine, &k.State, events...); err != nil {
		return err
	}
	return b.tx.PutChunk(k)
}

// leftovers records the job's folders in intermediate_basedir that hold no committed backup as given up, with the
// chunk files in them: what a run of the lost database sealed there, nobody can go on with, since nobody knows the
// digests of what is in it. So prune-intermediates removes them as it does with those of other runs.
func (b *rebuilding) leftovers() error {
	for _, name := range slices.Sorted(maps.Keys(b.f.spool)) {
		if b.knows(name) {
			continue
		}
		if err := b.leftover(name, b.f.spool[name]); err != nil {
			return fmt.Errorf("folder %s: %w", name, err)
		}
	}
	return nil
}

// knows tells whether a folder at the place has a manifest, whether that opens or not: such a one is no leftover.
func (b *rebuilding) knows(folder string) bool {
	return slices.ContainsFunc(b.f.entries, func(e *catalog.Entry) bool { return e.Name == folder && !errors.Is(e.Why, catalog.ErrNotCommitted) })
}

func (b *rebuilding) leftover(name string, files []string) error {
	c := b.f.kit.Settings
	stamp, full, _ := manifest.ParseFolder(name)
	r := state.Backup{Job: b.job.ID, Name: name, Full: full, Reason: "its record was lost before it was committed", Created: b.f.now, Dataset: b.job.Dataset,
		DatasetGUID: b.job.DatasetGUID, PoolGUID: b.job.PoolGUID, Host: b.f.kit.Host, Snapshot: stamp, Encryption: string(c.Encryption), Dir: c.IntermediateDir, Place: b.job.Place}
	i := slices.IndexFunc(b.f.entries, func(e *catalog.Entry) bool { return e.Name == name })
	if i >= 0 {
		if claims := claimsIn(b.f.entries[i]); ofOneRun(claims) {
			r.Claims = claims
		}
	}
	if err := born(b.tx, workflow.BackupMachine, &r.State, workflow.BackupAbandon); err != nil {
		return err
	}
	for n, file := range files {
		c := state.Chunk{Job: r.Job, Backup: r.Name, N: n, Gen: 1, Name: file}
		if err := born(b.tx, workflow.ChunkMachine, &c.State, workflow.ChunkDiscard); err != nil {
			return err
		}
		if err := b.tx.PutChunk(c); err != nil {
			return err
		}
	}
	return b.tx.PutBackup(r)
}

// run records the run that a snapshot's mark names, so that the snapshot is known to be ours, its hold is let go, and
// its age prunes it.
func (b *rebuilding) run(m marked) error {
	if m.Run == adoptedRun { // no run made it: whether it is to be ours again is for a person to say
		return nil
	}
	if _, known, err := b.tx.Run(m.Run); err != nil || known {
		return err
	}
	r := state.Run{ID: m.Run, Job: b.job.ID, DatasetGUID: b.job.DatasetGUID, Config: b.job.Config, Frozen: Freeze(b.f.kit.Settings), Started: m.snap.Creation, Updated: m.snap.Creation,
		Snapshot: m.snap.Snapshot.Name(), SnapshotGUID: m.snap.GUID.String(), Ended: &b.f.now}
	r.Owner.Host = b.f.kit.Host
	events := []workflow.RunEvent{workflow.RunGiveUp, workflow.RunAbort}
	for _, k := range b.backups {
		if k.SnapshotGUID == r.SnapshotGUID {
			r.Backup, events = k.Name, []workflow.RunEvent{workflow.RunStart, workflow.RunSucceed}
		}
	}
	if r.Backup == "" {
		r.Why = "its record was lost with the state database"
	}
	if err := errors.Join(born(b.tx, workflow.RunMachine, &r.State, events...), workflow.BracketMachine.Born(b.tx, &r.Bracket)); err != nil {
		return err
	}
	return b.tx.PutRun(r)
}

// runOf is the run that made a snapshot, if its mark still tells.
func (b *rebuilding) runOf(snapshotGUID string) string {
	for _, m := range b.f.marks {
		if m.snap.GUID.String() == snapshotGUID {
			return m.Run
		}
	}
	return ""
}

// born puts a new state into its machine, and takes it along events.
func born[S, E ~string](tx *state.Tx, m *workflow.Machine[S, E], c *state.Cell, events ...E) error {
	err := m.Born(tx, c)
	for _, e := range events {
		if err == nil {
			err = m.Fire(tx, c, e)
		}
	}
	return err
}
