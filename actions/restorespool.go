package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"

	"zfs2cloud/actions/manifest"
)

// spool is a folder of our own, 0700, for chunks that wait to be proved and opened. A file loses its name as soon
// as it is open, so that nobody else finds it, and that it is gone when we are, however that comes about.
type spool struct {
	dir  string
	root *os.Root
	next int
}

func openSpool(dir string) (*spool, error) {
	own, err := os.MkdirTemp(dir, "zfs2cloud-restore-") // 0700
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(own)
	if err != nil {
		return nil, errors.Join(err, os.Remove(own))
	}
	return &spool{dir: own, root: root}, nil
}

func (s *spool) close() error { return errors.Join(s.root.Close(), os.Remove(s.dir)) }

func (s *spool) file() (*os.File, error) {
	s.next++
	name := strconv.Itoa(s.next)
	f, err := s.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := s.root.Remove(name); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// fetched is a chunk file as it came, not yet proved.
type fetched struct {
	file *os.File
	err  error
}

// fetch gets all chunks of the chain, one after the other, and hands each over. There is no room between the two
// sides: while one chunk is being received the next is fetched, and then waits.
func (r *restoring) fetch(ctx context.Context, to chan<- fetched) {
	defer close(to)
	for _, m := range r.plan.Chain {
		for _, c := range m.Chunks {
			f, err := r.get(ctx, m, c)
			select {
			case to <- fetched{f, err}:
			case <-ctx.Done():
				if f != nil {
					f.Close()
				}
				return
			}
			if err != nil {
				return
			}
		}
	}
}

func (r *restoring) get(ctx context.Context, m *manifest.Manifest, c manifest.Chunk) (*os.File, error) {
	f, err := r.spool.file()
	if err != nil {
		return nil, fmt.Errorf("spool folder: %w", err)
	}
	out := &spoolWriter{f: f}
	err = r.kit.retry(ctx, func(ctx context.Context) error {
		if err := errors.Join(f.Truncate(0), rewind(f)); err != nil {
			return err
		}
		return r.plan.catalog.Remote.Get(ctx, r.world, path.Join(m.Name, c.Name), c.Size, out)
	})
	if out.err != nil {
		err = fmt.Errorf("spool folder %s: %w; --spool names another", filepath.Dir(r.spool.dir), out.err)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func rewind(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// spoolWriter keeps an error of writing apart from what the remote says.
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
