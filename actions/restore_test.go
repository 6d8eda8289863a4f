package actions

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/secret"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs/zfstest"
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

func (b *backups) catalog(t *testing.T) *Catalog {
	t.Helper()
	r, err := b.kit.Remote(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	return b.catalogOf(t, r)
}

func (b *backups) catalogOf(t *testing.T, r remote.Remote) *Catalog {
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
	return b.catalog(t).PlanRestore(t.Context(), RestoreRequest{Backup: backup, Into: into, Spool: t.TempDir()})
}

// restore plans and carries out, and looks that nothing is left in the spool folder.
func (b *backups) restore(t *testing.T, w workflow.World, backup, into string) (Restored, error) {
	t.Helper()
	p, err := b.plan(t, backup, into)
	if err != nil {
		return Restored{}, err
	}
	return carryOut(t, b.kit, w, p)
}

func carryOut(t *testing.T, k *Kit, w workflow.World, p *RestorePlan) (Restored, error) {
	t.Helper()
	done, err := k.Restore(t.Context(), w, p, nil)
	left, rerr := os.ReadDir(p.Spool)
	if rerr != nil || len(left) > 0 {
		t.Errorf("left in the spool folder: %v %v", left, rerr)
	}
	return done, err
}

// gets counts the objects that are fetched.
type gets struct {
	remote.Remote
	n atomic.Int32
}

func (g *gets) Get(ctx context.Context, w workflow.World, name string, limit int64, to io.Writer) error {
	g.n.Add(1)
	return g.Remote.Get(ctx, w, name, limit, to)
}

func shaOf(t *testing.T, file string) string {
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

func TestRestore(t *testing.T) {
	t.Parallel()
	b := newBackups(t, settings.GPG)
	full := b.add(t, fullName, oneJob, nil)
	incr := b.add(t, incrName, oneJob, full)
	both := []*manifest.Manifest{full, incr}

	t.Run("chain", func(t *testing.T) {
		into := b.into(t)
		var told []int64
		p, err := b.plan(t, Latest, into)
		if err != nil {
			t.Fatal(err)
		}
		done, err := b.kit.Restore(t.Context(), &proc.World{}, p, func(done, total int64) { told = append(told, done, total) })
		if err != nil {
			t.Fatal(err)
		}
		if done.Snapshot.String() != into+"@"+incr.Snapshot || done.Volume {
			t.Errorf("made %+v", done)
		}
		if sum := full.StreamBytes + incr.StreamBytes; !slices.Equal(told[len(told)-2:], []int64{sum, sum}) {
			t.Errorf("progress ends with %v, not %d", told[len(told)-2:], sum)
		}
		for _, m := range both {
			b.same(t, into, m)
		}
	})
	t.Run("one of the chain", func(t *testing.T) {
		into := b.into(t)
		if _, err := b.restore(t, &proc.World{}, full.Snapshot, into); err != nil {
			t.Fatal(err)
		}
		b.same(t, into, full)
		if got := snapshotsOf(t, into); strings.Count(got, "\n") != 1 {
			t.Errorf("snapshots %s", got)
		}
	})
	t.Run("through rclone", func(t *testing.T) {
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
		into := b.into(t)
		p, err := b.catalogOf(t, r).PlanRestore(t.Context(), RestoreRequest{Backup: Latest, Into: into, Spool: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := carryOut(t, kit, &proc.World{}, p); err != nil {
			t.Fatal(err)
		}
		b.same(t, into, incr)
	})
	t.Run("one chunk ahead", func(t *testing.T) {
		r, err := b.kit.Remote(b.dir)
		if err != nil {
			t.Fatal(err)
		}
		counting := &gets{Remote: r}
		c := b.catalogOf(t, counting)
		p, err := c.PlanRestore(t.Context(), RestoreRequest{Backup: Latest, Into: b.into(t), Spool: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		counting.n.Store(0)
		var opened int32
		w := &watched{opens: func() {
			opened++
			if n := counting.n.Load(); n > opened+1 {
				t.Errorf("with chunk %d being opened %d were fetched", opened, n)
			}
		}}
		if _, err := carryOut(t, b.kit, w, p); err != nil {
			t.Fatal(err)
		}
		if n := int(counting.n.Load()); n != len(full.Chunks)+len(incr.Chunks) {
			t.Errorf("%d chunks were fetched", n)
		}
	})
	t.Run("refused", func(t *testing.T) { testRefused(t, b, both) })
	t.Run("damaged", func(t *testing.T) { testDamaged(t, b, both) })
	t.Run("forged", func(t *testing.T) { testForged(t, b, both) })
	t.Run("planted", func(t *testing.T) { testPlanted(t, b, both) })
	t.Run("streams", func(t *testing.T) { testStreams(t, b, both) })
	t.Run("mountpoint", func(t *testing.T) { testMountpoint(t, new(*b)) })
	t.Run("cut off", func(t *testing.T) { testCutOff(t, b, both) })
	t.Run("listed", func(t *testing.T) { testListed(t, b, both) })
	t.Run("jobs", func(t *testing.T) { testJobs(t, b) })
}

// What can be seen beforehand is refused beforehand.
func testRefused(t *testing.T, b *backups, both []*manifest.Manifest) {
	full, incr := both[0], both[1]
	for _, c := range []struct {
		name    string
		do      func(*testing.T, *backups)
		backup  string
		into    string
		refusal bool
		says    string
	}{
		{name: "target exists", into: b.dataset, refusal: true, says: "exists"},
		{name: "target is a pool", into: b.pool, refusal: true, says: "is a pool"},
		{name: "no pool", into: "z2c-nosuchpool/data", refusal: true, says: "z2c-nosuchpool"},
		{name: "no parent", into: b.pool + "/a/b", refusal: true, says: "zfs create"},
		{name: "not a name", into: b.pool + "/a@b", refusal: true, says: "not allowed"},
		{name: "not a stamp", backup: "yesterday", refusal: true, says: "neither a stamp"},
		{name: "no such backup", backup: "20200101000000", refusal: true, says: "has no backup"},
		{name: "wrong passphrase", do: func(_ *testing.T, b *backups) { b.kit = restoreKit("another", settings.GPG) },
			says: "does not open: wrong passphrase"},
		{name: "chunk missing", do: func(t *testing.T, b *backups) { remove(t, b.chunkFile(incr, 1)) }, says: "chunk 1"},
		{name: "base's chunk missing", do: func(t *testing.T, b *backups) { remove(t, b.chunkFile(full, 2)) },
			says: "base " + fullName + ": chunk 2"},
		{name: "chunk cut", do: func(t *testing.T, b *backups) {
			if err := os.Truncate(b.chunkFile(full, 0), full.Chunks[0].Size-1); err != nil {
				t.Fatal(err)
			}
		}, says: "bytes instead of"},
		{name: "manifest without chunks", do: func(t *testing.T, b *backups) {
			for n := range incr.Chunks {
				remove(t, b.chunkFile(incr, n))
			}
		}, says: "chunk 0"},
		{name: "manifest of another job", backup: incrName, do: func(t *testing.T, b *backups) {
			theirs := *incr
			theirs.Job = anotherJob
			b.commit(t, &theirs)
		}, says: "it is of job " + oneJob},
		{name: "another job's folder beside", do: func(t *testing.T, b *backups) {
			if err := os.WriteFile(filepath.Join(b.dir, "zfs2cloud-job-"+anotherJob), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, refusal: true, says: "backups of several jobs"},
		{name: "base of another snapshot", do: func(t *testing.T, b *backups) {
			swapped, base := *incr, *incr.Base
			base.SnapshotGUID = "7"
			swapped.Base = &base
			b.commit(t, &swapped)
		}, says: "its snapshot has GUID"},
		{name: "base missing", do: func(t *testing.T, b *backups) { remove(t, filepath.Join(b.dir, fullName)) }, says: "the base of"},
		{name: "manifest of another folder", do: func(t *testing.T, b *backups) {
			copyFile(t, b.manifestFile(fullName), b.manifestFile(incrName))
		}, says: "it is that of"},
		{name: "base replayed under another manifest", do: func(t *testing.T, b *backups) { b.commit(t, full) }, says: "SHA-256 of its manifest"},
		{name: "two manifests", do: func(t *testing.T, b *backups) {
			copyFile(t, b.manifestFile(incrName), filepath.Join(b.dir, incrName, "manifest.json"))
		}, says: "both"},
		{name: "unencrypted manifest", do: func(t *testing.T, b *backups) {
			if err := os.Rename(b.manifestFile(incrName), filepath.Join(b.dir, incrName, "manifest.json")); err != nil {
				t.Fatal(err)
			}
		}, says: "only if encryption none is asked for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := b.copied(t)
			if c.do != nil {
				c.do(t, b)
			}
			into := c.into
			if into == "" {
				into = b.into(t)
			}
			backup := c.backup
			if backup == "" {
				backup = Latest
			}
			before := zfstest.Run(t, "zfs", "list", "-H", "-t", "all", "-o", "name", "-r", b.pool)
			_, err := b.plan(t, backup, into)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("not %q: %v", c.says, err)
			}
			var refusal *RestoreRefusal
			if errors.As(err, &refusal) != c.refusal {
				t.Errorf("refusal: %t", !c.refusal)
			}
			if after := zfstest.Run(t, "zfs", "list", "-H", "-t", "all", "-o", "name", "-r", b.pool); after != before {
				t.Errorf("was\n%s\nis\n%s", before, after)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What lies there with the right size and other bytes is seen before gpg sees it.
func testDamaged(t *testing.T, b *backups, both []*manifest.Manifest) {
	full, incr := both[0], both[1]
	literal := func(t *testing.T, size int64) []byte {
		cmd := exec.Command("gpg", "--batch", "--no-options", "--homedir", t.TempDir(), "-z", "0", "--store", "--output", "-")
		cmd.Stdin = io.LimitReader(rand.Reader, size)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return out[:size]
	}
	for _, c := range []struct {
		name string
		at   *manifest.Manifest
		do   func(*testing.T, *backups)
		gpgs int // that may run
	}{
		{"flipped byte in the first chunk", full, func(t *testing.T, b *backups) { flip(t, b.chunkFile(full, 0)) }, 0},
		{"flipped byte in the last chunk", full, func(t *testing.T, b *backups) { flip(t, b.chunkFile(full, 2)) }, 2},
		{"swapped chunks", full, func(t *testing.T, b *backups) {
			aside := filepath.Join(t.TempDir(), "aside")
			copyFile(t, b.chunkFile(full, 0), aside)
			copyFile(t, b.chunkFile(full, 1), b.chunkFile(full, 0))
			copyFile(t, aside, b.chunkFile(full, 1))
		}, 0},
		{"literal message", full, func(t *testing.T, b *backups) {
			if err := os.WriteFile(b.chunkFile(full, 1), literal(t, full.Chunks[1].Size), 0o600); err != nil {
				t.Fatal(err)
			}
		}, 1},
		{"flipped byte in the increment's first chunk", incr, func(t *testing.T, b *backups) { flip(t, b.chunkFile(incr, 0)) }, 3},
		{"flipped byte in the increment's last chunk", incr, func(t *testing.T, b *backups) { flip(t, b.chunkFile(incr, 2)) }, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := b.copied(t)
			c.do(t, b)
			into := b.into(t)
			w := &watched{}
			_, err := b.restore(t, w, Latest, into)
			if !errors.Is(err, chunk.ErrDiffers) {
				t.Fatalf("error %v", err)
			}
			if n := w.count("--decrypt"); n != c.gpgs {
				t.Errorf("%d chunks were opened, not %d", n, c.gpgs)
			}
			b.leftover(t, err, into, c.at, both)
		})
	}
}

func flip(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// leftover demands that what a restore left, which ended at one of the backups, is what its error says.
func (b *backups) leftover(t *testing.T, err error, into string, at *manifest.Manifest, both []*manifest.Manifest) {
	t.Helper()
	var half *RestoreError
	if !errors.As(err, &half) || half.Backup.Name != at.Name {
		t.Fatalf("not an error at %s: %v", at.Name, err)
	}
	if at == both[0] {
		if exists(into) || !strings.Contains(half.Left, "Nothing was restored") {
			t.Errorf("there: %t, and it says %s", exists(into), half.Left)
		}
		return
	}
	b.same(t, into, both[0])
	if got := snapshotsOf(t, into); got != into+"@"+both[0].Snapshot+"\n" {
		t.Errorf("snapshots %s", got)
	}
	if !strings.Contains(half.Left, "holds "+both[0].Name+", whole") {
		t.Errorf("it says %s", half.Left)
	}
}

// watched is a real World that remembers what was started, and does something when a chunk is opened, before a
// zfs receive starts, or when it was fed.
type watched struct {
	proc.World
	opens  func()
	before func()
	fed    func(nth int, child workflow.Child)

	mu       sync.Mutex
	started  [][]string
	receives int
}

func (w *watched) Start(ctx context.Context, s workflow.Spec) (workflow.Child, error) {
	w.mu.Lock()
	w.started = append(w.started, s.Argv)
	if w.opens != nil && slices.Contains(s.Argv, "--decrypt") {
		w.opens()
	}
	receives := slices.Contains(s.Argv, "-u")
	if receives && w.before != nil {
		w.before()
	}
	if !receives || w.fed == nil {
		w.mu.Unlock()
		return w.World.Start(ctx, s)
	}
	w.receives++
	nth := w.receives
	w.mu.Unlock()
	children := make(chan workflow.Child, 1)
	read := 0
	from := s.Stdin
	s.Stdin = readerFunc(func(p []byte) (int, error) {
		if read > 0 {
			select {
			case child := <-children:
				w.fed(nth, child)
			default:
			}
		}
		n, err := from.Read(p)
		read += n
		return n, err
	})
	child, err := w.World.Start(ctx, s)
	children <- child
	return child, err
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (w *watched) count(word string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, argv := range w.started {
		if slices.Contains(argv, word) {
			n++
		}
	}
	return n
}

// A receive that dies takes nothing with it and leaves nothing half.
func testCutOff(t *testing.T, b *backups, both []*manifest.Manifest) {
	for i, at := range both {
		t.Run("receive of "+at.Name+" killed", func(t *testing.T) {
			into := b.into(t)
			w := &watched{fed: func(nth int, child workflow.Child) {
				if nth == i+1 {
					child.Kill()
				}
			}}
			_, err := b.restore(t, w, Latest, into)
			var exit *workflow.ExitError
			if !errors.As(err, &exit) || exit.Signal == "" {
				t.Fatalf("error %v", err)
			}
			b.leftover(t, err, into, at, both)
		})
		t.Run("stopped in "+at.Name, func(t *testing.T) {
			into := b.into(t)
			p, err := b.plan(t, Latest, into)
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			w := &watched{fed: func(nth int, _ workflow.Child) {
				if nth == i+1 {
					stop()
				}
			}}
			_, err = b.kit.Restore(ctx, w, p, nil)
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v", err)
			}
			b.leftover(t, err, into, at, both)
		})
	}
	t.Run("another made the dataset meanwhile", func(t *testing.T) {
		into := b.into(t)
		var guid string
		value := func() string { return zfstest.Run(t, "zfs", "get", "-Hp", "-o", "value", "guid", into) }
		w := &watched{before: func() {
			zfstest.Run(t, "zfs", "create", "-o", "mountpoint=none", into)
			guid = value()
		}}
		_, err := b.restore(t, w, Latest, into)
		if err == nil || !strings.Contains(err.Error(), "left alone") {
			t.Fatalf("error %v", err)
		}
		if value() != guid {
			t.Error("it was replaced")
		}
	})
	t.Run("something else was received", func(t *testing.T) {
		b := *b
		b.kit = restoreKit("a passphrase", settings.GPG)
		b.kit.ZFS = []string{otherGUIDs(t)}
		into := b.into(t)
		_, err := b.restore(t, &proc.World{}, Latest, into)
		if err == nil || !strings.Contains(err.Error(), "do not use it") || !strings.Contains(err.Error(), "could not be removed") {
			t.Fatalf("error %v", err)
		}
		if got := snapshotsOf(t, into); got != into+"@"+both[0].Snapshot+"\n" {
			t.Errorf("snapshots %s", got)
		}
	})
}

// otherGUIDs is a zfs program to which every snapshot has the GUID 7.
func otherGUIDs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"zpool": `exec zpool "$@"`,
		"zfs":   `case "$*" in *userrefs*) zfs "$@" | awk -F'\t' -v OFS='\t' '$2 == "guid" { $3 = 7 } { print }';; *) exec zfs "$@";; esac`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "zfs")
}

// What lies in the spool folder nobody else can find, and nothing of it survives us.
func TestSpool(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := openSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.file()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("a chunk"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder %v %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(s.dir); err != nil || len(left) > 0 {
		t.Errorf("it has %v %v", left, err)
	}
	if err := errors.Join(f.Close(), s.close()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

func TestSpoolRoom(t *testing.T) {
	t.Parallel()
	chunks := []manifest.Chunk{{Size: 5}, {Size: 7}, {Size: 1}}
	if got := mostSpooled(chunks); got != 12 {
		t.Errorf("at most %d", got)
	}
	if got := mostSpooled(chunks[:1]); got != 5 {
		t.Errorf("of one chunk %d", got)
	}
	if err := hasRoom(t.TempDir(), math.MaxInt64); err == nil || !strings.Contains(err.Error(), "--spool") {
		t.Errorf("error %v", err)
	}
	if err := hasRoom(filepath.Join(t.TempDir(), "gone"), 1); err == nil {
		t.Error("a folder that is gone has room")
	}
}

// A full spool folder is not a full remote.
func TestSpoolFull(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("no /dev/full: %v", err)
	}
	defer full.Close()
	w := &spoolWriter{f: full}
	if _, err := w.Write([]byte("x")); !errors.Is(err, unix.ENOSPC) || !errors.Is(w.err, unix.ENOSPC) {
		t.Errorf("%v, %v", err, w.err)
	}
}

func TestMountCommand(t *testing.T) {
	for mountpoint, want := range map[string]string{
		"/tank/new": "zfs mount tank/new",
		"":          "zfs mount tank/new",
		"none":      "zfs set mountpoint=/tank/new tank/new",
		"legacy":    "mount -t zfs tank/new /mnt",
	} {
		if got := mountCommand("tank/new", mountpoint); got != want {
			t.Errorf("%q: %s, want %s", mountpoint, got, want)
		}
	}
}
