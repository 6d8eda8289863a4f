package actions

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"golang.org/x/sync/errgroup"

	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// Clean removes what a run that is given up left behind: its chunk files, its objects that were never
// committed, its hold. First it looks whether its manifest is at its place after all: then the backup is
// committed and stays. If that can't be told, nothing is deleted, and the run stays aborting.
func (k *Kit) Clean(ctx context.Context, s *workflow.Session) error {
	run := s.Run()
	if run.Restore != nil {
		return k.cleanRestore(ctx, s)
	}
	if run.Mount != "" {
		if err := k.unmountOnce(ctx, s, run.Mount); err != nil {
			if ctx.Err() != nil {
				return err
			}
			if err := k.note(s, "%v: the next run, or umount-snapshot, tries again", err); err != nil {
				return err
			}
		}
	}
	if run.Backup != "" {
		b, ok, err := k.ownBackup(s, run)
		if err != nil {
			return err
		}
		switch {
		case ok:
			err = k.cleanBackup(ctx, s, b)
		case workflow.BackupMachine.In(b.State, workflow.BackupExported): // another run's, which this one was to upload
			_, err = k.committedAfterAll(ctx, s, b)
		}
		if err != nil {
			return err
		}
	}
	if run.Folder != "" {
		if err := k.leaveFolder(ctx, s, run); err != nil {
			return err
		}
	}
	if drilled(run) {
		if err := k.dropScratch(ctx, s); err != nil && !errors.Is(err, zfs.ErrNoPool) {
			return err
		}
	}
	if err := clearSpools(run.Frozen.IntermediateDir, spoolPrefix(run.Job)); err != nil {
		k.Log.Warn("left by a verification that was killed", "err", err)
	}
	err := k.letGo(ctx, s)
	if errors.Is(err, zfs.ErrNoPool) {
		// A run after the pool was imported again lets go of what those before it held.
		return k.note(s, "whatever it held stays held: %v", err)
	}
	return err
}

// leaveFolder takes back the run's claim of a folder for a backup that it did not come to begin.
func (k *Kit) leaveFolder(ctx context.Context, s *workflow.Session, run state.Run) error {
	_, err := workflow.Once(ctx, s, workflow.Effect[string]{
		Name: "leave " + run.Folder,
		Do: func(context.Context, workflow.Fx) (note string, err error) {
			if err := dropClaim(run); err != nil {
				note = fmt.Sprintf("%s, which holds nothing, could not be removed: %v", path.Join(run.Frozen.IntermediateDir, run.Folder), err)
			}
			return note, nil
		},
		Result: func(_ *state.Tx, r *state.Run, note string) error {
			r.Folder = ""
			if note != "" {
				r.Notes = append(r.Notes, note)
			}
			return nil
		},
	})
	return err
}

// letGo releases the hold on the run's snapshot, which stays until its age prunes it: for that it has to be known by
// its GUID, also where the run came to its end before it had looked. What an earlier attempt made goes at once.
func (k *Kit) letGo(ctx context.Context, s *workflow.Session) error {
	if err := k.destroyLate(ctx, s); err != nil && !errors.Is(err, zfs.ErrNoDataset) {
		return err
	}
	run := s.Run()
	if run.Snapshot == "" {
		return nil
	}
	_, err := workflow.Once(ctx, s, workflow.Effect[string]{
		Name: "let go", Afresh: true,
		Do: func(ctx context.Context, fx workflow.Fx) (guid string, err error) {
			snap, err := snapshotOf(run)
			if err != nil {
				return "", err
			}
			if guid, err = k.guidOf(ctx, s, run, snap); err != nil {
				return "", err
			}
			err = k.zfs(fx).Release(ctx, runHold(run.ID), snap)
			if errors.Is(err, zfs.ErrNoSnapshot) && guid != "" {
				err = k.dropMovedHold(ctx, s, fx, runHold(run.ID), guid)
			}
			if notHeld(err) {
				err = nil
			}
			return guid, err
		},
		Result: func(_ *state.Tx, r *state.Run, guid string) error {
			r.SnapshotGUID = guid
			return nil
		},
	})
	return err
}

// guidOf is the GUID of the run's snapshot: that on record, else, if the run did make a snapshot of that name, what
// ZFS says. It is empty where there is none.
func (k *Kit) guidOf(ctx context.Context, s *workflow.Session, run state.Run, snap zfs.Snapshot) (string, error) {
	if run.SnapshotGUID != "" {
		return run.SnapshotGUID, nil
	}
	info, err := k.zfs(s.Look()).Snapshot(ctx, snap)
	if errors.Is(err, zfs.ErrNoSnapshot) || errors.Is(err, zfs.ErrNoDataset) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text, local := info.Mark()
	if m, ok := parseMark(text); !local || !ok || m.Run != run.ID || m.Job != run.Job {
		return "", nil
	}
	return info.GUID.String(), nil
}

