package workflow

import (
	"errors"
	"fmt"
	"time"

	"zfs2cloud/state"
)

// How a step fails, and how a run ends that does not come to the end of its plan.

func (s *Session) failStep(i int, cause error) error {
	if s.failed() != nil || s.engine.Stop.Asked() {
		return nil // the errors of children after a stop signal are the signal's
	}
	return s.update(func(tx *state.Tx, r *state.Run) error {
		step := &r.Steps[i]
		now := s.Now()
		step.Ended, step.Error = &now, cause.Error()
		return StepMachine.Fire(tx, &step.State, StepFail)
	})
}

// reopen takes the nearest earlier step of the kind asked for back to waiting, checkpoints kept. If step i is of that
// kind itself, it is simply tried again.
func (e *Engine) reopen(s *Session, i int, back *Back) error {
	if Kind(s.Run().Steps[i].Kind) == back.To {
		e.Log.Warn("a step has lost some of its work; it goes on", "run", s.id, "err", back.Err)
		return nil
	}
	target := -1
	for j := i - 1; j >= 0; j-- {
		if Kind(s.Run().Steps[j].Kind) == back.To {
			target = j
			break
		}
	}
	if target < 0 {
		return errors.New("no step to go back to")
	}
	e.Log.Warn("an earlier step's work is lost; it is done again", "run", s.id, "err", back.Err)
	return s.update(func(tx *state.Tx, r *state.Run) error {
		return StepMachine.Fire(tx, &r.Steps[target].State, StepReopen)
	})
}

// interrupt closes the bracket if one is open, and stores that the run was asked to stop.
func (e *Engine) interrupt(s *Session) error {
	if err := e.closeBracket(s); err != nil {
		return e.fail(s, -1, err)
	}
	err := s.update(func(tx *state.Tx, r *state.Run) error {
		r.Deaths = nil // an end that could be told breaks the row
		if progressed(r) {
			r.Stops = 0
		}
		r.Stops++
		return RunMachine.Fire(tx, &r.State, RunInterrupt)
	})
	if err != nil {
		return err
	}
	return ErrInterrupted
}

// fail stores that the run failed, in step i unless that is -1, and returns the error to report.
func (e *Engine) fail(s *Session, i int, cause error) error {
	var jammed *Jammed
	event := RunFail
	if errors.As(cause, &jammed) {
		event = RunJam
	}
	report := cause
	if i >= 0 {
		report = &StepError{Step: s.Run().Steps[i], Err: cause}
	}
	err := s.update(func(tx *state.Tx, r *state.Run) error {
		r.Error = report.Error()
		r.Deaths, r.Stops = nil, 0 // an end that could be told breaks the row
		return end(tx, r, event, s.Now())
	})
	if err != nil {
		return errors.Join(report, err)
	}
	if event == RunJam {
		return &StuckError{Run: s.Run()}
	}
	return report
}

func end(tx *state.Tx, r *state.Run, event RunEvent, now time.Time) error {
	r.Ended = &now
	return RunMachine.Fire(tx, &r.State, event)
}

// Abort gives a run up: the bracket is closed (or, with skipHooks, taken as closed), what the run left is
// removed, its record stays.
func (e *Engine) Abort(s *Session, why string, skipHooks bool) error {
	if !RunMachine.In(s.Run().State, RunAborting) {
		err := s.update(func(tx *state.Tx, r *state.Run) error {
			r.Why = why
			return RunMachine.Fire(tx, &r.State, RunGiveUp)
		})
		if err != nil {
			return err
		}
	}
	if skipHooks && BracketMachine.In(s.Run().Bracket, BracketOpen) {
		err := s.update(func(tx *state.Tx, r *state.Run) error {
			return BracketMachine.Fire(tx, &r.Bracket, BracketCloses)
		})
		if err != nil {
			return err
		}
		if err := e.dropBracketNote(s.Run()); err != nil {
			return err
		}
	}
	if err := e.closeBracket(s); err != nil {
		return err
	}
	if err := e.Clean(e.Stop.Soft(), s.at(len(s.Run().Steps)-1)); err != nil {
		if e.Stop.Asked() {
			return ErrInterrupted // still aborting
		}
		return fmt.Errorf("clean up after run %s: %w", s.id, err)
	}
	return s.update(func(tx *state.Tx, r *state.Run) error {
		if err := FreeLock(tx, *r); err != nil {
			return err
		}
		return end(tx, r, RunAbort, s.Now())
	})
}
