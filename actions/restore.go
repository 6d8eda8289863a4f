package actions

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

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
	Into   string    // a dataset that does not exist
	Spool  string    // the folder, absolute, in which chunks lie until they are received
	// SpoolBytes is how much may lie there at once; 0: as much as is needed.
	SpoolBytes int64
}

// RestorePlan is what would be done.
type RestorePlan struct {
	Chain []*manifest.Manifest // in the order in which they are received, the full first
	Into  zfs.Dataset
	// Bytes is the size of all chunk files, StreamBytes that of what comes out of them.
	Bytes, StreamBytes int64
	// Free is how much the new dataset's parent may still take.
	Free int64
	// Spool is where chunks lie for a while, at most SpoolBytes at a time.
	Spool      string
	SpoolBytes int64
	// Python says that the Python tool made the chain. Then nothing is known of it yet but names and sizes.
	Python bool
	// Newer are folders that are newer than the backup and have no manifest, if the latest was asked for.
	Newer []string

	catalog *Catalog
}

// Newest is the backup that was asked for.
func (p *RestorePlan) Newest() *manifest.Manifest { return p.Chain[len(p.Chain)-1] }

// RestoreRefusal is the error of a request that can't be fulfilled as it was made.
type RestoreRefusal struct{ Err error }

func (e *RestoreRefusal) Error() string { return e.Err.Error() }
func (e *RestoreRefusal) Unwrap() error { return e.Err }

// ExitCode is that of a command that did nothing.
func (e *RestoreRefusal) ExitCode() int { return 2 }

func refuse(format string, args ...any) error { return &RestoreRefusal{fmt.Errorf(format, args...)} }

// PlanRestore opens the manifests of the whole chain, looks for every chunk, and at where it should all go.
func (c *Catalog) PlanRestore(ctx context.Context, q RestoreRequest) (*RestorePlan, error) {
	into, free, err := c.Target(ctx, q.Into)
	if err != nil {
		return nil, err
	}
	p := &RestorePlan{Into: into, Free: free, Spool: q.Spool, catalog: c}
	name, err := c.choose(ctx, q, p)
	if err != nil {
		return nil, err
	}
	e, err := c.Entry(ctx, name)
	if err != nil {
		return nil, err
	}
	p.Python = e.Python
	if p.Chain, err = c.chain(ctx, name, e.Python); err != nil {
		return nil, fmt.Errorf("backup %s at %s: %w", name, c.Remote, err)
	}
	for _, m := range p.Chain {
		if _, err := into.Snapshot(m.Snapshot); err != nil {
			return nil, &RestoreRefusal{err}
		}
		p.Bytes += m.Bytes()
		p.StreamBytes += m.StreamBytes
	}
	p.SpoolBytes = mostSpooled(chunksOf(p.Chain))
	if q.SpoolBytes > 0 && q.SpoolBytes < p.SpoolBytes {
		return nil, refuse("--spool-max %d is too little: two chunks at a time are %d bytes", q.SpoolBytes, p.SpoolBytes)
	}
	p.SpoolBytes = min(max(p.SpoolBytes, q.SpoolBytes), p.Bytes)
	return p, hasRoom(q.Spool, p.SpoolBytes)
}

func chunksOf(chain []*manifest.Manifest) (chunks []manifest.Chunk) {
	for _, m := range chain {
		chunks = append(chunks, m.Chunks...)
	}
	return chunks
}

// Target looks at where a dataset is to be: nothing is there, and the dataset above can take it. FREE is how much.
// It needs nothing of the remote.
func (c *Catalog) Target(ctx context.Context, name string) (into zfs.Dataset, free int64, err error) {
	if into, err = zfs.ParseDataset(name); err != nil {
		return into, 0, &RestoreRefusal{err}
	}
	pool, below, ok := strings.Cut(name, "/")
	if !ok {
		return into, 0, refuse("%s is a pool: name a new dataset in it, such as %s", pool, word(pool+"/restored"))
	}
	program := c.kit.zfs(c.look)
	switch _, err := program.Info(ctx, into); {
	case err == nil:
		return into, 0, refuse("%s exists: a backup is only restored into a new dataset", into)
	case errors.Is(err, zfs.ErrNoPool):
		return into, 0, refuse("there is no pool %s here, in which %s is to be (zpool list shows those that are imported, zpool import the others)", pool, below)
	case !errors.Is(err, zfs.ErrNoDataset):
		return into, 0, &RestoreRefusal{err}
	}
	above, err := zfs.ParseDataset(path.Dir(name))
	if err != nil {
		return into, 0, &RestoreRefusal{err}
	}
	info, err := program.Info(ctx, above)
	switch {
	case errors.Is(err, zfs.ErrNoDataset):
		return into, 0, refuse("%s, in which %s is to be, does not exist (zfs create -p %s)", above, into, word(above.String()))
	case err != nil:
		return into, 0, err
	case info.Type != "filesystem":
		return into, 0, refuse("%s, in which %s is to be, is a %s", above, into, info.Type)
	}
	return into, info.Available, nil
}

// Latest asks for the newest backup.
const Latest = "latest"

// choose finds the folder that is meant.
func (c *Catalog) choose(ctx context.Context, q RestoreRequest, p *RestorePlan) (string, error) {
	backup := q.Backup
	switch {
	case backup != Latest && !q.At.IsZero():
		return "", refuse("--backup names one backup, --at asks for that of a moment: give one of the two")
	case backup == Latest:
		return c.latest(ctx, q.At, p)
	}
	if _, _, ok := manifest.ParseFolder(backup); !ok {
		return "", refuse("backup %q: neither a stamp such as 20261125035200 nor %s", backup, Latest)
	}
	if name, ok := c.folder(backup); ok {
		return name, nil
	}
	return "", refuse("%s has no backup %s", c.Remote, backup)
}

