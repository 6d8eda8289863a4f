package workflow

import (
	"errors"
	"fmt"
	"strings"

	"zfs2cloud/state"
)

// Hopeless is the error of a step whose run nobody can finish: its snapshot is gone, its base is gone,
// its folder is a stranger's. The engine gives the run up.
type Hopeless struct{ Err error }

func (e *Hopeless) Error() string { return e.Err.Error() }
func (e *Hopeless) Unwrap() error { return e.Err }

// Back is the error of a step that found the work of an earlier one lost: the nearest earlier step of
// kind To is reopened, its checkpoints kept, and then this one goes on.
type Back struct {
	To  Kind
	Err error
}

func (e *Back) Error() string { return e.Err.Error() }
func (e *Back) Unwrap() error { return e.Err }

// Jammed is the error of a step that sees its run go in circles: the run becomes stuck.
type Jammed struct{ Err error }

func (e *Jammed) Error() string { return e.Err.Error() }
func (e *Jammed) Unwrap() error { return e.Err }

// StepError says in which step a run failed.
type StepError struct {
	Step state.Step
	Err  error
}

func (e *StepError) Error() string { return e.Step.Shown + ": " + e.Err.Error() }
func (e *StepError) Unwrap() error { return e.Err }

// GivenUp says that the engine gave a run up, and why.
type GivenUp struct {
	Run string
	Err error
}

func (e *GivenUp) Error() string { return fmt.Sprintf("run %s was given up: %v", e.Run, e.Err) }
func (e *GivenUp) Unwrap() error { return e.Err }

// ErrInterrupted: the run was asked to stop, and did, at a checkpoint.
var ErrInterrupted = errors.New("interrupted")

// ErrLost: another process took the run on; this one must not store anything any more.
var ErrLost = errors.New("this run belongs to another process now")

// StuckError: the run died again and again in the same place, and starts no more by itself.
type StuckError struct{ Run state.Run }

func (e *StuckError) Error() string {
	return fmt.Sprintf("run %s is stuck: %s", e.Run.ID, e.Run.Error)
}

// LockedError: an operator holds the dataset's lock.
type LockedError struct{ Lock state.Lock }

func (e *LockedError) Error() string {
	l := e.Lock
	var b strings.Builder
	fmt.Fprintf(&b, "%s is locked by operator %s since %s", l.Dataset, l.User, l.Since.Local().Format("Mon 2 Jan 15:04"))
	if l.Why != "" {
		fmt.Fprintf(&b, ": %q", l.Why)
	}
	return b.String()
}
