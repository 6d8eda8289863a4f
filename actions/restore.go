package actions

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// A restore never touches what is there: it makes a new dataset, from manifests that opened and chunks that were
// proved. PlanRestore only looks: when it has found all that is needed, a person is asked. Then the restore is a run like
// any other, with a step for each backup of the chain: whatever cuts it off, it goes on with the backup that it was at.

// RestoreRequest is what a person asks for.
type RestoreRequest struct {
	Backup string    // a stamp, a folder's name, or "latest"
	At     time.Time // if not zero, the latest is that of this moment
	// Into is a dataset that does not exist. For streams it is a folder; for files the scratch dataset, which may be left to
	// the plan.
	Into    string
	Streams bool
	Files   *state.RestoreFiles
	Spool   string // the folder, absolute, in which chunks lie until they are received
	// SpoolBytes is how much may lie there at once; 0: as much as is needed.
	SpoolBytes int64
}

// RestorePlan is what would be done.
type RestorePlan struct {
	Chain []*manifest.Manifest // in the order in which they are received, the full first
	Into  zfs.Dataset          // but for streams
	// Dir is the folder that streams, or Files, are written into.
	Dir     string
	Streams bool
	Files   *state.RestoreFiles
	// Bytes is the size of all chunk files, StreamBytes that of what comes out of them.
	Bytes, StreamBytes int64
	// Free is how much the new dataset's parent, or the folder for streams, may still take.
	Free int64
	// Spool is where chunks lie for a while, at most SpoolBytes at a time.
	Spool      string
	SpoolBytes int64
	// Python says that the Python tool made the chain. Then nothing is known of it yet but names and sizes.
	Python bool
	// Newer are folders that are newer than the backup and have no manifest, if the latest was asked for.
	Newer []string

	catalog *catalog.Catalog
	looked  time.Time // when it was begun to be made
}

// Newest is the backup that was asked for.
func (p *RestorePlan) Newest() *manifest.Manifest { return p.Chain[len(p.Chain)-1] }

// refuse is the error of a request that can't be fulfilled as it was made, the one that a catalog has for it too.
func refuse(format string, args ...any) error { return catalog.Refuse(format, args...) }

// PlanRestore opens the manifests of the whole chain, looks for every chunk, and at where it should all go.
func (k *Kit) PlanRestore(ctx context.Context, c *catalog.Catalog, q RestoreRequest) (*RestorePlan, error) {
	p := &RestorePlan{Streams: q.Streams, Files: q.Files, Spool: q.Spool, catalog: c, looked: c.Look.Now()}
	if err := k.aim(ctx, c.Look, q, p); err != nil {
		return nil, err
	}
	name, newer, err := c.Find(ctx, q.Backup, q.At)
	if err != nil {
		return nil, err
	}
	p.Newer = newer
	c.Afresh() // which is the latest may be remembered; what is received is opened
	e, err := c.Entry(ctx, name)
	if err != nil {
		return nil, err
	}
	p.Python = e.Python
	if p.Chain, err = chainAt(ctx, c, name, e.Python); err != nil {
		return nil, fmt.Errorf("backup %s at %s: %w", name, c.Remote, err)
	}
	for _, m := range p.Chain {
		if err := p.fits(m); err != nil {
			return nil, &catalog.Refusal{Err: err}
		}
		p.Bytes += m.Bytes()
		p.StreamBytes += m.StreamBytes
	}
	if err := p.spools(q.SpoolBytes); err != nil {
		return nil, err
	}
	return p, hasRoom(p.Spool, p.SpoolBytes)
}

// spools says how much may lie in the spool folder at once: as is asked for, or 0, as much as is needed.
func (p *RestorePlan) spools(asked int64) error {
	least := mostSpooled(chunksOf(p.Chain))
	if asked > 0 && asked < least {
		return refuse("--spool-max %d is too little: two chunks at a time are %d bytes", asked, least)
	}
	p.SpoolBytes = min(max(least, asked), p.Bytes)
	return nil
}

