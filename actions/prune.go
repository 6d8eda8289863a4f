package actions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/state/durable"
	"zfs2cloud/workflow"
)

// pruneIntermediates removes from intermediate_basedir the folders of backups that are safe elsewhere or no
// longer needed, and those of the Python tool that were taken over. Only folders that the job's own records name are looked
// at. What can't go is noted, and the rest goes on.
func (k *Kit) pruneIntermediates(ctx context.Context, s *workflow.Session, args []string) error {
	run := s.Run()
	h, err := holdingsOf(s.View, run.Job, k.Settings.Strategy)
	if err != nil {
		return err
	}
	h.clockIsRight = saysClockIsRight(args)
	inPlace := !uploads(run)
	if inPlace && slices.Contains(args, "-y") {
		if err := k.stillThere(ctx, s); err != nil {
			return err
		}
	}
	again := map[string]bool{}
	if !inPlace {
		if again, err = prunedFolders(run.Frozen.IntermediateDir, h.backups); err != nil {
			return err
		}
	}
	var removed, would int
	jumped := ""
	for _, b := range slices.Backward(h.backups) { // what hangs on a base goes before it
		if b.Pruned && !again[b.Name] || b.Dir != run.Frozen.IntermediateDir {
			continue
		}
		if why := h.keepFolder(b, inPlace, k.Settings.Keep, s.Now()); !h.mayGo(why, s.Now(), &jumped) {
			continue
		}
		if !slices.Contains(args, "-y") {
			k.say("would remove %s", path.Join(b.Dir, b.Name))
			would++
			continue
		}
		if err := k.pruneFolder(ctx, s, h, b, inPlace); err != nil {
			if nerr := k.note(s, "%v", err); nerr != nil {
				return nerr
			}
			continue
		}
		removed++
	}
	adopted, err := h.redundantFolders(run.Frozen.IntermediateDir, inPlace, k.Settings.Keep, s.Now())
	if err != nil {
		return err
	}
	for _, f := range adopted {
		if !slices.Contains(args, "-y") {
			k.say("would remove %s, which the Python tool made", path.Join(f.Folder.Dir, f.Name))
			would++
			continue
		}
		if err := k.pruneAdopted(ctx, s, f, inPlace); err != nil {
			if nerr := k.note(s, "%v", err); nerr != nil {
				return nerr
			}
			continue
		}
		removed++
	}
	if err := k.noteJump(s, "folder of an old chain is removed", jumped); err != nil {
		return err
	}
	if !slices.Contains(args, "-y") {
		return wouldGo(s, would, "remove", "folder", "folders")
	}
	return s.Detail("removed %s", plural(removed, "folder", "folders"))
}

// stillThere is an error unless intermediate_basedir, where the backups are, shows the job's marker: what a disk that is not mounted
// does not show has not been removed.
func (k *Kit) stillThere(ctx context.Context, s *workflow.Session) error {
	run := s.Run()
	job, _, err := jobOf(s.View, run.Job)
	if err != nil || !job.Used {
		return err
	}
	place, err := k.Place(run.Frozen, run.Job)
	if err != nil {
		return err
	}
	return k.claimPlace(ctx, s, place)
}

// prunedFolders are the names of backups whose folders are there, though they are on record as removed: a disk that was not
// mounted then has come back with them. Only of those that are safe on the remote, or were given up: what else is there somebody
// may have put back.
func prunedFolders(dir string, backups []state.Backup) (map[string]bool, error) {
	again := map[string]bool{}
	root, err := openDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return again, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for _, b := range backups {
		if !b.Pruned || b.Dir != dir || workflow.BackupMachine.In(b.State, workflow.BackupExpired) {
			continue
		}
		mine, err := isFolderOf(root, b.Name, b.Job)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		again[b.Name] = mine
	}
	return again, nil
}

// wouldGo sums a prune up that only looks.
func wouldGo(s *workflow.Session, n int, verb, one, many string) error {
	if n == 0 {
		return s.Detail("would %s nothing", verb)
	}
	return s.Detail("would %s %s; -y does it", verb, plural(n, one, many))
}

// OnlyLooks tells a step with a flag -y that was asked what it would do from one that does it.
func OnlyLooks(s state.Step) bool {
	prunes := []string{StepPruneIntermediates, StepPruneSnapshots, StepPruneRemote, StepAdopt}
	return slices.Contains(prunes, s.Name) && !slices.Contains(s.Args, "-y")
}

// CanWait tells whether no backup waits for an unfinished run to be finished: a verification that was typed, or a prune that only
// looks. Who typed it goes on with it. What one that is given up left is not his, and goes with the next run.
func CanWait(r state.Run) bool {
	return (r.Typed == StepVerify || r.Typed != "" && OnlyLooks(r.Steps[0])) && !workflow.RunMachine.In(r.State, workflow.RunAborting)
}