// ownBackup is the backup that a run began, if it is neither committed nor gone; or the one that it was to upload, if
// that has lost a chunk and the run that could seal it again is over, or if what it is based on can't be restored.
func (k *Kit) ownBackup(s *workflow.Session, run state.Run) (b state.Backup, ok bool, err error) {
	err = s.View(func(tx *state.Tx) error {
		if b, ok, err = tx.Backup(run.Job, run.Backup); err != nil || !ok {
			return err
		}
		ok = workflow.BackupMachine.In(b.State, workflow.BackupExporting, workflow.BackupExported)
		if b.Run == run.ID || !ok {
			return nil
		}
		maker, known, err := tx.Run(b.Run)
		over := !known || workflow.Over(maker.State)
		if ok = over && workflow.BackupMachine.In(b.State, workflow.BackupExporting); ok || !over || b.Base == nil || err != nil {
			return err
		}
		backups, err := tx.Backups(run.Job)
		base, known := baseOf(backups, b)
		ok = !known || !sound(backups, base)
		return err
	})
	return b, ok, err
}

func (k *Kit) cleanBackup(ctx context.Context, s *workflow.Session, b state.Backup) error {
	if b.Files != nil {
		return record(ctx, s, "give up "+b.Name, func(tx *state.Tx, r *state.Run, _ workflow.Nothing) error {
			if b.Files.Total+b.Files.Deletes > 0 { // it was begun
				r.Notes = append(r.Notes, b.Files.Into+" is partly the state that it was to have, until the next sync")
			}
			return abandon(tx, b, true)
		})
	}
	if is, err := k.committedAfterAll(ctx, s, b); err != nil || is {
		return err
	}
	var place *remote.Place
	if !k.LeaveRemote {
		var err error
		if place, err = k.Place(s.Run().Frozen, b.Job); err != nil {
			return err
		}
	}
	var gone bool
	_, err := workflow.Once(ctx, s, workflow.Effect[[]string]{
		Name: "remove " + b.Name,
		Do: func(ctx context.Context, fx workflow.Fx) (notes []string, err error) {
			notes, gone, err = k.removeUncommitted(ctx, s, fx, place, b)
			return notes, err
		},
		Result: func(tx *state.Tx, r *state.Run, notes []string) error {
			r.Notes = append(r.Notes, notes...)
			return abandon(tx, b, gone)
		},
	})
	return err
}

// committedAfterAll looks whether a backup is committed though no record says so: its manifest was sealed, so it may have been
// stored. Then it is put on record.
func (k *Kit) committedAfterAll(ctx context.Context, s *workflow.Session, b state.Backup) (bool, error) {
	if len(b.Manifest) == 0 || k.LeaveRemote {
		return false, nil
	}
	place, err := k.Place(s.Run().Frozen, b.Job)
	if err != nil {
		return false, err
	}
	there, err := k.manifestThere(ctx, s.Look(), place, b)
	if err != nil {
		return false, &CantTell{Backup: b.Name, Place: place.String(), Err: err}
	}
	if !there {
		return false, nil
	}
	s.Log().Info("the backup is committed, and stays", "backup", b.Name)
	return true, record(ctx, s, "committed", func(tx *state.Tx, r *state.Run, _ workflow.Nothing) error {
		r.Notes = append(r.Notes, "its backup "+b.Name+" is committed, and stays")
		return committed(tx, b.Job, b.Name, s.Now())
	})
}

// CantTell is the error of a place that does not tell whether the backup of a run that is given up is committed there.
type CantTell struct {
	Backup, Place string
	Err           error
}

func (e *CantTell) Error() string {
	return fmt.Sprintf("can't tell whether %s is committed at %s, so nothing was deleted there: %v", e.Backup, e.Place, e.Err)
}

func (e *CantTell) Unwrap() error { return e.Err }

// abandon stores that a backup was given up, and whether all of it here is GONE: what is not, the next prune-intermediates removes.
func abandon(tx *state.Tx, b state.Backup, gone bool) error {
	b, err := tx.MustBackup(b.Job, b.Name)
	if err != nil {
		return err
	}
	if err := workflow.BackupMachine.Fire(tx, &b.State, workflow.BackupAbandon); err != nil {
		return err
	}
	b.Manifest, b.Pruned = nil, gone
	return errors.Join(tx.PutBackup(b), tx.DropChunks(b.Job, b.Name))
}

