package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
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
	compared, err := d.sendAgain(ctx, m, essence, verdict)
	if err != nil {
		return err
	}
	why, err := d.readFiles(ctx, verdict)
	if err != nil || why == "" {
		return err
	}
	verdict.Unread = why
	if !compared {
		return d.readBlocks(ctx, m, verdict)
	}
	return nil
}

// explain finds all chunks that are bad where one kept a backup from being received; else the cause is what is wrong.
func (d *drill) explain(ctx context.Context, m *manifest.Manifest, cause error, verdict *Verdict) error {
	closer := *d.v
	closer.level = Decrypted
	found, err := closer.chunks(ctx, m, nil, Verdict{Backup: m.Name, Level: Received, Of: len(m.Chunks)}, nil)
	if err != nil {
		return err
	}
	if len(found.Bad) == 0 && isVerdict(cause) {
		return fmt.Errorf("%s: %w; fetched once more, all of it is as it should be", m.Name, cause)
	}
	*verdict = found
	if len(verdict.Bad) == 0 {
		verdict.found("", "zfs receive: %v", cause)
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

// receive receives a backup onto what is there. CAUSE is what is wrong with it; an error says nothing of it.
func (d *drill) receive(ctx context.Context, m *manifest.Manifest, also io.Writer) (cause, err error) {
	sealer, err := d.v.kit.sealer(d.fx, string(m.Encryption()))
	if err == nil && m.Base != nil {
		err = d.onlyThere(ctx)
	}
	if err != nil {
		return nil, err
	}
	fetching, stop := context.WithCancel(ctx)
	chunks := d.v.fetcher.ahead(fetching, wantedOf(m), func(error) bool { return false })
	defer drain(chunks)
	defer stop() // runs first
	p := &drilling{d: d, of: m, sealer: sealer, chunks: chunks}
	in := receiving{of: m, open: openChunks(m, p.open), also: also,
		to: intoDataset(d.zfs(), d.into, zfs.ReceiveArgs{Increment: m.Base != nil, Scratch: true})}
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
	began := p.done
	err := p.openFile(ctx, got.file, c, to)
	if p.done == began && errors.Is(err, chunk.ErrDiffers) {
		// It may have come to harm on its way. If what lies there is harmed, it is so again.
		again, gerr := p.d.v.fetcher.get(ctx, wanted{p.of.Name, c})
		if gerr != nil {
			return gerr
		}
		err = p.openFile(ctx, again, c, to)
	}
	return err
}

// openFile opens a chunk that was fetched, and closes its file.
func (p *drilling) openFile(ctx context.Context, file *os.File, c manifest.Chunk, to io.Writer) error {
	defer file.Close()
	counted := writerFunc(func(b []byte) (int, error) {
		n, err := to.Write(b)
		p.done += int64(n)
		if p.d.v.progress != nil {
			p.d.v.progress(p.done, p.of.StreamBytes, false)
		}
		return n, err
	})
	return chunk.OpenFile(ctx, file, chunk.Digest{Size: c.Size, SHA256: c.SHA256}, chunk.Digest{Size: c.Plain, SHA256: c.PlainSHA256}, p.sealer, counted)
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
	return saysStreamInvalid(err)
}

// saysStreamInvalid tells whether it is what zfs says of a stream whose own sums are wrong, or that it makes nothing of.
// (lib/libzfs/libzfs_sendrecv.c, as all these words)
func saysStreamInvalid(err error) bool {
	return zfsSays(err, "invalid stream", "invalid backup stream")
}

// saysTooNew tells whether it is what zfs says of a stream that only a newer one can receive.
func saysTooNew(err error) bool { return zfsSays(err, "unsupported feature", "must be upgraded") }

// zfsSays tells whether an error of zfs, of no kind that is known, has one of these words in it.
func zfsSays(err error, words ...string) bool {
	var z *zfs.Error
	if !errors.As(err, &z) || z.Kind != nil {
		return false
	}
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(err.Error(), w) })
}
