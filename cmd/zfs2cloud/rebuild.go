package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"zfs2cloud/actions"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
)

// sound makes sure that the database can be relied on. One that is damaged or gone is moved aside, and a new one
// begun: only here, by who owns a dataset, and only while no run of another dataset is at work, which would lose
// its record. What can be known without a database is found out later (settle), brackets that a dead run left open
// at once: they have notes of their own.
func (t *taken) sound() error {
	err := t.store.View(func(*state.Tx) error { return nil })
	damage, damaged := errors.AsType[*state.DamagedError](err)
	if !damaged {
		return nil // sound, or not to be told now: whoever uses it will say so
	}
	if other, err := t.otherAtWork(); err != nil || other != "" {
		return errors.Join(t.damagedText(damage, other), err)
	}
	aside, damage, err := t.store.SetAside(t.app.World.Now())
	if err != nil {
		return &refusal{Err: errors.Join(damage, err)}
	}
	if damage == nil {
		return nil // another command was quicker
	}
	said := "it is begun anew"
	if aside != "" {
		said = "it was moved to " + safe(aside) + ", and a new one is begun"
	}
	fmt.Fprintf(t.app.Err, "%sthe state database %s; %s. The record of each job is made again from its backups by its next run\n", t.app.subject(t), safe(damage.Error()), said)
	return nil
}

func (t *taken) damagedText(damage error, other string) error {
	return &refusal{Err: fmt.Errorf("%w\n%s is at work with it, so nothing was changed; it is mended when that has ended", damage, other), Next: t.app.again("run")}
}

// otherAtWork names a live process with a run of another dataset, if there is one.
func (t *taken) otherAtWork() (string, error) {
	owners, err := lookAtOwners(t.app.Folder)
	if err != nil {
		return "", err
	}
	for guid, o := range owners {
		switch {
		case guid == t.engine.Dataset:
		case o.err != nil:
			return "", fmt.Errorf("who works on the dataset with GUID %s can't be told: %w", guid, o.err)
		case o.alive && o.who.Run != "":
			return fmt.Sprintf("run %s of another dataset (pid %d)", o.who.Run, o.who.PID), nil
		}
	}
	return "", nil
}

// settle finds out whether a job that is new on record is an older one, whose record was lost, and says what it made
// of that.
func (t *taken) settle(insist bool) error {
	s, err := t.kit.Settle(t.app.Stop.Soft(), t.app.World, t.store, t.job, insist)
	var other *actions.OtherHost
	var nothing *actions.ShowsNothing
	var unfinished *actions.UnfinishedRun
	var stays *actions.RunStays
	var config *actions.OtherConfig
	var dataset *actions.OtherDataset
	switch {
	case errors.As(err, &dataset):
		return &refusal{Err: fmt.Errorf("%w\nNothing was done. %s", err, t.newPath(dataset))}
	case errors.As(err, &stays):
		if gone, err := t.outOfTheWay(stays.Run); err != nil {
			return err
		} else if gone {
			return t.settle(insist)
		}
		return &refusal{Err: fmt.Errorf("%w\nPut the old name back, then: %s\n  or give the run up, and go on by the new name: %s", err,
			t.app.again("resume "+stays.Run), t.app.again("abort "+stays.Run))}
	case errors.As(err, &other), errors.As(err, &config):
		return &refusal{Err: err, Next: t.app.again("rebuild-state")}
	case errors.As(err, &unfinished):
		return &refusal{Err: err, Next: t.app.again("abort " + unfinished.Run)}
	case errors.As(err, &nothing):
		return &refusal{Err: fmt.Errorf("%w\nNothing was done. Is that the right place, and its disk mounted? Then: %s\n  or, if there never was a backup there, or all are gone: %s", err,
			t.app.again("run"), t.app.again("rebuild-state"))}
	case err != nil:
		return &refusal{Err: err, Next: t.app.again("check")}
	}
	t.job = s.Job
	if s.Was != "" {
		fmt.Fprintf(t.app.Err, "%s%s is where its backups went until now, as %s: it goes on with them\n", t.app.subject(t), safe(t.job.Place), safe(s.Was))
	}
	if s.Rebuilt {
		t.tellRebuilt(s)
	}
	return nil
}

// newPath says what to do where the place is another dataset's.
func (t *taken) newPath(e *actions.OtherDataset) string {
	key := "remote"
	if _, uploads := actions.PlaceOf(t.settings); !uploads {
		key = "intermediate_basedir"
	}
	return fmt.Sprintf("Let %s in %s name another path, for which the first backup is a full; then: %s\n  what lies at this one stays: %s",
		key, t.settings.Path, t.app.again("run"), backThere(e.Place, t.settings))
}

