package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/stream"
	"zfs2cloud/state"
	"zfs2cloud/state/durable"
	"zfs2cloud/workflow"
)

// A restore can end in files, for who has no pool here or wants to look at the streams: what zfs send once gave, one file
// for each backup of the chain. A file that is not whole yet has another name; what of it is chunks that are proved again
// is not fetched again.

// StreamFile is the name of the file that has a backup's stream.
func StreamFile(backup string) string { return backup + ".zfs" }

func partOf(file string) string { return file + partSuffix }

// fetchStream is the step that writes the stream of one backup of the chain into its file.
func (k *Kit) fetchStream(ctx context.Context, s *workflow.Session, args []string) error {
	r, i, m, err := k.link(ctx, s, args)
	if err != nil {
		return err
	}
	_, err = workflow.Once(ctx, s, workflow.Effect[workflow.Nothing]{
		Name: "fetch",
		Intent: func(_ *state.Tx, run *state.Run) error {
			run.Restore.Passed = 0
			return nil
		},
		Do: func(ctx context.Context, fx workflow.Fx) (none workflow.Nothing, err error) {
			root, err := durable.OpenNew(s.Run().Restore.Into)
			if err != nil {
				return none, err
			}
			f := &streamFile{restoring: r, root: root, of: m, name: StreamFile(m.Name)}
			return none, errors.Join(f.fetch(ctx, s, fx, i), root.Close())
		},
		Result: func(_ *state.Tx, run *state.Run, _ workflow.Nothing) error {
			run.Restore.Passed = 0
			return nil
		},
	})
	if err != nil {
		return err
	}
	return s.Detail("every chunk checked")
}

// streamFile is one stream on its way into its file.
type streamFile struct {
	*restoring
	root *os.Root
	of   *manifest.Manifest
	name string
}

// fetch fetches the stream, unless a process that died has: only a whole one gets its name.
func (f *streamFile) fetch(ctx context.Context, s *workflow.Session, fx workflow.Fx, i int) error {
	part, err := f.root.Lstat(partOf(f.name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	there, serr := f.root.Lstat(f.name)
	if serr != nil && !errors.Is(serr, fs.ErrNotExist) {
		return serr
	}
	switch {
	case serr == nil && fx.Again && part == nil && there.Size() == f.of.StreamBytes:
		return durable.SyncDir(f.root, ".")
	case serr == nil:
		return &workflow.Hopeless{Err: f.inTheWay(f.name)}
	case part != nil && (!fx.Again || s.Run().Restore.Foreign):
		return f.foreign(fx)
	}
	file, err := f.open(part)
	if errors.Is(err, fs.ErrExist) {
		return f.foreign(fx)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	had, err := f.takeUp(ctx, file)
	if err != nil {
		return err
	}
	if _, err := f.pass(ctx, s, fx, i, f.of, had, into(file, had.bytes)); err != nil {
		return f.judged(ctx, fx, err)
	}
	if err := file.Sync(); err != nil {
		return err
	}
	durable.Uncache(file)
	return f.finish()
}

func (f *streamFile) inTheWay(name string) error {
	return fmt.Errorf("%s exists, and this restore has not made it", filepath.Join(f.root.Name(), name))
}

// foreign keeps on record that the file which is not whole is somebody else's, made meanwhile: abort leaves it alone.
func (f *streamFile) foreign(fx workflow.Fx) error {
	err := fx.Note(func(_ *state.Tx, run *state.Run) error {
		run.Restore.Foreign = true
		return nil
	})
	return errors.Join(&workflow.Hopeless{Err: f.inTheWay(partOf(f.name))}, err)
}

// open opens the file that is not whole yet: PART, if an earlier process of this restore has made one.
func (f *streamFile) open(part fs.FileInfo) (*os.File, error) {
	name := partOf(f.name)
	if part == nil {
		file, err := f.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, durable.Whole(f.root, err)
		}
		if err := file.Chmod(0o600); err != nil { // whatever the umask is
			return nil, errors.Join(err, file.Close())
		}
		return file, nil
	}
	file, err := f.root.OpenFile(name, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1 || int(st.Uid) != os.Geteuid() {
		return nil, errors.Join(&workflow.Hopeless{Err: f.inTheWay(name)}, file.Close())
	}
	return file, nil
}

// takeUp finds what of the stream is in the file, by the digests of its chunks, and cuts off what is behind it.
func (f *streamFile) takeUp(ctx context.Context, file *os.File) (had firstPart, err error) {
	for _, c := range f.of.Chunks {
		if c.PlainSHA256 == "" { // of the Python tool's pieces it is not known where in the stream they are
			break
		}
		err := chunk.CheckFile(ctx, io.NewSectionReader(file, had.bytes, c.Plain), chunk.Digest{Size: c.Plain, SHA256: c.PlainSHA256})
		if errors.Is(err, chunk.ErrDiffers) {
			break
		}
		if err != nil {
			return had, err
		}
		had.chunks++
		had.bytes += c.Plain
	}
	had.from = io.NewSectionReader(file, 0, had.bytes)
	return had, file.Truncate(had.bytes)
}

// into writes a stream to a file that has the first HAD bytes of it.
func into(file *os.File, had int64) sink {
	return func(_ context.Context, in io.Reader, _ stream.Begin) error {
		if _, err := io.CopyN(io.Discard, in, had); err != nil {
			return err
		}
		_, err := io.Copy(io.NewOffsetWriter(file, had), in)
		return err
	}
}

// finish gives the whole file its name, which nothing else has.
func (f *streamFile) finish() error {
	err := durable.RenameNew(f.root, partOf(f.name), f.name)
	if errors.Is(err, fs.ErrExist) {
		return &workflow.Hopeless{Err: f.inTheWay(f.name)}
	}
	return err
}

// dropParts removes what is not whole in a folder of streams, and says what is.
func dropParts(rs *state.Restore, steps []state.Step) (whole []string, err error) {
	root, err := os.OpenRoot(rs.Into)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for i, l := range rs.Chain {
		if workflow.StepMachine.In(steps[i].State, workflow.StepDone) {
			whole = append(whole, StreamFile(l.Name))
			continue
		}
		if steps[i].Started == nil || rs.Foreign {
			break
		}
		err := root.Remove(partOf(StreamFile(l.Name)))
		if errors.Is(err, fs.ErrNotExist) {
			// Who died behind the rename did not say any more that it was done.
			there, serr := root.Lstat(StreamFile(l.Name))
			if serr == nil && there.Size() == l.StreamBytes && workflow.StepMachine.In(steps[i].State, workflow.StepRunning) {
				whole = append(whole, StreamFile(l.Name))
			}
		} else if err != nil {
			return whole, err
		}
	}
	return whole, nil
}
