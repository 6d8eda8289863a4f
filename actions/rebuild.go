package actions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// A database may be lost: damaged and moved aside, deleted, on a disk that died. What it knew of a job's backups lies
// at the job's place, in manifests that only the passphrase opens; what it knew of snapshots is marked on them; and
// what was half done is worth nothing without its digests. So a job that is new on record is fresh until somebody has
// looked: if its place belongs to an older job of this very dataset, it is that one, and its record is made again.
// Then the next backup is an incremental, and what was uploaded is not uploaded again.
//
// A wrong guess would have two jobs write to one path. What counts as proof is a manifest that opens and names the
// dataset's GUID, or a snapshot of the dataset that bears the job's mark. Another host's job is not taken over
// unasked, since that host may still be at work.

// Settled is what came of looking for an older record of a fresh job.
type Settled struct {
	Job     state.Job
	Rebuilt bool
	Was     string       // the name by which the place of a job on record was known until now; that job is Job
	Newest  state.Backup // the newest that can be restored; of a job without any: none
	Backups int
	// Unread are backups at the place whose manifests don't open, Unfinished are uploads that were never committed.
	// They are not on record, and stay.
	Unread, Unfinished []string
}

// OtherHost is the error of a job that was last at work on another host.
type OtherHost struct {
	Place, Host, Backup string
}

func (e *OtherHost) Error() string {
	return fmt.Sprintf("the backups of this dataset at %s, of which nothing is on record here, were made on host %s, the newest %s: if it no longer backs up there, they can be taken over",
		e.Place, e.Host, e.Backup)
}

// ShowsNothing is the error of a place without any backup where there should be some.
type ShowsNothing struct {
	Place, Aside, Snapshot string
}

func (e *ShowsNothing) Error() string {
	lost := "the state database is new"
	if e.Aside != "" {
		lost = fmt.Sprintf("the state database was lost (%s)", e.Aside)
	}
	return fmt.Sprintf("%s, %s is a snapshot of a job that is not on record in it, and %s shows no backup", lost, e.Snapshot, e.Place)
}

// OtherDataset is the error of a place with the backups of another dataset. To ZFS one that was restored or made anew is another, too,
// whatever its name.
type OtherDataset struct {
	Place, Dataset string
	Host           string // that made them, if it is another one
	SameName       bool
}

func (e *OtherDataset) Error() string {
	whose := e.Dataset
	if e.Host != "" {
		whose += " of host " + e.Host
	}
	if e.SameName {
		return fmt.Sprintf("%s is where %s was backed up to before it was restored or made anew: to ZFS this is another dataset, and needs a path of its own", e.Place, whose)
	}
	return fmt.Sprintf("%s is where another dataset is backed up to, %s: this one needs a path of its own", e.Place, whose)
}

// otherDataset is that error about the place of a config.
func (k *Kit) otherDataset(dataset, host string) error {
	place, _ := PlaceOf(k.Settings)
	e := &OtherDataset{Place: place, Dataset: dataset, SameName: dataset == k.Settings.Dataset}
	if host != k.Host {
		e.Host = host
	}
	return e
}

// RunStays is the error of a place that is known by another name now, where an unfinished run of its job can't go on by that.
type RunStays struct{ Place, Was, Run string }

func (e *RunStays) Error() string {
	return fmt.Sprintf("%s is where the backups of this dataset went as %s until now, and run %s, which is unfinished, knows it by that name alone", e.Place, e.Was, e.Run)
}

// OtherConfig is the error of a place that is that of another config's job of this dataset, by another name.
type OtherConfig struct{ Place, Was, Config string }

func (e *OtherConfig) Error() string {
	return fmt.Sprintf("%s is where the backups of this dataset by %s go, as %s: if that config is no longer used, this one can go on with them; else give each a path of its own",
		e.Place, e.Config, e.Was)
}

// UnfinishedRun is the error of a fresh job of which a run is unfinished: it can't become another one.
type UnfinishedRun struct{ Run string }

func (e *UnfinishedRun) Error() string {
	return fmt.Sprintf("run %s was begun as that of a new job, and is unfinished: no older job was looked for", e.Run)
}

