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

// onlookers look and take nothing: neither the dataset nor any lock.
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
