package catalog

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/secret"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

var oneJob, anotherJob = strings.Repeat("5f", 16), strings.Repeat("a0", 16)

// shelf is a remote with backups of which nothing but the manifests is genuine.
type shelf struct {
	dir        string
	remote     string // dir, or by which rclone has it
	rcloneConf string
	gpg        string
	passphrase string
	encryption settings.Encryption
	store      *state.Store
	world      *counting
	names      []string
	sums       map[string]string // SHA-256 of the manifests that were sealed
}

// counting counts programs, and the messages that gpg is to open.
type counting struct {
	proc.World
	started, opened atomic.Int64
}

func (w *counting) Start(ctx context.Context, s workflow.Spec) (workflow.Child, error) {
	w.started.Add(1)
	if slices.Contains(s.Argv, "--decrypt") {
		w.opened.Add(1)
	}
	return w.World.Start(ctx, s)
}

func newShelf(t testing.TB, encryption settings.Encryption) *shelf {
	t.Helper()
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("gpg is not installed")
	}
	return shelfIn(t, t.TempDir(), encryption)
}

func shelfIn(t testing.TB, dir string, encryption settings.Encryption) *shelf {
	return &shelf{dir: dir, remote: dir, gpg: "gpg", passphrase: "a passphrase", encryption: encryption,
		store: state.New(filepath.Join(t.TempDir(), "state.db")), world: &counting{}, sums: map[string]string{}}
}

// means are those of a kit.
func (s *shelf) means() Means {
	by := func(w workflow.World, encryption string, passphrase secret.Bytes) (chunk.Sealer, error) {
		if encryption == string(settings.None) {
			return chunk.Plain{}, nil
		}
		return chunk.GPG{World: w, Words: []string{s.gpg}, Passphrase: passphrase}, nil
	}
	return Means{
		Retry: func(ctx context.Context, try func(context.Context) error) error {
			return remote.Retry(ctx, func(ctx context.Context, d time.Duration, _ error) error { return remote.Pause(ctx, d) }, try)
		},
		Sealer: func(w workflow.World, encryption string) (chunk.Sealer, error) {
			return by(w, encryption, secret.Bytes(s.passphrase))
		},
		SealerBy: by,
		Log:      slog.New(slog.DiscardHandler),
	}
}

// add stores a backup of so many chunks, an incremental if it has a base.
func (s *shelf) add(t testing.TB, at time.Time, base string, chunks int) string {
	t.Helper()
	m := s.make(t, at, base, chunks)
	s.seal(t, m)
	s.names = append(s.names, m.Name)
	return m.Name
}

// make makes the folder of a backup, with all but its manifest.
func (s *shelf) make(t testing.TB, at time.Time, base string, chunks int) *manifest.Manifest {
	t.Helper()
	stamp := at.UTC().Format(manifest.StampLayout)
	sha := strings.Repeat("0a", 32)
	m := &manifest.Manifest{
		Name: manifest.Folder(stamp, base == ""), Kind: manifest.Full, Created: at.UTC().Truncate(time.Second), Tool: "test", Host: "web1", Job: oneJob, PoolGUID: "1",
		Dataset: "tank/data", DatasetGUID: "2", Snapshot: stamp, SnapshotGUID: "3", SplitSize: 10, StreamBytes: int64(10 * chunks), StreamSHA256: sha,
	}
	if base != "" {
		m.Kind, m.Base = manifest.Incremental, &manifest.Base{Name: base, SnapshotGUID: "3", ManifestSHA256: s.sums[base]}
	}
	folder := filepath.Join(s.dir, m.Name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for n := range chunks {
		name := chunk.Name(m.Dataset, stamp, n, 1, s.encryption)
		m.Chunks = append(m.Chunks, manifest.Chunk{N: n, Gen: 1, Name: name, Plain: 10, Size: 10, SHA256: sha, PlainSHA256: sha})
		if err := os.WriteFile(filepath.Join(folder, name), []byte("0123456789"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (s *shelf) seal(t testing.TB, m *manifest.Manifest) {
	t.Helper()
	sealer, err := s.means().Sealer(s.world, string(s.encryption))
	if err != nil {
		t.Fatal(err)
	}
	object, sum, err := manifest.Seal(t.Context(), sealer, m)
	if err == nil {
		s.sums[m.Name] = sum
		err = os.WriteFile(s.manifest(m.Name), object, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s *shelf) manifest(name string) string {
	return filepath.Join(s.dir, name, manifest.FileName(s.encryption))
}

// fill adds fulls with so many incrementals each, a day apart.
func (s *shelf) fill(t testing.TB, fulls, each int) {
	t.Helper()
	at := time.Date(2020, 1, 1, 3, 52, 0, 0, time.UTC)
	for range fulls {
		full := s.add(t, at, "", 2)
		for range each {
			at = at.AddDate(0, 0, 1)
			s.add(t, at, full, 1)
		}
		at = at.AddDate(0, 0, 1)
	}
}

// look reads all with what is remembered, and says how many messages gpg opened.
func (s *shelf) look(t testing.TB) (*Catalog, []*Entry, int64) {
	t.Helper()
	c := s.catalog(t)
	c.Remember(s.store.View, s.store.Update, oneJob)
	before := s.world.opened.Load()
	all, err := c.ReadAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c, all, s.world.opened.Load() - before
}

func (s *shelf) catalog(t testing.TB) *Catalog {
	t.Helper()
	c, err := s.open(t)
	if err == nil {
		err = c.Unlock(s.encryption)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *shelf) open(t testing.TB) (*Catalog, error) {
	t.Helper()
	r, err := remote.Open(remote.Options{Remote: s.remote, Rclone: []string{"rclone"}, Conf: s.rcloneConf, LookupEnv: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	return Open(t.Context(), s.world, r, s.means())
}

func (s *shelf) remembered(t testing.TB) (all []state.Opened) {
	t.Helper()
	err := s.store.View(func(tx *state.Tx) (err error) {
		all, err = tx.Opened(oneJob)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
