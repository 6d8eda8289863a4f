package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// claimPlace stores the job's marker at its place by the first use, and looks for it at every other.
func (k *Kit) claimPlace(ctx context.Context, s *workflow.Session, place *remote.Place) error {
	run := s.Run()
	job, backups, err := jobOf(s.View, run.Job)
	if err != nil {
		return err
	}
	if !job.Used {
		return k.claimFirst(ctx, s, place)
	}
	var there []string
	err = k.retry(ctx, func(ctx context.Context) (err error) {
		there, err = place.Backups(ctx, s.Look())
		return err
	})
	if err != nil {
		return err
	}
	if err := k.noStranger(ctx, s, place, job, backups, there); err != nil {
		return err
	}
	return k.expireGone(ctx, s, place, backups, there)
}

// claimFirst stores the marker.
func (k *Kit) claimFirst(ctx context.Context, s *workflow.Session, place *remote.Place) error {
	job, _, err := jobOf(s.View, s.Run().Job)
	if err != nil {
		return err
	}
	_, err = workflow.Once(ctx, s, workflow.Effect[workflow.Nothing]{
		Name: "claim",
		Do: func(ctx context.Context, fx workflow.Fx) (none workflow.Nothing, err error) {
			err = k.retry(ctx, func(ctx context.Context) error { return place.Claim(ctx, fx) })
			if _, another := errors.AsType[*remote.Stranger](err); another && job.Fresh {
				err = fmt.Errorf("%w; or, if that job is this dataset's, and its record was lost: %s, then: %s", err, k.again("abort "+s.Run().ID), k.again("rebuild-state"))
			}
			return none, err
		},
		Result: func(tx *state.Tx, r *state.Run, _ workflow.Nothing) error {
			job, _, err := tx.Job(r.Job)
			job.Used, job.Fresh = true, false
			return errors.Join(err, tx.PutJob(job))
		},
	})
	return err
}

// expireGone stores that committed backups are gone from their place, and says so: the store's own rules deleted them, or
// a person, or someone who wants an older one to be taken for the newest. Of those that a prune began to delete nothing is
// said.
func (k *Kit) expireGone(ctx context.Context, s *workflow.Session, place *remote.Place, backups []state.Backup, there []string) error {
	gone, begun, err := k.gone(ctx, s, place, backups, there)
	if err == nil && len(gone)+len(begun) > 0 {
		gone, begun, err = k.reallyGone(ctx, s, place, gone, begun)
	}
	if err != nil || len(gone)+len(begun) == 0 {
		return err
	}
	text := fmt.Sprintf("%s gone from %s, where committed: %s", plural(len(gone), "backup is", "backups are"), place, strings.Join(gone, ", "))
	_, err = workflow.Once(ctx, s, workflow.Effect[workflow.Nothing]{
		Name: "gone", Afresh: true, // the backups' records tell whether it was stored
		Do: func(context.Context, workflow.Fx) (none workflow.Nothing, err error) { return none, nil },
		Result: func(tx *state.Tx, r *state.Run, _ workflow.Nothing) error {
			for _, name := range slices.Concat(gone, begun) {
				if err := expire(tx, r.Job, name); err != nil {
					return err
				}
			}
			if len(gone) > 0 {
				r.Notes = append(r.Notes, text)
			}
			return nil
		},
	})
	if err != nil || len(gone) == 0 {
		return err
	}
	s.Log().Warn(text)
	k.tell(text)
	return nil
}

// reallyGone are those of some backups that a place does not show that are gone, and those that a prune had begun to delete: none, where it
// may show a part.
func (k *Kit) reallyGone(ctx context.Context, s *workflow.Session, place *remote.Place, gone, begun []string) (_, _ []string, err error) {
	part, err := k.showsPart(ctx, s.Look(), place)
	if err != nil || !part {
		return gone, begun, err
	}
	if len(gone) > 0 {
		err = k.note(s, "%s not shown by %s, a union, of which a remote may be away: %s", plural(len(gone), "backup is", "backups are"), place, strings.Join(gone, ", "))
	}
	return nil, nil, err
}

// showsPart is Remote.ShowsPart, tried again where that may help.
func (k *Kit) showsPart(ctx context.Context, w workflow.World, place remote.Remote) (part bool, err error) {
	err = k.retry(ctx, func(ctx context.Context) error {
		part, err = place.ShowsPart(ctx, w)
		return err
	})
	return part, err
}

// noStranger is an error if the place shows a committed backup, newer than the job's newest, that the
// database does not know: a cloned host is at work there, or the database is an older one.
func (k *Kit) noStranger(ctx context.Context, s *workflow.Session, place *remote.Place, job state.Job, backups []state.Backup, there []string) error {
	for _, name := range there {
		known := slices.ContainsFunc(backups, func(b state.Backup) bool { return b.Name == name })
		if known || job.Newest != nil && name <= job.Newest.Name {
			continue
		}
		objects, err := k.listing(ctx, s.Look(), place, name)
		if err != nil {
			return err
		}
		if isCommitted(objects) {
			return &UnknownBackup{place.String(), name}
		}
	}
	return nil
}

// gone are the committed backups of which nothing is at their place any more, and BEGUN those whose manifest is not there,
// which a prune that died had begun to delete. THERE are the folders that its root was seen to have a minute ago at most:
// one that was made since is asked for by its name.
func (k *Kit) gone(ctx context.Context, s *workflow.Session, place *remote.Place, backups []state.Backup, there []string) (gone, begun []string, err error) {
	for _, b := range backups {
		if b.Files != nil || !workflow.BackupMachine.In(b.State, workflow.BackupCommitted) || slices.Contains(there, b.Name) && !b.Going {
			continue
		}
		objects, err := k.listing(ctx, s.Look(), place, b.Name)
		if err != nil {
			return nil, nil, err
		}
		_, named := objects[manifestName(b)]
		switch {
		case b.Going && !named:
			begun = append(begun, b.Name)
		case len(objects) == 0:
			gone = append(gone, b.Name)
		}
	}
	return gone, begun, nil
}

var manifestNames = []string{manifest.FileName("gpg"), manifest.FileName("none")}
