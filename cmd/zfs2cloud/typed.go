package main

import (
	"fmt"
	"slices"

	"zfs2cloud/actions"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// Each step typed as a command is a run of that one step. It works under an operator's lock.

// SnapshotCmd takes a snapshot.
type SnapshotCmd struct{}

// ExportCmd exports the newest snapshot.
type ExportCmd struct {
	Full        bool `short:"f" xor:"kind" help:"A full, whatever its age."`
	Incremental bool `short:"i" xor:"kind" help:"An incremental, whatever the full's age."`
}

// PruneIntermediatesCmd removes chunk files that are no longer needed.
type PruneIntermediatesCmd struct {
	Yes bool `short:"y" help:"Do it; without it, only say what would go."`
}

// PruneSnapshotsCmd destroys own snapshots that are past their days.
type PruneSnapshotsCmd struct {
	Yes bool `short:"y" help:"Do it; without it, only say what would go."`
}

// UploadCmd uploads an exported backup.
type UploadCmd struct {
	Snapshot string `short:"s" placeholder:"SNAPSHOT" help:"That of this snapshot; by default the newest that was exported."`
}

// MountCmd, UploadFilesCmd and UmountCmd are the steps of file mode.
type (
	MountCmd       struct{}
	UploadFilesCmd struct{}
	UmountCmd      struct{}
)

func (c *SnapshotCmd) Run(a *App) error { return a.typed(actions.StepSnapshot) }

func (c *ExportCmd) Run(a *App) error {
	return a.typed(actions.StepExport, slices.Concat(given(c.Full, "-f"), given(c.Incremental, "-i"))...)
}

func (c *PruneIntermediatesCmd) Run(a *App) error {
	return a.typed(actions.StepPruneIntermediates, given(c.Yes, "-y")...)
}

func (c *PruneSnapshotsCmd) Run(a *App) error {
	return a.typed(actions.StepPruneSnapshots, given(c.Yes, "-y")...)
}

func (c *UploadCmd) Run(a *App) error {
	var args []string
	if c.Snapshot != "" {
		args = []string{"-s", c.Snapshot}
	}
	return a.typed(actions.StepUpload, args...)
}

func (c *MountCmd) Run(*App) error { return notYet("mount-snapshot (file mode)") }
func (c *UploadFilesCmd) Run(*App) error {
	return notYet("upload-snapshot-files-to-remote (file mode)")
}
func (c *UmountCmd) Run(*App) error { return notYet("umount-snapshot (file mode)") }

func given(set bool, name string) []string {
	if set {
		return []string{name}
	}
	return nil
}

// typed runs one step. A run of the same step that was cut off is finished instead.
func (a *App) typed(step string, args ...string) error {
	planned := workflow.Planned{Name: step, Shown: step, Args: args}
	if a.DryRun {
		return a.foresee(&planned)
	}
	t, err := a.take(nil)
	defer t.close()
	if err == nil {
		err = t.typed(planned)
	}
	return t.failed(err)
}

func (t *taken) typed(p workflow.Planned) error {
	if err := t.load(); err != nil {
		return err
	}
	if _, uploads := actions.PlaceOf(t.settings); p.Name == actions.StepUpload && !uploads {
		return &refusal{Err: fmt.Errorf("the sequence of %s has no upload step, so its backups are committed in %s and go nowhere else",
			t.settings.Path, t.settings.IntermediateDir)}
	}
	if err := t.ready(t.app.Stop.Soft()); err != nil {
		return err
	}
	p.Kind = t.kit.Steps()[p.Name].Kind
	for _, r := range t.unfinished {
		if r.Job == t.job.ID && r.Typed == p.Name {
			if err := t.samePassphrase(r); err != nil {
				return err
			}
			s, err := t.engine.Open(r.ID, t.dataset)
			if err != nil {
				return err
			}
			return t.drive(s, false)
		}
	}
	s, err := t.engine.Begin(state.Run{Job: t.job.ID, Config: t.settings.Path, Typed: p.Name, Frozen: actions.Freeze(t.settings),
		Steps: t.kit.Plan([]workflow.Planned{p})})
	if err != nil {
		return err
	}
	return t.drive(s, false)
}