// Settle looks for an older job at the place of a fresh one, and makes its record again, or, if it has one, goes on with that: the
// same disk is mounted elsewhere, say, or a remote was renamed. The error says that it could not be looked for, where there is a
// sign that there is one: then nothing may be begun. Who INSISTs gets an answer where a run would rather ask: the job of another
// host is taken over, and a place that shows nothing is believed.
func (k *Kit) Settle(ctx context.Context, w workflow.World, store *state.Store, job state.Job, insist bool) (Settled, error) {
	settled := Settled{Job: job}
	if !job.Fresh {
		return settled, nil
	}
	f := &finding{kit: k, now: w.Now().UTC(), fresh: job}
	switch begun, unfinished, err := f.readRecord(store); {
	case err != nil:
		return settled, err
	case unfinished != "" && insist:
		return settled, &UnfinishedRun{unfinished}
	case unfinished != "":
		return settled, nil
	case begun:
		return settled, settle(store, &settled.Job)
	}
	if err := f.readMarks(ctx, w); err != nil {
		return settled, err
	}
	there, err := f.readPlace(ctx, w)
	was := f.elsewhere()
	_, others := errors.AsType[*OtherDataset](err)
	switch {
	case others:
		return settled, err
	case err != nil && (there || insist || len(f.marks) > 0):
		return settled, fmt.Errorf("the record of the backups of %s was lost, it seems, and can't be made again from %s: %w", job.Dataset, job.Place, err)
	case err != nil && was != "":
		return settled, fmt.Errorf("whether %s is where the backups of %s went until now, as %s, can't be told: %w", job.Place, job.Dataset, was, err)
	case err != nil:
		return settled, nil // the first backup of all; the run will say what is wrong with the place
	case !there:
		if err := f.believe(store); err != nil && !insist {
			return settled, err
		}
		return settled, settle(store, &settled.Job)
	case f.here.ID == job.ID: // a run that was given up came as far as its marker
		return settled, settle(store, &settled.Job)
	case f.here.ID != "" && f.here.Config != job.Config && !insist:
		return settled, &OtherConfig{job.Place, f.here.Place, f.here.Config}
	case f.here.ID != "":
		return f.carryOver(store)
	}
	ours, err := f.ours(insist)
	if err != nil || !ours {
		return settled, err
	}
	if err := f.readSpool(); err != nil {
		return settled, err
	}
	return f.rebuild(store)
}

// believe is an error if a place that shows nothing had better not be believed: the database is new, whether one was damaged or
// is gone, and there is a snapshot that a run of a job made which it does not know. A disk that is not mounted shows nothing,
// too, and a full would go onto what is below it.
func (f *finding) believe(store *state.Store) error {
	aside, err := store.Aside()
	made := slices.DeleteFunc(slices.Clone(f.marks), func(m marked) bool { return m.Run == adoptedRun })
	if err != nil || len(made) == 0 {
		return err
	}
	return &ShowsNothing{f.fresh.Place, aside, made[len(made)-1].snap.Snapshot.String()}
}

// settle stores that a fresh job is really new.
func settle(store *state.Store, job *state.Job) error {
	return store.Update(func(tx *state.Tx) error {
		now, ok, err := tx.Job(job.ID)
		if err != nil || !ok {
			return err
		}
		now.Fresh, job.Fresh = false, false
		return tx.PutJob(now)
	})
}

// finding is a search for a lost job.
type finding struct {
	kit   *Kit
	now   time.Time
	fresh state.Job
	known map[string]state.Job // jobs on record
	marks []marked             // the dataset's snapshots that bear the mark of a job not on record
	// On record of all jobs, also of one that went on as another.
	runs    []state.Run
	backups []state.Backup

	here    state.Job // the job on record, of this dataset, that the place belongs to
	id      string    // of the job, not on record, that the place belongs to
	entries []*catalog.Entry
	mine    []*catalog.Entry // whose manifests prove them to be that job's, of this dataset; the newest first

	spool map[string][]string // the job's folders in intermediate_basedir, with the chunk files and indexes in them
}

// marked is a snapshot with its mark.
type marked struct {
	mark
	snap zfs.SnapshotInfo
}

