package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"zfs2cloud/actions"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// RunCmd is what cron calls.
type RunCmd struct {
	Wait time.Duration `placeholder:"DURATION" help:"Wait so long for a dataset that another run works on."`
	JSON bool          `help:"Say what goes on in lines of JSON."`
}

// Run finishes an unfinished run of the job, then does the day's own.
func (c *RunCmd) Run(a *App) error {
	a.asJSON(c.JSON)
	if a.DryRun {
		return a.foresee(nil)
	}
	t, err := a.takeWaiting(c.Wait)
	defer t.close()
	t.waits = true
	if err == nil {
		err = c.run(t)
	}
	return t.failed(err)
}

func (c *RunCmd) run(t *taken) error {
	if err := t.mayRun(); err != nil {
		return err
	}
	if err := t.load(); err != nil {
		return err
	}
	if err := t.noOldLock(); err != nil {
		return err
	}
	if err := t.noneStuck(); err != nil {
		return err
	}
	if err := t.ready(t.app.Stop.Soft()); err != nil {
		return err
	}
	if err := t.settle(false); err != nil {
		return err
	}
	var news []string
	var bad error
	for _, r := range t.unfinished {
		if r.Job != t.job.ID {
			t.tellOther(r)
			continue
		}
		if actions.CanWait(r) {
			fmt.Fprintf(t.app.Err, "%s%s\n", t.app.subject(t), t.waiting(r))
			continue
		}
		_, told, err := t.finishOld(r)
		if err != nil {
			return err
		}
		news = append(news, told)
		bad = errors.Join(bad, t.foundBad(r))
	}
	if err := t.tellFormer(); err != nil {
		return err
	}
	if err := t.tellChildren(); err != nil {
		return err
	}
	if err := t.canExport(); err != nil {
		return err
	}
	s, err := t.engine.Begin(state.Run{Job: t.job.ID, Config: t.settings.Path, Frozen: actions.Freeze(t.settings),
		Steps: t.kit.Plan(t.kit.Planned(t.settings.Steps))})
	if err != nil {
		return err
	}
	if err := t.drive(s, false); err != nil {
		return err
	}
	t.tellNews(append(news, t.kit.News()...), s.Run())
	return errors.Join(bad, t.foundBad(s.Run()))
}

// canExport makes sure, before the application is stopped, that zfs can send what the config asks for. The error is a refusal.
func (t *taken) canExport() error {
	program := zfs.Program{World: workflow.Look{World: t.app.World}, Words: t.kit.ZFS}
	var backups []state.Backup
	err := t.store.View(func(tx *state.Tx) (err error) {
		backups, err = tx.Backups(t.job.ID)
		return err
	})
	if err != nil {
		return err
	}
	for _, err := range t.app.exportFaults(t.app.Stop.Soft(), program, t.settings, t.info.Referenced, actions.ChainFlags(backups)...) {
		if err != nil {
			return &refusal{Err: err, Next: t.app.again("check")}
		}
	}
	return nil
}

// tellOther says that a run of another job on the dataset is unfinished.
func (t *taken) tellOther(r state.Run) {
	if r.Config != t.settings.Path {
		fmt.Fprintf(t.app.Err, "%srun %s of another job (%s) is unfinished here. To give it up: %s\n", t.app.subject(t), r.ID, r.Config, t.app.again("abort "+r.ID))
		return
	}
	fmt.Fprintf(t.app.Err, "%srun %s of another job (this config's, to %s) is unfinished here. %s\n",
		t.app.subject(t), r.ID, safe(placeOf(r)), t.app.waysOut(r))
}

// tellFormer says which runs of the config are unfinished whose dataset it no longer names: no run looks there.
func (t *taken) tellFormer() error {
	return t.store.View(func(tx *state.Tx) error {
		runs, err := tx.Runs()
		for _, r := range runs {
			if r.Restore != nil || workflow.Over(r.State) || r.Config != t.settings.Path || r.DatasetGUID == t.engine.Dataset || r.Started.After(t.job.Created) {
				continue // or the file names one dataset after the other
			}
			app := ""
			if workflow.BracketMachine.In(r.Bracket, workflow.BracketOpen) {
				app = ", and its application may be stopped"
			}
			fmt.Fprintf(t.app.Err, "%srun %s of %s, which this config named before, is unfinished%s. %s\n",
				t.app.subject(t), r.ID, safe(r.Frozen.Dataset), app, t.app.waysOut(r))
		}
		return err
	})
}

// waiting tells of a run that no backup waits for.
func (t *taken) waiting(r state.Run) string {
	resume := "resume "
	if workflow.RunMachine.In(r.State, workflow.RunStuck) {
		resume = "resume --force "
	}
	return fmt.Sprintf("run %s of %s, %s, is %s. To finish it: %s, to give it up: %s", r.ID, day(t.app, r.Started), r.Typed, r.State,
		t.app.again(resume+r.ID), t.app.again("abort "+r.ID))
}

// noneStuck is an error if a run of the job waits for a person: nothing is asked of the remote, or of anybody, first.
func (t *taken) noneStuck() error {
	for _, r := range t.unfinished {
		if r.Job == t.job.ID && !actions.CanWait(r) && workflow.RunMachine.In(r.State, workflow.RunStuck) {
			return &runError{Run: r, Err: &workflow.StuckError{Run: r}}
		}
	}
	return nil
}

