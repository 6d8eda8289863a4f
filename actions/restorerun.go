package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// restoring is a restore at work in this process. It lives as long as the run is driven: while one backup of the chain is
// being received, the first chunks of the next are fetched.
type restoring struct {
	kit    *Kit
	plan   *RestorePlan
	world  workflow.World // of the first receive that was begun here
	sealer chunk.Sealer
	spool  *spool

	chunks chan arrived
	stop   context.CancelFunc
}

// Restore has the steps of NewRestore carry a plan out.
func (k *Kit) Restore(p *RestorePlan) { k.restoring = &restoring{kit: k, plan: p} }

// begin opens what the steps work with, and begins to fetch what is left of the chain, unless that was done for an earlier
// step.
func (r *restoring) begin(ctx context.Context, fx workflow.Fx, run state.Run, rest []*manifest.Manifest) (err error) {
	if r.spool != nil {
		return nil
	}
	r.world = fx.World
	if r.sealer, err = r.kit.sealer(r.world, string(r.plan.catalog.sealer.Kind())); err != nil {
		return err
	}
	spool, err := openSpool(run.Restore.Spool, run.ID, run.Restore.SpoolBytes, mostSpooled(chunksOf(rest)))
	if err != nil {
		return fmt.Errorf("spool folder: %w", err)
	}
	if err := spool.inherit(rest); err != nil {
		return errors.Join(fmt.Errorf("spool folder %s: %w", spool.dir, err), spool.close())
	}
	r.spool = spool
	fetching, stop := context.WithCancel(ctx)
	r.stop = stop
	r.chunks = make(chan arrived, 64) // how far ahead is for the room to say
	go r.fetch(fetching, rest, r.chunks)
	return nil
}

// close ends the fetching. What was fetched stays, for whoever goes on.
func (r *restoring) close() {
	if r.spool == nil {
		return
	}
	r.stop()
	for range r.chunks { // until who fetches has ended
	}
	if err := r.spool.close(); err != nil {
		r.kit.Log.Warn("close spool folder", "err", err)
	}
	r.spool = nil
}