// readRecord tells whether the fresh job is one of its own, whatever its place shows, since it has stored something, and which run
// of it may do so yet. Runs that were given up, since the place could not be reached or is another's, left nothing.
func (f *finding) readRecord(store *state.Store) (begun bool, unfinished string, err error) {
	f.known = map[string]state.Job{}
	err = store.View(func(tx *state.Tx) error {
		jobs, err := tx.Jobs()
		if err != nil {
			return err
		}
		for _, j := range jobs {
			f.known[j.ID] = j
		}
		if f.runs, err = tx.Runs(); err != nil {
			return err
		}
		for _, r := range f.runs {
			if r.Job == f.fresh.ID && !workflow.Over(r.State) {
				unfinished = r.ID
			}
		}
		f.backups, err = tx.Backups("")
		begun = f.fresh.Used || slices.ContainsFunc(f.backups, func(b state.Backup) bool {
			return b.Job == f.fresh.ID && !workflow.BackupMachine.In(b.State, workflow.BackupAbandoned)
		})
		return err
	})
	return begun, unfinished, err
}

// elsewhere is where the config's backups of the dataset went before it named this place; empty if it had none.
func (f *finding) elsewhere() string {
	for _, j := range f.known {
		if j.ID != f.fresh.ID && j.Used && j.DatasetGUID == f.fresh.DatasetGUID && j.Config == f.fresh.Config {
			return j.Place
		}
	}
	return ""
}

func (f *finding) readMarks(ctx context.Context, w workflow.World) error {
	dataset, err := zfs.ParseDataset(f.fresh.Dataset)
	if err != nil {
		return err
	}
	snapshots, err := f.kit.zfs(workflow.Look{World: w}).Snapshots(ctx, dataset)
	for _, snap := range snapshots {
		text, local := snap.Mark()
		m, ok := parseMark(text)
		_, known := f.known[m.Job]
		known = known || hasMade(f.backups, m, snap) || slices.ContainsFunc(f.runs, func(r state.Run) bool { return r.ID == m.Run && r.SnapshotGUID == snap.GUID.String() })
		if local && ok && !known {
			f.marks = append(f.marks, marked{m, snap})
		}
	}
	return err
}

// readPlace looks whether the place is that of one job. If that is not on record, all its manifests are read.
func (f *finding) readPlace(ctx context.Context, w workflow.World) (there bool, err error) {
	r, err := f.kit.Remote(f.fresh.Place)
	if err != nil {
		return false, err
	}
	c, err := f.kit.OpenCatalog(ctx, w, r)
	if errors.Is(err, remote.ErrNotThere) {
		return false, nil // the first upload makes it
	}
	if err != nil || len(c.Jobs) == 0 {
		return false, err
	}
	if len(c.Jobs) > 1 {
		return true, nil // a stranger's
	}
	if j, known := f.known[c.Jobs[0]]; known {
		if j.DatasetGUID != f.fresh.DatasetGUID {
			return true, f.kit.otherDataset(j.Dataset, f.kit.Host)
		}
		f.here = j
		return true, nil
	}
	f.id = c.Jobs[0]
	return true, f.read(ctx, c, c.Folders)
}

// read looks into folders at the place, the newest first.
func (f *finding) read(ctx context.Context, c *catalog.Catalog, folders []string) error {
	if err := c.Unlock(f.kit.Settings.Encryption); err != nil {
		return err
	}
	if err := c.ReadSome(ctx, folders); err != nil {
		return err
	}
	for _, name := range folders {
		e, err := c.Entry(ctx, name)
		if err != nil {
			return err
		}
		f.entries = append(f.entries, e)
		if m := e.Manifest; m != nil && m.Job == f.id && m.DatasetGUID == f.fresh.DatasetGUID {
			f.mine = append(f.mine, e)
		}
	}
	return nil
}

// readSpool looks for what the job has in intermediate_basedir.
func (f *finding) readSpool() error {
	root, err := openDir(f.kit.Settings.IntermediateDir)
	if err != nil {
		return err
	}
	defer root.Close()
	folders, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	f.spool = map[string][]string{}
	for _, folder := range folders {
		name := folder.Name()
		if _, _, ok := manifest.ParseFolder(name); !ok {
			continue
		}
		if mine, err := isFolderOf(root, name, f.id); err != nil || !mine {
			if err != nil {
				return err
			}
			continue
		}
		files, err := fs.ReadDir(root.FS(), name)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(files, isPiece) {
			continue // it was taken over, and is the Python tool's again
		}
		f.spool[name] = nil
		for _, file := range files {
			if file.Type().IsRegular() && (chunk.IsName(file.Name()) || manifest.IsIndex(file.Name())) {
				f.spool[name] = append(f.spool[name], file.Name())
			}
		}
	}
	return nil
}

func isPiece(file fs.DirEntry) bool {
	_, is := catalog.ParsePiece(file.Name())
	return is
}