// finishOld finishes a run of an earlier day. What came of it is news; that it can't be finished by anybody
// is news too.
func (t *taken) finishOld(r state.Run) (after state.Run, news string, err error) {
	s, err := t.engine.Open(r.ID, t.dataset)
	if err != nil {
		return r, "", err
	}
	if err := t.samePassphrase(s.Run()); err != nil {
		return r, "", err
	}
	err = t.drive(s, false)
	after = s.Run()
	var gone *workflow.GivenUp
	switch {
	case err == nil && workflow.RunMachine.In(after.State, workflow.RunAborted):
		return after, t.gaveUp(after), nil
	case err == nil:
		return after, fmt.Sprintf("finished run %s of %s", r.ID, day(t.app, r.Started)), nil
	case errors.As(err, &gone):
		return after, fmt.Sprintf("gave up run %s of %s, which nobody can finish (%s)", r.ID, day(t.app, r.Started), firstLine(gone.Err.Error())), nil
	}
	return after, "", err
}

// gaveUp tells of a run whose giving up was gone on with.
func (t *taken) gaveUp(r state.Run) string {
	return fmt.Sprintf("gave up run %s of %s (%s)", r.ID, day(t.app, r.Started), firstLine(r.Why))
}

// drive takes a run through its plan, with what is drawn on a terminal.
func (t *taken) drive(s *workflow.Session, force bool) error {
	owner := t.engine.Owner
	owner.Run = s.Run().ID
	if err := t.live.Set(owner); err != nil {
		return err
	}
	live := t.app.draw(s.Run())
	t.engine.Watch = live.watch()
	err := t.engine.Drive(s, force)
	t.kit.Close()
	live.stop()
	if err == nil {
		t.done(s.Run())
		return nil
	}
	return &runError{Run: s.Run(), Err: err}
}

// runError is the error of a run that is on record.
type runError struct {
	Run state.Run
	Err error
}

func (e *runError) Error() string { return e.Err.Error() }
func (e *runError) Unwrap() error { return e.Err }

// takeWaiting takes the dataset, waiting for another run to end if asked to. The wait is a wait for a lock:
// it looks again each second.
func (a *App) takeWaiting(wait time.Duration) (*taken, error) {
	until := a.World.Now().Add(wait)
	for {
		t, err := a.take(grip{})
		var owned *state.OwnedError
		if !errors.As(err, &owned) || !a.World.Now().Before(until) {
			return t, err
		}
		t.close()
		if err := remote.Pause(a.Stop.Soft(), time.Second); err != nil {
			return t, workflow.ErrInterrupted
		}
	}
}

// mayRun is an error if an operator holds the dataset's lock, which counts whom it turns away.
func (t *taken) mayRun() error {
	var lock state.Lock
	var held bool
	err := t.store.View(func(tx *state.Tx) (err error) {
		lock, held, err = workflow.OperatorLock(tx, t.engine.Dataset, t.dataset)
		return err
	})
	if err != nil {
		return err
	}
	if !held {
		return t.lockedElsewhere()
	}
	err = t.store.Update(func(tx *state.Tx) error {
		l, ok, err := workflow.OperatorLock(tx, t.engine.Dataset, t.dataset)
		if err != nil || !ok {
			return err
		}
		now := t.app.World.Now().UTC()
		l.TurnedAway++
		l.TurnedAwayLast = &now
		return tx.PutLock(l)
	})
	return errors.Join(&workflow.LockedError{Lock: lock}, err)
}

// samePassphrase refuses to go on with a run that was sealed with another passphrase.
func (t *taken) samePassphrase(r state.Run) error {
	if r.Backup == "" || workflow.RunMachine.In(r.State, workflow.RunAborting) {
		return nil
	}
	var b state.Backup
	var ok bool
	err := t.store.View(func(tx *state.Tx) (err error) {
		b, ok, err = tx.Backup(r.Job, r.Backup)
		return err
	})
	if err != nil || !ok || !workflow.BackupMachine.In(b.State, workflow.BackupExporting, workflow.BackupExported) {
		return err
	}
	if b.Encryption == string(settings.GPG) && len(t.kit.Passphrase) == 0 {
		return &refusal{Err: fmt.Errorf("run %s was sealed with a passphrase, and the config has none any more%s", r.ID, t.giveBack(r))}
	}
	same, err := t.kit.PassphraseOpens(t.app.Stop.Soft(), workflow.Look{World: t.app.World}, b)
	if err != nil {
		return err
	}
	if !same {
		return &refusal{Err: fmt.Errorf("run %s was sealed with another passphrase; nothing was sealed with this one%s", r.ID, t.giveBack(r))}
	}
	return nil
}

// giveBack says what can be done about a run whose passphrase is not the config's.
func (t *taken) giveBack(r state.Run) string {
	return fmt.Sprintf("\nPut the old passphrase back, then: %s\n  or give the run up, and begin anew with this one: %s", t.app.again("resume "+r.ID), t.app.again("abort "+r.ID))
}

// finished looks for the newest run of the job that is over.
func (t *taken) finished() (state.Run, bool, error) {
	var found state.Run
	var ok bool
	err := t.store.View(func(tx *state.Tx) error {
		runs, err := tx.Runs()
		for _, r := range runs {
			if r.Job == t.job.ID && workflow.Over(r.State) {
				found, ok = r, true
				break
			}
		}
		return err
	})
	return found, ok, err
}

// oldLock is the lock file of the Python tool, which maintenance scripts touch too.
func (t *taken) oldLock() string { return oldLock(t.settings) }

func oldLock(c *settings.Settings) string { return filepath.Join(c.IntermediateDir, "_lock") }
