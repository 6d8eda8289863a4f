package actions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/state/durable"
)

// spool is a restore's own folder, 0700, for chunk files that wait to be proved and opened. It has the run's name, so
// that whoever goes on with the run finds what was fetched. What lies there is believed as little as what comes from
// the remote: it is proved when it is opened.
type spool struct {
	dir  string
	root *os.Root
	most int64 // bytes that may lie there at once
	flow int64 // of which this is never kept: room for what is being received, and for what comes next

	mu    sync.Mutex
	used  int64
	kept  int64 // of files that were received, and stay in case the stream has to be received again
	ahead int64 // of files that an earlier process left, and whose turn is yet to come
	freed chan struct{}
}

const partSuffix = ".part" // of a file that is being fetched

func spoolDir(parent, run string) string { return filepath.Join(parent, "zfs2cloud-restore-"+run) }

// openSpool opens a run's folder, and makes it if it is not there.
func openSpool(parent, run string, most, flow int64) (*spool, error) {
	dir := spoolDir(parent, run)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if err := isOwnFolder(root, dir); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &spool{dir: dir, root: root, most: max(most, flow), flow: flow, freed: make(chan struct{}, 1)}, nil
}

// checkOwnFolder is isOwnFolder, of a folder that is not open.
func checkOwnFolder(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	return errors.Join(isOwnFolder(root, dir), root.Close())
}

// isOwnFolder is an error unless a folder in a place that all may write to, such as /var/tmp, is ours alone.
func isOwnFolder(root *os.Root, dir string) error {
	opened, err := root.Stat(".")
	if err != nil {
		return err
	}
	named, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return err
	}
	if !os.SameFile(opened, named) || int(st.Uid) != os.Geteuid() || named.Mode().Perm() != 0o700 {
		return fmt.Errorf("%s is not a folder that is this user's alone", dir)
	}
	return nil
}

func (s *spool) close() error { return s.root.Close() }

// removeSpool removes a run's folder. That it is gone is no error. Nobody looks for it once the run is over, so it must not
// come back after a power cut.
func removeSpool(parent, run string) error {
	dir := spoolDir(parent, run)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return durable.SyncParent(dir)
}

// spooled is the name of a chunk's file.
func spooled(m *manifest.Manifest, c manifest.Chunk) string {
	return fmt.Sprintf("%s.%06d", m.Name, c.N)
}

// inherit looks at what an earlier process left, of which the chunks of CHAIN are to come, the next first. What there is no
// room for goes, and so does what was not fetched to its end: the next two may stay, and of those behind them as many as
// may be kept. It returns how many stay.
func (s *spool) inherit(chain []*manifest.Manifest) (chunks int, err error) {
	list, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return 0, err
	}
	there := map[string]int64{}
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			return 0, err
		}
		there[e.Name()] = -1
		if info.Mode().IsRegular() {
			there[e.Name()] = info.Size()
		}
	}
	nth := 0
	var kept int64
	for _, m := range chain {
		if len(there) == 0 {
			break
		}
		for _, c := range m.Chunks {
			name := spooled(m, c)
			size, ok := there[name]
			fits := nth < 2 || kept+c.Size <= s.most-s.flow
			nth++
			if !ok || size != c.Size || !fits {
				continue
			}
			if nth > 2 {
				kept += size
			}
			chunks++
			s.used += size
			s.ahead += size
			delete(there, name)
		}
	}
	for name := range there {
		if err := s.root.RemoveAll(name); err != nil {
			return chunks, err
		}
	}
	return chunks, nil
}

// has tells whether a chunk's file is there.
func (s *spool) has(name string, size int64) bool {
	info, err := s.root.Lstat(name)
	return err == nil && info.Mode().IsRegular() && info.Size() == size
}

// reserve waits for room.
func (s *spool) reserve(ctx context.Context, size int64) error {
	for {
		s.mu.Lock()
		if s.used+size <= s.most || s.used == 0 {
			s.used += size
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		select {
		case <-s.freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// create makes the file of a chunk that is to be fetched.
func (s *spool) create(name string) (*os.File, error) {
	return s.root.OpenFile(name+partSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
}

// fetched gives a chunk that was fetched to its end its name.
func (s *spool) fetched(name string) error { return s.root.Rename(name+partSuffix, name) }

// drop removes a chunk's file.
func (s *spool) drop(name string, size int64) error {
	for _, n := range []string{name, name + partSuffix} {
		if err := s.root.Remove(n); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	s.give(size)
	return nil
}

// give gives room back.
func (s *spool) give(size int64) {
	s.mu.Lock()
	s.used -= size
	s.mu.Unlock()
	select {
	case s.freed <- struct{}{}:
	default: // who waits looks again anyhow
	}
}

// reached is told that it is the turn of a chunk's file that an earlier process left.
func (s *spool) reached(size int64) {
	s.mu.Lock()
	s.ahead -= size
	s.mu.Unlock()
}

// received is told that a chunk's file was received. It stays if there is room, also beside those of an earlier process
// that lie behind chunks which are still to be fetched: a stream that has to be received again has its first chunks here.
func (s *spool) received(name string, size int64) error {
	s.mu.Lock()
	keep := s.kept+s.ahead+size <= s.most-s.flow
	if keep {
		s.kept += size
	}
	s.mu.Unlock()
	if keep {
		return nil
	}
	return s.drop(name, size)
}

// whole is told that a backup was received to its end: none of its chunks is needed any more.
func (s *spool) whole(m *manifest.Manifest) error {
	list, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range list {
		if !strings.HasPrefix(e.Name(), m.Name+".") {
			continue
		}
		if err := s.root.Remove(e.Name()); err != nil {
			return err
		}
	}
	s.mu.Lock()
	kept := s.kept
	s.kept = 0
	s.mu.Unlock()
	s.give(kept)
	return nil
}

// arrived is a chunk file in the spool folder, not yet proved.
type arrived struct {
	name string
	err  error
}

// fetch gets all chunks of some backups, one after the other, as far ahead as there is room.
func (r *restoring) fetch(ctx context.Context, backups []*manifest.Manifest, to chan<- arrived) {
	defer close(to)
	for _, m := range backups {
		for _, c := range m.Chunks {
			f := arrived{name: spooled(m, c)}
			if r.spool.has(f.name, c.Size) { // an earlier process fetched it
				r.spool.reached(c.Size)
			} else if f.err = r.spool.reserve(ctx, c.Size); f.err == nil {
				f.err = r.get(ctx, m, c)
			}
			select {
			case to <- f:
			case <-ctx.Done():
				return
			}
			if f.err != nil {
				return
			}
		}
	}
}

// get fetches one chunk into the spool folder, where room is reserved for it.
func (r *restoring) get(ctx context.Context, m *manifest.Manifest, c manifest.Chunk) error {
	name := spooled(m, c)
	f, err := r.spool.create(name)
	if err != nil {
		return fmt.Errorf("spool folder: %w", err)
	}
	if err := errors.Join(r.kit.fetch(ctx, r.world, r.plan.catalog.Remote, wanted{m.Name, c}, f), f.Close()); err != nil {
		return err
	}
	return r.spool.fetched(name)
}
