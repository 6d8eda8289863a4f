package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"zfs2cloud/actions"
	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/cmd/internal/config"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// A restore is a run that no config calls: what it needs to go on is in its record.

// findRestore finds the newest unfinished run that restores and that is meant. A database that is damaged has none: it is
// moved aside by who begins one.
func (a *App) findRestore(meant func(state.Run) bool) (found state.Run, ok bool, err error) {
	basics, _ := a.basics() // without a config, what stands in for it is right
	err = state.New(basics.StateDB).View(func(tx *state.Tx) error {
		runs, err := tx.Runs()
		for _, r := range runs {
			if !ok && r.Restore != nil && !workflow.Over(r.State) && meant(r) {
				found, ok = r, true
			}
		}
		return err
	})
	if _, damaged := errors.AsType[*state.DamagedError](err); damaged {
		return state.Run{}, false, nil
	}
	return found, ok, err
}

// restoreNamed is the unfinished restore that a resume or an abort is of: the one with this id; or, if none is named and
// there is no config that could mean another run, the newest. A database that can't be read has none: what there is to
// do all the same is for who takes the dataset.
func (a *App) restoreNamed(id string) (state.Run, bool) {
	if id == "" {
		if basics, err := a.basics(); err == nil && basics.Dataset != "" {
			return state.Run{}, false
		}
	}
	r, ok, err := a.findRestore(func(r state.Run) bool { return id == "" || r.ID == id })
	if err != nil {
		a.Log.Warn("the database can't be read", "err", err)
	}
	return r, ok
}

// record is the source as it is kept with a run, and the config that stands behind it, if one does.
func (s Source) record(a *App) (from state.Source, config string, err error) {
	from = state.Source{Remote: s.Remote, Encryption: s.Encryption}
	if from.RcloneConf, err = absolute(s.RcloneConfig); err != nil {
		return from, "", err
	}
	if from.PassphraseFile, err = absolute(s.PassphraseFile); err != nil || s.Remote != "" {
		return from, "", err
	}
	return from, a.Config, nil
}

// resumeRestore goes on with a restore that was cut off.
func (a *App) resumeRestore(r state.Run, force bool) error {
	if workflow.RunMachine.In(r.State, workflow.RunStuck) && !force {
		return a.takeAndTell(r.Restore.Target(), &actions.Kit{}, func(*taken) error { return &runError{Run: r, Err: &workflow.StuckError{Run: r}} })
	}
	from := r.Restore.From
	source := Source{Remote: from.Remote, RcloneConfig: from.RcloneConf, PassphraseFile: from.PassphraseFile, Encryption: from.Encryption, of: &r}
	of := *a
	if of.Config = r.Config; from.Remote != "" {
		of.ConfigFlag, of.ConfigEnv = "", ""
	}
	ctx := a.Stop.Soft()
	place, err := source.open(ctx, &of, func(*readable) error { return nil })
	if err != nil {
		return err
	}
	place.catalog.Older = a.older(from.OlderFile, true)
	b, err := a.replan(ctx, place, r)
	if err != nil {
		return err
	}
	return a.goOn(r, b, force)
}

// replan looks whether all is there still that a run needs, and says what is left to do.
func (a *App) replan(ctx context.Context, from *readable, r state.Run) (*bound, error) {
	plan, err := actions.ResumeRestore(ctx, from.catalog, r)
	if err != nil {
		return nil, fmt.Errorf("%w\nRun %s stays as it is: %s\n%s\n  or give it up: %s", err, r.ID, restoredWords(r), a.goesOn(r, err), a.again("abort "+r.ID))
	}
	a.printSource(plan)
	if now, _ := actions.PlaceOf(from.kit.Settings); r.Restore.From.Remote == "" && now != "" && now != from.catalog.Remote.String() {
		a.planRow("note", "the config names %s by now; this run reads %s", safe(now), safe(r.Frozen.Remote))
	}
	a.planRow("into", "%s: goes on with run %s, %s", safe(r.Restore.Target()), r.ID, restoredWords(r))
	return &bound{from.kit, plan}, nil
}

// goesOn says how an unfinished run goes on that could not be gone on with.
func (a *App) goesOn(r state.Run, err error) string {
	if _, file := errors.AsType[*olderFileError](err); !file && !errors.Is(err, chunk.ErrPassphrase) {
		return "Remove the cause, then: " + a.again("resume "+r.ID)
	}
	return "With the older passphrase in another file it goes on: " + a.restoreAgain(r, r.Restore.From, "restore --older-passphrase-file FILE")
}

