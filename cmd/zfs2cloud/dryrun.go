package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"zfs2cloud/actions"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/cmd/internal/config"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// onlooker looks and takes nothing: neither the dataset nor any lock.
type onlooker struct {
	kit   *actions.Kit
	store *state.Store
	info  zfs.Info
}

// look reads config, passphrase and dataset.
func (a *App) look(ctx context.Context) (*onlooker, error) {
	c, err := config.Load(a.Config, a.Env)
	if err != nil {
		return nil, err
	}
	o := &onlooker{store: state.New(c.StateDB), kit: &actions.Kit{ZFS: c.ZFS, Settings: c, Host: a.Host, Tool: "zfs2cloud " + version, TempDir: os.TempDir(), Pause: a.Pause, Log: a.Log}}
	if err := a.passphrase(ctx, c, o.kit); err != nil {
		return nil, &refusal{Err: err}
	}
	dataset, err := zfs.ParseDataset(c.Dataset)
	if err != nil {
		return nil, &refusal{Err: err}
	}
	program := zfs.Program{World: workflow.Look{World: a.World}, Words: c.ZFS}
	if o.info, err = program.Info(ctx, dataset); err != nil {
		return nil, &refusal{Err: a.noDataset(ctx, program, dataset, err), Next: a.again("check")}
	}
	return o, nil
}

// foresee says what each step of the sequence, or the one that was typed, would do. Whatever the lock, the
// exit status is 0.
func (a *App) foresee(typed *workflow.Planned) error {
	ctx := a.Stop.Soft()
	o, err := a.look(ctx)
	if err != nil {
		return err
	}
	f, err := o.kit.Foresee(ctx, a.World, o.store, o.info)
	if err != nil {
		return err
	}
	steps := o.kit.Planned(o.kit.Settings.Steps)
	if typed != nil {
		steps = []workflow.Planned{*typed}
	} else if err := a.foreseeOld(o); err != nil {
		return err
	}
	for _, p := range steps {
		lines, err := f.Step(ctx, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.Shown, err)
		}
		name := strings.TrimSpace(p.Shown + " " + strings.Join(p.Args, " "))
		for _, l := range lines {
			fmt.Fprintf(a.Out, "%-32s %s\n", safe(name), safe(l))
			name = ""
		}
	}
	return nil
}

// foreseeOld says what a run would do about unfinished runs before the day's own.
func (a *App) foreseeOld(o *onlooker) error {
	var old []state.Run
	own := map[string]bool{}
	err := o.store.View(func(tx *state.Tx) error {
		runs, err := tx.Runs()
		for _, r := range runs {
			if r.DatasetGUID == o.info.GUID.String() && !workflow.Over(r.State) {
				mine, jerr := ofConfig(tx, r, o.kit.Settings)
				own[r.ID], err = mine, errors.Join(err, jerr)
				old = append(old, r)
			}
		}
		return err
	})
	for _, r := range slices.Backward(old) { // the oldest first
		what := "would be finished first; what follows does not know what comes of it"
		switch {
		case !own[r.ID] && r.Config == o.kit.Settings.Path:
			what = fmt.Sprintf("was begun by this config, to %s. To finish it: %s, to give it up: %s", safe(placeOf(r)), a.again("resume "+r.ID), a.again("abort "+r.ID))
		case !own[r.ID]:
			what = fmt.Sprintf("of another job (%s) is unfinished here, and would be left. To give it up: %s", safe(r.Config), a.again("abort "+r.ID))
		case actions.CanWait(r):
			what = fmt.Sprintf("(%s) is unfinished, and would be left: no backup waits for it", r.Typed)
		case workflow.RunMachine.In(r.State, workflow.RunStuck):
			what = fmt.Sprintf("is stuck: a run would exit %d, and do nothing of what follows", exitStuck)
		}
		fmt.Fprintf(a.Out, "%-32s %s\n", "run "+r.ID, what)
	}
	return err
}

// ofConfig tells whether a run's job is the one that a config makes of its dataset. One that was never used anywhere goes along
// to another remote.
func ofConfig(tx *state.Tx, r state.Run, c *settings.Settings) (bool, error) {
	job, known, err := actions.KnownJob(tx, r.DatasetGUID, c)
	if err != nil || known {
		return r.Job == job.ID, err
	}
	job, known, err = tx.Job(r.Job)
	return known && !job.Used && job.Config == c.Path, err
}

// foreseeRest says what is left of an unfinished run, which resume would do and abort give up.
func (a *App) foreseeRest(verb, id string, force bool) error {
	if r, ok := a.restoreNamed(id); ok {
		fmt.Fprintf(a.Out, "would %s run %s, which restores into %s: %s\n", verb, r.ID, safe(r.Restore.Target()), restoredWords(r))
		return nil
	}
	basics, err := a.basics()
	if err != nil {
		return &refusal{Err: err}
	}
	c, cerr := config.Load(a.Config, a.Env)
	var found *state.Run
	err = state.New(basics.StateDB).View(func(tx *state.Tx) error {
		runs, err := tx.Runs()
		for _, r := range runs { // the oldest is meant, if none is named
			if workflow.Over(r.State) || id != "" && r.ID != id || id == "" && r.Frozen.Dataset != basics.Dataset {
				continue
			}
			if id == "" && cerr == nil {
				mine, jerr := ofConfig(tx, r, c)
				if err = errors.Join(err, jerr); !mine {
					continue
				}
			}
			if found == nil || verb != "resume" || !actions.CanWait(r) || actions.CanWait(*found) {
				found = &r
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if found == nil {
		fmt.Fprintln(a.Out, "nothing to "+verb)
		return nil
	}
	if verb == "resume" && !force && workflow.RunMachine.In(found.State, workflow.RunStuck) {
		fmt.Fprintf(a.Out, "run %s of %s is stuck: a resume would exit %d; --force goes on with it\n", found.ID, clock(a, found.Started), exitStuck)
		return nil
	}
	fmt.Fprintf(a.Out, "would %s run %s of %s\n", verb, found.ID, clock(a, found.Started))
	if due := hooksDue(*found, "post"); due != "" && workflow.BracketMachine.In(found.Bracket, workflow.BracketOpen) {
		fmt.Fprintf(a.Out, "  would run %s first: the application may be stopped\n", safe(due))
	}
	if verb == "abort" {
		fmt.Fprintln(a.Out, "  would remove its chunk files, here and on the remote, unless they are committed; its snapshot stays")
		return nil
	}
	for _, s := range found.Steps {
		if !workflow.StepMachine.In(s.State, workflow.StepDone, workflow.StepSkipped) && !s.Implied {
			fmt.Fprintf(a.Out, "  %-32s %s\n", safe(s.Shown), rest(s))
		}
	}
	return nil
}

// rest is what resume does about a step that is not done.
func rest(s state.Step) string {
	switch {
	case workflow.Kind(s.Kind) == workflow.Hook && s.Starts > 0:
		return "would be run again"
	case workflow.StepMachine.In(s.State, workflow.StepFailed):
		return "would be tried again: it failed"
	case workflow.StepMachine.In(s.State, workflow.StepRunning):
		return "would go on: it was cut off"
	}
	return "would be done"
}
