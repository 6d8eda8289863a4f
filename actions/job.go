package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// PlaceOf is where the backups of a config are committed: its remote, or intermediate_basedir where the
// sequence has no upload step.
func PlaceOf(c *settings.Settings) (place string, uploads bool) {
	for _, s := range c.Steps {
		if s.Name == StepUpload || s.Name == StepUploadFiles {
			return c.Remote, true
		}
	}
	return c.IntermediateDir, false
}

// CheckName tells beforehand whether what a backup of a dataset consists of will have names that fit where it goes.
func CheckName(dataset string, uploads bool) error {
	most := chunk.MaxName
	if uploads {
		most = remote.MaxName
	}
	return chunk.CheckName(dataset, most)
}

// CheckChunks tells beforehand whether a stream of so many bytes has few enough chunks for a backup.
func CheckChunks(dataset string, bytes, splitSize int64) error {
	most := mostChunks(dataset)
	if n := bytes / splitSize; n > most {
		return fmt.Errorf("%d bytes would make %d chunks, and a backup can have %d", bytes, n, most)
	}
	return nil
}

// mostChunks is how many chunks a backup of a dataset can have. A manifest is bounded, and so is what rclone may say of a
// folder, by 64 MiB each; in that a chunk takes more: its name, twice, and some 200 bytes.
func mostChunks(dataset string) int64 {
	return manifest.MaxSize / int64(2*len(chunk.LongestName(dataset))+256)
}

// FindJob returns the job that a dataset and the place of a config make, a new one if there is none. While
// a job has stored nothing at its place, a changed place of the same config file renames it, and with it
// its unfinished runs; but a run's plan has its upload step or not, and one that has none stays where it exports to.
func FindJob(store *state.Store, info zfs.Info, dataset string, c *settings.Settings, now time.Time) (job state.Job, err error) {
	place, uploads := PlaceOf(c)
	guid := info.GUID.String()
	err = store.Update(func(tx *state.Tx) error {
		jobs, err := tx.Jobs()
		if err != nil {
			return err
		}
		fixed, err := fixedJobs(tx, uploads)
		if err != nil {
			return err
		}
		var here, moved *state.Job
		for _, j := range jobs {
			switch {
			case j.DatasetGUID != guid:
			case j.Place == place:
				here = &j
			case j.Config == c.Path && !j.Used && fixed[j.ID] == "":
				moved = &j
			}
		}
		if here != nil {
			job = *here
			job.Dataset, job.Config, job.PoolGUID, job.MaxAge = dataset, c.Path, info.PoolGUID.String(), c.BackupMaxAge
			return errors.Join(tx.PutJob(job), dropEmpty(tx, moved))
		}
		if moved == nil {
			job = state.Job{ID: state.NewJobID(), Dataset: dataset, DatasetGUID: guid, PoolGUID: info.PoolGUID.String(),
				Place: place, Config: c.Path, Created: now.UTC(), MaxAge: c.BackupMaxAge, Fresh: true}
			return tx.PutJob(job)
		}
		job = *moved
		job.Place, job.Dataset, job.MaxAge, job.Fresh = place, dataset, c.BackupMaxAge, true // nobody has looked at that place yet
		return moveJob(tx, job)
	})
	return job, err
}

// dropEmpty drops a job, if there is one, that never had a run: a slip of the pen in the config, which was mended.
func dropEmpty(tx *state.Tx, job *state.Job) error {
	if job == nil {
		return nil
	}
	runs, err := tx.Runs()
	if err != nil || slices.ContainsFunc(runs, func(r state.Run) bool { return r.Job == job.ID }) {
		return err
	}
	backups, err := tx.Backups(job.ID)
	if err != nil || len(backups) > 0 {
		return err
	}
	return tx.DropJob(job.ID)
}

// fixedJobs are those with an unfinished run that can't be moved to the place of a config, and that run.
func fixedJobs(tx *state.Tx, uploads bool) (map[string]string, error) {
	fixed := map[string]string{}
	runs, err := tx.Runs()
	for _, r := range runs {
		if !workflow.Over(r.State) && (r.Frozen.Remote == "" || !uploads) {
			fixed[r.Job] = r.ID
		}
	}
	return fixed, err
}

