package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/units"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// pruneRemote deletes from the remote what is of no use there any more: old chains as a whole, where the config sets a
// limit; incrementals whose base is gone; what was left of backups that were given up or deleted. Only folders that
// the job's own records name are looked into. Before a chain that can be restored goes, the newest is proved
// to be there. What can't go is noted, and the rest goes on.
func (k *Kit) pruneRemote(ctx context.Context, s *workflow.Session, args []string) error {
	run := s.Run()
	place, err := k.Place(run.Frozen, run.Job)
	if err != nil {
		return err
	}
	if err := k.claimPlace(ctx, s, place); err != nil {
		return err
	}
	p := &remotePrune{kit: k, s: s, place: place, yes: slices.Contains(args, "-y")}
	if p.holdings, err = holdingsOf(s.View, run.Job, k.Settings.Strategy); err != nil {
		return err
	}
	if p.there, err = place.Backups(ctx, s.Look()); err != nil {
		return err
	}
	if p.part, err = k.showsPart(ctx, s.Look(), place); err != nil {
		return err
	}
	if p.catalog, err = k.OpenCatalog(ctx, s.Look(), place); err != nil {
		return err
	}
	if err := p.catalog.Unlock(k.Settings.Encryption); err != nil {
		return err
	}
	p.holdings.clockIsRight = saysClockIsRight(args)
	if p.part && k.Settings.Keep.Fulls > 0 {
		p.holdings.shown = p.shown(ctx)
	}
	if err := p.all(ctx); err != nil {
		return err
	}
	if !p.yes {
		return wouldGo(s, p.folders, "delete", "folder", "folders")
	}
	return s.Detail("deleted %s, %s", plural(p.folders, "folder", "folders"), units.Size(p.bytes))
}

// remotePrune is a prune of a remote at work.
type remotePrune struct {
	kit      *Kit
	s        *workflow.Session
	place    *remote.Place
	catalog  *catalog.Catalog
	holdings holdings
	there    []string // the folders at the place's root
	part     bool     // the place may show a part of what is there
	yes      bool

	kept    []string // chains, by their fulls, of which something could not be deleted: no base of it goes
	folders int      // that were, or would be, deleted
	bytes   int64    // of the objects in them
}

// shown are the fulls that the place shows as a whole.
func (p *remotePrune) shown(ctx context.Context) []string {
	names := []string{}
	for _, b := range p.holdings.backups {
		if !b.Full || !slices.Contains(p.there, b.Name) {
			continue
		}
		if _, err := p.catalog.Chain(ctx, b.Name); err == nil {
			names = append(names, b.Name)
		}
	}
	return names
}

