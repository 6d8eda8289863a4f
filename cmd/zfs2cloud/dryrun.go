package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"zfs2cloud/actions"
	"zfs2cloud/actions/remote"
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
	o := &onlooker{store: state.New(c.StateDB), kit: &actions.Kit{ZFS: c.ZFS, Settings: c, Host: a.Host, Tool: "zfs2cloud " + version, TempDir: os.TempDir(), Pause: remote.Pause}}
	if err := a.passphrase(ctx, c, o.kit); err != nil {
		return nil, &refusal{Err: err}
	}
	dataset, err := zfs.ParseDataset(c.Dataset)
	if err != nil {
		return nil, &refusal{Err: err}
	}
	o.info, err = zfs.Program{World: workflow.Look{World: a.World}, Words: c.ZFS}.Info(ctx, dataset)
	if err != nil {
		return nil, &refusal{Err: err}
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

// foreseeRest says what is left of an unfinished run, which resume would do and abort give up.
func (a *App) foreseeRest(verb, id string) error {
	basics, err := a.basics()
	if err != nil {
		return &refusal{Err: err}
	}
	var found *state.Run
	err = state.New(basics.StateDB).View(func(tx *state.Tx) error {
		runs, err := tx.Runs()
		for _, r := range runs { // the oldest is meant, if none is named
			ended := workflow.RunMachine.In(r.State, workflow.RunSucceeded, workflow.RunAborted)
			if !ended && (r.ID == id || id == "" && r.Frozen.Dataset == basics.Dataset) {
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
	fmt.Fprintf(a.Out, "would %s run %s of %s\n", verb, found.ID, clock(a, found.Started))
	for _, s := range found.Steps {
		if !workflow.StepMachine.In(s.State, workflow.StepDone, workflow.StepSkipped) && !s.Implied {
			fmt.Fprintf(a.Out, "  %-32s is %s\n", safe(s.Shown), s.State)
		}
	}
	return nil
}