// withoutConfig is the command that goes on with a restore whose config is gone.
func (a *App) withoutConfig(r state.Run) string {
	from, words := r.Restore.From, "restore"
	from.Remote = r.Frozen.Remote
	if from.PassphraseFile == "" && from.Encryption != string(settings.None) {
		words += " --passphrase-file FILE"
	}
	return a.restoreAgain(r, from, words)
}

// restoreAgain is the command of a restore anew, which goes on with it: WORDS, and what its record says.
func (a *App) restoreAgain(r state.Run, from state.Source, words string) string {
	rs := r.Restore
	words += " --backup " + rs.Newest().Name
	for _, flag := range [][2]string{{"--remote", from.Remote}, {"--rclone-config", from.RcloneConf},
		{"--passphrase-file", from.PassphraseFile}, {"--encryption", from.Encryption}} {
		if flag[1] != "" {
			words += " " + flag[0] + " " + shellQuote(flag[1])
		}
	}
	switch {
	case rs.Streams:
		words += " --to " + shellQuote(rs.Into)
	case rs.Files != nil:
		for _, p := range rs.Files.Paths {
			words += " --path " + shellQuote(p)
		}
		words += " --into " + shellQuote(rs.Files.Dir)
	default:
		words += " " + shellQuote(rs.Into)
	}
	if from.Remote != "" {
		return a.againWithout(words)
	}
	return a.again(words)
}

// goOn takes an unfinished run to its end. ANEW changes what is said anew of where it reads from.
func (a *App) goOn(r state.Run, b *bound, force bool, anew ...func(*state.Run)) error {
	return a.drivePlan(r.Restore.Target(), b, force, func(t *taken) (*workflow.Session, error) {
		if err := b.plan.LeaveSpool(r); err != nil { // the disk may be failing, for which another is named
			fmt.Fprintf(a.Err, "note: what lies in the former spool folder stays: %s\n", safe(err.Error()))
		}
		return t.engine.Open(r.ID, t.dataset, anew...)
	})
}

// drivePlan takes the run that BEGIN opens through its plan.
func (a *App) drivePlan(into string, b *bound, force bool, begin func(*taken) (*workflow.Session, error)) error {
	return a.takeAndTell(into, b.kit, func(t *taken) error {
		s, err := begin(t)
		if err != nil {
			return err
		}
		b.kit.Restore(b.plan)
		return t.drive(s, force)
	})
}

// takeAndTell does something while this process owns what is to be restored, and tells how that went.
func (a *App) takeAndTell(into string, kit *actions.Kit, do func(*taken) error) error {
	basics, _ := a.basics() // as in findRestore
	t := &taken{app: a, dataset: into, store: state.New(basics.StateDB), kit: kit}
	defer t.close()
	err := t.own(actions.RestoreKey(into), grip{})
	if err == nil {
		err = do(t)
	}
	return t.restoreFailed(err)
}

// abortRestore gives a restore up. It needs neither remote nor passphrase.
func (a *App) abortRestore(r state.Run) error {
	basics, _ := a.basics() // as in findRestore
	words := basics.ZFS
	if len(words) == 0 {
		words = []string{"zfs"}
	}
	kit := &actions.Kit{ZFS: words, Host: a.Host, Pause: a.Pause, Log: a.Log}
	return a.takeAndTell(r.Restore.Target(), kit, func(t *taken) error {
		s, err := t.engine.Open(r.ID, t.dataset)
		if err != nil {
			return err
		}
		if err := t.engine.Abort(s, byOperator, false); err != nil {
			return &runError{Run: s.Run(), Err: err}
		}
		fmt.Fprintf(a.Out, "run %s aborted\n", r.ID)
		for _, n := range s.Run().Notes {
			fmt.Fprintf(a.Out, "  %s\n", safe(n))
		}
		return nil
	})
}

// unfinishedRestore says that a dataset is being restored into already.
func (a *App) unfinishedRestore(r state.Run) error {
	return &refusal{Err: fmt.Errorf("run %s, which restores %s from %s into %s, is unfinished\n%s", r.ID,
		r.Restore.Newest().Name, safe(r.Frozen.Remote), safe(r.Restore.Target()), a.waysOut(r))}
}

