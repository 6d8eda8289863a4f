package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"

	"zfs2cloud/actions"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
)

// lookPython: what the Python tool left. Nothing here prunes it until it is taken over, and nothing is based on it.
func (c *checkup) lookPython(ctx context.Context, f facts) (facts, []finding) {
	var found []finding
	if f.info.GUID != 0 && f.stateReads && f.seals {
		foresight, err := c.kit(f).Foresee(ctx, c.app.World, c.store, f.info)
		if err != nil {
			return f, []finding{c.find(noticeNext, args{"err": err.Error()})}
		}
		f.foresight = foresight
	}
	dir := c.settings.IntermediateDir
	left, folders, err := c.pythonLeft(f)
	if left.Snapshots > 0 {
		found = append(found, c.find(noticePythonSnapshots, args{"n": counted(left.Snapshots, "snapshot"), "size": size(left.SnapshotBytes)}))
	}
	if err != nil {
		return f, found // the folder has its own row
	}
	for _, p := range folders {
		if p.WrittenOver {
			found = append(found, c.find(noticePythonPieces, args{"folder": filepath.Join(dir, p.Name)}))
		}
	}
	if left.Folders > 0 {
		found = append(found, c.find(noticePythonFolders, args{"n": counted(left.Folders, "folder"), "dir": dir, "size": size(left.FolderBytes)}))
	}
	return f, found
}

// pythonLeft is what of the Python tool's nobody has taken over, and all its folders. Where ZFS or the database does not
// answer, only folders are known, and not whose they are.
func (c *checkup) pythonLeft(f facts) (left state.Left, folders []actions.PythonFolder, err error) {
	if folders, err = actions.PythonFolders(c.settings.IntermediateDir); f.foresight != nil {
		var lerr error
		left, lerr = f.foresight.PythonTool()
		return left, folders, errors.Join(err, lerr)
	}
	for _, p := range folders {
		left.Folders++
		left.FolderBytes += p.Bytes
	}
	return left, folders, err
}

// lookNext: what a run would make now, and why.
func (c *checkup) lookNext(ctx context.Context, f facts) (facts, []finding) {
	at := slices.IndexFunc(c.settings.Steps, func(s settings.Step) bool { return s.Name == actions.StepExport })
	if f.foresight == nil || at < 0 {
		return f, nil
	}
	full, why, err := f.foresight.Next(ctx, c.settings.Steps[at].Args)
	if lost, is := errors.AsType[*actions.RecordLost](err); is {
		return f, []finding{fine("next", lost.Error())}
	}
	if _, is := errors.AsType[*actions.OtherDataset](err); is {
		return f, nil // the remote's row says so
	}
	if err != nil {
		return f, []finding{c.find(noticeNext, args{"err": err.Error()})}
	}
	f.backup = &nextBackup{first: !f.known || f.job.Newest == nil, full: full, reason: why, size: f.info.Referenced}
	return f, []finding{fine("next", f.backup.text())}
}
