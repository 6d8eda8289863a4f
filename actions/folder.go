package actions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"strings"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/state"
	"zfs2cloud/state/crash"
	"zfs2cloud/state/durable"
	"zfs2cloud/workflow"
)

// ownerPrefix begins the name of the file that says whose a folder in intermediate_basedir is.
const ownerPrefix = "zfs2cloud-job-"

// claimFolder makes the folder of a backup in intermediate_basedir, or finds that it is ours already.
// Making it is the claim, and a file that names the job is its seal: only who creates that file, O_EXCL,
// has the folder. A stranger's is errStrangers. One of ours is this run's, if it may have made one AGAIN; else it is what a
// run left that was given up, or, where hosts share the disk, what a clone of this host has just made.
func claimFolder(dir, name, job string, again bool) error {
	root, err := openDir(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	err = durable.Mkdir(root, name)
	switch {
	case err == nil:
	case !errors.Is(err, fs.ErrExist):
		return err
	default:
		mine, err := isFolderOf(root, name, job)
		switch {
		case err != nil:
			return err
		case mine && again:
			return holdsNoBackup(root, dir, name)
		case mine:
			return fmt.Errorf("%s %w", path.Join(dir, name), errStrangers)
		}
		entries, err := fs.ReadDir(root.FS(), name)
		if err != nil {
			return err
		}
		// The process may have died between making the folder and sealing its claim.
		if !again || len(entries) > 0 {
			return fmt.Errorf("%s %w", path.Join(dir, name), errStrangers)
		}
	}
	f, err := root.OpenFile(path.Join(name, ownerPrefix+job), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return durable.Whole(root, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return durable.SyncDir(root, name)
}

// openFolder opens the backup's folder. If intermediate_basedir is there without it, another disk was mounted there, or
// a tmpfs anew: the folder is claimed again, and what lay in it is missed, and sealed again, chunk by chunk.
func (x *streamExport) openFolder(ctx context.Context) (*os.Root, error) {
	root, err := openDir(x.backup.Dir)
	if err != nil {
		return nil, x.kit.givenUpDir(x.backup.Dir, err)
	}
	defer root.Close()
	folder, err := root.OpenRoot(x.backup.Name)
	if err == nil && !uploads(x.run) && len(x.backup.Manifest) == 0 {
		if err := holdsNoBackup(root, x.backup.Dir, x.backup.Name); err != nil { // the record is older than the backup
			return nil, errors.Join(err, folder.Close())
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return folder, err
	}
	if !uploads(x.run) {
		// The folder is the place: nothing is written to another disk that lies there in its stead.
		place, err := x.kit.Place(x.run.Frozen, x.run.Job)
		if err != nil {
			return nil, err
		}
		if err := x.kit.claimPlace(ctx, x.s, place); err != nil {
			return nil, err
		}
	}
	x.s.Log().Warn("the folder of the chunk files is gone, and is made again", "backup", x.backup.Name)
	if err := claimFolder(x.backup.Dir, x.backup.Name, x.backup.Job, true); err != nil {
		return nil, err
	}
	return root.OpenRoot(x.backup.Name)
}

// givenUpDir tells an intermediate_basedir that the config has given up from one that will be mounted again: a run
// whose chunk files were to lie there can't be finished.
func (k *Kit) givenUpDir(dir string, err error) error {
	if errors.Is(err, fs.ErrNotExist) && k.Settings.IntermediateDir != dir {
		return &workflow.Hopeless{Err: fmt.Errorf("%w, and intermediate_basedir is %s now", err, k.Settings.IntermediateDir)}
	}
	return err
}

// holdsNoBackup is an error if a folder of ours has a manifest: a backup is in it that the database has lost.
func holdsNoBackup(root *os.Root, dir, name string) error {
	holds, err := holdsManifest(root, name)
	if holds {
		err = &workflow.Hopeless{Err: fmt.Errorf("%s holds a backup that is not on record", path.Join(dir, name))}
	}
	return err
}

// holdsManifest tells whether a folder has a manifest, of whichever kind.
func holdsManifest(root *os.Root, name string) (bool, error) {
	for _, m := range manifestNames {
		_, err := root.Lstat(path.Join(name, m))
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return false, nil
}

// errStrangers is the error of a folder that is another job's, or nobody's.
var errStrangers = errors.New("is there and not this run's")

// isFolderOf tells whether a folder is sealed by a job's claim. A link is nobody's.
func isFolderOf(root *os.Root, name, job string) (bool, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return false, err
	}
	if !info.IsDir() {
		return false, nil
	}
	info, err = root.Lstat(path.Join(name, ownerPrefix+job))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.Mode().IsRegular(), err
}

// removeFolder removes from intermediate_basedir what a backup left there: the files that its records
// name, or that have the names of its chunks, what was being written when a process died, and the folder, if nothing else is
// in it. What else is in it is returned, and stays.
func removeFolder(b state.Backup, chunks []state.Chunk, more ...string) (foreign []string, err error) {
	root, err := openDir(b.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	mine, err := isFolderOf(root, b.Name, b.Job)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, durable.SyncDir(root, ".") // it may have been removed a moment ago, by a process that died
	}
	if err != nil {
		return nil, err
	}
	if !mine {
		return nil, removeEmpty(root, b)
	}
	ours := map[string]bool{}
	for _, c := range chunks {
		ours[c.Name] = true
	}
	for _, name := range more {
		ours[name] = true
	}
	entries, err := fs.ReadDir(root.FS(), b.Name)
	if err != nil {
		return nil, err
	}
	claim := ownerPrefix + b.Job
	for _, e := range entries {
		switch name := e.Name(); {
		case name == claim: // goes last, so that a removal that is cut off still knows the folder
		case e.Type().IsRegular() && (ours[name] || isChunkOf(b, name) || durable.IsTemp(name)):
			if err := root.Remove(path.Join(b.Name, name)); err != nil {
				return nil, durable.Whole(root, err)
			}
			crash.Point("unlink.after")
		default:
			foreign = append(foreign, name)
		}
	}
	if len(foreign) > 0 {
		return foreign, nil
	}
	if err := root.Remove(path.Join(b.Name, claim)); err != nil {
		return nil, durable.Whole(root, err)
	}
	crash.Point("unlink.after")
	if err := root.Remove(b.Name); err != nil {
		return nil, durable.Whole(root, err)
	}
	return nil, durable.SyncDir(root, ".")
}

// dropClaim removes the folder that a run has claimed for a backup that never was on record, unless there is more in it than the claim.
func dropClaim(run state.Run) error {
	if run.Folder == "" {
		return nil
	}
	root, err := openDir(run.Frozen.IntermediateDir)
	if err != nil {
		return err
	}
	defer root.Close()
	mine, err := isFolderOf(root, run.Folder, run.Job)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !mine {
		return nil
	}
	if err == nil {
		_, err = removeFolder(state.Backup{Job: run.Job, Name: run.Folder, Dir: run.Frozen.IntermediateDir}, nil)
	}
	return err
}

// isChunkOf tells whether a file has the name of one of a backup's chunks.
func isChunkOf(b state.Backup, name string) bool {
	stamp, _, _ := manifest.ParseFolder(b.Name)
	return strings.HasPrefix(name, chunk.NamePrefix(b.Dataset, stamp)) && chunk.IsName(name)
}

// removeEmpty removes a folder without a claim if nothing is in it: a removal was cut off behind its last file.
func removeEmpty(root *os.Root, b state.Backup) error {
	info, err := root.Lstat(b.Name)
	if err != nil {
		return err
	}
	if entries, err := fs.ReadDir(root.FS(), b.Name); err != nil || !info.IsDir() || len(entries) > 0 {
		return errors.Join(err, fmt.Errorf("%s is not a folder of this job", path.Join(b.Dir, b.Name)))
	}
	if err := root.Remove(b.Name); err != nil {
		return durable.Whole(root, err)
	}
	return durable.SyncDir(root, ".")
}

// removeFiles removes files of a backup that lie in intermediate_basedir. THERE is false if that is not: what lies on a disk that
// is not mounted keeps nobody from committing.
func removeFiles(b state.Backup, names iter.Seq[string]) (there bool, err error) {
	root, err := openDir(b.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer root.Close()
	for name := range names {
		if err := durable.Remove(root, path.Join(b.Name, name)); err != nil {
			return true, err
		}
	}
	return true, nil
}

// removeTemps removes what was being written into a backup's folder when a process died.
func removeTemps(folder *os.Root) error {
	entries, err := fs.ReadDir(folder.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type().IsRegular() && durable.IsTemp(e.Name()) {
			if err := folder.Remove(e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

func foreignStays(b state.Backup, foreign []string) string {
	return fmt.Sprintf("%s/%s stays: it holds files that are not ours: %s", b.Dir, b.Name, strings.Join(quoteAll(foreign), ", "))
}

func quoteAll(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf("%q", n)
	}
	return out
}
