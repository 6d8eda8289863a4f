package actions

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/secret"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs/zfstest"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

const (
	fullName = "20261101025200-full"
	incrName = "20261125025200"
)

var (
	oneJob     = strings.Repeat("5f", 16)
	anotherJob = strings.Repeat("a0", 16)
)

// backups makes real backups of a real dataset at a remote that is a folder.
type backups struct {
	pool, dataset string
	dir           string
	kit           *Kit
}

func newBackups(t *testing.T, encryption settings.Encryption) *backups {
	t.Helper()
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("gpg is not installed")
	}
	b := &backups{pool: zfstest.Pool(t, 96), dir: t.TempDir(), kit: restoreKit("a passphrase", encryption)}
	b.dataset = b.pool + "/src"
	zfstest.Run(t, "zfs", "create", b.dataset)
	return b
}

func restoreKit(passphrase string, encryption settings.Encryption) *Kit {
	return &Kit{
		ZFS: []string{"zfs"}, Passphrase: secret.Bytes(passphrase), Pause: remote.Pause, Log: slog.New(slog.DiscardHandler),
		Settings: &settings.Settings{Gpg: []string{"gpg"}, Rclone: []string{"rclone"}, Encryption: encryption},
	}
}

// change puts data into the dataset, if it can be mounted. A stream without is a stream too.
func (b *backups) change(t *testing.T) {
	t.Helper()
	dir, ok := zfstest.Mountpoint(t, b.dataset)
	if !ok {
		return
	}
	data := make([]byte, 300<<10)
	rand.Read(data)
	if err := os.WriteFile(filepath.Join(dir, rand.Text()), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// add takes a snapshot and makes a backup of it, of three chunks, as a run would.
func (b *backups) add(t *testing.T, name, job string, base *manifest.Manifest, flags ...string) *manifest.Manifest {
	t.Helper()
	b.change(t)
	stamp, _, _ := manifest.ParseFolder(name)
	snapshot := b.dataset + "@" + stamp
	zfstest.Run(t, "zfs", "snapshot", snapshot)
	send := append([]string{"zfs", "send"}, flags...)
	if base != nil {
		send = append(send, "-i", b.dataset+"@"+base.Snapshot)
	}
	data := []byte(zfstest.Run(t, append(send, snapshot)...))
	value := func(name, of string) string {
		return strings.TrimSpace(zfstest.Run(t, "zfs", "get", "-Hp", "-o", "value", name, of))
	}
	sum := sha256.Sum256(data)
	m := &manifest.Manifest{
		Name: name, Kind: manifest.Full, Created: time.Date(2026, 11, 25, 2, 52, 0, 0, time.UTC), Tool: "test", Host: "web1",
		Job: job, PoolGUID: "1", Dataset: b.dataset, DatasetGUID: value("guid", b.dataset), Snapshot: stamp,
		SnapshotGUID: value("guid", snapshot), SendFlags: flags, SplitSize: int64(len(data))/3 + 1, StreamBytes: int64(len(data)),
		StreamSHA256: hex.EncodeToString(sum[:]),
	}
	if base != nil {
		m.Kind = manifest.Incremental
		m.Base = &manifest.Base{Name: base.Name, SnapshotGUID: base.SnapshotGUID, ManifestSHA256: shaOf(t, b.manifestFile(base.Name))}
	}
	b.store(t, m, data)
	return m
}

// store cuts and seals the stream, and commits.
func (b *backups) store(t *testing.T, m *manifest.Manifest, data []byte) {
	t.Helper()
	sealer, err := b.kit.sealer(&proc.World{}, string(b.kit.Settings.Encryption))
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(b.dir, m.Name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for piece := range slices.Chunk(data, int(m.SplitSize)) {
		name := chunk.Name(m.Dataset, m.Snapshot, len(m.Chunks), 1, sealer.Kind())
		w, err := chunk.WriteFile(t.Context(), root, name, bytes.NewReader(piece), sealer, nil)
		if err != nil {
			t.Fatal(err)
		}
		m.Chunks = append(m.Chunks, manifest.Chunk{N: len(m.Chunks), Gen: 1, Name: name, Plain: w.Plain.Size, Size: w.Cipher.Size,
			SHA256: w.Cipher.SHA256, PlainSHA256: w.Plain.SHA256})
	}
	b.commit(t, m)
}

func (b *backups) commit(t *testing.T, m *manifest.Manifest) {
	t.Helper()
	sealer, err := b.kit.sealer(&proc.World{}, string(b.kit.Settings.Encryption))
	if err != nil {
		t.Fatal(err)
	}
	object, _, err := manifest.Seal(t.Context(), sealer, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.manifestFile(m.Name), object, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (b *backups) manifestFile(name string) string {
	return filepath.Join(b.dir, name, manifest.FileName(b.kit.Settings.Encryption))
}

// copied is the same backups at a folder of their own, to be damaged.
func (b *backups) copied(t *testing.T) *backups {
	t.Helper()
	c := *b
	c.dir = t.TempDir()
	if err := os.CopyFS(c.dir, os.DirFS(b.dir)); err != nil {
		t.Fatal(err)
	}
	return &c
}

func (b *backups) chunkFile(m *manifest.Manifest, n int) string {
	return filepath.Join(b.dir, m.Name, m.Chunks[n].Name)
}

func (b *backups) catalog(t *testing.T) *catalog.Catalog {
	t.Helper()
	r, err := b.kit.Remote(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	return b.catalogOf(t, r)
}

func (b *backups) catalogOf(t *testing.T, r remote.Remote) *catalog.Catalog {
	t.Helper()
	c, err := b.kit.OpenCatalog(t.Context(), &proc.World{}, r)
	if err == nil {
		err = c.Unlock(b.kit.Settings.Encryption)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// into is a dataset that is not there, and is gone after the test.
func (b *backups) into(t *testing.T) string {
	name := b.pool + "/r" + rand.Text()
	t.Cleanup(func() { _ = exec.Command("zfs", "destroy", "-r", name).Run() })
	return name
}

func (b *backups) plan(t *testing.T, backup, into string) (*RestorePlan, error) {
	t.Helper()
	return b.kit.PlanRestore(t.Context(), b.catalog(t), RestoreRequest{Backup: backup, Into: into, Spool: t.TempDir()})
}

// restore plans and carries out, and looks that nothing is left in the spool folder.
func (b *backups) restore(t *testing.T, w workflow.World, backup, into string) (state.Run, error) {
	t.Helper()
	p, err := b.plan(t, backup, into)
	if err != nil {
		return state.Run{}, err
	}
	return carryOut(t, b.kit, w, p)
}

func carryOut(t *testing.T, k *Kit, w workflow.World, p *RestorePlan) (state.Run, error) {
	t.Helper()
	r := newRestoreRun(t, k, w, p)
	err := r.drive(t)
	left, rerr := os.ReadDir(p.Spool)
	if over := workflow.Over(r.run(t).State); rerr != nil || over != (len(left) == 0) {
		t.Errorf("left in the spool folder, with the run %s: %v %v", r.run(t).State, left, rerr)
	}
	return r.run(t), err
}

// restoreRun is a restore in an engine of its own.
type restoreRun struct {
	id     string
	plan   *RestorePlan
	engine *workflow.Engine
	kit    *Kit
}

func newRestoreRun(t *testing.T, k *Kit, w workflow.World, p *RestorePlan) *restoreRun {
	t.Helper()
	dir := t.TempDir()
	owner := state.Owner{Nonce: rand.Text(), PID: os.Getpid()}
	e := &workflow.Engine{Store: state.New(filepath.Join(dir, "state.db")), World: w, Host: noHost{}, Stop: workflow.NewStop(t.Context()), Log: k.Log,
		Notes: state.Folder{Dir: filepath.Join(dir, "datasets")}, Owner: owner, Dataset: RestoreKey(p.Into.String()), Step: k.Step, Clean: k.Clean}
	s, err := e.Begin(p.NewRestore(state.Source{}, ""))
	if err != nil {
		t.Fatal(err)
	}
	return &restoreRun{id: s.Run().ID, plan: p, engine: e, kit: k}
}

// drive takes the run as far as it comes, as another process would that finds it.
func (r *restoreRun) drive(t *testing.T) error {
	t.Helper()
	s, err := r.engine.Open(r.id, r.plan.Into.String())
	if err != nil {
		t.Fatal(err)
	}
	r.kit.Restore(r.plan)
	defer r.kit.Close()
	return r.engine.Drive(s, false)
}

func (r *restoreRun) abort(t *testing.T) {
	t.Helper()
	s, err := r.engine.Open(r.id, r.plan.Into.String())
	if err == nil {
		err = r.engine.Abort(s, "test", false)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (r *restoreRun) run(t *testing.T) (run state.Run) {
	t.Helper()
	err := r.engine.Store.View(func(tx *state.Tx) (err error) {
		run, _, err = tx.Run(r.id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

type noHost struct{}

func (noHost) Sweep(context.Context, string) error                { return nil }
func (noHost) WaitGone(context.Context, workflow.ProcessID) error { return nil }
func (noHost) EndGroup(workflow.ProcessID) error                  { return nil }

func shaOf(t testing.TB, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func exists(dataset string) bool {
	return exec.Command("zfs", "list", "-H", "-o", "name", dataset).Run() == nil
}

func snapshotsOf(t *testing.T, dataset string) string {
	t.Helper()
	return zfstest.Run(t, "zfs", "list", "-H", "-t", "snapshot", "-o", "name", "-r", dataset)
}

// essence is a stream without the name in its BEGIN and without its END, of which the sums include the name.
func essence(s string) string {
	const name = 56
	return s[:name] + s[stream.HeaderSize:len(s)-stream.HeaderSize]
}

// same compares by sending both again, since to look into a file would change it.
func (b *backups) same(t *testing.T, into string, m *manifest.Manifest) {
	t.Helper()
	for _, args := range [][]string{{"zfs", "get", "-Hp", "-o", "value", "guid"}, {"zfs", "send"}} {
		was := zfstest.Run(t, append(args, b.dataset+"@"+m.Snapshot)...)
		is := zfstest.Run(t, append(args, into+"@"+m.Snapshot)...)
		if args[1] == "send" {
			was, is = essence(was), essence(is)
		}
		if was != is {
			t.Errorf("%s of %s differs", args[1], m.Name)
		}
	}
	if mounted := zfstest.Run(t, "zfs", "get", "-Hp", "-o", "value", "mounted", into); mounted != "no\n" {
		t.Errorf("mounted: %s", mounted)
	}
}

// throughRclone is a catalog that is not read from a folder, and the kit that restores from it.
func (b *backups) throughRclone(t *testing.T) (*Kit, *catalog.Catalog) {
	t.Helper()
	if _, err := exec.LookPath("rclone"); err != nil {
		t.Skip("rclone is not installed")
	}
	conf := filepath.Join(t.TempDir(), "rclone.conf")
	if err := os.WriteFile(conf, []byte("[x]\ntype = local\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	kit := restoreKit("a passphrase", settings.GPG)
	kit.Settings.RcloneConf = conf
	r, err := kit.Remote("x:" + b.dir)
	if err != nil {
		t.Fatal(err)
	}
	return kit, b.catalogOf(t, r)
}
