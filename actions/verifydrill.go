package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// drill restores backups into a scratch dataset, as a person would, and looks whether what comes of it is what was sent.
// What was received as a whole stays until the end, so that the incrementals on a full, and a resume, do not fetch that
// again.
type drill struct {
	scratchDataset
	v      *verifying
	there  []*manifest.Manifest
	looked bool // THERE is what is there
}

func (k *Kit) newDrill(v *verifying, run state.Run) (*drill, error) {
	dataset, err := zfs.ParseDataset(run.Frozen.Dataset)
	if err != nil {
		return nil, err
	}
	d := &drill{v: v}
	d.scratchDataset, err = k.newScratchDataset(run.ID, dataset.Pool().String()+"/zfs2cloud-verify-"+run.ID,
		filepath.Join(run.Frozen.IntermediateDir, spoolPrefix(run.Job)+"mount-"+run.ID))
	return d, err
}

// backup receives one, whose manifest and listing are as they should be.
func (d *drill) backup(ctx context.Context, m *manifest.Manifest, verdict *Verdict) error {
	if err := d.open(ctx); err != nil {
		return err
	}
	if base := m.Base; base == nil {
		if err := d.clear(ctx); err != nil {
			return err
		}
	} else if cause, err := d.upTo(ctx, base.Name); err != nil {
		return err
	} else if cause != nil {
		verdict.Skipped = fmt.Sprintf("its base %s could not be received", base.Name)
		return nil
	}
	essence := stream.NewEssence()
	cause, err := d.receive(ctx, m, essence)
	if err != nil {
		return err
	}
	if cause != nil {
		return d.explain(ctx, m, cause, verdict)
	}
	verdict.Chunks, verdict.Bytes = len(m.Chunks), m.Bytes()
	if err := d.sendAgain(ctx, m, essence, verdict); err != nil {
		return err
	}
	return d.readFiles(ctx, verdict)
}

// explain finds all chunks that are bad where one kept a backup from being received; else the cause is what is wrong.
func (d *drill) explain(ctx context.Context, m *manifest.Manifest, cause error, verdict *Verdict) error {
	closer := *d.v
	closer.level = Decrypted
	found, err := closer.chunks(ctx, m, nil, Verdict{Backup: m.Name, Level: Received, Of: len(m.Chunks)}, nil)
	if err != nil {
		return err
	}
	*verdict = found
	if len(verdict.Bad) == 0 {
		verdict.found("", "zfs receive: %v", cause)
	}
	return nil
}

// open makes the scratch dataset, or looks what an earlier process left of it.
func (d *drill) open(ctx context.Context) error {
	if d.looked {
		return nil
	}
	made, err := d.make(ctx)
	if err == nil && !made {
		err = d.takeUp(ctx)
	}
	d.looked = err == nil
	return err
}

// takeUp looks which backups are in the scratch dataset. If anything in it is not one of them, nothing of it counts.
func (d *drill) takeUp(ctx context.Context) error {
	if err := d.unmount(ctx); err != nil {
		return err
	}
	snapshots, err := d.zfs().Snapshots(ctx, d.into)
	if errors.Is(err, zfs.ErrNoDataset) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range snapshots {
		m := d.named(ctx, s)
		if m == nil {
			return d.clear(ctx)
		}
		d.there = append(d.there, m)
	}
	if len(d.there) == 0 {
		return d.clear(ctx)
	}
	return nil
}

// named is the manifest of the backup that a snapshot is of, or nil.
func (d *drill) named(ctx context.Context, s zfs.SnapshotInfo) *manifest.Manifest {
	for _, full := range []bool{true, false} {
		e, err := d.v.catalog.Entry(ctx, manifest.Folder(s.Snapshot.Name(), full))
		if err == nil && e.Manifest != nil && e.Manifest.Snapshot == s.Snapshot.Name() && e.Manifest.SnapshotGUID == s.GUID.String() {
			return e.Manifest
		}
	}
	return nil
}