// ours tells whether the job at the place is this dataset's, of this host. It is an error if it is known to be another dataset's.
func (f *finding) ours(insist bool) (bool, error) {
	f.marks = slices.DeleteFunc(f.marks, func(m marked) bool { return m.Job != f.id })
	if len(f.mine) > 0 {
		if m := f.mine[0].Manifest; m.Host != f.kit.Host && !insist {
			return false, &OtherHost{f.fresh.Place, m.Host, m.Name}
		}
		err := f.readsNewest(f.mine[0].Name)
		return err == nil, err
	}
	if f.id == "" || len(f.marks) == 0 {
		return false, f.others()
	}
	if n := len(f.unread()); n > 0 {
		return false, fmt.Errorf("%s has %s of this dataset's job, and its record, which is lost, can't be made again from them: %w",
			f.fresh.Place, plural(n, "backup", "backups"), f.whyUnread())
	}
	return true, nil
}

// others is an error if the job at the place is another dataset's, as its manifests tell.
func (f *finding) others() error {
	for _, e := range f.entries {
		if m := e.Manifest; m != nil && m.Job == f.id {
			return f.kit.otherDataset(m.Dataset, m.Host)
		}
	}
	return nil
}

// readsNewest is an error if a backup that is newer than NEWEST can't be read: it may be the job's own, sealed with the passphrase
// that the config ought to have, and a record without it would have each run see another host at work.
func (f *finding) readsNewest(newest string) error {
	for _, e := range f.entries {
		if e.Name <= newest || !slices.Contains(f.unread(), e.Name) {
			continue
		}
		err := fmt.Errorf("%s at %s, which is newer than %s, can't be read: %w", e.Name, f.fresh.Place, newest, cmp.Or(e.Why, errNotOfDataset))
		if errors.Is(err, remote.ErrArchived) {
			return err // which says what to do
		}
		return fmt.Errorf("%w. Is that the passphrase of today? If it is nobody's backup, remove it there", err)
	}
	return nil
}

// unread are the backups whose manifests don't open, or are not this job's.
func (f *finding) unread() (names []string) {
	for _, e := range f.entries {
		if !slices.Contains(f.mine, e) && !errors.Is(e.Why, catalog.ErrNotCommitted) && !e.Python {
			names = append(names, e.Name)
		}
	}
	return names
}

func (f *finding) whyUnread() error {
	for _, e := range f.entries {
		if errors.Is(e.Why, chunk.ErrPassphrase) {
			return e.Why
		}
	}
	for _, e := range f.entries {
		if e.Why != nil {
			return e.Why
		}
	}
	return errNotOfDataset
}

var errNotOfDataset = errors.New("it is not of this dataset")

// rebuild makes the record of the job that was found.
func (f *finding) rebuild(store *state.Store) (Settled, error) {
	job := f.fresh
	job.ID, job.Used, job.Fresh = f.id, true, false
	if len(f.mine) > 0 {
		job.Created = f.mine[len(f.mine)-1].Manifest.Created
	}
	return f.store(store, job, (*rebuilding).all)
}

// store stores what was found, of a job whose newest commit is raised by that and never lowered.
func (f *finding) store(store *state.Store, job state.Job, all func(*rebuilding) error) (Settled, error) {
	s := Settled{Rebuilt: true, Backups: len(f.mine), Unread: f.unread()}
	for _, e := range f.entries {
		if errors.Is(e.Why, catalog.ErrNotCommitted) {
			s.Unfinished = append(s.Unfinished, e.Name)
		}
	}
	if len(f.mine) > 0 && (job.Newest == nil || f.mine[0].Name > job.Newest.Name) {
		m := f.mine[0].Manifest
		job.Newest = &state.Commit{Name: m.Name, ManifestSHA256: f.mine[0].SHA256, At: m.Created}
	}
	s.Job = job
	err := store.Update(func(tx *state.Tx) error {
		if err := all(&rebuilding{tx: tx, f: f, job: job}); err != nil {
			return err
		}
		backups, err := tx.Backups(job.ID)
		s.Newest = NewestWhole(backups)
		return err
	})
	return s, err
}

// manifest is that of a backup of the job's, or nil.
func (f *finding) manifest(name string) *manifest.Manifest {
	for _, e := range f.mine {
		if e.Name == name {
			return e.Manifest
		}
	}
	return nil
}
