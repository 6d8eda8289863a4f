package zfs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/actions/zfs/zfstest"
	"zfs2cloud/workflow"
)

// real is the zfs of this machine, and a dataset in a pool of the test's own.
func real(t *testing.T) (zfs.Program, zfs.Dataset) {
	t.Helper()
	name := zfstest.Pool(t, 96) + "/data"
	zfstest.Run(t, "zfs", "create", name)
	return program(), dataset(t, name)
}

func program() zfs.Program {
	return zfs.Program{World: &proc.World{}, Words: []string{"nice", "-n", "1", "zfs"}}
}

func dataset(t *testing.T, name string) zfs.Dataset {
	t.Helper()
	d, err := zfs.ParseDataset(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func snapshot(t *testing.T, d zfs.Dataset, name string) zfs.Snapshot {
	t.Helper()
	s, err := d.Snapshot(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func take(t *testing.T, p zfs.Program, s zfs.Snapshot, props map[string]string) {
	t.Helper()
	must(t, p.TakeSnapshot(t.Context(), s, props))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants checks an error's kind, that it says what was tried, and that zfs's own words are in it.
func wants(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	var e *zfs.Error
	if !errors.As(err, &e) || !errors.Is(err, kind) {
		t.Fatalf("want %q, got %v", kind, err)
	}
	var exit *workflow.ExitError
	if !errors.As(err, &exit) {
		t.Errorf("no ExitError in %v", err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("no %q in %q", word, err)
		}
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	p, d := real(t)
	before := time.Now().Add(-time.Minute)
	info, err := p.Info(t.Context(), d)
	must(t, err)
	if info.GUID == 0 || info.PoolGUID == 0 || info.GUID == info.PoolGUID || info.Type != "filesystem" ||
		info.Available < 1<<20 || info.Referenced <= 0 || info.Used <= 0 || info.Creation.Before(before) {
		t.Errorf("%+v", info)
	}
	if dir, mounts := zfstest.Mountpoint(t, d.String()); info.Mounted != mounts || mounts && info.Mountpoint != dir {
		t.Errorf("%+v, mounted: %v %q", info, mounts, dir)
	}
	again, err := p.Info(t.Context(), d)
	must(t, err)
	if again.GUID != info.GUID || again.PoolGUID != info.PoolGUID {
		t.Errorf("%+v, then %+v", info, again)
	}
}

func TestNotThereIsNotDontKnow(t *testing.T) {
	t.Parallel()
	p, d := real(t)
	ctx := t.Context()

	missing := dataset(t, d.Pool().String()+"/nope")
	_, err := p.Info(ctx, missing)
	wants(t, err, zfs.ErrNoDataset, "get "+missing.String(), "does not exist")
	_, err = p.Snapshots(ctx, missing)
	wants(t, err, zfs.ErrNoDataset)
	_, err = p.Snapshot(ctx, snapshot(t, d, "nope"))
	wants(t, err, zfs.ErrNoSnapshot)
	wants(t, p.TakeSnapshot(ctx, snapshot(t, missing, "s"), nil), zfs.ErrNoDataset)

	// A pool that is not imported hides what it holds: that says nothing of a snapshot.
	away := dataset(t, "z2c-tnever/data")
	for _, err := range []error{
		second(p.Info(ctx, away)),
		second(p.Snapshot(ctx, snapshot(t, away, "s"))),
		p.Destroy(ctx, snapshot(t, away, "s")),
	} {
		wants(t, err, zfs.ErrNoPool, "no such pool")
		if errors.Is(err, zfs.ErrNoDataset) || errors.Is(err, zfs.ErrNoSnapshot) {
			t.Errorf("%v passes for the absence of what may be in the pool", err)
		}
	}

	// A name that sounds like a reason must not be taken for one.
	odd := dataset(t, d.Pool().String()+"/permission denied")
	_, err = p.Info(ctx, odd)
	wants(t, err, zfs.ErrNoDataset)

	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := p.Info(ended, d); !errors.Is(err, context.Canceled) || errors.Is(err, zfs.ErrNoDataset) {
		t.Errorf("cancelled: %v", err)
	}
	p.Words = []string{"/nonexistent/zfs"}
	if _, err := p.Info(ctx, d); !errors.Is(err, workflow.ErrNoProgram) {
		t.Errorf("no program: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestSnapshots(t *testing.T) {
	t.Parallel()
	p, d := real(t)
	ctx := t.Context()
	child := dataset(t, d.String()+"/child")
	zfstest.Run(t, "zfs", "create", child.String())
	take(t, p, snapshot(t, child, "other"), nil)

	// Within one second, and in no order of names.
	names := []string{"c", "a", "d", "b"}
	for _, name := range names {
		take(t, p, snapshot(t, d, name), map[string]string{zfs.Property: "job/run/" + name})
	}
	zfstest.Run(t, "zfs", "inherit", zfs.Property, d.String()+"@d")
	zfstest.Run(t, "zfs", "set", zfs.Property+"=job/run/forged", d.String())
	must(t, p.Hold(ctx, "zfs2cloud:1", snapshot(t, d, "a")))

	got, err := p.Snapshots(ctx, d)
	must(t, err)
	var order []string
	guids := map[zfs.GUID]bool{}
	for _, s := range got {
		order = append(order, s.Snapshot.Name())
		guids[s.GUID] = true
		mark, ours := s.Mark()
		if name := s.Snapshot.Name(); ours != (name != "d") || ours && mark != "job/run/"+name {
			t.Errorf("%s: mark %q, %v", s.Snapshot, mark, ours)
		}
		if held := s.Holds == 1; held != (s.Snapshot.Name() == "a") || s.Referenced <= 0 || s.Creation.IsZero() {
			t.Errorf("%+v", s)
		}
		one, err := p.Snapshot(ctx, s.Snapshot)
		if err != nil || one.GUID != s.GUID || one.CreateTXG != s.CreateTXG {
			t.Errorf("%+v, asked alone: %+v, %v", s, one, err)
		}
	}
	if !slices.Equal(order, names) || len(guids) != len(names) {
		t.Errorf("%v, %d GUIDs", order, len(guids))
	}
}

func TestChildrenAndDatasets(t *testing.T) {
	t.Parallel()
	p, d := real(t)
	if children, err := p.Children(t.Context(), d); err != nil || len(children) != 0 {
		t.Errorf("%q, %v", children, err)
	}
	want := []string{d.String() + "/a b", d.String() + "/a b/c"}
	for _, name := range want {
		zfstest.Run(t, "zfs", "create", name)
	}
	children, err := p.Children(t.Context(), d)
	if err != nil || !slices.Equal(children, want) {
		t.Errorf("%q, %v", children, err)
	}
	all, err := p.Datasets(t.Context())
	if err != nil || !slices.Contains(all, d.String()) || !slices.Contains(all, want[1]) {
		t.Errorf("%q, %v", all, err)
	}
}

func TestHoldsAndDestroy(t *testing.T) {
	t.Parallel()
	p, d := real(t)
	ctx := t.Context()
	const tag = "zfs2cloud:run"
	s, gone := snapshot(t, d, "s"), snapshot(t, d, "gone")
	take(t, p, s, nil)
	wants(t, p.TakeSnapshot(ctx, s, nil), zfs.ErrExists, s.String(), "already exists")

	must(t, p.Hold(ctx, tag, s))
	wants(t, p.Hold(ctx, tag, s), zfs.ErrHeld)
	wants(t, p.Hold(ctx, tag, gone), zfs.ErrNoSnapshot)
	if tags, err := p.Holds(ctx, s); !errors.Is(err, zfs.ErrUnsupported) && !slices.Equal(tags, []string{tag}) {
		t.Errorf("%q, %v", tags, err)
	}
	wants(t, p.Destroy(ctx, s), zfs.ErrBusy, "destroy "+s.String())
	must(t, p.Release(ctx, tag, s))
	wants(t, p.Release(ctx, tag, s), zfs.ErrNoHold)
	wants(t, p.Release(ctx, tag, gone), zfs.ErrNoSnapshot)

	clone := d.Pool().String() + "/clone"
	zfstest.Run(t, "zfs", "clone", "-o", "mountpoint=none", s.String(), clone)
	wants(t, p.Destroy(ctx, s), zfs.ErrClones, clone)
	clones, err := p.Clones(ctx, d)
	if err != nil || len(clones) != 1 || !slices.Equal(clones[s], []string{clone}) {
		t.Errorf("%v, %v", clones, err)
	}
	wants(t, p.DestroyDataset(ctx, d), zfs.ErrChildren)
	must(t, p.DestroyDataset(ctx, dataset(t, clone)))
	wants(t, p.DestroyDataset(ctx, dataset(t, clone)), zfs.ErrNoDataset)
	must(t, p.Destroy(ctx, s))
	wants(t, p.Destroy(ctx, s), zfs.ErrNoSnapshot)
	if err := p.DestroyDataset(ctx, d.Pool()); err == nil {
		t.Error("destroyed a pool")
	}
}

// A refusal names its reason first and then all clones, more than an ExitError keeps.
func TestManyClones(t *testing.T) {
	t.Parallel()
	p, d := real(t)
	s := snapshot(t, d, "s")
	take(t, p, s, nil)
	zfstest.Run(t, "zfs", "set", "mountpoint=none", d.Pool().String())
	for i := range 25 {
		zfstest.Run(t, "zfs", "clone", s.String(), d.Pool().String()+"/clone"+string(rune('a'+i)))
	}
	wants(t, p.Destroy(t.Context(), s), zfs.ErrClones)
}

func TestSendAndReceive(t *testing.T) {
	t.Parallel()
	p, d := real(t)
	ctx := t.Context()
	base, next := snapshot(t, d, "base"), snapshot(t, d, "next")
	fill(t, d)
	take(t, p, base, nil)
	fill(t, d)
	take(t, p, next, nil)
	full := send(t, p, zfs.SendArgs{Snapshot: base})
	increment := send(t, p, zfs.SendArgs{Snapshot: next, Base: &base})
	if !bytes.Equal(full, send(t, p, zfs.SendArgs{Snapshot: base})) {
		t.Error("two sends differ")
	}
	if size, ok := p.Estimate(ctx, zfs.SendArgs{Snapshot: base}); !ok || size <= 0 {
		t.Errorf("estimate %d, %v", size, ok)
	}

	into := dataset(t, d.Pool().String()+"/restored")
	must(t, p.Receive(ctx, bytes.NewReader(full), into, zfs.ReceiveArgs{}))
	wants(t, p.Receive(ctx, bytes.NewReader(full), into, zfs.ReceiveArgs{}), zfs.ErrExists)
	must(t, p.Receive(ctx, file(t, increment), into, zfs.ReceiveArgs{Increment: true}))
	other := dataset(t, d.Pool().String()+"/other")
	zfstest.Run(t, "zfs", "create", "-o", "mountpoint=none", other.String())
	take(t, p, snapshot(t, other, "base"), nil)
	wants(t, p.Receive(ctx, bytes.NewReader(increment), other, zfs.ReceiveArgs{}), zfs.ErrDiverged)
	if _, mounted := zfstest.Mountpoint(t, into.String()); mounted {
		t.Error("a received dataset is mounted")
	}
	source, err := p.Snapshot(ctx, next)
	must(t, err)
	if got, err := p.Snapshot(ctx, snapshot(t, into, "next")); err != nil || got.GUID != source.GUID {
		t.Errorf("received %v, %v; sent %v", got.GUID, err, source.GUID)
	}

	half := dataset(t, d.Pool().String()+"/half")
	if err := p.Receive(ctx, bytes.NewReader(full[:len(full)/2]), half, zfs.ReceiveArgs{}); err == nil {
		t.Error("half a stream was received")
	}
	inNothing := dataset(t, d.Pool().String()+"/no/such")
	wants(t, p.Receive(ctx, bytes.NewReader(full), inNothing, zfs.ReceiveArgs{}), zfs.ErrNoDataset)

	broken := errors.New("no more")
	err = p.Receive(ctx, io.MultiReader(bytes.NewReader(full[:len(full)/2]), failing{broken}), half, zfs.ReceiveArgs{})
	if !errors.Is(err, broken) {
		t.Errorf("the reader's own error is lost: %v", err)
	}
}

func TestSendErrors(t *testing.T) {
	t.Parallel()
	p, d := real(t)
	s, gone := snapshot(t, d, "s"), snapshot(t, d, "gone")
	take(t, p, s, nil)
	for _, c := range []struct {
		args zfs.SendArgs
		kind error
	}{
		{zfs.SendArgs{Snapshot: gone}, zfs.ErrNoSnapshot},
		{zfs.SendArgs{Snapshot: s, Base: &gone}, zfs.ErrNoBase},
	} {
		child, err := p.Send(t.Context(), c.args, io.Discard)
		must(t, err)
		wants(t, child.Wait(), c.kind, c.args.String())
	}
	foreign := snapshot(t, d.Pool(), "s")
	for _, args := range []zfs.SendArgs{
		{Snapshot: s, Flags: []string{"-R"}},
		{Snapshot: s, Flags: []string{"-c -R"}},
		{Snapshot: s, Base: &foreign},
	} {
		if _, err := p.Send(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%+v was sent", args)
		}
	}
}

func TestLookLetsOnlyLooksPass(t *testing.T) {
	t.Parallel()
	p, d := real(t)
	ctx := t.Context()
	s := snapshot(t, d, "s")
	take(t, p, s, nil)
	p.World = workflow.Look{World: p.World}

	_, infoErr := p.Info(ctx, d)
	_, snapshotsErr := p.Snapshots(ctx, d)
	_, datasetsErr := p.Datasets(ctx)
	_, versionErr := p.Version(ctx)
	must(t, errors.Join(infoErr, snapshotsErr, datasetsErr, versionErr))
	send(t, p, zfs.SendArgs{Snapshot: s})

	for what, err := range map[string]error{
		"snapshot":        p.TakeSnapshot(ctx, snapshot(t, d, "s2"), nil),
		"hold":            p.Hold(ctx, "t", s),
		"release":         p.Release(ctx, "t", s),
		"destroy":         p.Destroy(ctx, s),
		"destroy dataset": p.DestroyDataset(ctx, d),
		"receive":         p.Receive(ctx, strings.NewReader(""), dataset(t, d.String()+"/r"), zfs.ReceiveArgs{}),
	} {
		if err == nil || !strings.Contains(err.Error(), "only an effect") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got, err := p.Snapshots(ctx, d); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	p, _ := real(t)
	version, err := p.Version(t.Context())
	if err != nil || !strings.HasPrefix(version, "zfs-") && !strings.HasPrefix(version, "pool version 23 (") {
		t.Errorf("%q, %v", version, err)
	}
}

func send(t *testing.T, p zfs.Program, args zfs.SendArgs) []byte {
	t.Helper()
	var out bytes.Buffer
	child, err := p.Send(t.Context(), args, &out)
	must(t, err)
	must(t, child.Wait())
	return out.Bytes()
}

// fill writes something into the dataset, if it is mounted; if not, its streams are only short.
func fill(t *testing.T, d zfs.Dataset) {
	t.Helper()
	if dir, ok := zfstest.Mountpoint(t, d.String()); ok {
		f, err := os.CreateTemp(dir, "")
		must(t, err)
		_, err = f.Write(bytes.Repeat([]byte("content "), 30_000))
		must(t, errors.Join(err, f.Close()))
	}
}

func file(t *testing.T, content []byte) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "stream")
	must(t, os.WriteFile(name, content, 0o600))
	f, err := os.Open(name)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
