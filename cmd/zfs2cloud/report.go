package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"zfs2cloud/actions"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// failed makes of a command's error what cron mails: the first line is the subject, then what is safe, then
// what to type. on_failure gets the same, for those exits that are somebody's business.
func (t *taken) failed(err error) error {
	if err == nil {
		return nil
	}
	a := t.app
	var run *runError
	if !errors.As(err, &run) && !errors.As(err, new(*workflow.BracketError)) && errors.Is(err, context.Canceled) && a.Stop.Soft().Err() != nil {
		// What it looked at just then has failed for that reason alone.
		err = &refusal{Err: fmt.Errorf("%w before it had begun anything", workflow.ErrInterrupted), Next: a.again("status")}
	}
	code := exitCode(err)
	text := t.about(a.text(err))
	var owned *state.OwnedError
	var locked *workflow.LockedError
	var open *workflow.BracketError
	var old *oldLockError
	var bad *badError
	switch {
	case errors.As(err, &run) && errors.Is(err, workflow.ErrInterrupted):
		text = a.interruptedText(t, run.Run)
	case errors.As(err, &bad):
		text = a.badText(t, bad)
	case errors.As(err, &run):
		text = a.runText(t, run)
	case errors.As(err, &open):
		again := "resume "
		if code == exitStuck {
			again = "resume --force "
		}
		text = fmt.Sprintf("%s%s\nMend what keeps the hook from succeeding, then: %s\n  or leave the application as it is: %s", a.subject(t), safe(err.Error()),
			a.again(again+open.Run), a.again("abort --skip-hooks "+open.Run))
	case errors.As(err, &owned):
		text = a.ownedText(t, owned)
	case errors.As(err, &locked):
		text = a.subject(t) + strings.TrimPrefix(locked.Error(), t.dataset+" is ") + "\nNothing was changed. When it may run again: " + a.again("unlock")
	case errors.As(err, &old):
		text = a.subject(t) + old.Error() + "\nNothing was changed. When it is over: " + a.again("unlock")
	}
	t.left()
	t.close() // on_failure may take its time: nothing is done any more
	if ferr := t.onFailure.call(code, runOf(err), text); ferr != nil {
		text += "\non_failure " + t.onFailure.script + ": " + ferr.Error()
	}
	return &reported{Err: err, Text: text}
}

// subject begins each text that cron mails.
func (a *App) subject(t *taken) string { return fmt.Sprintf("zfs2cloud: %s %s: ", a.Host, t.dataset) }

// about makes the first line of an error that has no run say which dataset it is about.
func (t *taken) about(text string) string {
	if rest, ok := strings.CutPrefix(text, "zfs2cloud: "); ok && t.dataset != "" {
		return t.app.subject(t) + rest
	}
	return text
}

func (a *App) runText(t *taken, e *runError) string {
	r := e.Run
	lines := withoutEcho(strings.Split(strings.TrimSpace(safeLines(e.Err.Error())), "\n"))
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n\n", a.subject(t), lines[0])
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	ended := r.Updated
	if r.Ended != nil {
		ended = *r.Ended
	}
	word := fmt.Sprint(r.State)
	if workflow.RunMachine.In(r.State, workflow.RunPending, workflow.RunRunning) {
		word = "last checkpoint" // its end could not be stored
	}
	row("run", "%s, started %s, %s %s", r.ID, clock(a, r.Started), word, clock(a, ended))
	if !workflow.RunMachine.In(r.State, workflow.RunAborted) { // of which nothing is left
		backup, known := t.backup(r)
		row("safe", "%s", safeText(r, backup, known))
	}
	app := workflow.Application(r)
	if app != "" {
		row("app", "%s", app)
	}
	row("last good", "%s", t.lastGood(cmp.Or(r.Job, t.job.ID)))
	for i, l := range lines[1:] {
		name := ""
		if i == 0 {
			name = "said"
		}
		row(name, "%s", l)
	}
	for _, n := range r.Notes {
		row("note", "%s", safe(n))
	}
	b.WriteString("\n")
	switch {
	case workflow.RunMachine.In(r.State, workflow.RunStuck) && actions.CanWait(r):
		fmt.Fprintf(&b, "No backup waits for it. Look for the cause, then: %s\n  or give it up: %s", a.again("resume --force "+r.ID), a.again("abort "+r.ID))
	case workflow.RunMachine.In(r.State, workflow.RunStuck):
		fmt.Fprintf(&b, "No run starts by itself now. Look for the cause, then: %s\n  or give it up: %s", a.again("resume --force "+r.ID), a.again("abort "+r.ID))
	case workflow.RunMachine.In(r.State, workflow.RunAborted) && r.Typed != "":
		fmt.Fprintf(&b, "Trying it again would not help, so it was given up. What there is: %s", a.again("list"))
	case workflow.RunMachine.In(r.State, workflow.RunAborted):
		fmt.Fprintf(&b, "Nobody could finish it, so it was given up. Now: %s", a.again("run"))
	case workflow.RunMachine.In(r.State, workflow.RunAborting):
		fmt.Fprintf(&b, "Its giving up goes on with: %s", a.again("abort "+r.ID))
		if _, is := errors.AsType[*actions.CantTell](e.Err); is {
			fmt.Fprintf(&b, "\n  or, if that remote is gone for good: %s", a.again("abort --leave-remote "+r.ID))
		}
	case app == workflow.AppUnknown:
		fmt.Fprintf(&b, "Mend what keeps the hook from succeeding, then: %s\n  or leave the application as it is: %s", a.again("resume "+r.ID), a.again("abort --skip-hooks "+r.ID))
	case isUnknownBackup(e.Err):
		fmt.Fprintf(&b, "If this host made it, and it alone backs up there: %s\n  then: %s\n  or, if another host made it, give the run up, and then this host a path of its own: %s", a.again("rebuild-state"),
			a.again("resume "+r.ID), a.again("abort "+r.ID))
	case isDeletesMost(e.Err):
		fmt.Fprintf(&b, "If that is meant: %s\n  or give the run up, and look what became of the files: %s", a.again("resume --delete-most "+r.ID), a.again("abort "+r.ID))
	default:
		fmt.Fprintf(&b, "What is done is not done again. Remove the cause, then: %s\n  or give the run up: %s", a.again("resume "+r.ID), a.again("abort "+r.ID))
	}
	return b.String()
}