// folder finds a backup's folder by its name, or by its stamp alone.
func (c *Catalog) folder(backup string) (string, bool) {
	stamp, full, _ := manifest.ParseFolder(backup)
	for _, name := range []string{backup, manifest.Folder(stamp, true)} {
		if slices.Contains(c.Folders, name) && (!full || name == backup) {
			return name, true
		}
	}
	return "", false
}

// latest is the newest folder with a manifest. If that can't be restored, an older one is not taken in its place:
// that is for a person to say.
func (c *Catalog) latest(ctx context.Context, at time.Time, p *RestorePlan) (string, error) {
	all, err := c.ReadAll(ctx)
	if err != nil {
		return "", err
	}
	if err := c.oneJob(all); err != nil {
		return "", err
	}
	for _, e := range all {
		switch {
		case !at.IsZero() && !asOf(e.Name, at):
		case !errors.Is(e.Why, ErrNotCommitted):
			return e.Name, nil
		default:
			p.Newer = append(p.Newer, e.Name)
		}
	}
	if !at.IsZero() {
		return "", refuse("%s has no backup of %s or before", c.Remote, at.Local().Format("2 Jan 2006 15:04:05"))
	}
	return "", refuse("%s has no backup", c.Remote)
}

// asOf tells whether a folder's stamp is not later than a moment.
func asOf(folder string, at time.Time) bool {
	stamp, ok := stampOf(folder)
	return ok && !stamp.After(at)
}

// oneJob is an error if a remote has backups of several jobs: which is the latest would be anyone's guess.
func (c *Catalog) oneJob(all []*Entry) error {
	jobs := slices.Clone(c.Jobs)
	newest := map[string]*manifest.Manifest{}
	for _, e := range all { // the newest first
		if m := e.Manifest; m != nil && newest[m.Job] == nil {
			jobs, newest[m.Job] = append(jobs, m.Job), m
		}
	}
	slices.Sort(jobs)
	jobs = slices.Compact(jobs)
	if len(jobs) < 2 {
		return nil
	}
	var b strings.Builder
	for _, job := range jobs {
		if m := newest[job]; m != nil {
			fmt.Fprintf(&b, "\n  job %s: newest %s, of %s on %s", job, m.Name, m.Dataset, m.Host)
		} else {
			fmt.Fprintf(&b, "\n  job %s: no backup that opens", job)
		}
	}
	return refuse("%s has backups of several jobs; say which one by --backup:%s", c.Remote, b.String())
}

// chain is Chain, of a backup of either kind.
func (c *Catalog) chain(ctx context.Context, name string, python bool) ([]*manifest.Manifest, error) {
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

// hasRoom is an error if a folder's file system can't take so many bytes.
func hasRoom(dir string, bytes int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return refuse("spool folder %s: %w", dir, err)
	}
	if free := int64(st.Bavail) * int64(st.Bsize); free < bytes {
		return refuse("spool folder %s: %d bytes are free, %d are needed; --spool names another", dir, free, bytes)
	}
	return nil
}

// NewRestore is the run that carries a plan out.
func (p *RestorePlan) NewRestore(from state.Source, config string) state.Run {
	rs := &state.Restore{From: from, Into: p.Into.String(), Python: p.Python, Spool: p.Spool, SpoolBytes: p.SpoolBytes}
	var steps []workflow.Planned
	for _, m := range p.Chain {
		rs.Chain = append(rs.Chain, state.Link{Name: m.Name, ManifestSHA256: p.catalog.entries[m.Name].sha, Snapshot: m.Snapshot, SnapshotGUID: m.SnapshotGUID,
			Bytes: m.Bytes(), StreamBytes: m.StreamBytes})
		steps = append(steps, workflow.Planned{Name: stepReceive, Shown: stepReceive + " " + m.Name, Args: []string{m.Name}, Kind: workflow.Plain})
	}
	return state.Run{Config: config, Typed: "restore", Restore: rs, Frozen: state.Frozen{Dataset: rs.Into, Remote: p.catalog.Remote.String()},
		Steps: workflow.NewPlan(steps, nil, &workflow.Planned{Name: stepEndRestore, Shown: stepEndRestore, Kind: workflow.Plain})}
}

// ResumeRestore is the plan of a run that restores, from what is there now: the same manifests, and every chunk.
func (c *Catalog) ResumeRestore(ctx context.Context, run state.Run) (*RestorePlan, error) {
	rs := run.Restore
	newest := rs.Newest()
	p := &RestorePlan{Python: rs.Python, Spool: rs.Spool, SpoolBytes: rs.SpoolBytes, catalog: c}
	var err error
	if p.Into, err = zfs.ParseDataset(rs.Into); err != nil {
		return nil, err
	}
	if p.Chain, err = c.chain(ctx, newest.Name, rs.Python); err != nil {
		return nil, fmt.Errorf("backup %s at %s: %w", newest.Name, c.Remote, err)
	}
	if len(p.Chain) != len(rs.Chain) {
		return nil, fmt.Errorf("the chain of %s at %s is another than when the restore was begun", newest.Name, c.Remote)
	}
	for i, m := range p.Chain {
		if l := rs.Chain[i]; m.Name != l.Name || c.entries[m.Name].sha != l.ManifestSHA256 || m.Bytes() != l.Bytes {
			return nil, fmt.Errorf("%s at %s is another backup than when the restore was begun", l.Name, c.Remote)
		}
		p.Bytes += m.Bytes()
		p.StreamBytes += m.StreamBytes
	}
	return p, nil
}

// RestoreKey stands for a dataset that is not there yet where others are known by their GUID.
func RestoreKey(into string) string {
	sum := sha256.Sum256([]byte(into))
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