// all goes through the backups, what hangs on a base before it, and of whole chains the oldest first: a prune that is
// cut off leaves nothing that looks whole and is not.
func (p *remotePrune) all(ctx context.Context) error {
	goes, jumped := p.goes()
	if jumped != "" {
		if err := p.doubtful(afterJump("chain is deleted from "+p.place.String(), jumped)); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(goes, p.holdings.restorable) {
		doubt, err := p.doubt(ctx)
		if err != nil {
			return err
		}
		if doubt != "" {
			if err := p.doubtful(fmt.Sprintf("no backup is deleted from %s: %s", p.place, doubt)); err != nil {
				return err
			}
			goes = slices.DeleteFunc(goes, p.holdings.restorable)
		}
	}
	for _, b := range goes {
		if slices.Contains(p.kept, p.holdings.rootOf(b)) {
			continue
		}
		var err error
		stays := p.holdings.restoringChain(b)
		if stays == "" {
			stays, err = p.backup(ctx, b)
		}
		if err == nil && stays != "" {
			p.kept = append(p.kept, p.holdings.rootOf(b))
			err = p.kit.note(p.s, "%s/%s stays: %s", p.place, b.Name, stays)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// doubtful says why backups stay that would go otherwise.
func (p *remotePrune) doubtful(text string) error {
	p.kit.tell(text)
	return p.kit.note(p.s, "%s", text)
}

// goes lists what nothing keeps and of which there is something at the place. JUMPED is not empty if something stays only since the
// clock has jumped.
func (p *remotePrune) goes() (goes []state.Backup, jumped string) {
	for _, b := range p.holdings.backups {
		if b.Place != p.place.String() || !slices.Contains(p.there, b.Name) {
			continue
		}
		if why := p.holdings.keepAtPlace(b, p.kit.Settings.Keep, p.s.Now()); p.holdings.mayGo(why, p.s.Now(), &jumped) {
			goes = append(goes, b)
		}
	}
	slices.SortStableFunc(goes, func(a, b state.Backup) int {
		if c := strings.Compare(p.holdings.rootOf(a), p.holdings.rootOf(b)); c != 0 {
			return c
		}
		return strings.Compare(b.Name, a.Name)
	})
	return goes, jumped
}

// doubt says why the newest backup can't be relied on to make the older ones redundant, or "": its whole chain is
// listed, with sizes, and all its manifests opened. The error is a "don't know".
func (p *remotePrune) doubt(ctx context.Context) (string, error) {
	newest := NewestWhole(p.holdings.backups)
	if missing, err := p.catalog.Misses(ctx, state.Commit{Name: newest.Name, ManifestSHA256: newest.ManifestSHA256}); err != nil {
		return "", err
	} else if missing != "" {
		return fmt.Sprintf("%s, the newest: %s", newest.Name, missing), nil
	}
	if _, err := p.catalog.Chain(ctx, newest.Name); err != nil {
		return fmt.Sprintf("%s, the newest, can't be restored: %v", newest.Name, err), ctx.Err()
	}
	return "", nil
}

// backup deletes one, or says that it would. Its manifest goes first, and then it counts as none any more.
func (p *remotePrune) backup(ctx context.Context, b state.Backup) (stays string, err error) {
	entry, err := p.catalog.Entry(ctx, b.Name)
	if err != nil {
		return "", err
	}
	if stays, err := p.mayBeWorth(ctx, b, entry); stays != "" || err != nil {
		return stays, err
	}
	own, foreign := p.ownIn(b, entry)
	var bytes int64
	for _, name := range own {
		bytes += max(entry.Objects[name].Size, 0)
	}
	if !p.yes {
		p.kit.say("would delete %s/%s, %s: %s", p.place, b.Name, units.Size(bytes), p.why(b))
		p.folders, p.bytes = p.folders+1, p.bytes+bytes
		return "", nil
	}
	if stays, err := p.delete(ctx, b, own); stays != "" || err != nil {
		return stays, err
	}
	p.folders, p.bytes = p.folders+1, p.bytes+bytes
	p.s.Log().Info("deleted from the remote", "backup", b.Name, "bytes", bytes, "why", p.why(b))
	if len(foreign) > 0 {
		return "it holds what is not ours: " + strings.Join(quoteAll(foreign), ", "), nil
	}
	return "", nil
}

// why is what a backup that goes is, in words.
func (p *remotePrune) why(b state.Backup) string {
	switch {
	case workflow.BackupMachine.In(b.State, workflow.BackupAbandoned):
		return "left by a run that was given up"
	case workflow.BackupMachine.In(b.State, workflow.BackupExpired):
		return "what is left of a backup that is not whole any more"
	case !p.holdings.restorable(b):
		return "its base is gone"
	}
	return "its chain is past what remote_keep_days and remote_keep_fulls keep"
}

// mayBeWorth says what speaks against the record that calls a backup worthless. A manifest that does not open is a
// doubt, and doubt keeps.
func (p *remotePrune) mayBeWorth(ctx context.Context, b state.Backup, e *catalog.Entry) (string, error) {
	switch {
	case p.holdings.restorable(b):
		return "", nil
	case p.part && !b.Unmade && !workflow.BackupMachine.In(b.State, workflow.BackupAbandoned):
		return fmt.Sprintf("%s is a union, and may show a part of it", p.place), nil
	case errors.Is(e.Why, catalog.ErrNotCommitted):
		return "", nil // nothing without a manifest is a backup
	case workflow.BackupMachine.In(b.State, workflow.BackupAbandoned):
		return "it was given up, and has a manifest all the same", nil
	}
	for link, ok := b, true; ok; link, ok = baseOf(p.holdings.backups, link) {
		at, err := p.catalog.Entry(ctx, link.Name)
		switch {
		case err != nil:
			return "", err
		case errors.Is(at.Why, catalog.ErrGone), errors.Is(at.Why, catalog.ErrNotCommitted), at.Manifest != nil && at.Whole() != nil:
			return "", nil
		case at.Manifest == nil:
			return fmt.Sprintf("whether %s is whole can't be told: %v", link.Name, at.Why), nil
		}
	}
	return "it is not on record as one that can be restored, and looks like one", nil
}

// ownIn tells what of a folder the backup may have stored there.
func (p *remotePrune) ownIn(b state.Backup, e *catalog.Entry) (own, foreign []string) {
	for name := range e.Objects {
		if isChunkOf(b, name) || slices.Contains(texts(b), name) || manifest.IsIndex(name) || name == manifestName(b) || slices.Contains(b.Claims, name) {
			own = append(own, name)
		} else {
			foreign = append(foreign, name)
		}
	}
	slices.Sort(own)
	slices.Sort(foreign)
	return own, foreign
}

// delete deletes a backup's objects and its folder. STAYS is what the store said against it. A manifest that is not there
// any more was deleted by who died before it said so: also then the record is told.
func (p *remotePrune) delete(ctx context.Context, b state.Backup, own []string) (stays string, err error) {
	if named := slices.Contains(own, manifestName(b)); named || workflow.BackupMachine.In(b.State, workflow.BackupCommitted) {
		stays, err := workflow.Once(ctx, p.s, workflow.Effect[string]{
			Name: "forget " + b.Name,
			Do: func(ctx context.Context, fx workflow.Fx) (string, error) {
				if stays, err := p.holdings.unlessRestoring(fx, b, going); !named || stays != "" || err != nil {
					return stays, err
				}
				return p.objects(ctx, fx, b.Name, []string{manifestName(b)})
			},
			Result: func(tx *state.Tx, _ *state.Run, stays string) error {
				if stays != "" { // it may be gone all the same, if only the answer was lost: who claims the place next looks
					return nil
				}
				return unmade(tx, b.Job, b.Name)
			},
		})
		if stays != "" || err != nil {
			return stays, err
		}
	}
	return workflow.Once(ctx, p.s, workflow.Effect[string]{
		Name: "delete " + b.Name,
		Do: func(ctx context.Context, fx workflow.Fx) (string, error) {
			if stays, err := p.objects(ctx, fx, b.Name, own); stays != "" || err != nil {
				return stays, err
			}
			err := p.kit.retry(ctx, func(ctx context.Context) error { return p.place.RemoveFolder(ctx, fx, b.Name) })
			if err != nil && !errors.Is(err, remote.ErrNotEmpty) {
				return p.against(ctx, err)
			}
			return "", nil
		},
	})
}

// unmade stores that a backup's manifest was deleted.
func unmade(tx *state.Tx, job, name string) error {
	if err := expire(tx, job, name); err != nil {
		return err
	}
	b, err := tx.MustBackup(job, name)
	b.Unmade = true
	return errors.Join(err, tx.PutBackup(b))
}

// going stores that a committed backup's manifest is being deleted.
func going(tx *state.Tx, of state.Backup) error {
	b, ok, err := tx.Backup(of.Job, of.Name)
	if err != nil || !ok || !workflow.BackupMachine.In(b.State, workflow.BackupCommitted) {
		return err
	}
	b.Going = true
	return tx.PutBackup(b)
}

// objects deletes some objects of a folder. What is not there any more is as good as deleted, but only where the place is still
// there.
func (p *remotePrune) objects(ctx context.Context, fx workflow.Fx, folder string, names []string) (stays string, err error) {
	if err := p.kit.deleteObjects(ctx, fx, p.place, folder, names); err != nil {
		return p.against(ctx, err)
	}
	return "", p.kit.retry(ctx, func(ctx context.Context) error { return p.place.Check(ctx, p.s.Look()) })
}

// against tells what the store has against a deletion from an end of our own.
func (p *remotePrune) against(ctx context.Context, err error) (stays string, _ error) {
	if err == nil || ctx.Err() != nil {
		return "", err
	}
	return err.Error(), nil
}
