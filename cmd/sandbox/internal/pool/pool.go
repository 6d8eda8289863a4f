package pool

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/cmd/sandbox/internal/host"
)

const prefix = "z2c-"

// Clearing goes on after ^C, but not for ever.
const clearTime = time.Minute

// Options say what sandbox to make.
type Options struct {
	Base  string // Base, but for tests
	Size  int64  // of the pool's file, which is sparse
	Stays bool   // until Down, instead of until its process ends
}

// Sandbox is a throwaway pool and a folder.
type Sandbox struct {
	Name string // of the pool
	Dir  string
	// NoMount says why file systems can't be mounted here; empty if they can.
	NoMount string
	// Cleared are the leftovers of earlier sandboxes that were found and cleared.
	Cleared []string

	record Record
	base   string
	host   *host.Host
}

// Mounts says whether file systems can be mounted here.
func (s *Sandbox) Mounts() bool { return s.NoMount == "" }

// Open clears what earlier sandboxes left, sees to it that a ZFS answers, and makes a pool.
func Open(ctx context.Context, h *host.Host, o Options) (*Sandbox, error) {
	unlock, err := lock(o.Base)
	if err != nil {
		return nil, err
	}
	defer unlock()
	cleared, _, err := clearAll(ctx, h, o.Base, Record.leftover)
	if err != nil {
		return nil, err
	}
	s := &Sandbox{base: o.Base, host: h, Cleared: cleared, record: newRecord(o.Stays)}
	s.Name, s.Dir = s.record.Name, s.record.dir(o.Base)
	if err := s.record.store(o.Base); err != nil {
		return nil, err
	}
	if err := s.make(ctx, o.Size); err != nil {
		_, clearing := s.clear(ctx)
		return nil, errors.Join(err, clearing)
	}
	return s, nil
}

func newRecord(stays bool) Record {
	var b [3]byte
	rand.Read(b[:])
	r := Record{Name: prefix + hex.EncodeToString(b[:])}
	if !stays {
		self := host.Self()
		r.Owner = &self
	}
	return r
}

func (s *Sandbox) make(ctx context.Context, size int64) error {
	if err := os.Mkdir(s.Dir, 0o700); err != nil {
		return err
	}
	if err := wake(ctx, s.host, s.base); err != nil {
		return err
	}
	disk := s.record.disk(s.base)
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(disk, size); err != nil {
		return err
	}
	_, err := s.host.Run(ctx, "zpool", "create", "-m", "none", "-o", "cachefile=none", s.Name, disk)
	if err != nil {
		return err
	}
	s.NoMount, err = s.probe(ctx)
	return err
}

// probe finds out whether file systems can be mounted by mounting one: /dev/fuse may be there and not
// be allowed, the capability may be there and not the device.
func (s *Sandbox) probe(ctx context.Context) (why string, err error) {
	fs, dir := s.Name+"/probe", filepath.Join(s.Dir, "probe")
	_, creating := s.host.Run(ctx, "zfs", "create", "-o", "mountpoint="+dir, fs)
	under, err := mounts(dir)
	if err != nil {
		return "", err
	}
	if len(under) == 0 {
		why = "zfs create did not mount what it made"
		var f *host.Failure
		if errors.As(creating, &f) {
			why = f.Output
		}
	}
	if err := destroy(ctx, s.host, dir, "zfs", "destroy", fs); err != nil {
		return "", errors.Join(creating, err)
	}
	return why, nil
}

// Close destroys the pool, removes all files, and ends the daemon if it was started by a sandbox and no
// other needs it. Foreign pools that keep it alive are returned.
func (s *Sandbox) Close(ctx context.Context) (keepDaemon []string, err error) {
	unlock, err := lock(s.base)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return s.clear(ctx)
}

// clear is Close for whoever holds the lock. It goes on when ctx has ended, since that is when it is
// needed most.
func (s *Sandbox) clear(ctx context.Context) ([]string, error) {
	_, kept, err := clearAll(ctx, s.host, s.base, func(r Record) bool { return r.Name == s.Name })
	return kept, err
}

