package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// The snapshot that incrementals are based on keeps all that was deleted since. Past its days it goes, if a bookmark can stand for it:
// that has its GUID and its place in time, holds no data, and is what the next incremental is sent from. A bookmark is made when
// it is needed, so that there is none in most places, and asked for only where a base's snapshot is gone.

// bookmarkName is the name of the bookmark that stands for a base of a job. It has no user properties to tell whose it is.
func bookmarkName(job, snapshot string) string { return bookmarkPrefix(job) + snapshot }

func bookmarkPrefix(job string) string { return baseHold(job) + ":" }

// byGUID is the snapshot, or the bookmark, that has a GUID.
func (q question) byGUID(id string) (name string, txg uint64, mark *zfs.Bookmark, err error) {
	is := func(g zfs.GUID) bool { return g.String() == id }
	if i := slices.IndexFunc(q.snapshots, func(s zfs.SnapshotInfo) bool { return is(s.GUID) }); i >= 0 {
		return q.snapshots[i].Snapshot.Name(), q.snapshots[i].CreateTXG, nil, nil
	}
	bookmarks, err := q.bookmarks()
	if i := slices.IndexFunc(bookmarks, func(b zfs.BookmarkInfo) bool { return is(b.GUID) }); i >= 0 {
		return "", bookmarks[i].CreateTXG, &bookmarks[i].Bookmark, nil
	}
	return "", 0, nil, err
}

// sendArgs are those of the stream of a run's snapshot: a full, or an incremental from what there is of its base, the snapshot
// or a bookmark with its GUID.
func (k *Kit) sendArgs(ctx context.Context, look workflow.World, r state.Run, base *state.Base, flags []string) (zfs.SendArgs, error) {
	snap, err := snapshotOf(r)
	args := zfs.SendArgs{Snapshot: snap, Flags: flags}
	if err != nil || base == nil {
		return args, err
	}
	from, err := snap.Dataset().Snapshot(base.Snapshot)
	if err != nil {
		return args, err
	}
	args.Base = &from // where there is neither, zfs says what is missing
	is := func(g zfs.GUID) bool { return g.String() == base.SnapshotGUID }
	info, err := k.zfs(look).Snapshot(ctx, from)
	if err != nil && !errors.Is(err, zfs.ErrNoSnapshot) || err == nil && is(info.GUID) {
		return args, err
	}
	bookmarks, err := k.zfs(look).Bookmarks(ctx, snap.Dataset())
	if i := slices.IndexFunc(bookmarks, func(b zfs.BookmarkInfo) bool { return is(b.GUID) }); i >= 0 {
		args.Mark = &bookmarks[i].Bookmark
	}
	return args, err
}

// standInFor tells whether a bookmark may stand for a snapshot that is past its days: nothing is needed of that but that it is a
// base, and zfs has bookmarks. SNAPSHOTS are the dataset's, the oldest first.
func (k *Kit) standInFor(ctx context.Context, look workflow.World, h holdings, s zfs.SnapshotInfo, snapshots []zfs.SnapshotInfo) (bool, error) {
	const withProperties = "-p" // zfs(8): a send from a bookmark has no properties
	_, err := h.markFor(s)
	if err != nil || h.keepData(s, snapshots) != "" || slices.Contains(h.flagsSince(s), withProperties) || snapshots[len(snapshots)-1].CreateTXG <= s.CreateTXG {
		return false, nil
	}
	return k.zfs(look).HasBookmarks(ctx, s.Snapshot.Dataset())
}

// markFor is the bookmark that may stand for a snapshot, unless its name is too long to be one.
func (h holdings) markFor(s zfs.SnapshotInfo) (zfs.Bookmark, error) {
	return s.Snapshot.Dataset().Bookmark(bookmarkName(h.job.ID, s.Snapshot.Name()))
}

// errNoStandIn is the error of a base's snapshot that stays, since no bookmark can stand for it.
var errNoStandIn = errors.New("no bookmark can stand for it")

