package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/cmd/internal/config"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// ShowConfigCmd prints the settings in force.
type ShowConfigCmd struct{}

// Run reads the config and prints what it comes to.
func (*ShowConfigCmd) Run(a *App) error {
	c, err := config.Load(a.Config, a.Env)
	if err != nil {
		return err
	}
	printConfig(a, c)
	a.printState(c)
	for _, w := range c.Warnings {
		fmt.Fprintf(a.Err, "warning: %s\n", warning(w))
	}
	return nil
}

// printState prints what the Python tool's show-config had beside the settings: paths, lock, snapshots, the last
// full. What can't be looked up now is left out.
func (a *App) printState(c *settings.Settings) {
	fmt.Fprintf(a.Out, "# database %s\n", c.StateDB)
	err := state.New(c.StateDB).View(func(tx *state.Tx) error {
		locks, err := tx.Locks()
		if err != nil {
			return err
		}
		for _, l := range locks {
			if l.Dataset == c.Dataset && workflow.LockMachine.In(l.State, workflow.LockHeld) && a.keepsOut(l) {
				fmt.Fprintf(a.Out, "# locked since %s\n", clock(a, l.Since))
			}
		}
		backups, err := tx.Backups("")
		last := ""
		for _, b := range backups {
			if b.Dataset == c.Dataset && b.Full && workflow.BackupMachine.In(b.State, workflow.BackupCommitted) {
				last = b.Name
			}
		}
		if last != "" {
			fmt.Fprintf(a.Out, "# last full %s\n", last)
		}
		return err
	})
	if err != nil {
		a.Log.Warn("the database can't be read", "err", err)
	}
	ctx, cancel := context.WithTimeout(a.Stop.Soft(), lookTime)
	defer cancel()
	if dataset, err := zfs.ParseDataset(c.Dataset); err == nil {
		snapshots, err := zfs.Program{World: workflow.Look{World: a.World}, Words: c.ZFS}.Snapshots(ctx, dataset)
		if err == nil && len(snapshots) > 0 {
			fmt.Fprintf(a.Out, "# %s, the newest %s\n", counted(len(snapshots), "snapshot"), snapshots[len(snapshots)-1].Snapshot)
		}
	}
}

// keepsOut tells whether a held lock keeps anybody out: an operator's does, a run's while the run is at work.
func (a *App) keepsOut(l state.Lock) bool {
	if l.Operator {
		return true
	}
	who, alive, err := a.Folder.Alive(l.DatasetGUID)
	return err == nil && alive && who.Run == l.Run
}

func printConfig(a *App, c *settings.Settings) {
	fmt.Fprintf(a.Out, "# %s\n", c.Path)
	w := tabwriter.NewWriter(a.Out, 0, 0, 1, ' ', 0)
	defer w.Flush()
	section := ""
	for _, kv := range config.Show(c) {
		if kv.Section != section {
			section = kv.Section
			fmt.Fprintf(w, "[%s]\n", section)
		}
		fmt.Fprintf(w, "%s\t= %s\n", kv.Key, safe(kv.Value))
	}
}

func warning(w settings.Warning) string {
	if w.Line == 0 {
		return fmt.Sprintf("%s: %s", w.Key, w.Text)
	}
	return fmt.Sprintf("line %d [%s] %s: %s", w.Line, w.Section, w.Key, w.Text)
}