// badText says what a verification found. A backup that is bad is no base any more, so that the next one is a full.
func (a *App) badText(t *taken, e *badError) string {
	lines := strings.Split(safeLines(e.Error()), "\n")
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n", a.subject(t), lines[0])
	for _, l := range lines[1:] {
		fmt.Fprintf(&b, "%s\n", l)
	}
	fmt.Fprintf(&b, "\n  %-10s %s\n", "last good", t.lastGood(t.job.ID))
	next := "Nothing new is based on what is bad. What else there is: " + a.again("list")
	if base, is := t.badBase(); is {
		next = "Nothing new is based on " + base + ": the next backup is a full. Now: " + a.again("run")
	}
	fmt.Fprintf(&b, "\n%s", next)
	return b.String()
}

// badBase names the bad backup that the next would be based on otherwise.
func (t *taken) badBase() (name string, is bool) {
	err := t.store.View(func(tx *state.Tx) error {
		backups, err := tx.Backups(t.job.ID)
		b, bad := actions.BadBase(backups, t.settings.Strategy)
		name, is = b.Name, bad
		return err
	})
	return name, is && err == nil
}

// isDeletesMost tells the error of a sync that waits for a person's word.
func isDeletesMost(err error) bool {
	_, most := errors.AsType[*actions.DeletesMost](err)
	return most
}

// isUnknownBackup tells the error of a place with a backup that is not on record.
func isUnknownBackup(err error) bool {
	_, unknown := errors.AsType[*actions.UnknownBackup](err)
	return unknown
}

// safeText says what a run that failed has that is not lost.
func safeText(r state.Run, b state.Backup, known bool) string {
	var parts []string
	switch {
	case r.SnapshotGUID != "":
		parts = append(parts, "snapshot held")
	case madeSnapshot(r):
		parts = append(parts, "snapshot made")
	}
	if known && b.Files != nil && b.Files.Sent > 0 {
		parts = append(parts, fmt.Sprintf("%s synced", counted(int(b.Files.Sent), "file")))
	}
	if known && b.Sums.Sealed > 0 {
		parts = append(parts, counted(b.Sums.Sealed, "chunk")+" sealed")
	}
	if known && b.Sums.Uploaded > 0 {
		parts = append(parts, fmt.Sprintf("%s on the remote and checked", count(b.Sums.Uploaded)))
	}
	if len(parts) == 0 {
		return "nothing yet"
	}
	return strings.Join(parts, ", ")
}

