package actions

import (
	"context"
	"slices"

	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// Answers tells whether a typed run that was cut off, and was finished just now, did what its step would do if it were typed now: it
// may be of days ago, and what was made since is what is asked for. A prune done twice harms nothing.
func (k *Kit) Answers(ctx context.Context, look workflow.Look, view viewer, r state.Run) (bool, error) {
	step := r.Steps[0]
	switch {
	case OnlyLooks(step):
		return true, nil
	case step.Name == StepExport, step.Name == StepMount:
		dataset, err := zfs.ParseDataset(r.Frozen.Dataset)
		if err != nil {
			return false, err
		}
		snapshots, err := k.zfs(look).Snapshots(ctx, dataset)
		return len(snapshots) > 0 && snapshots[len(snapshots)-1].GUID.String() == r.SnapshotGUID, err
	case step.Name == StepUploadFiles, step.Name == StepUpload && k.syncsFiles(r):
		m, _, err := typedMount(view, r)
		return m.SnapshotGUID == r.SnapshotGUID, err
	case step.Name == StepUpload:
		_, backups, err := jobOf(view, r.Job)
		if err != nil {
			return false, err
		}
		b, err := exported(backups, step.Args)
		return err == nil && b.Name == r.Backup, nil
	case step.Name == StepVerify:
		q, err := ParseVerify(step.Args)
		if err != nil {
			return false, err
		}
		was, known, err := namesVerified(view, r)
		if err != nil || !known {
			return false, err
		}
		now, err := k.namesToVerify(ctx, look, view, r, q)
		return slices.Equal(was, now), err
	}
	return false, nil
}