// standIn makes a bookmark stand for a base's snapshot. From there to the newest snapshot zfs must be able to send, as it would
// the next incremental.
func (k *Kit) standIn(ctx context.Context, s *workflow.Session, h holdings, base zfs.SnapshotInfo, snapshots []zfs.SnapshotInfo) error {
	mark, err := h.markFor(base)
	if err != nil {
		return err
	}
	_, err = workflow.Once(ctx, s, workflow.Effect[workflow.Nothing]{
		Name: "bookmark " + base.Snapshot.Name(), Afresh: true, // the snapshot goes next
		Do: func(ctx context.Context, fx workflow.Fx) (none workflow.Nothing, err error) {
			err = k.zfs(fx).TakeBookmark(ctx, base.Snapshot, mark)
			if err != nil && !errors.Is(err, zfs.ErrExists) {
				return none, noStandIn(err)
			}
			bookmarks, err := k.zfs(s.Look()).Bookmarks(ctx, mark.Dataset())
			if err != nil {
				return none, err
			}
			if !slices.ContainsFunc(bookmarks, func(b zfs.BookmarkInfo) bool { return b.Bookmark == mark && b.GUID == base.GUID }) {
				return none, fmt.Errorf("%w: %s is not of it", errNoStandIn, mark)
			}
			newest := snapshots[len(snapshots)-1].Snapshot
			return none, noStandIn(k.zfs(s.Look()).CanSend(ctx, zfs.SendArgs{Snapshot: newest, Mark: &mark, Flags: h.flagsSince(base)}))
		},
	})
	return err
}

// noStandIn tells what zfs refused from what could not be asked.
func noStandIn(err error) error {
	if refused(err) {
		return fmt.Errorf("%w: %w", errNoStandIn, err)
	}
	return err
}

// refused tells whether a program that was asked said no.
func refused(err error) bool {
	exit, ok := errors.AsType[*workflow.ExitError](err)
	return ok && exit.Code > 0
}

// flagsSince are those of the chain that a snapshot is in.
func (h holdings) flagsSince(s zfs.SnapshotInfo) []string {
	for _, b := range h.backups {
		if root, whole := chainOf(h.backups, b); whole && b.SnapshotGUID == s.GUID.String() {
			return root.SendFlags
		}
	}
	return nil
}

// keepBookmark says why a bookmark must not be destroyed, or "". PRESENT is the run that asks.
func (h holdings) keepBookmark(b zfs.BookmarkInfo, present string) string {
	id := b.GUID.String()
	known := slices.ContainsFunc(h.backups, func(o state.Backup) bool { return o.SnapshotGUID == id })
	if !strings.HasPrefix(b.Bookmark.Name(), bookmarkPrefix(h.job.ID)) || !known {
		return "it is not ours"
	}
	// What it is based on may have been decided, and its backup not yet begun.
	if r, yes := h.unfinished(func(r state.Run) bool { return r.Job == h.job.ID && r.ID != present }); yes {
		return "run " + r.ID + " is not finished"
	}
	for _, o := range h.backups {
		if workflow.BackupMachine.In(o.State, workflow.BackupExporting, workflow.BackupExported) && o.Base != nil && o.Base.SnapshotGUID == id {
			return o.Name + " is not committed"
		}
	}
	return h.nextBase(id)
}

// pruneBookmarks destroys those of the job's bookmarks that stand for a base no more. One that can't go is noted.
func (k *Kit) pruneBookmarks(ctx context.Context, s *workflow.Session, h holdings) error {
	run := s.Run()
	dataset, err := zfs.ParseDataset(run.Frozen.Dataset)
	if err != nil {
		return err
	}
	bookmarks, err := k.zfs(s.Look()).Bookmarks(ctx, dataset)
	if err != nil {
		return err
	}
	for _, b := range bookmarks {
		if h.keepBookmark(b, run.ID) != "" {
			continue
		}
		_, err := workflow.Once(ctx, s, workflow.Effect[workflow.Nothing]{
			Name: "destroy bookmark " + b.Bookmark.Name(),
			Do: func(ctx context.Context, fx workflow.Fx) (none workflow.Nothing, err error) {
				err = k.zfs(fx).DestroyBookmark(ctx, b.Bookmark)
				if errors.Is(err, zfs.ErrNoBookmark) {
					err = nil
				}
				return none, err
			},
		})
		if stays(err) {
			err = k.note(s, "%s stays: %v", b.Bookmark, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