// noteJump notes that nothing old goes, if the clock has jumped.
func (k *Kit) noteJump(s *workflow.Session, what, jumped string) error {
	if jumped == "" {
		return nil
	}
	return k.note(s, "%s", afterJump(what, jumped))
}

// afterJump says that WHAT is not done since the clock has jumped, and what it waits for.
func afterJump(what, jumped string) string {
	return fmt.Sprintf("no %s: %s. If that is right, it begins again once backups of %d days are committed since, and at once if typed with %s",
		what, jumped, int(settled.Hours()/24), ClockIsRight)
}

// note keeps with the run what a person should know afterwards.
func (k *Kit) note(s *workflow.Session, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	s.Log().Warn(text)
	return s.Note(text)
}

func (k *Kit) pruneFolder(ctx context.Context, s *workflow.Session, h holdings, b state.Backup, inPlace bool) error {
	_, err := workflow.Once(ctx, s, workflow.Effect[workflow.Nothing]{
		Name: "remove " + b.Name,
		Do: func(_ context.Context, fx workflow.Fx) (none workflow.Nothing, err error) {
			var chunks []state.Chunk
			err = s.View(func(tx *state.Tx) error {
				chunks, err = tx.Chunks(b.Job, b.Name)
				return err
			})
			if err != nil {
				return none, err
			}
			if inPlace {
				if err := unmake(fx, h, b); err != nil {
					return none, err
				}
			}
			foreign, err := removeFolder(b, chunks, append(beside(b), manifestName(b))...)
			if err == nil && len(foreign) > 0 {
				err = errors.New(foreignStays(b, foreign))
			}
			return none, err
		},
		Result: func(tx *state.Tx, _ *state.Run, _ workflow.Nothing) error {
			b, err := tx.MustBackup(b.Job, b.Name)
			if err != nil {
				return err
			}
			b.Pruned = true
			if err := tx.PutBackup(b); err != nil {
				return err
			}
			return releaseChunks(tx, b, inPlace)
		},
	})
	return err
}

// unmake takes away what makes a folder a backup, where that is the backup: it is one no more from the first file on.
func unmake(fx workflow.Fx, h holdings, b state.Backup) error {
	stays, err := h.unlessRestoring(fx, b, expireRecord)
	if err == nil && stays != "" {
		err = fmt.Errorf("%s stays: %s", path.Join(b.Dir, b.Name), stays)
	}
	if err == nil {
		err = notWhole(b)
	}
	if err == nil {
		err = removeManifest(b)
	}
	return err
}

// notWhole is an error if a backup that was given up has a manifest all the same, in the folder that is its place: somebody may have given
// it up while the disk was away (abort --leave-remote), and it may be whole.
func notWhole(b state.Backup) error {
	if !workflow.BackupMachine.In(b.State, workflow.BackupAbandoned) {
		return nil
	}
	err := hasNoManifest(b)
	if errors.Is(err, errHasManifest) {
		err = fmt.Errorf("%s stays: it was given up, and %w", path.Join(b.Dir, b.Name), err)
	}
	return err
}

var errHasManifest = errors.New("has a manifest all the same")