// removeUncommitted deletes the names of the backup's own records, at its place and in intermediate_basedir.
// What it can't reach it says. GONE: nothing is left in intermediate_basedir that it could remove.
func (k *Kit) removeUncommitted(ctx context.Context, s *workflow.Session, fx workflow.Fx, place *remote.Place, b state.Backup) (notes []string, gone bool, err error) {
	var chunks []state.Chunk
	err = s.View(func(tx *state.Tx) error {
		chunks, err = tx.Chunks(b.Job, b.Name)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	if k.LeaveRemote {
		text := fmt.Sprintf("what it had stored of %s at %s was left there, and not looked at", b.Name, placeName(s.Run().Frozen))
		if len(b.Manifest) > 0 {
			text += "; if its manifest is there, list shows it and restore takes it, but nothing is based on it before rebuild-state has put it on record"
		}
		if notes = append(notes, text); !uploads(s.Run()) {
			return notes, false, nil
		}
	} else if uploads(s.Run()) {
		err := k.removeObjects(ctx, fx, place, b, chunks)
		if err == nil && !b.Contested {
			err = fx.Note(func(tx *state.Tx, _ *state.Run) error { return unclaimed(tx, b) })
		}
		if ctx.Err() != nil {
			return nil, false, err
		}
		if err != nil {
			next := "; prune-remote -y tries again"
			switch {
			case errors.Is(err, errCommitted):
				next = "; to put it on record: " + k.again("rebuild-state")
			case b.Contested || errors.Is(err, remote.ErrDenied): // what lies there is another host's as well, or has to stay
				next = ""
			}
			notes = append(notes, fmt.Sprintf("what it had uploaded to %s/%s could not be removed: %v%s", place, b.Name, err, next))
		}
	}
	var foreign []string
	if !uploads(s.Run()) && len(b.Manifest) == 0 { // the record may be older than a backup there
		err = hasNoManifest(b)
	}
	if err == nil {
		foreign, err = removeFolder(b, chunks, append(beside(b), manifestName(b))...)
	}
	switch {
	case errors.Is(err, errHasManifest):
		notes = append(notes, fmt.Sprintf("what lies in %s was left there: %v; to put it on record: %s", path.Join(b.Dir, b.Name), errCommitted, k.again("rebuild-state")))
	case err != nil:
		notes = append(notes, fmt.Sprintf("what it left in %s could not be removed: %v; prune-intermediates tries again", path.Join(b.Dir, b.Name), err))
	case len(foreign) > 0:
		notes = append(notes, foreignStays(b, foreign))
	}
	return notes, err == nil, nil
}

var errCommitted = errors.New("it is committed there, and not by this run as it is on record")

// unclaimed stores that nothing of a backup that is given up is left at its place.
func unclaimed(tx *state.Tx, b state.Backup) error {
	b, err := tx.MustBackup(b.Job, b.Name)
	b.Claims, b.Claimed = nil, ""
	return errors.Join(err, tx.PutBackup(b))
}

func (k *Kit) removeObjects(ctx context.Context, fx workflow.Fx, place *remote.Place, b state.Backup, chunks []state.Chunk) error {
	sent := len(b.Claims) > 0
	for _, c := range chunks {
		sent = sent || !workflow.ChunkMachine.In(c.State, workflow.ChunkSealing, workflow.ChunkSealed)
	}
	if !sent {
		return nil
	}
	there, err := k.listing(ctx, fx, place, b.Name)
	if err != nil || there == nil {
		return err
	}
	if isCommitted(there) && len(b.Manifest) == 0 && !b.Contested {
		return errCommitted
	}
	names, claims := ownObjects(b, chunks)
	for _, some := range [][]string{names, claims} {
		some = slices.DeleteFunc(slices.Clone(some), func(name string) bool {
			_, ok := there[name]
			return !ok
		})
		if err := k.deleteObjects(ctx, fx, place, b.Name, some); err != nil {
			return err
		}
	}
	err = k.retry(ctx, func(ctx context.Context) error { return place.RemoveFolder(ctx, fx, b.Name) })
	if err != nil && !errors.Is(err, remote.ErrNotEmpty) {
		return err
	}
	return k.retry(ctx, func(ctx context.Context) error { return place.Check(ctx, fx) })
}

// deleteObjects deletes some objects of a folder, a few at once.
func (k *Kit) deleteObjects(ctx context.Context, fx workflow.Fx, place *remote.Place, folder string, names []string) error {
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(k.Settings.UploadJobs)
	for _, name := range names {
		g.Go(func() error {
			return k.retry(within, func(ctx context.Context) error { return place.Delete(ctx, fx, path.Join(folder, name)) })
		})
	}
	return g.Wait()
}
