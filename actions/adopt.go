package actions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/units"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/state/durable"
	"zfs2cloud/workflow"
)

// The Python tool destroyed every old snapshot, and removed folders of backups that were not its newest. Here a prune
// removes only what is ours, so that what the Python tool has left would stay for ever. A person may say that it is ours from
// now on: then a snapshot bears the job's mark, a folder its claim, and both are on record. Only who has all of it is taken
// for one that was taken over, so that each half alone is worth nothing: what a crash leaves, and what somebody takes away
// again (`zfs inherit`, or rm of the claim).
//
// Nothing is the sooner removed for it than one of our own: see holdings.keepSnapshot and holdings.keepAdopted.

// adoptedRun stands in the mark of a snapshot that was taken over where that of our own has a run. No run has such an id, since
// none has an o in it: a mark that names a run is taken for a snapshot which that run made, and what a run made twice is
// destroyed at its end.
const adoptedRun = "adopted"

func adoptedMark(job string) mark { return mark{Job: job, Run: adoptedRun} }

// isAdopted tells whether a snapshot is on record as taken over.
func (h holdings) isAdopted(s zfs.SnapshotInfo) bool {
	id := s.GUID.String()
	return slices.ContainsFunc(h.adopted, func(a state.Adopted) bool { return a.GUID == id })
}

// isPythons tells whether a snapshot is one that the Python tool made, as far as anything tells, and nobody has taken over: its
// name is a time, and no mark is on it, or only that of an adoption which a crash kept from being on record. So does one look
// that a restore received, and nothing prunes it either.
func (h holdings) isPythons(s zfs.SnapshotInfo) bool {
	if _, ok := manifest.ParseStamp(s.Snapshot.Name()); !ok || h.isAdopted(s) && h.isOurs(s) {
		return false
	}
	text, local := s.Mark()
	return !s.Marked() || local && text == adoptedMark(h.job.ID).String()
}

// adoption is what would be taken over, and what stays the Python tool's, and why.
type adoption struct {
	snapshots []zfs.SnapshotInfo
	folders   []PythonFolder
	stays     []string
}

// toAdopt looks what there is to take over.
func (k *Kit) toAdopt(ctx context.Context, look workflow.Look, h holdings, f state.Frozen, snapshots []zfs.SnapshotInfo) (a adoption, err error) {
	dataset, err := zfs.ParseDataset(f.Dataset)
	if err != nil {
		return a, err
	}
	clones, err := k.zfs(look).Clones(ctx, dataset)
	if err != nil {
		return a, err
	}
	for _, s := range snapshots {
		if !h.isPythons(s) {
			if why := h.anothers(s); why != "" {
				a.stays = append(a.stays, fmt.Sprintf("%s: %s", s.Snapshot, why))
			}
			continue
		}
		if why := h.keepPythons(s, clones); why != "" {
			a.stays = append(a.stays, fmt.Sprintf("%s: %s", s.Snapshot, why))
			continue
		}
		a.snapshots = append(a.snapshots, s)
	}
	dir := f.IntermediateDir
	if dir == "" {
		return a, nil
	}
	folders, err := PythonFolders(dir)
	if err != nil || len(folders) == 0 {
		return a, err
	}
	datasets, err := k.zfs(look).Datasets(ctx)
	if err != nil {
		return a, err
	}
	for _, f := range folders {
		if h.hasAdopted(f) {
			continue
		}
		if why := f.keep(dir, dataset.String(), datasets, h.job.ID); why != "" {
			a.stays = append(a.stays, fmt.Sprintf("%s: %s", path.Join(dir, f.Name), why))
			continue
		}
		a.folders = append(a.folders, f)
	}
	return a, nil
}

