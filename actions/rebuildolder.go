package actions

import (
	"context"
	"errors"
	"slices"

	"zfs2cloud/actions/remote"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// A database may be older than what it is about: it was put back from a copy, with the disk of the system, say, while pool and remote
// are of today. Then a run finds a backup that it does not know, as it would if a clone of this host were at work there. That is not
// for a program to tell; but a person who says so has what lies there put on record.

// UnknownBackup is the error of a place with a committed backup, newer than the job's newest, that is not on record.
type UnknownBackup struct{ Place, Backup string }

func (e *UnknownBackup) Error() string {
	return e.Place + " shows backup " + e.Backup + ", which this host does not know of: was its state database put back from an older copy, or does a clone of this host back up to the same place? Nothing was written there"
}

// Reread puts on record the backups that lie at the place of a job on record, and are not on record, whichever host made them.
func (k *Kit) Reread(ctx context.Context, w workflow.World, store *state.Store, job state.Job) (Settled, error) {
	place, err := k.Place(Freeze(k.Settings), job.ID)
	if err != nil {
		return Settled{}, err
	}
	if err := place.Check(ctx, workflow.Look{World: w}); err != nil {
		if errors.Is(err, remote.ErrMarkerGone) && !job.Used {
			return Settled{Job: job}, nil // nothing was ever stored there
		}
		return Settled{}, err
	}
	c, err := k.OpenCatalog(ctx, w, place)
	if err != nil {
		return Settled{}, err
	}
	f := &finding{kit: k, now: w.Now().UTC(), fresh: job, id: job.ID}
	own, err := f.readOwn(store)
	if err != nil {
		return Settled{}, err
	}
	onRecord := func(folder string) bool { return slices.Contains(own, folder) }
	if err := f.read(ctx, c, slices.DeleteFunc(slices.Clone(c.Folders), onRecord)); err != nil {
		return Settled{}, err
	}
	newest := ""
	if job.Newest != nil {
		newest = job.Newest.Name
	}
	if len(f.mine) > 0 {
		newest = max(newest, f.mine[0].Name)
	}
	if err := f.readsNewest(newest); err != nil {
		return Settled{}, err
	}
	if len(f.mine) == 0 {
		return Settled{Job: job, Unread: f.unread()}, nil
	}
	if err := errors.Join(f.readMarks(ctx, w), f.readSpool()); err != nil {
		return Settled{}, err
	}
	f.marks = slices.DeleteFunc(f.marks, func(m marked) bool { return m.Job != job.ID })
	for _, folder := range own {
		delete(f.spool, folder)
	}
	job.Used = true
	return f.store(store, job, (*rebuilding).more)
}

// readOwn reads the runs and the job's backups on record, and tells which folders are of those backups, or claimed by a run for one. One
// that was given up may have been committed all the same, by another host, or by this one before the record was put back.
func (f *finding) readOwn(store *state.Store) (own []string, err error) {
	err = store.View(func(tx *state.Tx) error {
		if f.runs, err = tx.Runs(); err != nil {
			return err
		}
		for _, r := range f.runs {
			if r.Job == f.id && r.Folder != "" {
				own = append(own, r.Folder)
			}
		}
		f.backups, err = tx.Backups(f.id)
		for _, b := range f.backups {
			if !workflow.BackupMachine.In(b.State, workflow.BackupAbandoned) {
				own = append(own, b.Name)
			}
		}
		return err
	})
	return own, err
}
