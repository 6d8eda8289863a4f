package main

import (
	"fmt"
	"slices"
	"strings"

	"zfs2cloud/actions"
	"zfs2cloud/actions/settings"
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

// pruning is what the prunes have in common.
type pruning struct {
	Yes          bool `short:"y" help:"Do it; without it, only say what would go."`
	ClockIsRight bool `help:"Also where the clock went on by more than a year between two backups."`
}

func (p pruning) args() []string {
	return slices.Concat(given(p.Yes, "-y"), given(p.ClockIsRight, actions.ClockIsRight))
}

// PruneIntermediatesCmd removes chunk files that are no longer needed.
type PruneIntermediatesCmd struct {
	pruning
}

// PruneSnapshotsCmd destroys own snapshots that are past their days.
type PruneSnapshotsCmd struct {
	pruning
}

// PruneRemoteCmd deletes from the remote what is past its days.
type PruneRemoteCmd struct {
	pruning
}

// AdoptCmd takes over what the Python tool left.
type AdoptCmd struct {
	Yes bool `short:"y" help:"Do it; without it, only say what there is, and what would stay and why."`
}

// UploadCmd uploads an exported backup.
type UploadCmd struct {
	Snapshot string `short:"s" placeholder:"SNAPSHOT" help:"That of this snapshot; by default the newest that was exported."`
}

// MountCmd mounts the newest snapshot.
type MountCmd struct{}

// UploadFilesCmd syncs the mounted files.
type UploadFilesCmd struct {
	DeleteMost bool `short:"d" help:"Also if more than half of what is there would be deleted."`
}

// UmountCmd unmounts what is mounted.
type UmountCmd struct{}

func (c *SnapshotCmd) Run(a *App) error { return a.typed(actions.StepSnapshot) }

func (c *ExportCmd) Run(a *App) error {
	return a.typed(actions.StepExport, slices.Concat(given(c.Full, "-f"), given(c.Incremental, "-i"))...)
}

func (c *PruneIntermediatesCmd) Run(a *App) error {
	return a.typed(actions.StepPruneIntermediates, c.args()...)
}

func (c *PruneSnapshotsCmd) Run(a *App) error {
	return a.typed(actions.StepPruneSnapshots, c.args()...)
}

func (c *PruneRemoteCmd) Run(a *App) error {
	return a.typed(actions.StepPruneRemote, c.args()...)
}

func (c *AdoptCmd) Run(a *App) error { return a.typed(actions.StepAdopt, given(c.Yes, "-y")...) }

func (c *UploadCmd) Run(a *App) error {
	var args []string
	if c.Snapshot != "" {
		args = []string{"-s", c.Snapshot}
	}
	return a.typed(actions.StepUpload, args...)
}

func (c *MountCmd) Run(a *App) error { return a.typed(actions.StepMount) }

func (c *UploadFilesCmd) Run(a *App) error {
	return a.typed(actions.StepUploadFiles, given(c.DeleteMost, "-d")...)
}

func (c *UmountCmd) Run(a *App) error { return a.typed(actions.StepUmount) }

func given(set bool, name string) []string {
	if set {
		return []string{name}
	}
	return nil
}

// typed runs one step. A run of the same step that was cut off is finished first; what was typed is done then, unless that did it.
func (a *App) typed(step string, args ...string) error {
	planned := workflow.Planned{Name: step, Shown: step, Args: args}
	if a.DryRun {
		return a.foresee(&planned)
	}
	t, err := a.take(grip{})
	defer t.close()
	if err == nil {
		err = t.typed(planned)
	}
	return t.failed(err)
}

// finishTyped finishes the runs of the same step that were cut off. DID is one of them that did what is asked for now; GIVENUP is
// one that nobody can finish. One with other flags is not what was asked for: a prune that was to destroy is not gone on
// with by one that only looks. What no run finishes makes way for what is typed now, or it would keep cron's own from being done.
func (t *taken) finishTyped(p workflow.Planned) (did, givenUp state.Run, err error) {
	for _, r := range t.unfinished {
		if r.Job != t.job.ID || r.Typed != p.Name {
			continue
		}
		if step := r.Steps[0]; !slices.Equal(step.Args, p.Args) {
			if !actions.CanWait(r) {
				was := strings.Join(append([]string{step.Name}, step.Args...), " ")
				return did, givenUp, &refusal{Err: fmt.Errorf("run %s, %q, is unfinished\n%s", r.ID, was, t.app.waysOut(r))}
			}
			if err := t.makeWay(r, "another was typed"); err != nil {
				return did, givenUp, err
			}
			continue
		}
		after, news, err := t.finishOld(r)
		if err != nil {
			return did, givenUp, err
		}
		fmt.Fprintf(t.app.Err, "%s%s\n", t.app.subject(t), news)
		if workflow.RunMachine.In(after.State, workflow.RunAborted) {
			givenUp = after
			continue
		}
		if err := t.foundBad(after); err != nil {
			return did, givenUp, err
		}
		answers, err := t.kit.Answers(t.app.Stop.Soft(), workflow.Look{World: t.app.World}, t.store.View, after)
		if err != nil {
			return did, givenUp, err
		}
		if answers {
			did = after
		}
	}
	return did, givenUp, nil
}

// makeWay gives up a verification, or a prune that only looks.
func (t *taken) makeWay(r state.Run, why string) error {
	s, err := t.engine.Open(r.ID, t.dataset)
	if err != nil {
		return err
	}
	if err := t.engine.Abort(s, why, false); err != nil {
		return &runError{Run: s.Run(), Err: err}
	}
	fmt.Fprintf(t.app.Err, "%sgave up run %s of %s (%s)\n", t.app.subject(t), r.ID, day(t.app, r.Started), s.Run().Why)
	return nil
}

func (t *taken) typed(p workflow.Planned) error {
	if err := t.load(); err != nil {
		return err
	}
	if _, uploads := actions.PlaceOf(t.settings); (p.Name == actions.StepUpload || p.Name == actions.StepPruneRemote) && !uploads {
		return &refusal{Err: fmt.Errorf("the sequence of %s has no upload step, so its backups are committed in %s and go nowhere else",
			t.settings.Path, t.settings.IntermediateDir)}
	}
	if err := t.rightMode(p.Name); err != nil {
		return err
	}
	if p.Name == actions.StepAdopt && len(p.Args) > 0 { // what a run of the Python tool is at is not taken away from it
		if err := t.noOldLock(); err != nil {
			return err
		}
	}
	if err := t.ready(t.app.Stop.Soft()); err != nil {
		return err
	}
	if err := t.settle(false); err != nil {
		return err
	}
	if p.Name == actions.StepVerify {
		if err := t.kit.CheckVerify(t.app.Stop.Soft(), workflow.Look{World: t.app.World}, t.store.View, t.job.ID, p.Args); err != nil {
			return &refusal{Err: err, Next: t.app.again("list")}
		}
	}
	p.Kind = t.kit.Steps()[p.Name].Kind
	did, givenUp, err := t.finishTyped(p)
	if err != nil {
		return err
	}
	if did.ID == "" {
		s, err := t.engine.Begin(state.Run{Job: t.job.ID, Config: t.settings.Path, Typed: p.Name, Frozen: actions.Freeze(t.settings),
			Steps: t.kit.Plan([]workflow.Planned{p})})
		if err != nil {
			return err
		}
		if err := t.drive(s, false); err != nil {
			return err
		}
		did = s.Run()
	}
	if p.Name == actions.StepUpload && givenUp.Backup > did.Backup { // all that could be uploaded in its place is older
		return &runError{Run: givenUp, Err: fmt.Errorf("%s was not uploaded: %s", givenUp.Backup, givenUp.Why)}
	}
	return t.foundBad(did)
}

// rightMode refuses what has no meaning in the mode that the config says.
func (t *taken) rightMode(step string) error {
	switch step {
	case actions.StepMount, actions.StepUploadFiles:
		if t.settings.Mode != settings.File {
			return &refusal{Err: fmt.Errorf("%s is a step of mode = file, and %s is of mode intermediate", step, t.settings.Path)}
		}
	case actions.StepVerify:
		if t.settings.Mode == settings.File {
			return &refusal{Err: fmt.Errorf("%s is of mode file: its remote has the files themselves; rclone check compares them", t.settings.Path)}
		}
	case actions.StepExport, actions.StepPruneRemote:
		if t.settings.Mode == settings.File {
			return &refusal{Err: fmt.Errorf("%s is a step of mode = intermediate, and %s is of mode file", step, t.settings.Path)}
		}
	}
	return nil
}
