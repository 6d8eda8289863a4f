package workflow

import (
	"context"

	"zfs2cloud/state"
)

// Kind is all that the engine knows of a step: what it means for the bracket, the lock, and the way back.
type Kind string

const (
	Plain    Kind = "plain"
	Hook     Kind = "hook"     // a script of the user's
	Snapshot Kind = "snapshot" // what the hooks around it stop the application for
	Lock     Kind = "lock"     // may stand inside a bracket without ending it
	Unlock   Kind = "unlock"   // likewise
	Export   Kind = "export"   // can be reopened by a later step
	Upload   Kind = "upload"
)

// StepDef is a step: what it does, and how it goes on after a crash. A step's work is safe to call again:
// it looks at its checkpoints and does what is missing.
type StepDef struct {
	Kind Kind
	// Prepare looks up beforehand what Run needs; a Snapshot's is called before the bracket opens, so
	// that the application does not wait for it. Optional.
	Prepare func(ctx context.Context, s *Session) error
	Run     func(ctx context.Context, s *Session, args []string) error
	// Settle tells whether what Run was cut off in exists after all, and if so stores Run's result. Only
	// a Snapshot has one.
	Settle func(ctx context.Context, s *Session) (there bool, err error)
}

// Planned is a step as a sequence names it.
type Planned struct {
	Name  string // a built-in's name, or a script's absolute path
	Shown string // as the user spelled it
	Args  []string
	Kind  Kind
}

// NewPlan freezes a list of steps. Two are implied: AFTER directly behind the bracket (behind the
// snapshot, where no script follows it), and END at the end.
func NewPlan(steps []Planned, after, end *Planned) []state.Step {
	var plan []state.Step
	add := func(p Planned, implied bool) {
		plan = append(plan, state.Step{Name: p.Name, Shown: p.Shown, Args: p.Args, Kind: string(p.Kind), Implied: implied, Attempt: 1})
	}
	for _, p := range steps {
		add(p, false)
	}
	if b, ok := bracketOf(plan); ok && after != nil {
		rest := append([]state.Step{}, plan[b.last+1:]...)
		plan = plan[:b.last+1]
		add(*after, true)
		plan = append(plan, rest...)
	}
	if end != nil {
		add(*end, true)
	}
	return plan
}
