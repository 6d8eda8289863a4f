package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/workflow"
)

// scratch is a folder of our own, 0700, for chunks that wait to be proved and opened. A file loses its name as soon
// as it is open, so that nobody else finds it, and that it is gone when we are, however that comes about.
type scratch struct {
	dir  string
	root *os.Root
	next atomic.Int64
}

// openScratch makes the folder in DIR, under a name that begins with PREFIX.
func openScratch(dir, prefix string) (*scratch, error) {
	own, err := os.MkdirTemp(dir, prefix) // 0700
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(own)
	if err != nil {
		return nil, errors.Join(err, os.Remove(own))
	}
	return &scratch{dir: own, root: root}, nil
}

func (s *scratch) close() error { return errors.Join(s.root.Close(), os.Remove(s.dir)) }

func (s *scratch) file() (*os.File, error) {
	name := strconv.FormatInt(s.next.Add(1), 10)
	f, err := s.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := s.root.Remove(name); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// clearScratch removes such a folder of a process that was killed, with the files that it had made and not yet taken the
// names of. It may be a mount of a restore drill's: then it stays as it is.
func clearScratch(dir string) error {
	if err := os.Remove(dir); !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := isOwnFolder(root, dir); err != nil {
		return err
	}
	list, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range list {
		if _, nerr := strconv.ParseUint(e.Name(), 10, 63); nerr == nil && e.Type().IsRegular() {
			err = errors.Join(err, root.Remove(e.Name()))
		}
	}
	return errors.Join(err, os.Remove(dir))
}

// fetcher gets chunk files into a spool folder.
type fetcher struct {
	kit     *Kit
	world   workflow.World
	remote  remote.Remote
	scratch *scratch
	// full is what to do about a spool folder without room, in words.
	full string
}

// fetched is a chunk file as it came, not yet proved.
type fetched struct {
	file *os.File
	err  error
}

// wanted is a chunk of a backup.
type wanted struct {
	folder string
	chunk  manifest.Chunk
}

// ahead gets one chunk after the other, and hands each over. There is no room between the two sides: while one chunk is
// being worked on the next is fetched, and then waits. After an error of which GO ON does not say that it is that
// chunk's alone there are no more. Who no longer takes any ends the context, and then calls drain.
func (f *fetcher) ahead(ctx context.Context, all iter.Seq[wanted], goOn func(error) bool) <-chan fetched {
	to := make(chan fetched)
	go func() {
		defer close(to)
		for w := range all {
			file, err := f.get(ctx, w)
			select {
			case to <- fetched{file, err}:
			case <-ctx.Done():
				if file != nil {
					file.Close()
				}
				return
			}
			if err != nil && !goOn(err) {
				return
			}
		}
	}()
	return to
}

// drain ends when the fetching has, and closes what it still held.
func drain(chunks <-chan fetched) {
	for c := range chunks {
		if c.file != nil {
			c.file.Close()
		}
	}
}

func (f *fetcher) get(ctx context.Context, w wanted) (*os.File, error) {
	file, err := f.scratch.file()
	if err != nil {
		return nil, fmt.Errorf("spool folder: %w", err)
	}
	err = f.kit.fetch(ctx, f.world, f.remote, w, file)
	if _, full := errors.AsType[*spoolError](err); full {
		err = fmt.Errorf("%w; %s", err, f.full)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// fetch gets a chunk file into a file of our own.
func (k *Kit) fetch(ctx context.Context, world workflow.World, from remote.Remote, w wanted, to *os.File) error {
	out := &spoolWriter{f: to}
	err := k.retry(ctx, func(ctx context.Context) error {
		if err := errors.Join(to.Truncate(0), rewind(to)); err != nil {
			return err
		}
		return from.Get(ctx, world, path.Join(w.folder, w.chunk.Name), w.chunk.Size, out)
	})
	if out.err != nil {
		return &spoolError{filepath.Dir(filepath.Dir(to.Name())), out.err}
	}
	return err
}

// spoolError is the error of a spool folder that could not be written to, as apart from what the remote says.
type spoolError struct {
	dir string
	err error
}

func (e *spoolError) Error() string { return fmt.Sprintf("spool folder %s: %v", e.dir, e.err) }
func (e *spoolError) Unwrap() error { return e.err }

func rewind(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// spoolWriter keeps an error of writing.
type spoolWriter struct {
	f   *os.File
	err error
}

func (w *spoolWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}