// restored prints the one line of a restore that came to its end.
func (t *taken) restored(r state.Run) {
	a, rs := t.app, r.Restore
	for _, n := range r.Notes {
		fmt.Fprintf(a.Err, "note: %s\n", safe(n))
	}
	var bytes int64
	for _, l := range rs.Chain {
		bytes += l.Bytes
	}
	began := r.Started
	if since := t.engine.Owner.Since; since.After(began) {
		began = since
	}
	took := fmt.Sprintf("%s, %s, every chunk checked", size(bytes), duration(a.World.Now().Sub(began)))
	switch {
	case rs.Streams:
		fmt.Fprintf(a.Out, "done %s: %s up to %s, %s\n", safe(rs.Into), counted(len(rs.Chain), "stream"), rs.Newest().Name, took)
		if a.Terminal {
			fmt.Fprintf(a.Err, "To receive them: %s\n", receiveCommands(rs))
		}
		return
	case rs.Files != nil:
		fmt.Fprintf(a.Out, "done %s: %s of %s; %s\n", safe(rs.Files.Dir), safe(strings.Join(rs.Files.Paths, ", ")), rs.Newest().Name, took)
		return
	}
	fmt.Fprintf(a.Out, "done %s@%s: %s\n", rs.Into, rs.Newest().Snapshot, took)
	if into, err := zfs.ParseDataset(rs.Into); err == nil && a.Terminal && !rs.Volume {
		fmt.Fprintf(a.Err, "It is not mounted yet: %s\n", t.kit.MountCommand(a.Stop.Soft(), a.World, into))
	}
	if c, err := config.Load(a.Config, a.Env); err == nil && c.Dataset == rs.Into && c.Mode != settings.File {
		if place, uploads := actions.PlaceOf(c); uploads && place == r.Frozen.Remote {
			fmt.Fprintf(a.Err, "To ZFS it is a new dataset: give remote in %s a path of its own, where its first backup is a full. What lies at %s stays, for --remote\n", a.Config, safe(place))
		}
	}
}

// receiveCommands receive streams that lie in files, one after the other.
func receiveCommands(rs *state.Restore) string {
	var all []string
	for _, l := range rs.Chain {
		all = append(all, "zfs receive -u NEWDATASET <"+shellQuote(filepath.Join(rs.Into, actions.StreamFile(l.Name))))
	}
	return strings.Join(all, " && ")
}

// restoreFailed makes of a restore's error what a person reads who sits there: what failed, what there is, what to type.
func (t *taken) restoreFailed(err error) error {
	a := t.app
	var run *runError
	var owned *state.OwnedError
	var text string
	switch {
	case err == nil:
		return nil
	case errors.As(err, &run):
		text = t.restoreText(run)
	case errors.As(err, &owned):
		text = a.ownedText(t, owned)
	default:
		return err
	}
	t.left()
	return &reported{Err: err, Text: text}
}

func (t *taken) restoreText(e *runError) string {
	a, r := t.app, e.Run
	var gone *workflow.GivenUp
	cause := e.Err
	if errors.As(e.Err, &gone) {
		cause = &workflow.StepError{Step: r.Steps[atFault(r)], Err: gone.Err}
	}
	if errors.Is(e.Err, workflow.ErrInterrupted) {
		if workflow.RunMachine.In(r.State, workflow.RunAborting) {
			return a.interruptedText(t, r)
		}
		return fmt.Sprintf("interrupted: run %s stopped, with %s\nNext: %s\n  or give it up: %s", r.ID, restoredWords(r), a.again("resume "+r.ID), a.again("abort "+r.ID))
	}
	text := a.subject(t) + strings.Join(withoutEcho(strings.Split(strings.TrimSpace(safeLines(cause.Error())), "\n")), "\n")
	for _, n := range r.Notes {
		text += "\n" + safe(n)
	}
	resume := "resume "
	switch {
	case workflow.RunMachine.In(r.State, workflow.RunAborted):
		return text
	case workflow.RunMachine.In(r.State, workflow.RunAborting):
		return text + "\nIts giving up goes on with: " + a.again("abort "+r.ID)
	case workflow.RunMachine.In(r.State, workflow.RunStuck):
		resume = "resume --force "
	}
	return fmt.Sprintf("%s\nRun %s has %s. Remove the cause, then: %s\n  or give it up: %s", text, r.ID, restoredWords(r), a.again(resume+r.ID), a.again("abort "+r.ID))
}

// atFault is the step that a run failed in.
func atFault(r state.Run) int {
	for i, step := range r.Steps {
		if !workflow.StepMachine.In(step.State, workflow.StepDone) {
			return i
		}
	}
	return len(r.Steps) - 1
}

// restoredWords says how much of a chain is restored.
func restoredWords(r state.Run) string {
	done := 0
	for _, step := range r.Steps[:len(r.Restore.Chain)] {
		if workflow.StepMachine.In(step.State, workflow.StepDone) {
			done++
		}
	}
	word := "received"
	if r.Restore.Streams {
		word = "fetched"
	}
	return fmt.Sprintf("%d of %s %s", done, counted(len(r.Restore.Chain), "backup"), word)
}
