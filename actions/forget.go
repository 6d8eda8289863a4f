package actions

import (
	"context"
	"errors"
	"slices"
	"strings"

	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// A dataset that is backed up no longer keeps what its next incremental would be based on: a hold on a snapshot or two, without
// which it can't be destroyed, and perhaps a bookmark. And its job stays on record, where it is late for ever. To forget it is to let
// go of both; backups, snapshots and chunk files have their use without it, and stay.
//
// It is no run, since nothing stays of the job that a run could be on record with. Nor does it need an intent: what was let go of
// is let go of once more, and the record goes last and at once. Who was cut off and does not go on with it has lost
// nothing: the job's next run holds again what it needs, or is a full.

// Forgetting is what there is to forget of a dataset.
type Forgetting struct {
	DatasetGUID string
	Dataset     string // as it is named now, since it may have been renamed; empty: ZFS has not got it
	Jobs        []state.Job
	Runs        []state.Run // of these jobs
	Backups     []state.Backup
	Made        int                // snapshots that bear the mark of one of the jobs
	Held        []HeldSnapshot     // that the jobs may hold
	Bookmarks   []zfs.BookmarkInfo // of theirs
}

// HeldSnapshot is a snapshot, and by which tags it may be held that are ours.
type HeldSnapshot struct {
	Snapshot zfs.Snapshot
	Tags     []string
}

// ToForget finds on record what a config makes of its dataset: the job at its place, and those that it had before it named that.
// GUID is that of the dataset there is of this name, or was; if none of its jobs is on record it is one before that.
func ToForget(view viewer, guid string, c *settings.Settings) (f Forgetting, err error) {
	place, _ := PlaceOf(c)
	err = view(func(tx *state.Tx) error {
		jobs, err := tx.Jobs()
		if err != nil {
			return err
		}
		jobs = slices.DeleteFunc(jobs, func(j state.Job) bool { return j.Place != place && j.Config != c.Path })
		f.DatasetGUID = guid
		if !slices.ContainsFunc(jobs, func(j state.Job) bool { return j.DatasetGUID == guid }) {
			for _, j := range jobs {
				if j.Dataset == c.Dataset {
					f.DatasetGUID = j.DatasetGUID
				}
			}
		}
		f.Jobs = slices.DeleteFunc(jobs, func(j state.Job) bool { return j.DatasetGUID != f.DatasetGUID })
		return f.readJobs(tx)
	})
	return f, err
}

func (f *Forgetting) readJobs(tx *state.Tx) error {
	runs, err := tx.Runs()
	if err != nil {
		return err
	}
	for _, j := range f.Jobs {
		for _, r := range runs {
			if r.Job == j.ID {
				f.Runs = append(f.Runs, r)
			}
		}
		backups, err := tx.Backups(j.ID)
		if err != nil {
			return err
		}
		f.Backups = append(f.Backups, backups...)
	}
	return nil
}

// LookAt finds what the jobs hold of their dataset, which is there.
func (f *Forgetting) LookAt(ctx context.Context, k *Kit, look workflow.Look, dataset zfs.Dataset) error {
	f.Dataset = dataset.String()
	snapshots, err := k.zfs(look).Snapshots(ctx, dataset)
	if err != nil {
		return err
	}
	for _, snap := range snapshots {
		tags, made := f.tags(snap)
		if made {
			f.Made++
		}
		if snap.Holds > 0 && len(tags) > 0 {
			f.Held = append(f.Held, HeldSnapshot{snap.Snapshot, tags})
		}
	}
	f.Bookmarks, err = k.zfs(look).Bookmarks(ctx, dataset)
	f.Bookmarks = slices.DeleteFunc(f.Bookmarks, func(b zfs.BookmarkInfo) bool {
		return !slices.ContainsFunc(f.Jobs, func(j state.Job) bool { return strings.HasPrefix(b.Bookmark.Name(), bookmarkPrefix(j.ID)) })
	})
	return err
}

// tags are those by which the jobs may hold a snapshot, of which not all ZFS can tell. MADE: one of them made it.
func (f *Forgetting) tags(snap zfs.SnapshotInfo) (tags []string, made bool) {
	id := snap.GUID.String()
	text, local := snap.Mark()
	m, marked := parseMark(text)
	for _, j := range f.Jobs {
		own := local && marked && m.Job == j.ID
		made = made || own
		if own || slices.ContainsFunc(f.Backups, func(b state.Backup) bool { return b.Job == j.ID && b.SnapshotGUID == id }) {
			tags = append(tags, baseHold(j.ID))
		}
	}
	for _, r := range f.Runs {
		if r.SnapshotGUID == id {
			tags = append(tags, runHold(r.ID))
		}
	}
	return tags, made
}

// LetGo releases the holds and destroys the bookmarks. That one is gone is fine.
func (f *Forgetting) LetGo(ctx context.Context, k *Kit, w workflow.World) error {
	for _, held := range f.Held {
		for _, tag := range held.Tags {
			if err := k.dropHold(ctx, w, tag, held.Snapshot); err != nil {
				return err
			}
		}
	}
	for _, b := range f.Bookmarks {
		if err := k.zfs(w).DestroyBookmark(ctx, b.Bookmark); err != nil && !errors.Is(err, zfs.ErrNoBookmark) {
			return err
		}
	}
	return nil
}

// Drop takes the jobs off the record, with all that is there of them.
func (f *Forgetting) Drop(tx *state.Tx) error {
	for _, r := range f.Runs {
		if err := errors.Join(workflow.FreeLock(tx, r), tx.DropRun(r.ID)); err != nil {
			return err
		}
	}
	for _, j := range f.Jobs {
		if err := tx.DropJobWhole(j.ID); err != nil {
			return err
		}
	}
	return nil
}
