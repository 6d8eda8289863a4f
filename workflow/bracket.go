package workflow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zfs2cloud/state"
)

// A bracket is the snapshot with the scripts around it: those directly before are pre-snapshot
// operations, those directly behind post-snapshot operations, and lock or unlock between do not end it.
// Once the first pre-snapshot operation was started, every post-snapshot operation is run (I3), by this
// process or by the next command that takes the dataset.
type bracket struct {
	first, last int   // of the steps that a rewind takes back
	snapshot    int   //
	pre, post   []int // positions of scripts
}

// bracketOf finds the bracket of a plan; there is none without a snapshot step.
func bracketOf(steps []state.Step) (bracket, bool) {
	b := bracket{snapshot: -1}
	for i, s := range steps {
		if Kind(s.Kind) == Snapshot {
			b.snapshot = i
			break
		}
	}
	if b.snapshot < 0 {
		return b, false
	}
	b.first, b.last = b.snapshot, b.snapshot
	for i := b.snapshot - 1; i >= 0 && inBracket(steps[i]); i-- {
		if Kind(steps[i].Kind) == Hook {
			b.pre = append([]int{i}, b.pre...)
			b.first = i
		}
	}
	for i := b.snapshot + 1; i < len(steps) && inBracket(steps[i]); i++ {
		if Kind(steps[i].Kind) == Hook {
			b.post = append(b.post, i)
			b.last = i
		}
	}
	return b, true
}

func inBracket(s state.Step) bool {
	switch Kind(s.Kind) {
	case Hook, Lock, Unlock:
		return true
	}
	return false
}

// Phase tells a script where it stands: "pre" or "post" in the bracket, "step" elsewhere.
func Phase(steps []state.Step, i int) string {
	b, ok := bracketOf(steps)
	switch {
	case ok && len(b.pre) > 0 && i >= b.first && i < b.snapshot:
		return "pre"
	case ok && i > b.snapshot && i <= b.last:
		return "post"
	}
	return "step"
}

// opens tells whether starting step i opens the bracket: the first pre-snapshot operation does.
func (b bracket) opens(i int) bool { return len(b.pre) > 0 && b.pre[0] == i }

// settleTime bounds the one look at ZFS while the application is stopped.
const settleTime = 5 * time.Second

// closeBracket runs what is left of the post-snapshot operations, each tried even if one fails. If all
// were run, the bracket is closed and, unless this attempt's snapshot exists, taken back, so that the run
// starts again from its first pre-snapshot operation. The error says which operation failed: then the
// bracket stays open, and the next command tries again. If the database can't be written, they are run without it.
func (e *Engine) closeBracket(s *Session) error {
	err := e.runPost(s)
	if broken := s.failed(); broken != nil {
		return errors.Join(broken, e.rescue(s.Run()))
	}
	return err
}

func (e *Engine) runPost(s *Session) error {
	run := s.Run()
	b, ok := bracketOf(run.Steps)
	if !ok || !BracketMachine.In(run.Bracket, BracketOpen) {
		return nil
	}
	if still, note := e.endCutOffHook(run); note != "" {
		// If this can't be stored, nothing is that follows, and the rest is done without it.
		_ = s.update(func(_ *state.Tx, r *state.Run) error {
			r.CutOff, r.Notes = still, append(r.Notes, note)
			return nil
		})
	}
	there := e.snapshotThere(s, b)
	var errs []error
	for _, i := range b.post {
		if StepMachine.In(s.Run().Steps[i].State, StepDone) {
			continue
		}
		if err := e.perform(s, i); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return &BracketError{Run: run.ID, Err: errors.Join(errs...)}
	}
	err := s.update(func(tx *state.Tx, r *state.Run) error {
		// The last post-snapshot operation closed it already, if all before it were done.
		if BracketMachine.In(r.Bracket, BracketOpen) {
			if err := BracketMachine.Fire(tx, &r.Bracket, BracketCloses); err != nil {
				return err
			}
		}
		if there {
			return nil
		}
		return rewind(tx, r, b)
	})
	if err != nil {
		return err
	}
	return e.dropBracketNote(run)
}

// rescue brings the application back when the database can't be written: what is left of the post-snapshot
// operations is run without a checkpoint. The bracket stays open on record, and the next command runs them again.
func (e *Engine) rescue(r state.Run) error {
	b, ok := bracketOf(r.Steps)
	if !ok || !BracketMachine.In(r.Bracket, BracketOpen) {
		return nil
	}
	e.Log.Warn("the database can't be written; the post-snapshot operations are run all the same", "run", r.ID)
	var errs []error
	for _, i := range b.post {
		step := r.Steps[i]
		if StepMachine.In(step.State, StepDone) {
			continue
		}
		if err := e.bareHook(append([]string{step.Name}, step.Args...), bareEnv(r.ID, r.Frozen.Dataset), r.Frozen.HookTimeout); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return &BracketError{Run: r.ID, Err: errors.Join(errs...)}
	}
	return nil
}

// bareHook runs a post-snapshot operation where there is no session. A stop signal that is not the first ends it, and not those
// that come after it.
func (e *Engine) bareHook(argv, env []string, timeout time.Duration) error {
	ctx, done := e.Stop.Hook()
	defer done()
	if err := e.Hook(ctx, argv, env, timeout); err != nil {
		return fmt.Errorf("%s: %w", argv[0], err)
	}
	return nil
}

