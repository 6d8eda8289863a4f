package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/stream"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// proveMessage opens a backup of the Python tool into nothing, unless that was done, and returns what is known of it then.
func (r *restoring) proveMessage(ctx context.Context, s *workflow.Session, i int, m *manifest.Manifest) (*manifest.Manifest, error) {
	got, err := workflow.Once(ctx, s, workflow.Effect[message]{
		Name: "prove",
		Do: func(ctx context.Context, fx workflow.Fx) (message, error) {
			defer r.close()
			if _, err := r.begin(ctx, fx, s.Run(), []*manifest.Manifest{m}); err != nil {
				return message{}, err
			}
			p := &passing{restoring: r, session: s, fx: fx, of: m}
			from := p.pieces(ctx, false)
			defer from.close()
			got, err := proveMessage(ctx, r.kit.foreignGPG(fx), from, p.counting)
			if err != nil {
				err = fmt.Errorf("%s: %w", m.Name, err)
			} else if i > 0 && got.From != s.Run().Restore.Chain[i-1].SnapshotGUID {
				err = fmt.Errorf("%w: %s is not based on %s", stream.ErrOther, m.Name, r.plan.Chain[i-1].Name)
			}
			return got, r.judged(ctx, fx, err)
		},
		Result: func(_ *state.Tx, run *state.Run, got message) error {
			l := &run.Restore.Chain[i]
			l.SnapshotGUID, l.StreamBytes = got.To, got.Bytes
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	base := ""
	if i > 0 {
		base = r.plan.Chain[i-1].Name
	}
	return got.known(m, base), nil
}

// openMessage opens the message again, each of whose pieces has to be the one that was proved.
func (p *passing) openMessage(ctx context.Context, to io.Writer) error {
	from := p.pieces(ctx, true)
	defer from.close()
	err := p.kit.foreignGPG(p.fx).OpenForeign(ctx, from, p.counting(to))
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if done := p.done.Load(); err == nil && done != p.of.StreamBytes {
		err = fmt.Errorf("%w: %d bytes instead of %d", chunk.ErrDiffers, done, p.of.StreamBytes)
	}
	return err
}

// piece opens a piece that was fetched; one that was PROVED has to be the same.
func (p *passing) piece(ctx context.Context, name string, c manifest.Chunk, proved bool) (*os.File, error) {
	f, err := p.spool.root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("spool folder: %w", err)
	}
	if proved {
		err = chunk.CheckFile(ctx, f, chunk.Digest{Size: c.Size, SHA256: c.SHA256})
		if err == nil {
			err = rewind(f)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", c.Name, err), f.Close())
	}
	return f, nil
}

// pieces reads the message as it is fetched. Pieces that were PROVED are read only once they were found the same.
func (p *passing) pieces(ctx context.Context, proved bool) *pieces {
	r := &pieces{of: p.of, hashes: !proved}
	r.take = func(ctx context.Context, c manifest.Chunk) (*os.File, error) {
		got, err := p.arrival(ctx, c)
		if err != nil {
			return nil, err
		}
		f, err := p.piece(ctx, got.name, c, proved)
		if proved && errors.Is(err, chunk.ErrDiffers) {
			// As with a chunk.
			if err = p.get(ctx, p.of, c); err == nil {
				f, err = p.piece(ctx, got.name, c, proved)
			}
		}
		return f, err
	}
	r.done = func(ctx context.Context, c manifest.Chunk) error {
		err := p.spool.received(spooled(p.of, c), c.Size)
		if err == nil && proved {
			err = p.passed(ctx)
		}
		return err
	}
	return r.read(ctx)
}