// keepPythons says why a snapshot of the Python tool is not taken over, or "".
func (h holdings) keepPythons(s zfs.SnapshotInfo, clones map[zfs.Snapshot][]string) string {
	id := s.GUID.String()
	ours := h.mayHoldAsBase(s, false) || slices.ContainsFunc(h.runs, func(r state.Run) bool { return r.SnapshotGUID == id })
	switch {
	case s.Holds > 0 && !ours:
		return fmt.Sprintf("it is held by somebody, by %s", plural(int(s.Holds), "tag", "tags"))
	case len(clones[s.Snapshot]) > 0:
		return "it has clones: " + strings.Join(clones[s.Snapshot], ", ")
	}
	return ""
}

// anothers says so if another job has taken a snapshot over. That may have been this dataset's own, whose record was lost.
func (h holdings) anothers(s zfs.SnapshotInfo) string {
	text, local := s.Mark()
	m, ok := parseMark(text)
	if !local || !ok || m.Run != adoptedRun || m.Job == h.job.ID || !remote.IsJob(m.Job) {
		return ""
	}
	return fmt.Sprintf("job %s has taken it over; if that is no more: zfs inherit %s %s", m.Job, zfs.Property, word(s.Snapshot.String()))
}

// sum is how much it is.
func (a adoption) sum() string {
	var held, files int64
	for _, s := range a.snapshots {
		held += s.Used
	}
	for _, f := range a.folders {
		files += f.Bytes
	}
	return fmt.Sprintf("%s (%s that nothing else holds) and %s (%s)", plural(len(a.snapshots), "snapshot", "snapshots"), units.Size(held),
		plural(len(a.folders), "folder", "folders"), units.Size(files))
}

// lines says it to people.
func (a adoption) lines(dir string) (lines []string) {
	for _, s := range a.snapshots {
		lines = append(lines, fmt.Sprintf("would take over %s: %s that nothing else holds", s.Snapshot, units.Size(s.Used)))
	}
	for _, f := range a.folders {
		lines = append(lines, fmt.Sprintf("would take over %s: %s, %s", path.Join(dir, f.Name), plural(f.Pieces, "piece", "pieces"), units.Size(f.Bytes)))
	}
	for _, why := range a.stays {
		lines = append(lines, "would leave "+why)
	}
	return lines
}

