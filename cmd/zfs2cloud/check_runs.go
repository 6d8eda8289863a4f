package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"zfs2cloud/actions"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// lookHooks: which scripts stop and start the application. What looks wrong in their order is a warning of
// the config.
func (c *checkup) lookHooks(_ context.Context, f facts) (facts, []finding) {
	steps := c.settings.Steps
	at := slices.IndexFunc(steps, func(s settings.Step) bool { return s.Name == actions.StepSnapshot })
	if at < 0 {
		return f, []finding{fine("hooks", "no snapshot in the sequence: the newest is exported, whoever made it")}
	}
	before, after := scriptBeside(steps, at, -1), scriptBeside(steps, at, +1)
	if before == "" {
		return f, []finding{c.find(noticeNoHooks, nil)}
	}
	text := before + " before snapshot"
	if after != "" {
		text += ", " + after + " after it"
	}
	return f, []finding{fine("hooks", text)}
}

// scriptBeside is the script next to a step, past lock and unlock, or "".
func scriptBeside(steps []settings.Step, at, direction int) string {
	for i := at + direction; i >= 0 && i < len(steps); i += direction {
		switch {
		case steps[i].Script:
			return steps[i].Shown
		case steps[i].Name != actions.StepLock && steps[i].Name != actions.StepUnlock:
			return ""
		}
	}
	return ""
}

// lookSteps: whether snapshots can be mounted, and the upload that file mode's shipped example calls.
func (c *checkup) lookSteps(ctx context.Context, f facts) (facts, []finding) {
	var found []finding
	for _, s := range c.settings.Steps {
		switch {
		case s.Script:
		case s.Name == actions.StepMount:
			found = append(found, c.mounts())
		case s.Name == actions.StepUploadFiles, s.Name == actions.StepUpload && c.settings.Mode == settings.File:
			found = append(found, c.syncs(ctx, f, s))
		}
	}
	return f, found
}

// mounts: a snapshot can be mounted, in a folder where nobody else could put another.
func (c *checkup) mounts() finding {
	if err := actions.CanMount(c.settings.IntermediateDir); err != nil {
		return c.find(noticeMounts, args{"err": err.Error()})
	}
	return fine("mount", "snapshots can be mounted in "+c.settings.IntermediateDir)
}

// syncs counts what lies where a sync would delete.
func (c *checkup) syncs(ctx context.Context, f facts, s settings.Step) finding {
	there := "an unknown number"
	if r, err := c.kit(f).Remote(c.settings.Remote); err == nil {
		all, err := r.List(ctx, c.reading(), "", "")
		if err == nil || errors.Is(err, remote.ErrNotThere) {
			there = counted(len(all), "object")
		}
	}
	if s.Name == actions.StepUpload {
		return c.find(noticeFileModeUpload, args{"step": s.Name, "place": c.settings.Remote, "n": there})
	}
	return fine("steps", fmt.Sprintf("%s makes %s equal to the snapshot, and deletes the rest there: %s at its root now", s.Name, c.settings.Remote, there))
}

// lookLock: who is at work, and who keeps runs out.
func (c *checkup) lookLock(_ context.Context, f facts) (facts, []finding) {
	var found []finding
	if f.info.GUID != 0 && f.stateReads {
		found = append(found, c.atWork(f)...)
		found = append(found, c.operator(f)...)
	}
	file := oldLock(c.settings)
	info, err := os.Lstat(file)
	switch {
	case err == nil:
		found = append(found, c.find(noticeLockFile, args{"file": file, "age": age(c.app.World.Now(), info.ModTime())}))
	case !errors.Is(err, fs.ErrNotExist):
		found = append(found, c.find(noticeBasedir, args{"dir": file, "err": reason(err)}).named("lock"))
	}
	return f, found
}

