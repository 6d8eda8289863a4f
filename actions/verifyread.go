package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs"
)

// sendAgain compares what was received, sent again, with what came, where zfs sends the same. If it is another, that is
// said; the backup is not bad for that, since each of its bytes is the one that was sealed.
func (d *drill) sendAgain(ctx context.Context, m *manifest.Manifest, came *stream.Essence, verdict *Verdict) error {
	want, known := came.Sum()
	alike, err := d.zfs().SendsAlike(ctx)
	if err != nil || !alike || !known {
		return err
	}
	a := zfs.SendArgs{}
	if a.Snapshot, err = d.into.Snapshot(m.Snapshot); err != nil {
		return err
	}
	if m.Base != nil {
		base, err := d.into.Snapshot(d.there[len(d.there)-2].Snapshot)
		if err != nil {
			return err
		}
		a.Base = &base
	}
	again := stream.NewEssence()
	child, err := d.zfs().Send(ctx, a, again)
	if err == nil {
		err = child.Wait()
	}
	if err != nil {
		return err
	}
	got, known := again.Sum()
	verdict.Again, verdict.Differs = known && got == want, known && got != want
	return nil
}

// readFiles reads every file of what was received. Where nothing can be mounted, as in a container, none is.
func (d *drill) readFiles(ctx context.Context, verdict *Verdict) (err error) {
	info, err := d.zfs().Info(ctx, d.into)
	if err != nil {
		return err
	}
	if info.Type != "filesystem" || info.Mountpoint != filepath.Join(d.dir, "received") {
		return nil
	}
	if err := d.zfs().Mount(ctx, d.into); err != nil {
		if ctx.Err() != nil {
			return err
		}
		d.v.kit.Log.Warn("the files of what was received are not read", "err", err)
		return nil
	}
	defer func() { err = errors.Join(err, d.unmount(ctx)) }()
	root, err := os.OpenRoot(info.Mountpoint)
	if err != nil {
		return err
	}
	defer root.Close()
	return readAll(ctx, root, ".", verdict)
}

// entriesAtOnce bounds what is kept of a folder.
const entriesAtOnce = 1000

// readAll reads every regular file below a folder, and follows no link. What can't be read is what is wrong.
func readAll(ctx context.Context, root *os.Root, dir string, verdict *Verdict) error {
	f, err := root.Open(dir)
	if err != nil {
		verdict.found("", "folder %q: %v", dir, err)
		return ctx.Err()
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(entriesAtOnce)
		if err != nil && err != io.EOF {
			verdict.found("", "folder %q: %v", dir, err)
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			switch {
			case e.IsDir():
				if err := readAll(ctx, root, name, verdict); err != nil {
					return err
				}
			case e.Type().IsRegular():
				if err := readOne(ctx, root, name); err != nil {
					verdict.found("", "file %q: %v", name, err)
				}
				verdict.Files++
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		if err != nil {
			return nil
		}
	}
}

func readOne(ctx context.Context, root *os.Root, name string) error {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	want, err := f.Stat()
	if err != nil {
		return err
	}
	n, err := io.Copy(writerFunc(func(p []byte) (int, error) { return len(p), ctx.Err() }), f)
	if err == nil && n != want.Size() {
		err = fmt.Errorf("%d bytes of %d", n, want.Size())
	}
	return err
}