// Respool has a run that is gone on with use another spool folder, or more or less of it; what is not given, "" or 0, stays.
func (p *RestorePlan) Respool(dir string, most int64) error {
	if dir == "" && most == 0 {
		return nil
	}
	had := p.SpoolBytes
	if most > 0 {
		if err := p.spools(most); err != nil {
			return err
		}
	}
	needs := p.SpoolBytes - had
	if dir != "" && dir != p.Spool {
		p.Spool, needs = dir, p.SpoolBytes
	}
	return hasRoom(p.Spool, needs)
}

// NewSpool stores with a run that is gone on with which spool folder the plan has for it.
func (p *RestorePlan) NewSpool(run *state.Run) {
	rs := run.Restore
	if p.Spool != rs.Spool && rs.Files != nil && rs.Began != nil {
		rs.Mounts = cmp.Or(rs.Mounts, rs.Spool) // its scratch dataset knows where it is mounted
	}
	rs.Spool, rs.SpoolBytes = p.Spool, p.SpoolBytes
}

// LeaveSpool removes a run's folder in a spool folder that the plan does not have any more for it.
func (p *RestorePlan) LeaveSpool(run state.Run) error {
	if p.Spool == run.Restore.Spool {
		return nil
	}
	return removeSpool(run.Restore.Spool, run.ID)
}

func chunksOf(chain []*manifest.Manifest) (chunks []manifest.Chunk) {
	for _, m := range chain {
		chunks = append(chunks, m.Chunks...)
	}
	return chunks
}

// chainAt is the chain of a backup of either kind.
func chainAt(ctx context.Context, c *catalog.Catalog, name string, python bool) ([]*manifest.Manifest, error) {
	if python {
		return c.PythonChain(ctx, name)
	}
	return c.Chain(ctx, name)
}

// mostSpooled is the most that lies in the spool folder at once: a chunk that is being received, and the next.
func mostSpooled(chunks []manifest.Chunk) (most int64) {
	for i, c := range chunks {
		both := c.Size
		if i > 0 {
			both += chunks[i-1].Size
		}
		most = max(most, both)
	}
	return most
}

// NewRestore is the run that carries a plan out.
func (p *RestorePlan) NewRestore(from state.Source, config string) state.Run {
	rs := &state.Restore{From: from, Into: p.Into.String(), Streams: p.Streams, Files: p.Files, Python: p.Python, Spool: p.Spool, SpoolBytes: p.SpoolBytes}
	name := stepReceive
	if p.Streams {
		name, rs.Into = stepFetch, p.Dir
	}
	var steps []workflow.Planned
	for _, m := range p.Chain {
		rs.Chain = append(rs.Chain, state.Link{Name: m.Name, ManifestSHA256: p.catalog.ManifestSHA256(m.Name), Snapshot: m.Snapshot, SnapshotGUID: m.SnapshotGUID,
			Bytes: m.Bytes(), StreamBytes: m.StreamBytes})
		steps = append(steps, workflow.Planned{Name: name, Shown: name + " " + m.Name, Args: []string{m.Name}, Kind: workflow.Plain})
	}
	if p.Files != nil {
		steps = append(steps, workflow.Planned{Name: stepCopy, Shown: stepCopy, Kind: workflow.Plain})
	}
	return state.Run{Config: config, Typed: "restore", Restore: rs, Frozen: state.Frozen{Dataset: rs.Target(), Remote: p.catalog.Remote.String()},
		Steps: workflow.NewPlan(steps, nil, &workflow.Planned{Name: stepEndRestore, Shown: stepEndRestore, Kind: workflow.Plain})}
}

// BeingDeleted is the error of a restore of what a prune has begun to delete.
type BeingDeleted struct{ Run, Backup string }

func (e *BeingDeleted) Error() string {
	return fmt.Sprintf("run %s, which prunes, has begun to delete %s", e.Run, e.Backup)
}

// MayBegin is a *BeingDeleted if a prune has begun to delete what the plan reads, and is not over, or was not when that was found. One that
// comes later finds the restore (see holdings.unlessRestoring).
func (p *RestorePlan) MayBegin(tx *state.Tx) error {
	backups, err := tx.Backups("")
	if err != nil {
		return err
	}
	runs, err := tx.Runs()
	if err != nil {
		return err
	}
	for _, b := range backups {
		if !b.Going && !workflow.BackupMachine.In(b.State, workflow.BackupExpired) || !p.reads(b) {
			continue
		}
		for _, r := range runs {
			if r.Job == b.Job && prunedSince(r, p.looked) {
				return &BeingDeleted{r.ID, b.Name}
			}
		}
	}
	return nil
}