// hasNoManifest is errHasManifest if a backup's folder in intermediate_basedir has one.
func hasNoManifest(b state.Backup) error {
	root, err := openDir(b.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	holds, err := holdsManifest(root, b.Name)
	if holds {
		return errHasManifest
	}
	return err
}

func expireRecord(tx *state.Tx, b state.Backup) error {
	if !workflow.BackupMachine.In(b.State, workflow.BackupCommitted) {
		return nil
	}
	if err := workflow.BackupMachine.Fire(tx, &b.State, workflow.BackupExpire); err != nil {
		return err
	}
	return errors.Join(tx.DropVerified(b.Job, b.Name), tx.PutBackup(b))
}

// removeManifest takes the manifest away first, so that a removal that is cut off leaves no backup that looks
// committed and is not whole.
func removeManifest(b state.Backup) error {
	root, err := openDir(b.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	err = durable.Remove(root, path.Join(b.Name, manifestName(b)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// releaseChunks stores that the local files of a backup's chunks are gone.
func releaseChunks(tx *state.Tx, b state.Backup, inPlace bool) error {
	if inPlace || !workflow.BackupMachine.In(b.State, workflow.BackupCommitted) {
		return tx.DropChunks(b.Job, b.Name)
	}
	chunks, err := tx.Chunks(b.Job, b.Name)
	if err != nil {
		return err
	}
	for _, c := range chunks {
		if !workflow.ChunkMachine.In(c.State, workflow.ChunkUploaded) {
			continue
		}
		if _, err := moveChunk(tx, &c, workflow.ChunkRelease); err != nil {
			return err
		}
	}
	return nil
}

// pruneSnapshots destroys the job's own snapshots that are past their days and that nothing needs, and those that are bases,
// where a bookmark stands for them. What can't go (held by someone, cloned, not permitted, or for a reason that only zfs knows) is noted
// with that, and the rest goes on.
func (k *Kit) pruneSnapshots(ctx context.Context, s *workflow.Session, args []string) error {
	if k.Gone != nil {
		return s.Detail("destroyed nothing: %v", k.Gone)
	}
	run := s.Run()
	h, err := holdingsOf(s.View, run.Job, k.Settings.Strategy)
	if err != nil {
		return err
	}
	snapshots, err := k.snapshots(ctx, s, run)
	if err != nil {
		return err
	}
	if h.mounted, err = mountedSnapshots(); err != nil {
		return err
	}
	h.clockIsRight = saysClockIsRight(args)
	jumped := ""
	var destroyed, would int
	for _, snap := range snapshots {
		if !h.isOurs(snap) || !h.oldEnough(snap, s.Now(), k.Settings.OldestSnapshotDays) {
			continue
		}
		why := h.keepSnapshot(snap, snapshots)
		if why != "" && why == h.isMounted(snap) {
			if err := k.note(s, "%s stays: %s", snap.Snapshot, why); err != nil {
				return err
			}
			continue
		}
		base := why != ""
		if base {
			if can, err := k.standInFor(ctx, s.Look(), h, snap, snapshots); err != nil {
				return err
			} else if !can {
				continue
			}
		}
		if jumped = h.clockJump(s.Now()); jumped != "" {
			break // for all of them
		}
		if !slices.Contains(args, "-y") {
			k.say("would %s", goes(snap, base))
			would++
			continue
		}
		var err error
		if base {
			err = k.standIn(ctx, s, h, snap, snapshots)
		}
		if err == nil {
			err = k.destroy(ctx, s, h, snap)
		}
		if stays(err) {
			if err := k.note(s, "%s stays: %v", snap.Snapshot, err); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		destroyed++
	}
	if err := k.noteJump(s, "snapshot is pruned by age", jumped); err != nil {
		return err
	}
	if !slices.Contains(args, "-y") {
		return wouldGo(s, would, "destroy", "snapshot", "snapshots")
	}
	if err := k.pruneBookmarks(ctx, s, h); err != nil {
		return err
	}
	return s.Detail("destroyed %s", plural(destroyed, "snapshot", "snapshots"))
}

// goes says what becomes of a snapshot.
func goes(s zfs.SnapshotInfo, base bool) string {
	if base {
		return "destroy " + s.Snapshot.String() + ", and have a bookmark stand for it"
	}
	return "destroy " + s.Snapshot.String()
}

// stays tells the errors of a destroy that concern that one snapshot, or bookmark: zfs refused, whatever its reason, and has the dataset.
func stays(err error) bool {
	gone := errors.Is(err, zfs.ErrNoZFS) || errors.Is(err, zfs.ErrNoPool) || errors.Is(err, zfs.ErrNoDataset)
	return refused(err) && !gone || errors.Is(err, errNotOurs) || errors.Is(err, errNoStandIn)
}

var errNotOurs = errors.New("it is not ours any more")

// destroy destroys a snapshot, after one more look at whose it is, and with our own holds on it released.
func (k *Kit) destroy(ctx context.Context, s *workflow.Session, h holdings, snap zfs.SnapshotInfo) error {
	_, err := workflow.Once(ctx, s, workflow.Effect[workflow.Nothing]{
		Name: "destroy " + snap.Snapshot.Name(),
		Do: func(ctx context.Context, fx workflow.Fx) (none workflow.Nothing, err error) {
			now, err := k.zfs(s.Look()).Snapshot(ctx, snap.Snapshot)
			if errors.Is(err, zfs.ErrNoSnapshot) {
				return none, nil
			}
			if err != nil {
				return none, err
			}
			if now.GUID != snap.GUID || !h.isOurs(now) {
				return none, errNotOurs
			}
			if now.Holds > 0 {
				if err := k.dropOwnHolds(ctx, fx, now); err != nil {
					return none, err
				}
			}
			err = k.zfs(fx).Destroy(ctx, snap.Snapshot)
			if errors.Is(err, zfs.ErrNoSnapshot) {
				err = nil
			}
			return none, err
		},
		Result: func(tx *state.Tx, r *state.Run, _ workflow.Nothing) error {
			return tx.DropAdopted(r.Job, snap.GUID.String())
		},
	})
	return err
}

// dropOwnHolds releases the holds that the snapshot's own mark tells of: its run's and its job's.
func (k *Kit) dropOwnHolds(ctx context.Context, fx workflow.Fx, snap zfs.SnapshotInfo) error {
	text, _ := snap.Mark()
	m, ok := parseMark(text)
	if !ok {
		return nil
	}
	return errors.Join(k.dropHold(ctx, fx, runHold(m.Run), snap.Snapshot), k.dropHold(ctx, fx, baseHold(m.Job), snap.Snapshot))
}