// Down clears the sandboxes that were made to stay, and all leftovers, and names them.
func Down(ctx context.Context, h *host.Host, base string) (cleared, keepDaemon []string, err error) {
	unlock, err := lock(base)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	return clearAll(ctx, h, base, func(r Record) bool { return r.Owner == nil || r.leftover() })
}

// clearAll clears each recorded sandbox that which says yes to, and then the daemon, unless a sandbox is
// left that works with it.
func clearAll(ctx context.Context, h *host.Host, base string, which func(Record) bool) (cleared, kept []string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearTime)
	defer cancel()
	all, err := records(base)
	errs := []error{err}
	left := 0
	for _, r := range all {
		if !which(r) {
			left++
			continue
		}
		if err := clearOne(ctx, h, base, r); err != nil {
			errs = append(errs, fmt.Errorf("clear %s: %w", r.Name, err))
			left++
			continue
		}
		cleared = append(cleared, r.Name)
	}
	if left == 0 {
		kept, err = sleep(ctx, h, base)
		errs = append(errs, err)
	}
	return cleared, kept, errors.Join(errs...)
}

// clearOne clears one sandbox; its record goes last.
func clearOne(ctx context.Context, h *host.Host, base string, r Record) error {
	dir := r.dir(base)
	for _, name := range pools(ctx, h) {
		if err := destroyPool(ctx, h, dir, name); err != nil {
			return err
		}
	}
	if err := unmount(dir); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Remove(r.file(base))
}

// destroyPool destroys a pool if it lies on a file below dir: the sandbox's own, or that of a test which
// was killed.
func destroyPool(ctx context.Context, h *host.Host, dir, name string) error {
	status, err := h.Run(ctx, "zpool", "status", name)
	if err != nil {
		return err
	}
	below := func(word string) bool { return strings.HasPrefix(word, dir+"/") }
	if !slices.ContainsFunc(strings.Fields(status), below) {
		return nil
	}
	forgetDatasets(ctx, h, name)
	return destroy(ctx, h, dir, "zpool", "destroy", "-f", name)
}

// destroy tries again for a while: what was at work on a file system may be about to end, and zfs-fuse
// calls one busy that was mounted or unmounted a moment ago (verified on 0.7). Who is still in the way
// after that may be a person's shell; it is named, not ended. Names come from before the first try, which
// takes the mount away from under it.
func destroy(ctx context.Context, h *host.Host, dir string, argv ...string) (err error) {
	users := host.UsersOf(dir)
	for range 25 {
		if _, err = h.Run(ctx, argv...); err == nil {
			return nil
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	if len(users) > 0 {
		return fmt.Errorf("%w; in use by %s", err, strings.Join(users, ", "))
	}
	return err
}

// forgetDatasets removes the lock files that zfs2cloud keeps for each dataset by its GUID. It never
// removes them itself; those of a throwaway pool mean nothing any more.
func forgetDatasets(ctx context.Context, h *host.Host, name string) {
	out, err := h.Run(ctx, "zfs", "get", "-Hp", "-r", "-o", "value", "guid", name)
	if err != nil {
		return
	}
	for _, guid := range strings.Fields(out) {
		files, _ := filepath.Glob(filepath.Join("/var/lib/zfs2cloud/datasets", guid+".*"))
		for _, file := range files {
			os.Remove(file)
		}
	}
}

// mounts are the mount points at dir and below, the deepest first.
func mounts(dir string) ([]string, error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var under []string
	for line := range strings.Lines(string(info)) {
		fields := strings.Fields(line) // proc(5): the fifth is the mount point
		if len(fields) > 4 && (fields[4] == dir || strings.HasPrefix(fields[4], dir+"/")) {
			under = append(under, fields[4])
		}
	}
	slices.Reverse(under)
	return under, nil
}

// unmount takes away what is still mounted below dir, also where the daemon behind it is gone.
func unmount(dir string) error {
	under, err := mounts(dir)
	if err != nil {
		return err
	}
	for _, m := range under {
		if err := unix.Unmount(m, unix.MNT_DETACH); err != nil && err != unix.EINVAL {
			return fmt.Errorf("unmount %s: %w", m, err)
		}
	}
	return nil
}