// reads tells whether a backup on record is in the chain, and is read at its own place, not in a copy.
func (p *RestorePlan) reads(b state.Backup) bool {
	return b.Place == p.catalog.Remote.String() && slices.ContainsFunc(p.Chain, func(m *manifest.Manifest) bool {
		return m.Name == b.Name && p.catalog.ManifestSHA256(m.Name) == b.ManifestSHA256
	})
}

// prunedSince tells whether a run has a prune of backups that is not at its end, or was not at a moment.
func prunedSince(r state.Run, at time.Time) bool {
	return slices.ContainsFunc(r.Steps, func(step state.Step) bool {
		if step.Name != StepPruneIntermediates && step.Name != StepPruneRemote || OnlyLooks(step) || step.Starts == 0 {
			return false
		}
		if !workflow.Over(r.State) && !workflow.StepMachine.In(step.State, workflow.StepDone) {
			return true
		}
		ended := cmp.Or(step.Ended, r.Ended)
		return ended != nil && ended.After(at)
	})
}

// ResumeRestore is the plan of a run that restores, from what is there now: the same manifests, and every chunk.
func ResumeRestore(ctx context.Context, c *catalog.Catalog, run state.Run) (*RestorePlan, error) {
	rs := run.Restore
	newest := rs.Newest()
	c.Afresh()
	p := &RestorePlan{Streams: rs.Streams, Files: rs.Files, Python: rs.Python, Spool: rs.Spool, SpoolBytes: rs.SpoolBytes, catalog: c}
	var err error
	if p.Streams {
		p.Dir = rs.Into
	} else if p.Into, err = zfs.ParseDataset(rs.Into); err != nil {
		return nil, err
	}
	if p.Files != nil {
		p.Dir = p.Files.Dir
	}
	if p.Chain, err = chainAt(ctx, c, newest.Name, rs.Python); err != nil {
		return nil, fmt.Errorf("backup %s at %s: %w", newest.Name, c.Remote, err)
	}
	if len(p.Chain) != len(rs.Chain) {
		return nil, fmt.Errorf("the chain of %s at %s is another than when the restore was begun", newest.Name, c.Remote)
	}
	for i, m := range p.Chain {
		if l := rs.Chain[i]; m.Name != l.Name || c.ManifestSHA256(m.Name) != l.ManifestSHA256 || m.Bytes() != l.Bytes {
			return nil, fmt.Errorf("%s at %s is another backup than when the restore was begun", l.Name, c.Remote)
		}
		p.Bytes += m.Bytes()
		p.StreamBytes += m.StreamBytes
	}
	return p, nil
}

// RestoreKey stands for the target of a restore, which is not there yet, where datasets are known by their GUID.
func RestoreKey(target string) string {
	sum := sha256.Sum256([]byte(target))
	return "restore-" + hex.EncodeToString(sum[:8])
}

// endRestore is the end of a restore: its spool folder goes, and the dataset may be written to from now on.
func (k *Kit) endRestore(ctx context.Context, s *workflow.Session, _ []string) error {
	run := s.Run()
	note, err := workflow.Once(ctx, s, workflow.Effect[string]{
		Name: "end",
		Do: func(ctx context.Context, fx workflow.Fx) (string, error) {
			if k.restoring != nil {
				k.restoring.close()
			}
			if err := removeSpool(run.Restore.Spool, run.ID); err != nil {
				return "", err
			}
			switch {
			case run.Restore.Streams:
				return "", nil
			case run.Restore.Files != nil:
				return "", k.dropCopy(ctx, fx, run)
			}
			into, err := zfs.ParseDataset(run.Restore.Into)
			if err != nil {
				return "", err
			}
			err = k.zfs(fx).ReceiveEnds(ctx, into)
			if errors.Is(err, zfs.ErrPermission) {
				return fmt.Sprintf("%s stays read-only (%v): zfs inherit -S readonly %s", into, err, word(into.String())), nil
			}
			return "", err
		},
		Result: func(tx *state.Tx, r *state.Run, _ string) error { return dropOldRuns(tx, *r) },
	})
	if err != nil || note == "" {
		return err
	}
	return s.Note(note)
}
