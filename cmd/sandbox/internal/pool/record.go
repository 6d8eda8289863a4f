package pool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"zfs2cloud/cmd/sandbox/internal/host"
	"zfs2cloud/state/durable"
)

// Base is the folder of all sandboxes of this machine.
const Base = "/var/lib/zfs2cloud-sandbox"

// Record says whose a sandbox is. Its pool has its name.
type Record struct {
	Name string `json:"name"`
	// Owner is the process that clears it; nil if it stays until it is told to go.
	Owner *host.Process `json:"owner,omitempty"`
}

func (r Record) dir(base string) string  { return filepath.Join(base, r.Name) }
func (r Record) file(base string) string { return filepath.Join(base, r.Name+".json") }
func (r Record) disk(base string) string { return filepath.Join(r.dir(base), "pool.img") }

// leftover says whether nobody will clear this sandbox any more.
func (r Record) leftover() bool { return r.Owner != nil && !r.Owner.Alive() }

func (r Record) store(base string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return durable.WriteFile(r.file(base), text)
}

// records reads all records. One that can't be read is no record, so nothing of it is touched; it is
// said, since a person must look at it.
func records(base string) (all []Record, unreadable error) {
	files, err := filepath.Glob(filepath.Join(base, "*.json"))
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, file := range files {
		r, err := read(file)
		switch {
		case errors.Is(err, fs.ErrNotExist): // cleared meanwhile
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w: nothing of it is touched", file, err))
		default:
			all = append(all, r)
		}
	}
	return all, errors.Join(errs...)
}

func read(file string) (Record, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Record{}, err
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return Record{}, err
	}
	// The name becomes a path that is removed and a pool that is destroyed.
	if r.Name != strings.TrimSuffix(filepath.Base(file), ".json") || !strings.HasPrefix(r.Name, prefix) {
		return Record{}, fmt.Errorf("record of %q", r.Name)
	}
	return r, nil
}

// lock keeps other sandboxes of this machine waiting until the returned function is called.
func lock(base string) (unlock func(), err error) {
	if err := os.MkdirAll(base, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(base, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}