func (c *checkup) atWork(f facts) []finding {
	who, alive, err := c.app.Folder.Alive(f.info.GUID.String())
	if err != nil {
		return []finding{c.find(noticeState, args{"err": err.Error()}).named("lock")}
	}
	if !alive {
		return nil
	}
	what := "a command"
	if who.Run != "" {
		what = "run " + who.Run
	}
	return []finding{fine("lock", fmt.Sprintf("%s (pid %d) is at work, since %s", what, who.PID, clock(c.app, who.Since)))}
}

// operator looks in the database, and for the note by which another database's lock is known.
func (c *checkup) operator(f facts) []finding {
	guid := f.info.GUID.String()
	var lock state.Lock
	var held bool
	err := c.store.View(func(tx *state.Tx) (err error) {
		lock, held, err = workflow.OperatorLock(tx, guid, c.settings.Dataset)
		return err
	})
	if err == nil && !held {
		var notes []state.Note
		if notes, err = c.app.lockNotes(guid, c.settings.Dataset); err == nil && len(notes) > 0 {
			held, err = true, notes[0].Decode(&lock)
		}
	}
	switch {
	case err != nil:
		return []finding{c.find(noticeState, args{"err": err.Error()}).named("lock")}
	case held:
		return []finding{c.find(noticeLocked, args{"text": (&workflow.LockedError{Lock: lock}).Error()})}
	}
	return nil
}

// lookRuns: runs of this dataset that died, or wait to be finished.
func (c *checkup) lookRuns(_ context.Context, f facts) (facts, []finding) {
	if f.info.GUID == 0 || !f.stateReads {
		return f, nil
	}
	guid := f.info.GUID.String()
	var runs []state.Run
	err := c.store.View(func(tx *state.Tx) (err error) {
		runs, err = tx.Runs()
		return err
	})
	if err != nil {
		return f, []finding{c.find(noticeState, args{"err": err.Error()}).named("runs")}
	}
	runs = slices.DeleteFunc(runs, func(r state.Run) bool {
		return r.DatasetGUID != guid || workflow.Over(r.State)
	})
	var found []finding
	for _, r := range runs {
		alive, err := c.app.Folder.AliveRun(guid, r.Owner.Nonce)
		switch {
		case err != nil:
			found = append(found, c.find(noticeState, args{"err": err.Error()}).named("runs"))
		case !alive:
			found = append(found, c.unfinished(f, r))
		}
	}
	return f, append(found, c.notedBrackets(guid, runs)...)
}

func (c *checkup) unfinished(f facts, r state.Run) finding {
	conf := configOf(f.jobs, r)
	a := args{"run": r.ID, "started": day(c.app, r.Started), "config": shellQuote(conf), "what": "resume", "command": c.app.again("")}
	was, _ := workflow.Found(r, state.Owner{})
	a["state"] = string(was)
	if workflow.NeedsForce(r, state.Owner{}) {
		a["what"] = "resume --force"
	}
	switch {
	case workflow.BracketMachine.In(r.Bracket, workflow.BracketOpen):
		if r.Job != f.job.ID && conf != c.settings.Path { // its own config's command goes on with it
			a["command"] = "zfs2cloud -c " + shellQuote(conf) + " "
		}
		return c.find(noticeAppStopped, a)
	case r.Job != f.job.ID:
		return c.find(noticeForeignRun, a)
	case was == workflow.RunStuck && !actions.CanWait(r):
		return c.find(noticeStuck, a)
	case was == workflow.RunAborting:
		a["what"] = "abort"
	}
	return c.find(noticeUnfinished, a)
}

// notedBrackets are open brackets of runs that this database does not know.
func (c *checkup) notedBrackets(guid string, known []state.Run) []finding {
	notes, err := c.app.Folder.Notes("bracket", guid)
	if err != nil {
		return []finding{c.find(noticeState, args{"err": err.Error()}).named("runs")}
	}
	var found []finding
	for _, n := range notes {
		if !slices.ContainsFunc(known, func(r state.Run) bool { return r.ID == n.ID }) {
			found = append(found, c.find(noticeAppStoppedNoted, args{"run": n.ID}))
		}
	}
	return found
}