// receive is the step that receives one backup of the chain, the one that it is called for.
func (k *Kit) receive(ctx context.Context, s *workflow.Session, args []string) error {
	r := k.restoring
	if r == nil || len(args) != 1 {
		return errors.New("no plan of a restore is at hand")
	}
	i := slices.IndexFunc(r.plan.Chain, func(m *manifest.Manifest) bool { return m.Name == args[0] })
	if i < 0 {
		return fmt.Errorf("%s is not in the chain", args[0])
	}
	m := r.plan.Chain[i]
	if s.Run().Restore.Python {
		var err error
		if m, err = r.proveMessage(ctx, s, i, m); err != nil {
			return err
		}
	}
	_, err := workflow.Once(ctx, s, workflow.Effect[newDataset]{
		Name: "receive",
		Intent: func(_ *state.Tx, run *state.Run) error {
			run.Restore.Passed = 0
			if now := s.Now(); i == 0 {
				run.Restore.Began = &now
			}
			return nil
		},
		Do: func(ctx context.Context, fx workflow.Fx) (newDataset, error) { return r.receive(ctx, s, fx, i, m) },
		Result: func(_ *state.Tx, run *state.Run, got newDataset) error {
			run.Restore.Passed = 0
			if i == 0 {
				run.Restore.Made, run.Restore.Volume = got.GUID, got.Volume
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	return s.Detail("every chunk checked")
}

// newDataset is what a first receive made.
type newDataset struct {
	GUID   string `json:"guid,omitempty"`
	Volume bool   `json:"volume,omitempty"`
}

// receive receives one backup, unless a process that died had just done so. What such a one has left of it is gone on with.
func (r *restoring) receive(ctx context.Context, s *workflow.Session, fx workflow.Fx, i int, m *manifest.Manifest) (newDataset, error) {
	var kept *part
	if fx.Again {
		before, err := r.receivedBefore(ctx, s, fx, i, m)
		if before.whole || err != nil {
			return before.newDataset, err
		}
		kept = before.part
	}
	if i > 0 {
		if err := r.stillOurs(ctx, fx, s.Run()); err != nil {
			return newDataset{}, err
		}
	}
	volume, err := r.receiveFrom(ctx, s, fx, i, m, kept)
	if kept != nil && err != nil && r.useless(ctx, fx, kept, err) {
		if err = r.again(ctx, s, fx, m, err); err == nil {
			volume, err = r.receiveFrom(ctx, s, fx, i, m, nil)
		}
	}
	if err != nil {
		return newDataset{}, r.judged(ctx, fx, err)
	}
	if err := r.spool.whole(m); err != nil {
		return newDataset{}, fmt.Errorf("spool folder %s: %w", r.spool.dir, err)
	}
	if s.Run().Restore.Python {
		r.close()
	}
	return r.check(ctx, fx, m, volume)
}

// receiveFrom receives one backup, or what is left of it.
func (r *restoring) receiveFrom(ctx context.Context, s *workflow.Session, fx workflow.Fx, i int, m *manifest.Manifest, kept *part) (volume bool, err error) {
	if kept != nil {
		r.close() // which may have begun to fetch from the first chunk on
		if err := r.find(ctx, fx, kept, m); err != nil {
			if ctx.Err() != nil {
				return false, err
			}
			s.Log().Warn("the index is not used, and the chunks are read from the first on", "backup", m.Name, "err", err)
		}
	}
	m = kept.left(m)
	rest := append([]*manifest.Manifest{m}, r.plan.Chain[i+1:]...)
	if s.Run().Restore.Python { // the next one's pieces are not ones that anything proves yet
		rest = rest[:1]
	}
	if err := r.begin(ctx, fx, s.Run(), rest); err != nil {
		return false, err
	}
	p := &passing{restoring: r, session: s, fx: fx, of: m}
	in := receiving{kit: r.kit, world: fx, into: r.plan.Into, of: m, increment: i > 0, open: openChunks(m, p.open), part: kept}
	if s.Run().Restore.Python {
		in.open = p.openMessage
	}
	if in.keep, err = r.keeps(ctx, fx, s.Run()); err != nil {
		return false, err
	}
	if kept != nil {
		p.done.Store(int64(kept.at))
		s.Log().Info("the receive goes on", "backup", m.Name, "chunk", kept.chunk, "object", kept.token.Object, "offset", kept.token.Offset)
	}
	return in.receive(ctx)
}

// before is what became of a receive that was cut off.
type before struct {
	newDataset
	whole bool  // it had come to its end
	part  *part // what is there of it; nil if nothing is
}

// receivedBefore looks what became of a receive that was cut off. A half-received dataset zfs keeps, and tells how it goes on,
// or it takes it away by itself, which takes a moment; one that stays is for abort.
func (r *restoring) receivedBefore(ctx context.Context, s *workflow.Session, fx workflow.Fx, i int, m *manifest.Manifest) (b before, err error) {
	err = fx.Note(func(_ *state.Tx, run *state.Run) error {
		run.Restore.Passed = 0
		return nil
	})
	if err != nil {
		return b, err
	}
	got, err := r.check(ctx, fx, m, false)
	switch {
	case err == nil:
		return before{newDataset: got, whole: true}, nil
	case errors.Is(err, zfs.ErrNoDataset) && i == 0:
		return b, forgetMade(fx)
	case !errors.Is(err, zfs.ErrNoSnapshot):
		return b, err
	}
	if b.part, err = r.kept(ctx, fx, s.Run(), m); err != nil || b.part != nil || i > 0 {
		return b, err
	}
	for range busyTries {
		switch _, err := r.kit.zfs(fx).Info(ctx, r.plan.Into); {
		case errors.Is(err, zfs.ErrNoDataset):
			return b, forgetMade(fx)
		case err != nil && !errors.Is(err, zfs.ErrBusy):
			return b, err
		}
		if err := remote.Pause(ctx, busyPause); err != nil {
			return b, err
		}
	}
	return b, &workflow.Hopeless{Err: fmt.Errorf("%s is there, without the snapshot that was to be received: half a receive that was cut off, or somebody else's", r.plan.Into)}
}

// forgetMade stores that what a first receive had begun to make is gone.
func forgetMade(fx workflow.Fx) error {
	return fx.Note(func(_ *state.Tx, run *state.Run) error {
		run.Restore.Made = ""
		return nil
	})
}

// check compares what was received with the manifest.
func (r *restoring) check(ctx context.Context, fx workflow.Fx, m *manifest.Manifest, volume bool) (newDataset, error) {
	_, err := r.kit.received(ctx, fx, r.plan.Into, m.Snapshot, m.SnapshotGUID)
	if _, other := errors.AsType[*otherGUID](err); other {
		err = &workflow.Hopeless{Err: err}
	}
	if err != nil {
		return newDataset{}, err
	}
	info, err := r.kit.zfs(fx).Info(ctx, r.plan.Into)
	return newDataset{GUID: info.GUID.String(), Volume: volume || info.Type == "volume"}, err
}

// received is the snapshot of a backup in the dataset, or an error if it is another, or not there.
func (k *Kit) received(ctx context.Context, w workflow.World, into zfs.Dataset, name, guid string) (zfs.Snapshot, error) {
	snapshot, err := into.Snapshot(name)
	if err != nil {
		return snapshot, err
	}
	got, err := k.zfs(w).Snapshot(ctx, snapshot)
	if err == nil && got.GUID.String() != guid {
		err = &otherGUID{fmt.Errorf("%s has GUID %s, the manifest says %s: do not use it", snapshot, got.GUID, guid)}
	}
	return snapshot, err
}

// otherGUID is the error of what was received and is another snapshot than the manifest's.
type otherGUID struct{ error }

// stillOurs makes sure that the dataset is the one that the first receive made.
func (r *restoring) stillOurs(ctx context.Context, fx workflow.Fx, run state.Run) error {
	info, err := r.kit.zfs(fx).Info(ctx, r.plan.Into)
	switch {
	case errors.Is(err, zfs.ErrNoDataset):
		return &workflow.Hopeless{Err: err}
	case err == nil && info.GUID.String() != run.Restore.Made:
		return &workflow.Hopeless{Err: fmt.Errorf("%s is another dataset than the one that was made", r.plan.Into)}
	}
	return err
}

// passing is the stream of one backup on its way from the spool folder into zfs receive.
type passing struct {
	*restoring
	session *workflow.Session
	fx      workflow.Fx
	of      *manifest.Manifest
	done    atomic.Int64 // bytes of it that were passed on
}

// open opens the next chunk, and stores that it was passed on.
func (p *passing) open(ctx context.Context, c manifest.Chunk, to io.Writer) error {
	if err := p.openNext(ctx, c, to); err != nil {
		return err
	}
	return p.passed(ctx)
}

// passed stores how much was passed on; and, once zfs has begun with the first stream, by which GUID what it makes will be
// known, should this process come to know no more.
func (p *passing) passed(ctx context.Context) error {
	guid := p.session.Run().Restore.Made
	if guid == "" {
		info, err := p.kit.zfs(p.fx).Info(ctx, p.plan.Into)
		if err == nil {
			guid = info.GUID.String()
		} else if !errors.Is(err, zfs.ErrNoDataset) && !errors.Is(err, zfs.ErrBusy) {
			return err // OpenZFS opens no dataset whose first raw stream is being received: it is busy
		}
	}
	return p.fx.Note(func(_ *state.Tx, run *state.Run) error {
		run.Restore.Passed, run.Restore.Made = p.done.Load(), guid
		return nil
	})
}

// openNext takes the next chunk from who fetches, which is the one that C describes.
func (p *passing) openNext(ctx context.Context, c manifest.Chunk, to io.Writer) error {
	got, err := p.arrival(ctx, c)
	if err != nil {
		return err
	}
	began := p.done.Load()
	err = p.openFile(ctx, got.name, c, to)
	if got.found && p.done.Load() == began && errors.Is(err, chunk.ErrDiffers) {
		// What an earlier process fetched may have come to harm since, in a power cut say.
		if err = p.get(ctx, p.of, c); err == nil {
			err = p.openFile(ctx, got.name, c, to)
		}
	}
	if err != nil {
		if errors.Is(err, chunk.ErrDiffers) {
			return errors.Join(err, p.spool.drop(got.name, c.Size))
		}
		return err
	}
	return p.spool.received(got.name, c.Size)
}

// arrival waits for the next chunk in the spool folder, which is the one that C describes.
func (p *passing) arrival(ctx context.Context, c manifest.Chunk) (got arrived, err error) {
	select {
	case got = <-p.chunks:
	case <-ctx.Done():
		return got, ctx.Err()
	}
	if got.err == nil && got.name != spooled(p.of, c) {
		return got, errNoMore
	}
	return got, got.err
}

func (p *passing) openFile(ctx context.Context, name string, c manifest.Chunk, to io.Writer) error {
	f, err := p.spool.root.Open(name)
	if err != nil {
		return fmt.Errorf("spool folder: %w", err)
	}
	defer f.Close()
	return chunk.OpenFile(ctx, f, chunk.Digest{Size: c.Size, SHA256: c.SHA256},
		chunk.Digest{Size: c.Plain, SHA256: c.PlainSHA256}, p.sealer, p.counting(to))
}

func (p *passing) counting(to io.Writer) io.Writer {
	return writerFunc(func(b []byte) (int, error) {
		n, err := to.Write(b)
		p.session.Progress(p.done.Add(int64(n)), p.of.StreamBytes, false)
		return n, err
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