// upTo has the scratch dataset be at a backup: what is newer goes, what is missing is received. CAUSE is what is wrong with
// the backup, or one that it is based on.
func (d *drill) upTo(ctx context.Context, name string) (cause, err error) {
	for i, m := range d.there {
		if m.Name == name {
			return nil, d.truncate(ctx, i+1)
		}
	}
	e, err := d.v.catalog.Entry(ctx, name)
	if err != nil {
		return nil, err
	}
	if e.Manifest == nil {
		return e.Why, nil
	}
	if base := e.Manifest.Base; base != nil {
		cause, err = d.upTo(ctx, base.Name)
	} else {
		err = d.clear(ctx)
	}
	if cause != nil || err != nil {
		return cause, err
	}
	return d.receive(ctx, e.Manifest, io.Discard)
}

// truncate destroys all snapshots but the first N.
func (d *drill) truncate(ctx context.Context, n int) error {
	for len(d.there) > n {
		s, err := d.into.Snapshot(d.there[len(d.there)-1].Snapshot)
		if err == nil {
			err = d.zfs().Destroy(ctx, s)
		}
		if err != nil {
			return err
		}
		d.there = d.there[:len(d.there)-1]
	}
	return nil
}

// clear destroys the received dataset, and leaves the one that it is in.
func (d *drill) clear(ctx context.Context) error {
	d.there = nil
	return d.scratchDataset.clear(ctx)
}

