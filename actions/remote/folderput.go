package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"zfs2cloud/state/durable"
	"zfs2cloud/workflow"
)

func (f *folder) Put(ctx context.Context, w workflow.World, name string, from Source, progress func(int64)) error {
	if err := errors.Join(ValidName(name), mayWrite(w, "put", name)); err != nil {
		return err
	}
	file, err := from.open()
	if err != nil {
		return &Error{Op: "put", Remote: f.spelled, Name: name, Err: err}
	}
	defer file.Close()
	there, _, err := taken(ctx, f, w, name, from.Size, from.Hashes)
	if err != nil || there {
		return err
	}
	if err := f.store(ctx, name, from.Size, &meter{r: file, now: w.Now, report: progress}); err != nil {
		return err
	}
	if progress != nil {
		progress(from.Size)
	}
	return nil
}

func (f *folder) PutBytes(ctx context.Context, w workflow.World, name string, data []byte, _ bool) error {
	if err := errors.Join(ValidName(name), mayWrite(w, "put", name)); err != nil {
		return err
	}
	there, err := takenBytes(ctx, f, w, name, data)
	if err != nil || there {
		return err
	}
	return f.store(ctx, name, int64(len(data)), bytes.NewReader(data))
}

func (f *folder) Touch(_ context.Context, w workflow.World, name string, data []byte) error {
	if err := errors.Join(ValidName(name), mayWrite(w, "put", name)); err != nil {
		return err
	}
	return f.within(name, func(root *os.Root) error {
		if err := root.WriteFile(name, data, 0o600); err != nil {
			return err
		}
		return durable.SyncDir(root, path.Dir(name))
	})
}

// store writes to a name that is free.
func (f *folder) store(ctx context.Context, name string, size int64, from io.Reader) error {
	return f.within(name, func(root *os.Root) error { return write(ctx, root, name, size, from) })
}

// within stores something under a name once the folders above it are there.
func (f *folder) within(name string, store func(*os.Root) error) error {
	root, err := f.root("put", name)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := makeFolders(root, path.Dir(name)); err != nil {
		return f.error("put", name, err)
	}
	return f.error("put", name, store(root))
}

func write(ctx context.Context, root *os.Root, name string, size int64, from io.Reader) error {
	file, err := durable.Create(root, name)
	if err != nil {
		return err
	}
	n, err := copyAll(ctx, file, from)
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes read of %d", n, size)
	}
	if err != nil {
		return errors.Join(err, file.Abort())
	}
	return file.Commit()
}

// makeFolders makes what is missing below the root, a level at a time.
func makeFolders(root *os.Root, folder string) error {
	if folder == "." {
		return nil
	}
	made := ""
	for element := range strings.SplitSeq(folder, "/") {
		made = path.Join(made, element)
		err := durable.Mkdir(root, made)
		if err == nil {
			continue
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if info, err := root.Lstat(made); err != nil {
			return err
		} else if !info.IsDir() {
			return fmt.Errorf("%q is not a folder", made)
		}
	}
	return nil
}

func (f *folder) Delete(_ context.Context, w workflow.World, name string) error {
	if err := errors.Join(ValidName(name), mayWrite(w, "delete", name)); err != nil {
		return err
	}
	root, err := f.root("delete", name)
	if err != nil {
		return err
	}
	defer root.Close()
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.IsDir() {
		err = errors.New("a folder")
	}
	if err == nil {
		err = durable.Remove(root, name)
	}
	return f.error("delete", name, err)
}

func (f *folder) Tidy(ctx context.Context, w workflow.World, folder string) error {
	return f.change(ctx, w, "tidy", folder, func(root *os.Root, all []Object) error { return removeLeftovers(root, folder, all) })
}

func (f *folder) RemoveFolder(ctx context.Context, w workflow.World, folder string) error {
	return f.change(ctx, w, "remove", folder, func(root *os.Root, all []Object) error {
		if len(visible(all)) > 0 {
			return ErrNotEmpty
		}
		if err := removeLeftovers(root, folder, all); err != nil {
			return err
		}
		return durable.Remove(root, folder)
	})
}

// change does something to a folder, if it is there. ALL is what lies in it.
func (f *folder) change(ctx context.Context, w workflow.World, op, folder string, do func(root *os.Root, all []Object) error) error {
	if err := errors.Join(ValidName(folder), mayWrite(w, op, folder)); err != nil {
		return err
	}
	root, err := f.root(op, folder)
	if err != nil {
		return err
	}
	defer root.Close()
	all, err := listAll(ctx, root, folder, "")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = do(root, all)
	}
	return f.error(op, folder, err)
}

// removeLeftovers removes what interrupted writes left in a folder, of all that lies there.
func removeLeftovers(root *os.Root, folder string, all []Object) error {
	for _, o := range all {
		if o.IsDir || !isLeftover(o.Name) {
			continue
		}
		if err := root.Remove(path.Join(folder, o.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
