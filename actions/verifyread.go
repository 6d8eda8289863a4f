package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs"
)

// sendAgain compares what was received, sent again, with what came, where zfs sends the same, and tells whether it did. If it
// is another, that is said; the backup is not bad for that, since each of its bytes is the one that was sealed.
func (d *drill) sendAgain(ctx context.Context, m *manifest.Manifest, came *stream.Essence, verdict *Verdict) (compared bool, err error) {
	want, known := came.Sum()
	alike, err := d.zfs().SendsAlike(ctx)
	if err != nil || !alike || !known {
		return false, err
	}
	again := stream.NewEssence()
	if err := d.send(ctx, m, nil, again); err != nil {
		return false, err
	}
	got, known := again.Sum()
	verdict.Again, verdict.Differs = known && got == want, known && got != want
	return known, nil
}

// send sends what was last received.
func (d *drill) send(ctx context.Context, m *manifest.Manifest, flags []string, to io.Writer) (err error) {
	a := zfs.SendArgs{Flags: flags}
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
	child, err := d.zfs().Send(ctx, a, to)
	if err == nil {
		err = child.Wait()
	}
	return err
}

// readBlocks reads what no file shows: a volume, or what can't be mounted. To send it, zfs reads each block of it, and compares
// it with its sum; and what comes has to be a whole stream. Encrypted as it was received, it is sent so, since no key is at hand.
func (d *drill) readBlocks(ctx context.Context, m *manifest.Manifest, verdict *Verdict) error {
	flags := slices.DeleteFunc(slices.Clone(m.SendFlags), func(flag string) bool { return flag == "-p" })
	lacks, err := d.zfs().SendLacks(ctx, flags)
	if err != nil {
		return err
	}
	flags = slices.DeleteFunc(flags, func(flag string) bool { return slices.Contains(lacks, flag) })
	whole := stream.Of(streamGUIDs(m))
	if err := d.send(ctx, m, flags, whole); err != nil {
		return fmt.Errorf("send what was received: %w", err)
	}
	if err := whole.Close(); err != nil {
		return fmt.Errorf("send what was received: %w", err)
	}
	verdict.Resent = true
	return nil
}

// readFiles reads every file of what was received. WHY none was is said: it has none, or, as in a container, nothing can be
// mounted.
func (d *drill) readFiles(ctx context.Context, verdict *Verdict) (why string, err error) {
	info, err := d.zfs().Info(ctx, d.into)
	switch {
	case err != nil:
		return "", err
	case info.Type != "filesystem":
		return "it is a " + info.Type, nil
	case info.Mountpoint != d.mountpoint():
		return "it came with a mount point of its own", nil // as zfs-fuse takes what was sent with -p
	}
	dir, err := d.mount(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return "", err
		}
		d.v.kit.Log.Warn("the files of what was received are not read", "err", err)
		return "it can't be mounted", nil
	}
	defer func() { err = errors.Join(err, d.unmount(ctx)) }()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	return "", readAll(ctx, root, ".", verdict)
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