// moveJob stores a job at another place, with its unfinished runs and backups.
func moveJob(tx *state.Tx, job state.Job) error {
	runs, err := tx.Runs()
	if err != nil {
		return err
	}
	for _, r := range runs {
		if r.Job != job.ID || workflow.Over(r.State) {
			continue
		}
		r.Frozen.Remote = job.Place
		if err := tx.PutRun(r); err != nil {
			return err
		}
	}
	backups, err := tx.Backups(job.ID)
	if err != nil {
		return err
	}
	for _, b := range backups {
		b.Place = job.Place
		if err := tx.PutBackup(b); err != nil {
			return err
		}
	}
	return tx.PutJob(job)
}

// carryOver goes on with the job on record that the place belongs to, whatever it was called until now, in the fresh one's stead.
func (f *finding) carryOver(store *state.Store) (Settled, error) {
	_, uploads := PlaceOf(f.kit.Settings)
	job, was := f.here, f.here.Place
	job.Place, job.Dataset, job.Config, job.PoolGUID, job.MaxAge = f.fresh.Place, f.fresh.Dataset, f.fresh.Config, f.fresh.PoolGUID, f.fresh.MaxAge
	err := store.Update(func(tx *state.Tx) error {
		fixed, err := fixedJobs(tx, uploads)
		if err != nil {
			return err
		}
		if run := fixed[job.ID]; run != "" {
			return &RunStays{Place: job.Place, Was: was, Run: run}
		}
		b := rebuilding{tx: tx, f: f, job: job}
		if err := errors.Join(moveJob(tx, job), b.earlier(), tx.DropJob(f.fresh.ID)); err != nil || uploads {
			return err
		}
		return moveFolders(tx, job, was)
	})
	return Settled{Job: job, Was: was}, err
}

// moveFolders stores that what was in a job's intermediate_basedir, its place, is found there by the place's present name.
func moveFolders(tx *state.Tx, job state.Job, was string) error {
	backups, err := tx.Backups(job.ID)
	if err != nil {
		return err
	}
	for _, b := range backups {
		if b.Dir != was {
			continue
		}
		b.Dir = job.Place
		if err := tx.PutBackup(b); err != nil {
			return err
		}
	}
	foreign, err := tx.Foreigns(job.ID)
	for _, g := range foreign {
		if g.Folder == nil || g.Folder.Dir != was || err != nil {
			continue
		}
		g.Folder.Dir = job.Place
		err = tx.PutForeign(g)
	}
	return err
}

// KnownJob finds the job of a config without making one: for those who only look.
func KnownJob(tx *state.Tx, guid string, c *settings.Settings) (state.Job, bool, error) {
	place, _ := PlaceOf(c)
	jobs, err := tx.Jobs()
	for _, j := range jobs {
		if j.DatasetGUID == guid && j.Place == place {
			return j, true, err
		}
	}
	return state.Job{}, false, err
}

// Freeze is what a run of this config keeps for its whole life.
func Freeze(c *settings.Settings) state.Frozen {
	f := state.Frozen{Dataset: c.Dataset, IntermediateDir: c.IntermediateDir, SplitSize: c.SplitSize, SendFlags: c.SendFlags,
		Encryption: string(c.Encryption), HookTimeout: c.HookTimeout}
	if place, uploads := PlaceOf(c); uploads {
		f.Remote = place
	}
	return f
}

// Planned is a config's sequence as the engine plans it.
func (k *Kit) Planned(steps []settings.Step) []workflow.Planned {
	defs := k.Steps()
	var out []workflow.Planned
	for _, s := range steps {
		p := workflow.Planned{Name: s.Name, Shown: s.Shown, Args: s.Args, Kind: workflow.Hook}
		if !s.Script {
			p.Kind = defs[s.Name].Kind
		}
		out = append(out, p)
	}
	return out
}

// PassphraseOpens tells whether today's passphrase opens what a run has sealed so far. A run that has sealed
// nothing takes any.
func (k *Kit) PassphraseOpens(ctx context.Context, w workflow.World, b state.Backup) (bool, error) {
	return k.opensWith(ctx, w, b)
}
