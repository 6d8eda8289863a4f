package actions

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/workflow"
)

// Where a restore goes to is looked at before anything is fetched: nothing is there yet, and there is room.

// Aim is an error if what a request makes can't be made where it is to go. It needs nothing of the remote.
func (k *Kit) Aim(ctx context.Context, w workflow.World, q RestoreRequest) error {
	return k.aim(ctx, workflow.Look{World: w}, q, &RestorePlan{})
}

// aim looks at where everything is to go.
func (k *Kit) aim(ctx context.Context, look workflow.Look, q RestoreRequest, p *RestorePlan) (err error) {
	switch {
	case q.Streams:
		p.Dir = q.Into
		p.Free, err = newInFolder(p.Dir, nil)
	case q.Files != nil:
		p.Dir = q.Files.Dir
		if _, err = newInFolder(p.Dir, tops(q.Files.Paths)); err != nil {
			return err
		}
		into := q.Into
		if into == "" {
			if into, err = k.scratchName(ctx, look, p.Dir); err != nil {
				return err
			}
		}
		if _, p.Free, err = k.newDataset(ctx, look, into); err == nil {
			p.Into, err = zfs.ParseDataset(receivedIn(into))
		}
	default:
		p.Into, p.Free, err = k.newDataset(ctx, look, q.Into)
	}
	return err
}

// fits is an error if a backup can't be called by its name where it is to go, or its file is there.
func (p *RestorePlan) fits(m *manifest.Manifest) error {
	if p.Streams {
		_, err := newInFolder(p.Dir, []string{StreamFile(m.Name), partOf(StreamFile(m.Name))})
		return err
	}
	_, err := p.Into.Snapshot(m.Snapshot)
	return err
}

// scratchName is a dataset for a restore into a folder, always the same for one folder: in the pool that is backed up, or
// in the only one that there is.
func (k *Kit) scratchName(ctx context.Context, look workflow.Look, dir string) (string, error) {
	datasets, err := k.zfs(look).Datasets(ctx)
	if err != nil {
		return "", err
	}
	var pools []string
	for _, d := range datasets {
		if !strings.Contains(d, "/") {
			pools = append(pools, d)
		}
	}
	pool, _, _ := strings.Cut(k.Settings.Dataset, "/")
	switch {
	case slices.Contains(pools, pool):
	case len(pools) == 1:
		pool = pools[0]
	case len(pools) == 0:
		return "", refuse("files are restored by way of a dataset, and there is no pool here: zpool create or import one, or fetch the streams with --to")
	default:
		return "", refuse("files are restored by way of a dataset: name a new one in one of the pools %s", strings.Join(pools, ", "))
	}
	return pool + "/zfs2cloud-" + RestoreKey(dir), nil
}

// newInFolder is an error if a folder is not there and can't be made, or has an entry of one of these names. FREE is how much
// it can take.
func newInFolder(dir string, names []string) (free int64, err error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		above := filepath.Dir(dir)
		if info, err := os.Stat(above); err != nil || !info.IsDir() {
			return 0, refuse("%s, in which %s is to be, is not a folder", above, filepath.Base(dir))
		}
		return freeIn(above)
	case err != nil:
		return 0, &catalog.Refusal{Err: err}
	case !info.IsDir():
		return 0, refuse("%s is not a folder", dir)
	}
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return 0, refuse("%s exists: nothing is written over", filepath.Join(dir, name))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return 0, &catalog.Refusal{Err: err}
		}
	}
	return freeIn(dir)
}

// newDataset looks at where a dataset is to be: nothing is there, and the dataset above can take it. FREE is how much.
func (k *Kit) newDataset(ctx context.Context, look workflow.Look, name string) (into zfs.Dataset, free int64, err error) {
	if into, err = zfs.ParseDataset(name); err != nil {
		return into, 0, &catalog.Refusal{Err: err}
	}
	pool, below, ok := strings.Cut(name, "/")
	if !ok {
		return into, 0, refuse("%s is a pool: name a new dataset in it, such as %s", pool, word(pool+"/restored"))
	}
	program := k.zfs(look)
	switch _, err := program.Info(ctx, into); {
	case err == nil:
		return into, 0, refuse("%s exists: a backup is only restored into a new dataset", into)
	case errors.Is(err, zfs.ErrNoPool):
		return into, 0, refuse("there is no pool %s here, in which %s is to be (zpool list shows those that are imported, zpool import the others)", pool, below)
	case !errors.Is(err, zfs.ErrNoDataset):
		return into, 0, &catalog.Refusal{Err: err}
	}
	above, err := zfs.ParseDataset(path.Dir(name))
	if err != nil {
		return into, 0, &catalog.Refusal{Err: err}
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

// hasRoom is an error if a folder's file system can't take so many bytes.
func hasRoom(dir string, bytes int64) error {
	free, err := freeIn(dir)
	if err != nil {
		return refuse("spool folder: %w", err)
	}
	if free < bytes {
		return refuse("spool folder %s: %d bytes are free, %d are needed; --spool names another", dir, free, bytes)
	}
	return nil
}
