package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"zfs2cloud/actions"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// ForgetCmd lets go of a dataset that is backed up no longer.
type ForgetCmd struct {
	Yes bool `short:"y" help:"Do not ask before it begins."`
}

// Run looks what there is to forget, says it, and asks. Then it looks again, as the dataset's owner.
func (c *ForgetCmd) Run(a *App) error {
	if !c.Yes && !a.DryRun && !a.canAsk() {
		return &refusal{Err: errors.New("forget asks before it begins, and there is no terminal to ask on: -y goes on without")}
	}
	t, err := a.basicTaken()
	defer t.close()
	var f *actions.Forgetting
	if err == nil {
		f, err = t.toForget()
	}
	switch {
	case err != nil && a.DryRun:
		return err
	case err != nil:
		return t.failed(err)
	case len(f.Jobs) == 0:
		fmt.Fprintf(a.Out, "nothing to forget: no backup of %s by %s is on record\n", safe(t.dataset), safe(t.settings.Path))
		return nil
	}
	t.sayForget(f)
	if a.DryRun {
		return nil
	}
	if !c.Yes {
		if err := a.confirm(a.Stop.Soft(), "not confirmed; nothing was changed"); err != nil {
			return err
		}
	}
	return t.failed(t.forget(f.DatasetGUID))
}

// forget carries it out. Somebody may have been at work since it was said.
func (t *taken) forget(guid string) error {
	if err := t.own(guid, grip{}); err != nil {
		return err
	}
	f, err := t.toForget()
	if err != nil {
		return err
	}
	ctx, done := t.app.Stop.Hook() // what was begun is brought to its end: it takes no time
	defer done()
	if err := f.LetGo(ctx, t.kit, t.app.World); err != nil {
		return fmt.Errorf("%w\nIts record stays. Remove the cause, then: %s", err, t.app.again("forget"))
	}
	if err := t.store.Update(f.Drop); err != nil {
		return err
	}
	for _, j := range f.Jobs {
		fmt.Fprintf(t.app.Out, "forgot %s to %s; its backups there stay\n", safe(j.Dataset), safe(j.Place))
	}
	return nil
}

// toForget looks for all that there is, as far as ZFS has the dataset. The error says why it is not to be forgotten now.
func (t *taken) toForget() (*actions.Forgetting, error) {
	if err := t.configured(); err != nil {
		return nil, err
	}
	guid, err := t.find()
	if err != nil && !t.gone {
		return nil, err
	}
	f, err := actions.ToForget(t.store.View, guid, t.settings)
	if err != nil || len(f.Jobs) == 0 {
		return &f, err
	}
	if err := t.mayForget(f); err != nil {
		return nil, err
	}
	dataset, err := zfs.ParseDataset(t.dataset)
	if err != nil {
		return nil, err
	}
	look, ctx := workflow.Look{World: t.app.World}, t.app.Stop.Soft()
	if t.gone || f.DatasetGUID != guid {
		var there bool
		dataset, there, err = zfs.Program{World: look, Words: t.kit.ZFS}.DatasetWithGUID(ctx, dataset.Pool(), f.DatasetGUID)
		if errors.Is(err, zfs.ErrNoPool) {
			return &f, nil
		}
		if err != nil || !there {
			return &f, err
		}
	}
	return &f, f.LookAt(ctx, t.kit, look, dataset)
}

// mayForget is an error while a job is in use: what a run holds is let go of by that, or by its abort.
func (t *taken) mayForget(f actions.Forgetting) error {
	who, alive, err := t.app.Folder.Alive(f.DatasetGUID)
	if err != nil {
		return err
	}
	if alive && t.live == nil && !t.app.DryRun {
		return &state.OwnedError{Who: who}
	}
	for _, r := range f.Runs {
		switch {
		case !workflow.Over(r.State):
			return &refusal{Err: fmt.Errorf("run %s of %s is unfinished\nNothing was changed. %s", r.ID, day(t.app, r.Started), t.app.waysOut(r))}
		case r.Mount != "":
			return &refusal{Err: fmt.Errorf("%s is mounted at %s\nNothing was changed", safe(snapshotName(r)), safe(r.Mount)), Next: t.app.again(actions.StepUmount)}
		}
	}
	for _, b := range f.Backups {
		folder := filepath.Join(b.Dir, b.Name)
		if _, err := os.Lstat(folder); err != nil || b.Place == b.Dir || !workflow.BackupMachine.In(b.State, workflow.BackupExported) {
			continue
		}
		back := ""
		if place, _ := actions.PlaceOf(t.settings); b.Place != place {
			back = fmt.Sprintf("put remote = %s back first, then: ", safe(b.Place))
		}
		return &refusal{Err: fmt.Errorf("%s is exported, and not uploaded to %s\nNothing was changed. To upload it: %s%s\n  or, if it is not wanted: rm -r %s, and forget again",
			b.Name, safe(b.Place), back, t.app.again(actions.StepUpload+" -s "+b.Name), shellQuote(folder))}
	}
	return nil
}

// sayForget says what goes, and what stays for a person to keep or to remove.
func (t *taken) sayForget(f *actions.Forgetting) {
	row := t.app.planRow
	for _, j := range f.Jobs {
		newest := "nothing was committed there"
		if j.Newest != nil {
			newest = "the newest backup is " + j.Newest.Name
		}
		row("forget", "%s to %s: %s", safe(j.Dataset), safe(j.Place), newest)
	}
	row("goes", "what is on record of it in %s, so that status no longer shows it", safe(t.store.Path()))
	if len(f.Held) > 0 {
		row("goes", "its hold on %s, which kept the dataset from being destroyed", counted(len(f.Held), "snapshot"))
	}
	if len(f.Bookmarks) > 0 {
		row("goes", "%s that it made", counted(len(f.Bookmarks), "bookmark"))
	}
	for _, j := range f.Jobs {
		if j.Newest != nil {
			row("stays", "%s: %s", safe(j.Place), backThere(j.Place, t.settings))
		}
	}
	if names := folders(f.Backups); len(names) > 0 {
		row("stays", "chunk files, which no prune removes any more: %s", safe(someOf(names)))
	}
	if f.Dataset == "" {
		row("note", "ZFS has not got %s now. If it comes back with its pool, import that first: what holds it is let go of then", safe(t.dataset))
	} else {
		row("stays", "%s, each of which zfs destroy may remove then: zfs list -d 1 -t snapshot -o name,used,zfs2cloud:snapshot %s",
			counted(f.Made, "snapshot"), shellQuote(f.Dataset))
	}
}

// folders are those of backups that lie in intermediate_basedir beside what is at their place.
func folders(backups []state.Backup) (names []string) {
	for _, b := range backups {
		folder := filepath.Join(b.Dir, b.Name)
		if _, err := os.Lstat(folder); err == nil && b.Place != b.Dir {
			names = append(names, folder)
		}
	}
	return names
}
