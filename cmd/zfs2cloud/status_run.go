package main

import (
	"fmt"
	"strings"
	"time"

	"zfs2cloud/actions"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// runBlock says how a run is: since when, where exactly, and what to type.
func (s *sight) runBlock(r state.Run) block {
	app := s.application(r)
	switch st := s.stateOf(r); {
	case workflow.Over(r.State):
		return s.finishedBlock(r)
	case s.alive(r) == nil:
		return s.unknownBlock(r)
	case s.isAlive(r):
		return s.runningBlock(r)
	case st == workflow.RunAborting && !workflow.BracketMachine.In(r.Bracket, workflow.BracketOpen):
		return s.abortingBlock(r)
	case app == workflow.AppStopped, app == workflow.AppUnknown:
		return s.stoppedBlock(r, app)
	case st == workflow.RunStuck:
		return s.stuckBlock(r)
	case st == workflow.RunFailed:
		return s.failedBlock(r)
	}
	return s.interruptedBlock(r)
}

// runHead says which dataset, and where it is backed up to, or restored from.
func runHead(r state.Run) string {
	if r.Restore != nil {
		return safe(r.Restore.Target()) + " from " + safe(r.Frozen.Remote)
	}
	return head(r.Frozen.Dataset, placeOf(r))
}

func (s *sight) runningBlock(r state.Run) block {
	b := block{rank: rankRunning, word: "RUNNING", mood: good, subject: runHead(r)}
	since := fmt.Sprintf("since %s (%s)", local(s.now, r.Started, toTheMinute), s.since(r.Started))
	if taken := s.owners[r.DatasetGUID].who.Since; taken.Sub(r.Started) > time.Minute {
		since = fmt.Sprintf("of %s, resumed %s (%s)", localDay(s.now, r.Started), local(s.now, taken, toTheMinute), s.since(taken))
	}
	b.say("run %s %s, pid %d", r.ID, since, r.Owner.PID)
	if r.Closing {
		b.mood = wary
		b.say("it was cut off; the application is being brought back: %s", safe(hooksDue(r, "post")))
	} else if workflow.RunMachine.In(r.State, workflow.RunAborting) {
		b.word, b.mood = "ABORTING", wary
		b.say("it is being given up%s", because(r))
	} else if text := s.progress(r); text != "" {
		b.say("%s", text)
		if i := atWork(r); i >= 0 && workflow.Kind(r.Steps[i].Kind) == workflow.Export && r.Steps[i].Detail != "" {
			b.say("export: %s", safe(r.Steps[i].Detail))
		}
	}
	if w := r.Waits; w != nil && s.now.Before(w.Until) {
		sayError(&b, fmt.Sprintf("tries again %s: %s", local(s.now, w.Until, toTheSecond), w.Why))
	}
	if s.application(r) == workflow.AppStopped {
		if began, ok := bracketBegan(r); ok {
			b.say("the application has been stopped for %s", s.since(began))
		}
	}
	b.say("last checkpoint %s", age(s.now, r.Updated))
	b.row("next", "nothing to do")
	return b
}

// progress says where a live run is: what is done of the backup, and what it does now.
func (s *sight) progress(r state.Run) string {
	backup, known := s.backup(r)
	var parts []string
	now := atWork(r)
	for i, step := range r.Steps {
		kind := workflow.Kind(step.Kind)
		done := workflow.StepMachine.In(step.State, workflow.StepDone)
		switch {
		case known && kind == workflow.Export && done:
			parts = append(parts, "export done")
		case known && backup.Files != nil && isSync(step) && done:
			parts = append(parts, "sync done")
		case known && kind == workflow.Upload && done:
			parts = append(parts, "upload done")
		case i != now:
		case r.Restore != nil && i < len(r.Restore.Chain):
			what := fmt.Sprintf("%s %d of %d", step.Name, i+1, len(r.Restore.Chain))
			parts = append(parts, amount(what, r.Restore.Passed, r.Restore.Chain[i].StreamBytes, false, pace(r, step, r.Restore.Passed)))
		case known && backup.Files != nil && isSync(step) && backup.Files.There+backup.Files.Total > 0:
			parts = append(parts, amount("sync", backup.Files.Bytes, backup.Files.Total, false, pace(r, step, backup.Files.Bytes)))
		case known && kind == workflow.Export:
			parts = append(parts, amount("export", backup.Sums.PlainSealed, backup.Estimate, true, pace(r, step, backup.Sums.PlainSealed)))
		case known && kind == workflow.Upload:
			parts = append(parts, amount("upload", backup.Sums.BytesUploaded, backup.Sums.BytesSealed, false, pace(r, step, backup.Sums.BytesUploaded)))
		case workflow.StepMachine.In(step.State, workflow.StepRunning) && step.Started != nil && step.Starts == 1:
			parts = append(parts, fmt.Sprintf("in %s for %s%s", safe(step.Shown), s.since(*step.Started), provedWords(r)))
		case workflow.StepMachine.In(step.State, workflow.StepRunning):
			parts = append(parts, "in "+safe(step.Shown)+provedWords(r))
		default:
			parts = append(parts, "before "+safe(step.Shown))
		}
	}
	return strings.Join(parts, "; ")
}

// isSync tells whether a step syncs files, where the run's backup is of files.
func isSync(step state.Step) bool {
	return step.Name == actions.StepUploadFiles || step.Name == actions.StepUpload
}

// amount says how much of a backup is through a step, as far as that is known.
func amount(what string, done, total int64, estimated bool, bytesPerSecond float64) string {
	if total <= 0 || estimated && done > total {
		what += " " + size(done)
		total = 0
	} else {
		share := percent(done, total)
		if estimated {
			share = min(share, 99)
		}
		what += fmt.Sprintf(" %d%%, %s", share, sizeOf(done, total, estimated))
	}
	if bytesPerSecond > 0 {
		what += ", " + rate(bytesPerSecond)
		if rest := left(total-done, bytesPerSecond); rest > 0 {
			what += ", ~" + duration(rest) + " left"
		}
	}
	return what
}

func (s *sight) interruptedBlock(r state.Run) block {
	b := block{rank: rankInterrupted, word: "INTERRUPTED", mood: wary, subject: runHead(r)}
	b.say("run %s, last checkpoint %s, %s", r.ID, local(s.now, r.Updated, toTheSecond), age(s.now, r.Updated))
	if s.died(r) {
		b.say("its process is gone%s%s", s.rebooted(r), s.orphans(r))
	}
	s.sayWhere(&b, r, "in "+safe(stepName(r))+provedWords(r))
	b.next("next", s.next(r), s.orLeaveIt(r))
	return b
}

// provedWords says how many chunks a verification has behind it, if a run is at one.
func provedWords(r state.Run) string {
	if i := atWork(r); i < 0 || r.Steps[i].Name != actions.StepVerify || r.High.Verified == 0 {
		return ""
	}
	return ", " + counted(r.High.Verified, "chunk") + " proved"
}

// rebooted says that the host was booted since a run's process was alive.
func (s *sight) rebooted(r state.Run) string {
	if r.Owner.Boot == "" || r.Owner.Boot == s.app.Boot {
		return ""
	}
	if s.booted.IsZero() {
		return "; the host was booted since (power cut or reboot)"
	}
	return fmt.Sprintf("; the host booted %s (power cut or reboot)", local(s.now, s.booted, toTheMinute))
}

// orphans says that programs outlived the run that started them. The next command ends them.
func (s *sight) orphans(r state.Run) string {
	if o := s.owners[r.DatasetGUID]; o.kids && !o.alive {
		return "; programs that it started still run: the next command ends them"
	}
	return ""
}

// sayWhere says how far a run has come that nobody works on; WHERE is left out where it was said.
func (s *sight) sayWhere(b *block, r state.Run, where string) {
	text := s.chunkWords(r)
	if where != "" && text != "" {
		text = ": " + text
	}
	if where += text; where != "" {
		b.say("%s", where)
	}
	if app := s.application(r); app != "" {
		b.say("app: %s", app)
	}
	if s.owners[r.DatasetGUID].alive {
		b.say("the dataset is in the hands of %s", s.ownerWords(r.DatasetGUID))
	}
}

func (s *sight) orLeaveIt(r state.Run) string {
	switch {
	case s.owners[r.DatasetGUID].alive:
		return "once that is over"
	case r.Restore != nil:
		return "" // no run does it
	case actions.CanWait(r):
		return "(or leave it: no backup waits for it)"
	}
	for _, j := range s.jobs {
		if now, yes := s.superseded(j); yes && j.ID == r.Job {
			return "(no run does it: the config backs up " + nowInstead(j, now) + " now)"
		}
	}
	return "(or leave it: the next run does it first)"
}

func (s *sight) chunkWords(r state.Run) string {
	if r.Restore != nil {
		return restoredWords(r)
	}
	backup, known := s.backup(r)
	if !known {
		return ""
	}
	if f := backup.Files; f != nil {
		if f.Sent+f.Deleted == 0 {
			return ""
		}
		return fmt.Sprintf("%s synced, %s", counted(int(f.Sent), "file"), sizeOf(f.Bytes, f.Total, false))
	}
	sums := backup.Sums
	total, noun := "", "chunks"
	if n, estimated := chunkTotal(backup); n > 0 {
		total = " of " + count(n)
		if estimated {
			total = " of ~" + count(n)
		}
	}
	done, where := sums.Uploaded, fmt.Sprintf("there, %s sealed here", count(sums.Sealed-sums.Uploaded))
	if r.Frozen.Remote == "" {
		done, where = sums.Sealed, "sealed"
	}
	if total == "" && done == 1 {
		noun = "chunk"
	}
	return fmt.Sprintf("%s%s %s %s", count(done), total, noun, where)
}

func (s *sight) failedBlock(r state.Run) block {
	b := block{rank: rankFailed, word: "FAILED", mood: wrong, subject: runHead(r)}
	ended := r.Updated
	if r.Ended != nil {
		ended = *r.Ended
	}
	b.say("run %s of %s, failed %s, %s", r.ID, localDay(s.now, r.Started), local(s.now, ended, toTheMinute), age(s.now, ended))
	if i := atWork(r); i >= 0 && r.Steps[i].Starts > 1 && r.Steps[i].Started != nil {
		step := r.Steps[i]
		b.say("%s was started %s since %s", safe(step.Shown), counted(step.Starts, "time"), localDay(s.now, *step.Started))
	}
	sayError(&b, r.Error) // names the step
	s.sayWhere(&b, r, "")
	b.next("next", s.next(r), "once the cause is removed")
	if _, locked := s.operatorLock(r.DatasetGUID); !locked {
		b.next("  or", s.runHint(r, "abort "+r.ID), "gives the run up")
	}
	return b
}

// errorLines bounds what is shown of an error: scripts and programs may say a lot.
const errorLines = 6

func sayError(b *block, text string) {
	lines := withoutEcho(strings.Split(strings.TrimSpace(text), "\n"))
	for _, l := range lines[:min(len(lines), errorLines)] {
		if l = strings.TrimSpace(l); l != "" {
			b.say("%s", safe(l))
		}
	}
}

// stoppedBlock is the one that must not wait till morning.
func (s *sight) stoppedBlock(r state.Run, app string) block {
	b := block{rank: rankAppStopped, word: "APP STOPPED", mood: wrong, subject: safe(r.Frozen.Dataset)}
	if app == workflow.AppUnknown {
		b.word = "APP UNKNOWN"
	}
	ended := "was cut off after"
	if s.stateOf(r) == workflow.RunFailed {
		ended = "failed"
	}
	b.say("run %s %s %s, between its hooks", r.ID, ended, local(s.now, r.Updated, toTheSecond))
	if s.died(r) {
		if text := s.rebooted(r) + s.orphans(r); text != "" {
			b.say("its process is gone%s", text)
		}
	}
	b.say("%s", s.hookWords(r))
	b.say("%s", snapshotWords(r))
	sayError(&b, r.Error)
	due := safe(hooksDue(r, "post"))
	if due == "" {
		due = "what is left"
	}
	resume := "resume "
	if workflow.NeedsForce(r, s.owners[r.DatasetGUID].who) { // it is not alive
		resume = "resume --force "
	}
	if app == workflow.AppUnknown {
		b.next("next", s.runHint(r, resume+r.ID), "once the cause is removed: runs "+due+" again, and goes on")
		b.next("  or", s.runHint(r, "abort --skip-hooks "+r.ID), "leaves the application as it is, gives the run up")
		return b
	}
	b.next("next", s.runHint(r, "abort "+r.ID), "runs "+due+", gives the run up")
	again := ", then stops the app again for the backup"
	if madeSnapshot(r) {
		again = ", then goes on with the backup"
	}
	b.next("  or", s.runHint(r, resume+r.ID), "runs "+due+again)
	return b
}

// hookWords says how each script around the snapshot ended, and for how long the application is stopped.
func (s *sight) hookWords(r state.Run) string {
	var parts []string
	for i, step := range r.Steps {
		phase := workflow.Phase(r.Steps, i)
		if workflow.Kind(step.Kind) != workflow.Hook || phase == "step" {
			continue
		}
		name := safe(step.Shown)
		switch {
		case workflow.StepMachine.In(step.State, workflow.StepDone) && step.Ended != nil:
			parts = append(parts, fmt.Sprintf("%s ended %s, exit 0", name, local(s.now, *step.Ended, toTheSecond)))
		case workflow.StepMachine.In(step.State, workflow.StepFailed) && step.Ended != nil:
			parts = append(parts, fmt.Sprintf("%s failed %s", name, local(s.now, *step.Ended, toTheSecond)))
		case workflow.StepMachine.In(step.State, workflow.StepRunning):
			parts = append(parts, name+" was cut off")
		default:
			parts = append(parts, name+" never ran")
		}
	}
	text := strings.Join(parts, "; ")
	if began, ok := bracketBegan(r); ok {
		text += ": " + s.since(began)
	}
	return text
}

// bracketBegan is when the first pre-snapshot operation was started.
func bracketBegan(r state.Run) (time.Time, bool) {
	for i, step := range r.Steps {
		if workflow.Kind(step.Kind) == workflow.Hook && workflow.Phase(r.Steps, i) == "pre" && step.Started != nil {
			return *step.Started, true
		}
	}
	return time.Time{}, false
}

func madeSnapshot(r state.Run) bool {
	for _, step := range r.Steps {
		if workflow.Kind(step.Kind) == workflow.Snapshot {
			return workflow.StepMachine.In(step.State, workflow.StepDone)
		}
	}
	return false
}

func snapshotWords(r state.Run) string {
	for _, step := range r.Steps {
		if workflow.Kind(step.Kind) != workflow.Snapshot {
			continue
		}
		switch {
		case workflow.StepMachine.In(step.State, workflow.StepDone):
			return "snapshot " + safe(snapshotName(r)) + " was made"
		case workflow.StepMachine.In(step.State, workflow.StepRunning):
			return "whether a snapshot was made is not known: the step was cut off"
		}
	}
	return "no snapshot was made"
}

// snapshotName is the full name of a run's snapshot, or nothing.
func snapshotName(r state.Run) string {
	if r.Snapshot == "" {
		return ""
	}
	return r.Frozen.Dataset + "@" + r.Snapshot
}

func (s *sight) stuckBlock(r state.Run) block {
	b := block{rank: rankStuck, word: "STUCK", mood: wrong, subject: safe(r.Frozen.Dataset)}
	_, deaths := s.found(r)
	if n := len(deaths); n > 0 {
		first, last := deaths[0], deaths[n-1]
		b.say("run %s was killed %s without progress:", r.ID, counted(n, "time"))
		b.say("last in %s: %s … %s", safe(last.Where), localDay(s.now, first.At), localDay(s.now, last.At))
	} else {
		b.say("run %s of %s goes in circles:", r.ID, localDay(s.now, r.Started))
		sayError(&b, r.Error)
	}
	s.sayWhere(&b, r, "")
	if r.Restore == nil && !actions.CanWait(r) {
		b.say("No run starts by itself now (exit 5)")
	}
	again, label := s.next(r), "next"
	if n := len(deaths); n > 0 {
		b.next(label, kernelLog(deaths[n-1].At), "says whether the kernel killed it")
		label = "  then"
	}
	b.next(label, again, "once more")
	b.next("  or", s.runHint(r, "abort "+r.ID), "gives the run up")
	return b
}

// kernelLog is the command that shows what the kernel said around a moment.
func kernelLog(t time.Time) string {
	const layout = "2006-01-02 15:04"
	t = t.Local()
	return fmt.Sprintf("journalctl -k --since %q --until %q", t.Add(-time.Minute).Format(layout), t.Add(2*time.Minute).Format(layout))
}

func (s *sight) abortingBlock(r state.Run) block {
	b := block{rank: rankAborting, word: "ABORTING", mood: wary, subject: runHead(r)}
	b.say("run %s is given up%s", r.ID, because(r))
	b.say("what it left is not all removed; last checkpoint %s, %s", local(s.now, r.Updated, toTheSecond), age(s.now, r.Updated))
	sayError(&b, r.Error)
	if s.application(r) == workflow.AppUnknown {
		b.say("its hooks were skipped: start the application by hand")
	}
	s.sayWhere(&b, r, "in "+safe(stepName(r)))
	b.next("next", s.next(r), s.orLeaveIt(r))
	if backup, known := s.backup(r); known && len(backup.Manifest) > 0 {
		b.next("  or", s.runHint(r, "abort --leave-remote "+r.ID), "if its remote is gone for good")
	}
	return b
}

func (s *sight) unknownBlock(r state.Run) block {
	b := block{rank: rankUnknown, word: "NOT KNOWN", mood: wary, subject: runHead(r)}
	b.say("run %s is on record as %s, pid %d; last checkpoint %s", r.ID, r.State, r.Owner.PID, age(s.now, r.Updated))
	err := s.folderErr
	if err == nil {
		err = s.owners[r.DatasetGUID].err
	}
	b.say("whether it is alive can't be told: %s", safe(err.Error()))
	b.row("next", "remove the cause, and look again")
	return b
}

func (s *sight) finishedBlock(r state.Run) block {
	b := block{rank: rankOK, word: strings.ToUpper(r.State.String()), mood: good, subject: runHead(r)}
	ended := r.Updated
	if r.Ended != nil {
		ended = *r.Ended
	}
	b.say("run %s of %s, ended %s after %s%s", r.ID, localDay(s.now, r.Started), local(s.now, ended, toTheMinute), duration(ended.Sub(r.Started)), because(r))
	return b
}
