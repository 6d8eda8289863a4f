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
	"syscall"
	"time"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// PythonFolder is a folder in intermediate_basedir in which pieces of the Python tool lie.
type PythonFolder struct {
	Name   string // STAMP or STAMP-full
	Prefix string // of its pieces' names, before the number: tank-data@STAMP.zfs.gpg.
	Pieces int
	Bytes  int64
	// WrittenOver says, as the function of that name in catalog does, that an older, longer export lies behind the end.
	WrittenOver bool

	newest  time.Time // of its pieces' times
	claims  []string  // jobs that have claimed it
	others  []string  // what else is in it
	mounted bool      // it is another file system than the folder it is in
}

// PythonFolders looks for those of a folder, the oldest first.
func PythonFolders(dir string) ([]PythonFolder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	own, err := root.Stat(".")
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var all []PythonFolder
	for _, e := range entries { // by name
		if _, _, ok := manifest.ParseFolder(e.Name()); !ok || !e.IsDir() {
			continue
		}
		f, err := readPythonFolder(root, e.Name())
		if errors.Is(err, fs.ErrNotExist) { // gone since it was listed
			continue
		}
		if err != nil {
			return nil, err
		}
		if f.Pieces == 0 {
			continue
		}
		info, err := root.Stat(e.Name())
		if err != nil {
			return nil, err
		}
		f.mounted = device(info) != device(own)
		all = append(all, f)
	}
	return all, nil
}

// readPythonFolder reads one. Pieces are those of the first one's snapshot; what else there is is named.
func readPythonFolder(root *os.Root, name string) (f PythonFolder, err error) {
	f.Name = name
	entries, err := fs.ReadDir(root.FS(), name)
	if err != nil {
		return f, err
	}
	var sizes []int64
	for _, e := range entries { // by name, which is by number
		piece, isPiece := catalog.ParsePiece(e.Name())
		claim, isClaim := strings.CutPrefix(e.Name(), ownerPrefix)
		switch {
		case isClaim && e.Type().IsRegular():
			f.claims = append(f.claims, claim)
			continue
		case !isPiece || !e.Type().IsRegular() || f.Prefix != "" && f.Prefix != piece.Prefix():
			f.others = append(f.others, e.Name())
			continue
		}
		info, err := e.Info()
		if err != nil {
			return f, err
		}
		f.Prefix = piece.Prefix()
		f.Pieces, f.Bytes, sizes = f.Pieces+1, f.Bytes+info.Size(), append(sizes, info.Size())
		if t := info.ModTime(); t.After(f.newest) {
			f.newest = t
		}
	}
	f.WrittenOver = catalog.OddPiece(sizes) >= 0
	return f, nil
}

// device is the file system that something lies in.
func device(info fs.FileInfo) uint64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return uint64(st.Dev)
}

// has tells whether some piece in a folder is of a dataset. Datasets that share intermediate_basedir may have got the same one.
func (f PythonFolder) has(dataset string) bool {
	return catalog.DatasetOf(f.Prefix) == dataset ||
		slices.ContainsFunc(f.others, func(name string) bool {
			_, ok := catalog.ParsePiece(name)
			return ok && catalog.DatasetOf(name) == dataset
		})
}

// dashed is a dataset's name as the Python tool has it in a file's.
func dashed(dataset string) string { return strings.ReplaceAll(dataset, "/", "-") }

// keep says why a folder of DIR is not taken over for a job of a dataset, or "". DATASETS are all there are.
func (f PythonFolder) keep(dir, dataset string, datasets []string, job string) string {
	stamp, _, _ := manifest.ParseFolder(f.Name)
	alike := slices.IndexFunc(datasets, func(d string) bool { return d != dataset && dashed(d) == dashed(dataset) })
	switch {
	case f.mounted:
		return "something is mounted there"
	case f.Prefix != catalog.Piece{Dataset: dashed(dataset), Snapshot: stamp}.Prefix():
		return fmt.Sprintf("it has pieces of %s", strings.TrimSuffix(f.Prefix, ".zfs.gpg."))
	case alike >= 0:
		return fmt.Sprintf("its pieces may be of %s, too, which is %s in a file's name as well", datasets[alike], catalog.DatasetOf(f.Prefix))
	case len(f.others) > 0:
		return fmt.Sprintf("it holds what is not the Python tool's: %s", strings.Join(quoteAll(f.others[:min(3, len(f.others))]), ", "))
	}
	i := slices.IndexFunc(f.claims, func(j string) bool { return j != job })
	switch {
	case i < 0:
		return ""
	case remote.IsJob(f.claims[i]):
		return fmt.Sprintf("it is job %s's; if that is no more: rm %s", f.claims[i], word(path.Join(dir, f.Name, ownerPrefix+f.claims[i])))
	}
	return "it belongs to another job"
}

// made is the latest that what it holds can have been made, in whole seconds. The Python tool's stamps are local time.
func (f PythonFolder) made() time.Time {
	made := f.newest.UTC().Truncate(time.Second)
	stamp, _, _ := manifest.ParseFolder(f.Name)
	if t, err := time.ParseInLocation(manifest.StampLayout, stamp, time.Local); err == nil && t.After(made) {
		made = t.UTC()
	}
	return made
}

// hasAdopted tells whether a folder was taken over: it is on record, and has the job's claim.
func (h holdings) hasAdopted(f PythonFolder) bool {
	return slices.Contains(f.claims, h.job.ID) &&
		slices.ContainsFunc(h.foreign, func(o state.Foreign) bool { return o.Name == f.Name && o.Folder != nil && o.Folder.Prefix == f.Prefix })
}