func (a *App) interruptedText(t *taken, r state.Run) string {
	if workflow.RunMachine.In(r.State, workflow.RunAborting) {
		return "interrupted: run " + r.ID + " is being given up; not all it left is removed yet\nNext: " + a.again("abort "+r.ID)
	}
	text := "interrupted: run " + r.ID + " stopped at a checkpoint"
	b, ok := t.backup(r)
	if ok && b.Files != nil && b.Files.Sent > 0 {
		text = fmt.Sprintf("interrupted: %s synced, which are not sent again", counted(int(b.Files.Sent), "file"))
	}
	if ok && b.Sums.Sealed > 0 {
		text = fmt.Sprintf("interrupted: %s sealed, %s on the remote, and stay there", counted(b.Sums.Sealed, "chunk"), count(b.Sums.Uploaded))
	}
	if stoppedAgain(r) {
		text = fmt.Sprintf("%srun %s was asked to stop %s and got no further meanwhile, last in %s\n%s", a.subject(t), r.ID, counted(r.Stops, "time"), safe(stepName(r)), text)
	}
	return text + "\nNext: " + a.again("resume "+r.ID)
}

func (a *App) ownedText(t *taken, e *state.OwnedError) string {
	who := e.Who
	next := "\nNothing was changed. To see how far it is: " + a.again("status")
	if t.waits {
		next = "\nNothing was changed. To wait: " + a.again("run --wait 3h")
	}
	if who.Run == "" {
		return a.subject(t) + e.Error() + "." + next
	}
	text := fmt.Sprintf("%srun %s (pid %d) has been working since %s", a.subject(t), who.Run, who.PID, clock(a, who.Since))
	var r state.Run
	var ok bool
	err := t.store.View(func(tx *state.Tx) (err error) {
		r, ok, err = tx.Run(who.Run)
		return err
	})
	if err == nil && ok {
		for _, s := range r.Steps {
			if workflow.StepMachine.In(s.State, workflow.StepRunning) {
				text += ", now in " + s.Shown
			}
		}
	}
	return text + "." + next
}

func (t *taken) backup(r state.Run) (b state.Backup, ok bool) {
	if r.Backup == "" {
		return b, false
	}
	err := t.store.View(func(tx *state.Tx) (err error) {
		b, ok, err = tx.Backup(r.Job, r.Backup)
		return err
	})
	return b, ok && err == nil
}

// lastGood says which backup is a job's newest that can be restored.
func (t *taken) lastGood(job string) string {
	var newest state.Backup
	err := t.store.View(func(tx *state.Tx) error {
		if job == "" {
			return nil
		}
		backups, err := tx.Backups(job)
		newest = actions.NewestWhole(backups)
		return err
	})
	switch {
	case err != nil:
		return "not known: " + err.Error()
	case newest.Name == "":
		return "none yet"
	}
	return fmt.Sprintf("%s, %s", newest.Name, age(t.app.World.Now(), newest.Created))
}

// tellNews says off a terminal what cron would not know otherwise: that an earlier run was finished first.
func (t *taken) tellNews(news []string, now state.Run) {
	if len(news) == 0 {
		return
	}
	fmt.Fprintf(t.app.Err, "%s%s, then backed up %s. Nothing to do.\n", t.app.subject(t), strings.Join(news, "; "), now.Backup)
}

// done prints the one line of a run that succeeded: on a terminal, in the journal, or with -v. To who asked what a prune would do it is
// the answer.
func (t *taken) done(r state.Run) {
	if t.app.JSON != nil {
		t.jsonDone(r)
		return
	}
	if r.Restore != nil {
		t.restored(r)
		return
	}
	a := t.app
	b, ok := t.backup(r)
	asked := r.Typed != "" && actions.OnlyLooks(r.Steps[0])
	if !asked && !a.Terminal && !a.Journal && a.Verbose == 0 {
		return
	}
	for _, n := range r.Notes {
		fmt.Fprintf(a.Err, "note: %s\n", safe(n))
	}
	if asked {
		fmt.Fprintln(a.Out, r.Steps[0].Detail)
		return
	}
	took := a.World.Now().Sub(r.Started)
	switch {
	case workflow.RunMachine.In(r.State, workflow.RunAborted):
		fmt.Fprintf(a.Out, "run %s given up: %s\n", r.ID, safe(r.Why))
	case ok && b.Files != nil:
		f := b.Files
		fmt.Fprintf(a.Out, "done %s: %s, %s sent, %s deleted, %s\n", b.Name, size(f.Bytes), counted(int(f.Sent), "file"), counted(int(f.Deleted), "object"), duration(took))
	case ok:
		fmt.Fprintf(a.Out, "done %s: %s, %s, %s\n", b.Name, size(b.Sums.BytesSealed), counted(b.Sums.Sealed, "chunk"), duration(took))
	case r.Snapshot != "":
		fmt.Fprintf(a.Out, "done %s@%s\n", r.Frozen.Dataset, r.Snapshot)
	default:
		fmt.Fprintf(a.Out, "done %s\n", r.Steps[0].Detail)
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