// bareEnv is what a post-snapshot operation is told where there is no session.
func bareEnv(run, dataset string) []string {
	return []string{"ZFS2CLOUD_RUN=" + run, "ZFS2CLOUD_DATASET=" + dataset, "ZFS2CLOUD_SNAPSHOT=", "ZFS2CLOUD_PHASE=post"}
}

// snapshotThere tells whether this attempt's snapshot exists: by its stored result, else by one short
// look before the first post-snapshot operation, where "don't know" counts as no. What turns up once the
// application runs again is never used.
func (e *Engine) snapshotThere(s *Session, b bracket) bool {
	steps := s.Run().Steps
	switch step := steps[b.snapshot]; {
	case StepMachine.In(step.State, StepDone):
		return true
	case StepMachine.In(step.State, StepWaiting):
		return false
	}
	for _, i := range b.post {
		if !StepMachine.In(steps[i].State, StepWaiting) {
			return false
		}
	}
	def, err := e.Step(steps[b.snapshot])
	if err != nil || def.Settle == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	there, err := def.Settle(ctx, s.at(b.snapshot))
	if err != nil {
		e.Log.Warn("can't tell whether the snapshot was made; it is not used", "run", s.id, "err", err)
		return false
	}
	if !there {
		return false
	}
	err = s.update(func(tx *state.Tx, r *state.Run) error {
		step := &r.Steps[b.snapshot]
		if StepMachine.In(step.State, StepFailed) {
			if err := StepMachine.Fire(tx, &step.State, StepRetry); err != nil {
				return err
			}
		}
		return finishStep(tx, r, b.snapshot, s.Now())
	})
	return err == nil
}

// rewind takes the bracket's steps back to waiting, with a new attempt.
func rewind(tx *state.Tx, r *state.Run, b bracket) error {
	for i := b.first; i <= b.last; i++ {
		step := &r.Steps[i]
		if k := Kind(step.Kind); k == Lock || k == Unlock {
			continue
		}
		if !StepMachine.In(step.State, StepWaiting) {
			if err := StepMachine.Fire(tx, &step.State, StepRewind); err != nil {
				return err
			}
		}
		step.Attempt++
		step.Started, step.Ended, step.Error, step.Detail = nil, nil, "", ""
	}
	r.Snapshot, r.SnapshotGUID = "", ""
	return BracketMachine.Fire(tx, &r.Bracket, BracketRewind)
}

// hookEndTime bounds the wait for a hook that was cut off.
const hookEndTime = time.Minute

// waitForCutOffHook waits for the process of a hook that outlived the one that started it, but not for
// what it left behind: that is the application.
func (e *Engine) waitForCutOffHook(ctx context.Context, r state.Run) error {
	ctx, cancel := context.WithTimeout(ctx, hookEndTime)
	defer cancel()
	for _, h := range []*state.HookMark{r.CutOff, r.Hook} {
		if h == nil {
			continue
		}
		if err := e.Host.WaitGone(ctx, hookID(h)); err != nil {
			return fmt.Errorf("a script that was started %s is still at work, as pid %d: %w", h.Started.Local().Format(time.DateTime), h.PID, err)
		}
	}
	return nil
}

func hookID(h *state.HookMark) ProcessID { return ProcessID{PID: h.PID, Start: h.Start, Boot: h.Boot} }

// endCutOffHook waits for a hook that was cut off, before the application is started. One that was to stop the application and
// needs longer is ended: minutes later it would stop what was started meanwhile. It returns the mark of one that goes on all the
// same, and what a person should know of it. A second stop signal ends the wait, and so the hook.
func (e *Engine) endCutOffHook(r state.Run) (still *state.HookMark, note string) {
	ctx, done := e.Stop.Hook()
	defer done()
	err := e.waitForCutOffHook(ctx, r)
	if err == nil {
		return nil, ""
	}
	e.Log.Warn("the application is brought back all the same", "run", r.ID, "err", err)
	for _, h := range []*state.HookMark{r.CutOff, r.Hook} {
		if h == nil || phaseOf(r, *h) != "pre" {
			continue
		}
		what := fmt.Sprintf("a script that was started %s, to stop the application, outlived its run", h.Started.Local().Format(time.DateTime))
		if err := e.Host.EndGroup(hookID(h)); err != nil {
			still, note = h, fmt.Sprintf("%s; it can't be ended, and may stop the application behind the back of what started it: %v", what, err)
			continue
		}
		note = what + ", and was ended before the application was started"
	}
	return still, note
}

// phaseOf tells where a hook stood that was cut off. A mark that an older version left does not say it, and is of the script that
// was begun last.
func phaseOf(r state.Run, h state.HookMark) string {
	phase := h.Phase
	for i, step := range r.Steps {
		if h.Phase == "" && Kind(step.Kind) == Hook && StepMachine.In(step.State, StepRunning) {
			phase = Phase(r.Steps, i)
		}
	}
	return phase
}

// BracketError says that the application could not be brought back.
type BracketError struct {
	Run string
	Err error
}

func (e *BracketError) Error() string {
	return fmt.Sprintf("run %s: the application may still be stopped: %v", e.Run, e.Err)
}

func (e *BracketError) Unwrap() error { return e.Err }