// keepAdopted says why a folder that was taken over must not be removed, or "". Nobody has proved that it holds a backup, and
// it may hold the only one of its day: only a full of our own that is newer makes it redundant, and where the folder is not
// only a copy of what is on the remote, the limits do that our own backups have there. THERE are all the Python tool's folders.
func (h holdings) keepAdopted(f state.Foreign, there []PythonFolder, inPlace bool, keep settings.Keep, now time.Time) string {
	newer := 0
	for _, b := range h.backups {
		if b.Full && b.Files == nil && sound(h.backups, b) && !bornAt(b, now).Before(f.Folder.Made) {
			newer++
		}
	}
	if why := h.restoring(func(l state.Link) bool { return l.Name == f.Name && l.ManifestSHA256 == "" }); why != "" {
		return why
	}
	switch {
	case newer == 0:
		return "no full that is newer is committed"
	case inPlace && keep.Fulls > 0 && newer < keep.Fulls:
		return fmt.Sprintf("fewer than %s are newer", plural(keep.Fulls, "full", "fulls"))
	case inPlace && keep.Days > 0 && now.Sub(f.Folder.Made) <= time.Duration(keep.Days)*24*time.Hour:
		return fmt.Sprintf("it is not older than %s", plural(keep.Days, "day", "days"))
	case inPlace && keep != (settings.Keep{}) && h.clockJump(now) != "":
		return h.clockJump(now)
	}
	if _, full, _ := manifest.ParseFolder(f.Name); !full {
		return ""
	}
	for _, o := range there { // the oldest first
		_, full, _ := manifest.ParseFolder(o.Name)
		if o.Name <= f.Name || !o.has(catalog.DatasetOf(f.Folder.Prefix)) {
			continue
		}
		if full {
			break
		}
		i := slices.IndexFunc(h.foreign, func(r state.Foreign) bool { return r.Name == o.Name && r.Folder != nil })
		if i < 0 || !h.hasAdopted(o) || h.keepAdopted(h.foreign[i], there, inPlace, keep, now) != "" {
			return o.Name + " is based on it"
		}
	}
	return ""
}

// redundantFolders are the folders that were taken over, lie in DIR and may go, what hangs on a base before it. One that a
// process died at removing is among them whatever is left of it.
func (h holdings) redundantFolders(dir string, inPlace bool, keep settings.Keep, now time.Time) (all []state.Foreign, err error) {
	if !slices.ContainsFunc(h.foreign, func(f state.Foreign) bool { return f.Folder != nil && f.Folder.Dir == dir }) {
		return nil, nil
	}
	there, err := PythonFolders(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range slices.Backward(h.foreign) {
		if f.Folder == nil || f.Folder.Dir != dir {
			continue
		}
		i := slices.IndexFunc(there, func(o PythonFolder) bool { return o.Name == f.Name })
		if i >= 0 && (there[i].mounted || !h.hasAdopted(there[i])) {
			continue
		}
		// One of which pieces have gone is worth nothing any more. One that lost none to who died is judged anew.
		begun := f.Folder.Going && (i < 0 || there[i].Pieces < f.Folder.Pieces)
		if begun || i >= 0 && h.keepAdopted(f, there, inPlace, keep, now) == "" {
			all = append(all, f)
		}
	}
	return all, nil
}

// pruneAdopted removes a folder that was taken over: the pieces of its snapshot, the claim, and the folder, if nothing else is
// in it.
func (k *Kit) pruneAdopted(ctx context.Context, s *workflow.Session, f state.Foreign, inPlace bool) error {
	_, err := workflow.Once(ctx, s, workflow.Effect[workflow.Nothing]{
		Name: "remove adopted " + f.Name,
		Intent: func(tx *state.Tx, _ *state.Run) error {
			f, ok, err := tx.Foreign(f.Job, f.Name)
			if err != nil || !ok || f.Folder == nil {
				return err
			}
			f.Folder.Going = true
			return tx.PutForeign(f)
		},
		Do: func(context.Context, workflow.Fx) (none workflow.Nothing, err error) {
			b := state.Backup{Job: f.Job, Name: f.Name, Dir: f.Folder.Dir}
			names, err := pythonPieces(f)
			if err != nil {
				return none, err
			}
			foreign, err := removeFolder(b, nil, names...)
			if err == nil && len(foreign) > 0 {
				err = errors.New(foreignStays(b, foreign))
			}
			return none, err
		},
		Result: func(tx *state.Tx, _ *state.Run, _ workflow.Nothing) error {
			f, ok, err := tx.Foreign(f.Job, f.Name)
			if err != nil || !ok {
				return err
			}
			if inPlace || f.Verified == nil { // nothing is left of it, or nothing else known
				return errors.Join(tx.DropVerified(f.Job, f.Name), tx.DropForeign(f.Job, f.Name))
			}
			f.Folder = nil
			return tx.PutForeign(f)
		},
	})
	return err
}

// pythonPieces are the names of the pieces that are in a folder that was taken over. One that is gone has none.
func pythonPieces(f state.Foreign) (names []string, err error) {
	root, err := openDir(f.Folder.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), f.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if piece, ok := catalog.ParsePiece(e.Name()); ok && piece.Prefix() == f.Folder.Prefix {
			names = append(names, e.Name())
		}
	}
	return names, err
}
