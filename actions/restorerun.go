package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// restoring is a restore at work in this process. It lives as long as the run is driven: while one backup of the chain is
// being received, the first chunks of the next are fetched.
type restoring struct {
	kit   *Kit
	plan  *RestorePlan
	world workflow.World // of the first receive that was begun here
	spool *spool

	chunks chan arrived
	stop   context.CancelFunc
}

// Restore has the steps of NewRestore carry a plan out.
func (k *Kit) Restore(p *RestorePlan) { k.restoring = &restoring{kit: k, plan: p} }

// begin opens what the steps work with, and begins to fetch what is left of the chain, unless that was done for an earlier
// step. It returns how many chunks of that an earlier process has left here.
func (r *restoring) begin(ctx context.Context, fx workflow.Fx, run state.Run, rest []*manifest.Manifest) (inherited int, err error) {
	if r.spool != nil {
		return 0, nil
	}
	r.world = fx.World
	spool, err := openSpool(run.Restore.Spool, run.ID, run.Restore.SpoolBytes, mostSpooled(chunksOf(rest)))
	if err != nil {
		return 0, fmt.Errorf("spool folder: %w", err)
	}
	if inherited, err = spool.inherit(rest); err != nil {
		return 0, errors.Join(fmt.Errorf("spool folder %s: %w", spool.dir, err), spool.close())
	}
	r.spool = spool
	fetching, stop := context.WithCancel(ctx)
	r.stop = stop
	r.chunks = make(chan arrived, 64) // how far ahead is for the room to say
	go r.fetch(fetching, rest, r.chunks)
	return inherited, nil
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

var errNoPlan = errors.New("no plan of a restore is at hand")

// link is the backup of the chain that a step is called for, the Ith, and what is known of it before its stream flows.
func (k *Kit) link(ctx context.Context, s *workflow.Session, args []string) (r *restoring, i int, m *manifest.Manifest, err error) {
	r = k.restoring
	if r == nil || len(args) != 1 {
		return nil, 0, nil, errNoPlan
	}
	i = slices.IndexFunc(r.plan.Chain, func(m *manifest.Manifest) bool { return m.Name == args[0] })
	if i < 0 {
		return nil, 0, nil, fmt.Errorf("%s is not in the chain", args[0])
	}
	m = r.plan.Chain[i]
	if s.Run().Restore.Python {
		m, err = r.proveMessage(ctx, s, i, m)
	}
	return r, i, m, err
}

// receive is the step that receives one backup of the chain, the one that it is called for.
func (k *Kit) receive(ctx context.Context, s *workflow.Session, args []string) error {
	r, i, m, err := k.link(ctx, s, args)
	if err != nil {
		return err
	}
	_, err = workflow.Once(ctx, s, workflow.Effect[newDataset]{
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
	run := s.Run()
	if i > 0 {
		if err := r.stillOurs(ctx, fx, run); err != nil {
			return newDataset{}, err
		}
	} else if run.Restore.Files != nil {
		scratch, err := r.kit.scratchOf(fx, run)
		if err != nil {
			return newDataset{}, err
		}
		if _, err := scratch.make(ctx); err != nil {
			return newDataset{}, err
		}
	}
	volume, err := r.receiveFrom(ctx, s, fx, i, m, kept)
	if i > 0 && errors.Is(err, zfs.ErrDiverged) {
		if added := r.noneAdded(ctx, s, fx); added != nil {
			return newDataset{}, added // once it is gone, this can go on
		}
	}
	if kept != nil && err != nil && r.useless(ctx, fx, kept, err) {
		if err = r.again(ctx, s, fx, m, err); err == nil {
			volume, err = r.receiveFrom(ctx, s, fx, i, m, nil)
		}
	}
	if err != nil {
		return newDataset{}, r.judged(ctx, fx, err)
	}
	return r.check(ctx, fx, m, volume)
}

// receiveFrom receives one backup, or what is left of it.
func (r *restoring) receiveFrom(ctx context.Context, s *workflow.Session, fx workflow.Fx, i int, m *manifest.Manifest, kept *part) (volume bool, err error) {
	args := zfs.ReceiveArgs{Increment: i > 0}
	if args.Keep, err = r.keeps(ctx, fx, s.Run(), m); err != nil {
		return false, err
	}
	var had firstPart
	if kept != nil {
		r.close() // which may have begun to fetch from the first chunk on
		if err := r.find(ctx, fx, s.Run(), kept, m); err != nil {
			if ctx.Err() != nil {
				return false, err
			}
			s.Log().Warn("the index is not used, and the chunks are read from the first on", "backup", m.Name, "err", err)
		}
		had = firstPart{chunks: kept.chunk, bytes: int64(kept.at), kept: kept}
		s.Log().Info("the receive goes on", "backup", m.Name, "chunk", kept.chunk, "object", kept.token.Object, "offset", kept.token.Offset)
	}
	return r.pass(ctx, s, fx, i, m, had, intoDataset(r.kit.zfs(fx), r.plan.Into, args))
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
	case err != nil:
		return err
	}
	return r.isMade(info, run)
}

// isMade is an error unless a dataset is the one that the first receive made.
func (r *restoring) isMade(info zfs.Info, run state.Run) error {
	if info.GUID.String() != run.Restore.Made {
		return &workflow.Hopeless{Err: fmt.Errorf("%s is another dataset than the one that was made", r.plan.Into)}
	}
	return nil
}

// noneAdded is an error if there are snapshots that were not received: cron takes some of all the pool in the night in which a
// dataset is restored. (OpenZFS, dmu_recv.c: where nothing has changed since, it receives all the same, unless the stream is raw.)
func (r *restoring) noneAdded(ctx context.Context, s *workflow.Session, fx workflow.Fx) error {
	snapshots, err := r.kit.zfs(fx).Snapshots(ctx, r.plan.Into)
	for _, shot := range snapshots {
		if slices.ContainsFunc(s.Run().Restore.Chain, func(l state.Link) bool { return l.SnapshotGUID == shot.GUID.String() }) {
			continue
		}
		how, err := toDestroy(s.View, shot)
		return errors.Join(fmt.Errorf("%s was taken since, and keeps the rest from being received: %s", shot.Snapshot, how), err)
	}
	return err
}

// toDestroy says in words how a snapshot is destroyed, also one that somebody holds: a run of this program, say.
func toDestroy(view viewer, shot zfs.SnapshotInfo) (how string, err error) {
	name := word(shot.Snapshot.String())
	how = "zfs destroy " + name
	if shot.Holds == 0 {
		return how, nil
	}
	text, local := shot.Mark()
	m, marked := parseMark(text)
	var holder state.Run
	var known bool
	err = view(func(tx *state.Tx) error {
		holder, known, err = tx.Run(m.Run)
		return err
	})
	if !local || !marked || !known || workflow.Over(holder.State) {
		return fmt.Sprintf("it is held, by whom zfs holds %s says; once it is released, %s", name, how), err
	}
	return fmt.Sprintf("run %s took and holds it: zfs2cloud -c %s abort %s, then %s", holder.ID, word(holder.Config), holder.ID, how), nil
}
