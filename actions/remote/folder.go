package remote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"zfs2cloud/state/durable"
	"zfs2cloud/workflow"
)

// maxEntries bounds a listing, as maxListing does.
const maxEntries = 250_000

// folder is a Remote in a local folder: a disk, or a mount of another host's. It is opened anew for each
// operation, since a disk may be unmounted between two, and through os.Root, so that no link in it leads
// elsewhere. It computes hashes by reading back.
type folder struct {
	spelled string
	path    string
}

func (f *folder) String() string { return f.spelled }

// root opens the folder, which nothing here ever makes.
func (f *folder) root(op, name string) (*os.Root, error) {
	root, err := os.OpenRoot(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Op: op, Remote: f.spelled, Name: name, Kind: ErrNoRoot}
	}
	if err != nil {
		return nil, f.error(op, name, err)
	}
	return root, nil
}

// error adds what was done, and makes sense of what came back.
func (f *folder) error(op, name string, err error) error {
	if err == nil {
		return nil
	}
	kind, passes := fileError(err)
	return &Error{Op: op, Remote: f.spelled, Name: name, Kind: kind, Err: err, passes: passes}
}

// lookError is error for those who looked: a file that isn't there is an answer.
func (f *folder) lookError(op, name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &Error{Op: op, Remote: f.spelled, Name: name, Kind: ErrNotThere, Err: err}
	}
	return f.error(op, name, err)
}

func (f *folder) List(ctx context.Context, _ workflow.World, folder, hash string) ([]Object, error) {
	if err := validFolder(folder); err != nil {
		return nil, err
	}
	root, err := f.root("list", folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	all, err := listAll(ctx, root, folder, hash)
	if err != nil {
		return nil, f.lookError("list", folder, err)
	}
	return visible(all), nil
}

func listAll(ctx context.Context, root *os.Root, folder, hash string) ([]Object, error) {
	dir, err := openKind(root, path.Join(".", folder), fs.ModeDir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(maxEntries + 1)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if len(entries) > maxEntries {
		return nil, fmt.Errorf("more than %d entries", maxEntries)
	}
	var all []Object
	for _, e := range entries {
		if !e.Type().IsRegular() && !e.IsDir() {
			continue
		}
		o, err := look(ctx, root, path.Join(folder, e.Name()), hash)
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone since
		}
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

func (f *folder) Stat(ctx context.Context, _ workflow.World, name, hash string) (Object, error) {
	if err := ValidName(name); err != nil {
		return Object{}, err
	}
	root, err := f.root("stat", name)
	if err != nil {
		return Object{}, err
	}
	defer root.Close()
	o, err := look(ctx, root, name, hash)
	if err != nil {
		return Object{}, f.lookError("stat", name, err)
	}
	return o, nil
}

func (f *folder) StatSome(ctx context.Context, w workflow.World, folder string, names []string, hash string) (map[string]Object, error) {
	there := make(map[string]Object, len(names))
	for _, name := range names {
		o, err := f.Stat(ctx, w, path.Join(folder, name), hash)
		switch {
		case err == nil:
			there[name] = o
		case !errors.Is(err, ErrNotThere):
			return nil, err
		}
	}
	return there, nil
}

// look tells of one file or folder.
func look(ctx context.Context, root *os.Root, name, hash string) (Object, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return Object{}, err
	}
	o := Object{Name: path.Base(name), Size: info.Size(), IsDir: info.IsDir(), ModTime: info.ModTime()}
	switch {
	case info.IsDir():
		o.Size = -1
	case !info.Mode().IsRegular():
		return Object{}, fmt.Errorf("%q is neither file nor folder", name)
	case hash == "sha256" && !isLeftover(o.Name):
		if o.Hashes, err = readBack(ctx, root, name); err != nil {
			return Object{}, err
		}
	}
	return o, nil
}

// readBack hashes what is in a file, as far as the kernel lets us what is on the disk and not in its cache.
func readBack(ctx context.Context, root *os.Root, name string) (map[string]string, error) {
	file, err := openKind(root, name, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	durable.Uncache(file)
	defer durable.Uncache(file)
	h := sha256.New()
	if _, err := copyAll(ctx, h, file); err != nil {
		return nil, err
	}
	return map[string]string{"sha256": hex.EncodeToString(h.Sum(nil))}, nil
}

// openKind opens a file (kind 0) or a folder for reading, if that is what it is, without following a last
// link and without waiting for the other end of a pipe.
func openKind(root *os.Root, name string, kind fs.FileMode) (*os.File, error) {
	before, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if before.Mode().Type() != kind {
		return nil, fmt.Errorf("%q: not what it should be, but %s", name, before.Mode())
	}
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	after, err := file.Stat()
	if err == nil && !os.SameFile(before, after) {
		err = fmt.Errorf("%q: changed while it was opened", name)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func (f *folder) Get(ctx context.Context, _ workflow.World, name string, limit int64, to io.Writer) error {
	if err := ValidName(name); err != nil {
		return err
	}
	root, err := f.root("get", name)
	if err != nil {
		return err
	}
	defer root.Close()
	file, err := openKind(root, name, 0)
	if err != nil {
		return f.lookError("get", name, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return f.error("get", name, err)
	}
	if info.Size() > limit {
		return f.error("get", name, fmt.Errorf("%w: %d bytes, at most %d", ErrTooBig, info.Size(), limit))
	}
	n, err := copyAll(ctx, &capped{to: to, left: info.Size(), err: errMore}, file)
	if err == nil && n != info.Size() {
		err = fmt.Errorf("%d bytes came of %d", n, info.Size())
	}
	return f.error("get", name, err)
}

func (f *folder) HashKind(context.Context, workflow.World) (string, error) { return "sha256", nil }

func (f *folder) KeepsHash(context.Context, workflow.World) (bool, error) { return false, nil }

func (f *folder) ShowsPart(context.Context, workflow.World) (bool, error) { return false, nil }