// receive receives a backup onto what is there. CAUSE is what is wrong with it; an error says nothing of it.
func (d *drill) receive(ctx context.Context, m *manifest.Manifest, also io.Writer) (cause, err error) {
	sealer, err := d.v.kit.sealer(d.fx, string(m.Encryption()))
	if err != nil {
		return nil, err
	}
	fetching, stop := context.WithCancel(ctx)
	chunks := d.v.fetcher.ahead(fetching, wantedOf(m), func(error) bool { return false })
	defer drain(chunks)
	defer stop() // runs first
	p := &drilling{d: d, of: m, sealer: sealer, chunks: chunks}
	in := receiving{of: m, open: openChunks(m, p.open), also: also,
		to: intoDataset(d.zfs(), d.into, m.Base != nil)}
	if _, err = in.receive(ctx); err == nil {
		_, err = d.v.kit.received(ctx, d.fx, d.into, m.Snapshot, m.SnapshotGUID)
	}
	if err == nil {
		d.there = append(d.there, m)
		return nil, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if isVerdict(err) || isStreamVerdict(err) {
		return err, nil
	}
	return nil, err
}

// wantedOf gives the chunks of a backup.
func wantedOf(m *manifest.Manifest) iter.Seq[wanted] {
	return func(yield func(wanted) bool) {
		for _, c := range m.Chunks {
			if !yield(wanted{m.Name, c}) {
				return
			}
		}
	}
}

// drilling is one stream of a drill on its way.
type drilling struct {
	d      *drill
	of     *manifest.Manifest
	sealer chunk.Sealer
	chunks <-chan fetched
	done   int64
}

func (p *drilling) open(ctx context.Context, c manifest.Chunk, to io.Writer) error {
	var got fetched
	select {
	case got = <-p.chunks:
	case <-ctx.Done():
		return ctx.Err()
	}
	if got.err != nil {
		return got.err
	}
	if got.file == nil {
		return errNoMore
	}
	defer got.file.Close()
	counted := writerFunc(func(b []byte) (int, error) {
		n, err := to.Write(b)
		p.done += int64(n)
		if p.d.v.progress != nil {
			p.d.v.progress(p.done, p.of.StreamBytes, false)
		}
		return n, err
	})
	return chunk.OpenFile(ctx, got.file, chunk.Digest{Size: c.Size, SHA256: c.SHA256}, chunk.Digest{Size: c.Plain, SHA256: c.PlainSHA256}, p.sealer, counted)
}

// isStreamVerdict tells what says something about a stream from what only says that it could not be received.
func isStreamVerdict(err error) bool {
	if _, other := errors.AsType[*otherGUID](err); other {
		return true
	}
	for _, is := range []error{stream.ErrCut, stream.ErrDamaged, stream.ErrMore, stream.ErrOther, stream.ErrNoStream, chunk.ErrDiffers} {
		if errors.Is(err, is) {
			return true
		}
	}
	// What zfs says of a stream whose own sums are wrong, or that it makes nothing of.
	var z *zfs.Error
	return errors.As(err, &z) && z.Kind == nil && (strings.Contains(err.Error(), "invalid stream") || strings.Contains(err.Error(), "invalid backup stream"))
}

// sendAgain compares what was received, sent again, with what came, where zfs sends the same. If it is another, that is
// said; the backup is not bad for that, since each of its bytes is the one that was sealed.
func (d *drill) sendAgain(ctx context.Context, m *manifest.Manifest, came *stream.Essence, verdict *Verdict) error {
	want, known := came.Sum()
	alike, err := d.zfs().SendsAlike(ctx)
	if err != nil || !alike || !known {
		return err
	}
	a := zfs.SendArgs{}
	if a.Snapshot, err = d.into.Snapshot(m.Snapshot); err != nil {
		return err
	}
	if m.Base != nil {
		base, err := d.into.Snapshot(d.there[len(d.there)-2].Snapshot)
		if err != nil {
			return err
		}
		a.Base = &base
	}
	again := stream.NewEssence()
	child, err := d.zfs().Send(ctx, a, again)
	if err == nil {
		err = child.Wait()
	}
	if err != nil {
		return err
	}
	got, known := again.Sum()
	verdict.Again, verdict.Differs = known && got == want, known && got != want
	return nil
}

// readFiles reads every file of what was received. Where nothing can be mounted, as in a container, none is.
func (d *drill) readFiles(ctx context.Context, verdict *Verdict) (err error) {
	info, err := d.zfs().Info(ctx, d.into)
	if err != nil || info.Type != "filesystem" {
		return err
	}
	dir, err := d.mount(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		d.v.kit.Log.Warn("the files of what was received are not read", "err", err)
		return nil
	}
	defer func() { err = errors.Join(err, d.unmount(ctx)) }()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return readAll(ctx, root, ".", verdict)
}

// entriesAtOnce bounds what is kept of a folder.
const entriesAtOnce = 1000

// readAll reads every regular file below a folder, and follows no link. What can't be read is what is wrong.
func readAll(ctx context.Context, root *os.Root, dir string, verdict *Verdict) error {
	f, err := root.Open(dir)
	if err != nil {
		verdict.found("", "folder %q: %v", dir, err)
		return ctx.Err()
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(entriesAtOnce)
		if err != nil && err != io.EOF {
			verdict.found("", "folder %q: %v", dir, err)
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			switch {
			case e.IsDir():
				if err := readAll(ctx, root, name, verdict); err != nil {
					return err
				}
			case e.Type().IsRegular():
				if err := readOne(ctx, root, name); err != nil {
					verdict.found("", "file %q: %v", name, err)
				}
				verdict.Files++
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		if err != nil {
			return nil
		}
	}
}

func readOne(ctx context.Context, root *os.Root, name string) error {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	want, err := f.Stat()
	if err != nil {
		return err
	}
	n, err := io.Copy(writerFunc(func(p []byte) (int, error) { return len(p), ctx.Err() }), f)
	if err == nil && n != want.Size() {
		err = fmt.Errorf("%d bytes of %d", n, want.Size())
	}
	return err
}

// drilled tells whether a run may have made a scratch dataset.
func drilled(r state.Run) bool {
	for _, step := range r.Steps {
		if step.Name == StepVerify && len(step.Args) > 0 && Level(step.Args[0]) == Received {
			return true
		}
	}
	return false
}

// dropScratch is the end of a drill, and what is left of one whose run is given up.
func (k *Kit) dropScratch(ctx context.Context, s *workflow.Session) error {
	_, err := workflow.Once(ctx, s, workflow.Effect[workflow.Nothing]{
		Name: "scratch", Afresh: true, // it looks what there is
		Do: func(ctx context.Context, fx workflow.Fx) (none workflow.Nothing, err error) {
			d, err := k.newDrill(&verifying{kit: k}, s.Run())
			if err != nil {
				return none, err
			}
			d.fx = fx
			return none, d.drop(ctx)
		},
	})
	return err
}