// outOfTheWay gives an unfinished run up if no backup waits for it: then the others go on by the new name.
func (t *taken) outOfTheWay(id string) (gone bool, err error) {
	i := slices.IndexFunc(t.unfinished, func(r state.Run) bool { return r.ID == id && actions.CanWait(r) })
	if i < 0 {
		return false, nil
	}
	if err := t.makeWay(t.unfinished[i], "its place has another name now"); err != nil {
		return false, err
	}
	t.unfinished = slices.Delete(t.unfinished, i, i+1)
	return true, nil
}

func (t *taken) tellRebuilt(s actions.Settled) {
	newest := "none of them can be restored"
	if s.Newest.Name != "" {
		newest = "the newest that can be restored is " + s.Newest.Name
	}
	if s.Backups == 0 {
		newest = "none was ever committed"
	}
	say := func(format string, args ...any) {
		fmt.Fprintf(t.app.Err, "%s%s\n", t.app.subject(t), fmt.Sprintf(format, args...))
	}
	if t.settings.Mode == settings.File {
		say("the record of its backups was lost; %s is this job's, as a snapshot of its own tells, and is what the last sync made of it", safe(t.job.Place))
		return
	}
	say("the record of its backups was lost, and was made again from %s: %s; %s", safe(t.job.Place), counted(s.Backups, "backup"), newest)
	t.tellNotOnRecord(s)
}

// tellNotOnRecord says what lies at the place and did not come on record.
func (t *taken) tellNotOnRecord(s actions.Settled) {
	say := func(format string, args ...any) {
		fmt.Fprintf(t.app.Err, "%s%s\n", t.app.subject(t), fmt.Sprintf(format, args...))
	}
	if len(s.Unread) > 0 {
		say("not on record, since the manifest is not this job's, can't be read, or does not open with this passphrase: %s", safe(strings.Join(s.Unread, ", ")))
	}
	if len(s.Unfinished) > 0 {
		say("never committed, and not needed by anything: %s, in %s", safe(strings.Join(s.Unfinished, ", ")), safe(t.job.Place))
	}
}

// RebuildStateCmd is for a job whose record was lost, or is older than its place, where a run would rather ask than do it by itself:
// another host worked for it, or may do so, or its place shows nothing.
type RebuildStateCmd struct{}

// Run does what the next run does, and insists.
func (c *RebuildStateCmd) Run(a *App) error {
	if a.DryRun {
		fmt.Fprintln(a.Out, "would make the record of the job's backups again, if it was lost, or add to it what it does not know")
		return nil
	}
	t, err := a.take(grip{})
	defer t.close()
	if err == nil {
		err = c.rebuild(t)
	}
	return t.failed(err)
}

func (c *RebuildStateCmd) rebuild(t *taken) error {
	if err := t.load(); err != nil {
		return err
	}
	if !t.job.Fresh && t.settings.Mode == settings.File {
		fmt.Fprintf(t.app.Out, "nothing to rebuild: the job of %s is on record\n", safe(t.dataset))
		return nil
	}
	if err := t.ready(t.app.Stop.Soft()); err != nil {
		return err
	}
	if !t.job.Fresh {
		return c.reread(t)
	}
	fresh := t.job.ID
	if err := t.settle(true); err != nil {
		return err
	}
	if t.job.ID == fresh {
		fmt.Fprintf(t.app.Out, "nothing to rebuild: %s has no backups of a job of %s\n", safe(t.job.Place), safe(t.dataset))
	}
	return nil
}

// reread puts on record what lies at the place of a job on record and is not: a person has seen to it that no other host stored it.
func (c *RebuildStateCmd) reread(t *taken) error {
	s, err := t.kit.Reread(t.app.Stop.Soft(), t.app.World, t.store, t.job)
	if err != nil {
		return &refusal{Err: fmt.Errorf("nothing was put on record: %w", err), Next: t.app.again("check")}
	}
	t.job = s.Job
	if !s.Rebuilt {
		fmt.Fprintf(t.app.Out, "nothing to rebuild: the job of %s is on record, and so is each backup at %s that can be read\n", safe(t.dataset), safe(t.job.Place))
		t.tellNotOnRecord(s)
		return nil
	}
	fmt.Fprintf(t.app.Err, "%sthe record of its backups was older than %s, and has %s more now; the newest that can be restored is %s\n", t.app.subject(t),
		safe(t.job.Place), counted(s.Backups, "backup"), cmp.Or(s.Newest.Name, "none"))
	t.tellNotOnRecord(s)
	return nil
}