// adopt takes over what the Python tool has left. Each snapshot and each folder is a checkpoint.
func (k *Kit) adopt(ctx context.Context, s *workflow.Session, args []string) error {
	run := s.Run()
	h, err := holdingsOf(s.View, run.Job, k.Settings.Strategy)
	if err != nil {
		return err
	}
	snapshots, err := k.snapshots(ctx, s, run)
	if err != nil {
		return err
	}
	dir := run.Frozen.IntermediateDir
	a, err := k.toAdopt(ctx, s.Look(), h, run.Frozen, snapshots)
	if err != nil {
		return err
	}
	if !slices.Contains(args, "-y") {
		for _, line := range a.lines(dir) {
			k.say("%s", line)
		}
		if len(a.snapshots)+len(a.folders) == 0 {
			return s.Detail("would take over nothing")
		}
		return s.Detail("would take over %s; -y does it", a.sum())
	}
	for _, snap := range a.snapshots {
		err := k.adoptSnapshot(ctx, s, snap)
		if errors.Is(err, zfs.ErrPermission) || errors.Is(err, errNotOurs) {
			if err := k.note(s, "%s stays the Python tool's: %v", snap.Snapshot, err); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
	}
	for _, f := range a.folders {
		if err := k.adoptFolder(ctx, s, dir, f); err != nil {
			return err
		}
	}
	for _, why := range a.stays {
		k.say("left %s", why)
	}
	took, err := adoptedBy(s.View, run)
	if err != nil {
		return err
	}
	return s.Detail("took over %s", took.sum())
}

// adoptedBy is what a run has taken over, in all its lives.
func adoptedBy(view viewer, run state.Run) (a adoption, err error) {
	err = view(func(tx *state.Tx) error {
		adopted, err := tx.AdoptedBy(run.Job)
		if err != nil {
			return err
		}
		for _, one := range adopted {
			if one.Run == run.ID {
				a.snapshots = append(a.snapshots, zfs.SnapshotInfo{Used: one.Used})
			}
		}
		foreign, err := tx.Foreigns(run.Job)
		for _, f := range foreign {
			if f.Folder != nil && f.Folder.Run == run.ID {
				a.folders = append(a.folders, PythonFolder{Bytes: f.Folder.Bytes})
			}
		}
		return err
	})
	return a, err
}

// adoptSnapshot marks a snapshot and puts it on record, unless it is another by now, or gone.
func (k *Kit) adoptSnapshot(ctx context.Context, s *workflow.Session, snap zfs.SnapshotInfo) error {
	run := s.Run()
	took, err := workflow.Once(ctx, s, workflow.Effect[bool]{
		Name: "adopt " + snap.Snapshot.Name(),
		Do: func(ctx context.Context, fx workflow.Fx) (there bool, err error) {
			now, err := k.zfs(s.Look()).Snapshot(ctx, snap.Snapshot)
			if errors.Is(err, zfs.ErrNoSnapshot) {
				return false, nil
			}
			if err != nil {
				return false, err
			}
			mine := adoptedMark(run.Job).String()
			if text, local := now.Mark(); now.GUID != snap.GUID || now.Marked() && (!local || text != mine) {
				return false, errNotOurs
			}
			return true, k.zfs(fx).SetProperty(ctx, snap.Snapshot, zfs.Property, mine)
		},
		Result: func(tx *state.Tx, r *state.Run, there bool) error {
			if !there {
				return nil
			}
			return tx.PutAdopted(state.Adopted{Job: r.Job, Snapshot: snap.Snapshot.Name(), GUID: snap.GUID.String(), Run: r.ID, At: s.Now().UTC(), Used: snap.Used})
		},
	})
	if took {
		k.say("took over %s", snap.Snapshot)
	}
	return err
}

// adoptFolder puts the job's claim into a folder and the folder on record.
func (k *Kit) adoptFolder(ctx context.Context, s *workflow.Session, dir string, f PythonFolder) error {
	run := s.Run()
	_, err := workflow.Once(ctx, s, workflow.Effect[workflow.Nothing]{
		Name: "adopt folder " + f.Name,
		Do: func(context.Context, workflow.Fx) (none workflow.Nothing, err error) {
			root, err := openDir(dir)
			if err != nil {
				return none, err
			}
			defer root.Close()
			return none, claimPythons(root, f.Name, run.Job)
		},
		Result: func(tx *state.Tx, r *state.Run, _ workflow.Nothing) error {
			known, _, err := tx.Foreign(r.Job, f.Name)
			if err != nil {
				return err
			}
			known.Job, known.Name = r.Job, f.Name
			known.Folder = &state.AdoptedFolder{Dir: dir, Run: r.ID, At: s.Now().UTC(), Made: f.made(), Prefix: f.Prefix, Pieces: f.Pieces, Bytes: f.Bytes}
			return tx.PutForeign(known)
		},
	})
	if err == nil {
		k.say("took over %s", path.Join(dir, f.Name))
	}
	return err
}

// claimPythons makes the file that says whose a folder is, which may be there already.
func claimPythons(root *os.Root, folder, job string) error {
	f, err := root.OpenFile(path.Join(folder, ownerPrefix+job), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return durable.Whole(root, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return durable.SyncDir(root, folder)
}

// leftOf is what of the Python tool's nobody has taken over.
func (h holdings) leftOf(snapshots []zfs.SnapshotInfo, dir string) (left state.Left, err error) {
	for _, s := range snapshots {
		if h.isPythons(s) {
			left.Snapshots++
			left.SnapshotBytes += s.Used
		}
	}
	if dir == "" {
		return left, nil
	}
	folders, err := PythonFolders(dir)
	for _, f := range folders {
		if !h.hasAdopted(f) {
			left.Folders++
			left.FolderBytes += f.Bytes
		}
	}
	return left, err
}
