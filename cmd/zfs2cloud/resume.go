package main

import (
	"cmp"
	"errors"
	"fmt"

	"zfs2cloud/actions"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// ResumeCmd goes on with an unfinished run, of a backup or a restore.
type ResumeCmd struct {
	ID         string `arg:"" optional:"" name:"run" help:"Which one; by default the job's oldest, a verification last."`
	Force      bool   `help:"Also one that is stuck."`
	DeleteMost bool   `help:"A sync of this run may delete more than half of what is on the remote."`
	JSON       bool   `help:"Say what goes on in lines of JSON."`
}

// Run takes the run through the rest of its plan.
func (c *ResumeCmd) Run(a *App) error {
	a.asJSON(c.JSON)
	if r, ok := a.restoreNamed(c.ID); ok && !a.DryRun {
		return a.resumeRestore(r, c.Force)
	}
	if a.DryRun {
		return a.foreseeRest("resume", c.ID, c.Force)
	}
	t, err := a.takeRun(c.ID, grip{insist: c.Force, whole: true})
	defer t.close()
	if err == nil {
		err = c.resume(t)
	}
	return t.failed(err)
}

func (c *ResumeCmd) resume(t *taken) error {
	if err := t.mayRun(); err != nil {
		return err
	}
	load := t.load
	if t.former || t.without != "" {
		load = t.configured // a run of it needs no job of the config's
	}
	if err := load(); err != nil {
		return err
	}
	if err := t.noOldLock(); err != nil {
		return err
	}
	looked := t.job.Fresh && !t.former // it may be one on record, whose place has another name now
	if looked {
		if err := t.ready(t.app.Stop.Soft()); err != nil {
			return err
		}
		if err := t.settle(false); err != nil && c.ID == "" { // a run that is named may need nothing of that place
			return err
		}
	}
	r, ok, err := t.choose("resume", cmp.Or(c.ID, t.without))
	if err != nil || !ok {
		return err
	}
	err = t.store.View(func(tx *state.Tx) (err error) {
		t.job, _, err = tx.Job(r.Job)
		return err
	})
	if err != nil {
		return err
	}
	if workflow.RunMachine.In(r.State, workflow.RunStuck) && !c.Force {
		return &runError{Run: r, Err: &workflow.StuckError{Run: r}}
	}
	if !looked {
		if err := t.ready(t.app.Stop.Soft()); err != nil {
			return err
		}
	}
	if err := t.samePassphrase(r); err != nil {
		return err
	}
	t.kit.DeleteMost = c.DeleteMost
	s, err := t.engine.Open(r.ID, t.dataset)
	if err != nil {
		return err
	}
	t.tellChanges(s.Run()) // a remote that was changed in time is the run's by now
	if err := t.drive(s, c.Force); err != nil {
		return err
	}
	r = s.Run()
	switch {
	case !workflow.RunMachine.In(r.State, workflow.RunAborted):
		return t.foundBad(r)
	case r.Why == byOperator:
		fmt.Fprintf(t.app.Err, "%s%s\n", t.app.subject(t), t.gaveUp(r))
		return nil
	}
	return &runError{Run: r, Err: &workflow.GivenUp{Run: r.ID, Err: errors.New(r.Why)}}
}

// byOperator is why a run is given up that a person aborts.
const byOperator = "aborted by an operator"

// choose finds the unfinished run that is meant by a command: if none is named the oldest, and for a resume one that a backup waits
// for. One that is named may be of a job that the config made before its remote, or its dataset, was changed: what it needs of that is
// frozen. None is said, and is no error.
func (t *taken) choose(command, id string) (state.Run, bool, error) {
	var found *state.Run
	for _, r := range t.unfinished {
		switch {
		case id == r.ID && r.Job != t.job.ID && r.Config != t.settings.Path:
			return r, false, &refusal{Err: fmt.Errorf("run %s is of another job, that of %s", r.ID, r.Config), Next: "zfs2cloud -c " + shellQuote(r.Config) + " " + command + " " + r.ID}
		case id == r.ID:
			return r, true, nil
		case id == "" && r.Job == t.job.ID && (found == nil || command == "resume" && actions.CanWait(*found) && !actions.CanWait(r)):
			found = &r
		}
	}
	if found != nil {
		return *found, true, nil
	}
	last, ok, err := t.finished()
	if err != nil {
		return last, false, err
	}
	if id != "" && (!ok || last.ID != id) {
		return last, false, &refusal{Err: fmt.Errorf("there is no unfinished run %q", id), Next: t.app.again("status")}
	}
	for _, r := range t.unfinished {
		if id == "" && r.Config == t.settings.Path {
			t.tellOther(r)
		}
	}
	// Cron calls resume at each boot, and would mail that nothing was to be done.
	if quiet := command == "resume" && id == "" && !t.app.Terminal && !t.app.Journal && t.app.Verbose == 0; !quiet {
		t.sayNothing(command, last, ok)
	}
	if r, ok, err := t.app.findRestore(func(state.Run) bool { return true }); err == nil && ok {
		fmt.Fprintf(t.app.Err, "a restore is unfinished: %s\n", t.app.again(command+" "+r.ID))
	}
	return last, false, nil
}

// sayNothing says that there is nothing to go on with, or to give up, and which run was the last.
func (t *taken) sayNothing(command string, last state.Run, ok bool) {
	said := "nothing to " + command
	if ok && last.Ended != nil {
		said += fmt.Sprintf(": run %s %s at %s", last.ID, last.State, clock(t.app, *last.Ended))
		if last.Backup != "" {
			said += " (" + last.Backup + ")"
		}
	}
	fmt.Fprintln(t.app.Out, said)
}

// named finds an unfinished run on the dataset by its id, whichever job it is of: one whose config is gone can
// still be given up.
func (t *taken) named(id string) (state.Run, bool) {
	for _, r := range t.unfinished {
		if r.ID == id {
			return r, true
		}
	}
	return state.Run{}, false
}

// tellChanges says where today's config differs from what the run keeps.
func (t *taken) tellChanges(r state.Run) {
	now := actions.Freeze(t.settings)
	tell := func(key string, was, is any) {
		if w, i := fmt.Sprint(was), fmt.Sprint(is); w != i {
			fmt.Fprintf(t.app.Err, "config has changed: %s was %s, is %s; this run keeps %s\n", key, w, i, w)
		}
	}
	f := r.Frozen
	tell("remote", f.Remote, now.Remote)
	tell("intermediate_basedir", f.IntermediateDir, now.IntermediateDir)
	tell("split_size", size(f.SplitSize), size(now.SplitSize))
	tell("zfs_send_flags", f.SendFlags, now.SendFlags)
	tell("encryption", f.Encryption, now.Encryption)
	if r.Typed == "" {
		tell("backup-sequences", sequence(r.Steps), sequence(t.kit.Plan(t.kit.Planned(t.settings.Steps))))
	}
}

func sequence(steps []state.Step) []string {
	var out []string
	for _, s := range steps {
		if !s.Implied {
			out = append(out, s.Shown)
		}
	}
	return out
}

// AbortCmd gives a run up.
type AbortCmd struct {
	ID        string `arg:"" optional:"" name:"run" help:"Which one; by default the job's oldest."`
	SkipHooks bool   `help:"Do not run the post-snapshot hooks that are still due: the application is left as it is."`
	// Else a run whose manifest may have been stored is given up only once its remote has said whether it was.
	LeaveRemote bool `help:"For a remote that is gone for good: do not ask it whether the backup is complete there, and leave what is."`
}

// Run closes the run's bracket and removes what it left.
func (c *AbortCmd) Run(a *App) error {
	if r, ok := a.restoreNamed(c.ID); ok && !a.DryRun {
		return a.abortRestore(r)
	}
	if a.DryRun {
		return a.foreseeRest("abort", c.ID, false)
	}
	how := grip{insist: true, gone: true}
	if c.SkipHooks {
		how.leave = func(run string) bool { return c.ID == "" || c.ID == run }
	}
	t, err := a.takeRun(c.ID, how)
	defer t.close()
	if err == nil {
		err = c.abort(t)
	}
	return t.failed(err)
}

func (c *AbortCmd) abort(t *taken) error {
	if err := t.configured(); err != nil {
		return err
	}
	r, ok := t.named(c.ID)
	if !ok {
		var err error
		if r, ok, err = c.unnamed(t); err != nil || !ok {
			return err
		}
	}
	t.kit.LeaveRemote = c.LeaveRemote
	s, err := t.engine.Open(r.ID, t.dataset)
	if err != nil {
		return err
	}
	if err := t.engine.Abort(s, byOperator, c.SkipHooks); err != nil {
		return &runError{Run: s.Run(), Err: err}
	}
	fmt.Fprintf(t.app.Out, "run %s aborted\n", r.ID)
	for _, n := range s.Run().Notes {
		fmt.Fprintf(t.app.Out, "  %s\n", n)
	}
	return nil
}

// unnamed is the run that is meant where none of the unfinished is named: the job's oldest, or one of which there is
// no more than the note of its open bracket.
func (c *AbortCmd) unnamed(t *taken) (r state.Run, ok bool, err error) {
	if c.ID != "" && c.SkipHooks {
		forgotten, err := t.engine.Forget(c.ID)
		var elsewhere *workflow.ElsewhereError
		if errors.As(err, &elsewhere) {
			err = &refusal{Err: err, Next: "zfs2cloud -c " + shellQuote(elsewhere.Run.Config) + " abort --skip-hooks " + c.ID}
		}
		if forgotten {
			fmt.Fprintf(t.app.Out, "run %s is on record nowhere; that its application may be stopped is forgotten\n", c.ID)
		}
		if forgotten || err != nil {
			return r, false, err
		}
	}
	if err := t.findJob(); err != nil {
		return r, false, err
	}
	return t.choose("abort", c.ID)
}
