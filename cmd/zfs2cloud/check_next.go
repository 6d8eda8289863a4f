package main

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"zfs2cloud/actions"
	"zfs2cloud/actions/settings"
)

// lookPython: what the Python tool left. Nothing here prunes it, and nothing is based on it.
func (c *checkup) lookPython(ctx context.Context, f facts) (facts, []finding) {
	var found []finding
	if f.info.GUID != 0 && f.stateReads && f.seals {
		foresight, err := c.kit(f).Foresee(ctx, c.app.World, c.store, f.info)
		if err != nil {
			return f, []finding{c.find(noticeNext, args{"err": err.Error()})}
		}
		f.foresight = foresight
		if n, held := foresight.PythonTool(); n > 0 {
			found = append(found, c.find(noticePythonSnapshots, args{"n": counted(n, "snapshot"), "size": size(held)}))
		}
	}
	dir := c.settings.IntermediateDir
	folders, err := pythonFolders(dir)
	if err != nil {
		return f, found // the folder has its own row
	}
	var bytes int64
	for _, p := range folders {
		bytes += p.bytes
		if !p.even {
			found = append(found, c.find(noticePythonPieces, args{"folder": filepath.Join(dir, p.name)}))
		}
	}
	if len(folders) > 0 {
		found = append(found, c.find(noticePythonFolders, args{"n": counted(len(folders), "folder"), "dir": dir, "size": size(bytes)}))
	}
	return f, found
}

// pythonFolder is a backup of the Python tool: one gpg message, split into pieces.
type pythonFolder struct {
	name  string
	bytes int64
	even  bool // all pieces but the last are of one size, and that one is not larger
}

var (
	pythonFolderName = regexp.MustCompile(`^[0-9]{14}(-full)?$`)
	pythonPieceName  = regexp.MustCompile(`\.zfs\.gpg\.[0-9]+$`)
)

func pythonFolders(dir string) ([]pythonFolder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var all []pythonFolder
	for _, e := range entries {
		if !e.IsDir() || !pythonFolderName.MatchString(e.Name()) {
			continue
		}
		sizes, err := pythonPieces(root, e.Name())
		if err != nil {
			return nil, err
		}
		if len(sizes) > 0 {
			all = append(all, summed(e.Name(), sizes))
		}
	}
	return all, nil
}

// pythonPieces are the sizes of a folder's pieces, in the order of their names.
func pythonPieces(root *os.Root, folder string) (sizes []int64, err error) {
	entries, err := fs.ReadDir(root.FS(), folder)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !pythonPieceName.MatchString(e.Name()) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		sizes = append(sizes, info.Size())
	}
	return sizes, nil
}

func summed(name string, sizes []int64) pythonFolder {
	f := pythonFolder{name: name, even: true}
	for i, n := range sizes {
		f.bytes += n
		last := i == len(sizes)-1
		if !last && n != sizes[0] || cmp.Compare(n, sizes[0]) > 0 {
			f.even = false
		}
	}
	return f
}

// lookNext: what a run would make now, and why.
func (c *checkup) lookNext(ctx context.Context, f facts) (facts, []finding) {
	at := slices.IndexFunc(c.settings.Steps, func(s settings.Step) bool { return s.Name == actions.StepExport })
	if f.foresight == nil || at < 0 {
		return f, nil
	}
	full, why, err := f.foresight.Next(ctx, c.settings.Steps[at].Args)
	if err != nil {
		return f, []finding{c.find(noticeNext, args{"err": err.Error()})}
	}
	f.backup = &nextBackup{first: !f.known || f.job.Newest == nil, full: full, reason: why, size: f.info.Referenced}
	return f, []finding{fine("next", f.backup.text())}
}
