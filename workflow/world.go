package workflow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// World is what lies outside of the process: other programs, and the clock. Package proc has the real
// one. A step never sees it bare: it is handed a Look, which refuses whatever could do harm, or, inside
// the function of an effect, an Fx.
type World interface {
	// Start starts a program. The context's end ends the child: SIGTERM to its process group, SIGKILL
	// a few seconds later. Errors: ErrNoProgram (wrapped, naming the program) if it can't be found.
	Start(ctx context.Context, s Spec) (Child, error)
	// Now is the clock by which stamps are made and ages are told.
	Now() time.Time
}

// Spec says which program to start, and how.
type Spec struct {
	// Argv is the program and its arguments. A first word without a slash is looked up in PATH, then
	// in the folders that cron's PATH lacks.
	Argv []string
	// Looks marks a call that changes nothing. Look lets only such pass.
	Looks bool
	// Env is added to, and wins over, the base environment of a child, KEY=VALUE: PATH, LC_ALL=C,
	// HOME and TZ; for a hook the whole environment of our caller.
	Env []string
	Dir string
	// Stdin is /dev/null if nil. An *os.File is handed to the child as it is, and stays ours to close.
	Stdin io.Reader
	// Stdout is /dev/null if nil. If it is not an *os.File and a Write to it fails, Wait returns that
	// error and not the child's "broken pipe".
	Stdout io.Writer
	// Stderr gets a copy of what the child writes there, beside the ring whose end is in ExitError. An
	// *os.File is handed to the child as it is, and there is no ring.
	Stderr io.Writer
	// Extra become the child's descriptors 3, 4, …; they stay ours to close.
	Extra []*os.File
	// Hook marks a script of the user's. It is not tied to our life, inherits no descriptor of ours,
	// and waits behind a gate until Release, so that it can be put on record before it does anything.
	// Stdout must be nil or a file, never a pipe. It gets stderr as well.
	Hook bool
	// Leaves marks a program that may leave behind what is to live on, such as a vault's agent: it inherits nothing by which
	// that would be taken for an orphan of ours.
	Leaves bool
}

// Child is a started program.
type Child interface {
	// ID tells the process from any other that ever had or will have its number. Of one that is no hook, PID alone may be known.
	ID() ProcessID
	// Release opens the gate of a hook. A child that is no hook has none.
	Release() error
	// Wait waits for the child's own process, not for what it left behind, and for our copying of its
	// output. An exit other than 0 is an *ExitError.
	Wait() error
	// Kill sends SIGKILL to the child's process group.
	Kill()
}

// ProcessID names a process beyond doubt.
type ProcessID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // field 22 of /proc/PID/stat, in clock ticks since boot: proc(5)
	Boot  string `json:"boot"`  // /proc/sys/kernel/random/boot_id
}

// ErrNoProgram is the error of a program that can't be found or may not be executed.
var ErrNoProgram = errors.New("program not found")

// ExitError says how a program ended that did not end well.
type ExitError struct {
	Argv   []string // secrets masked
	Code   int      // -1 if a signal ended it
	Signal string   // its name, such as "killed", or empty
	Stderr string   // the last lines
}

func (e *ExitError) Error() string {
	how := fmt.Sprintf("exit %d", e.Code)
	if e.Signal != "" {
		how = e.Signal
	}
	name := "?"
	if len(e.Argv) > 0 {
		name = e.Argv[0]
	}
	said := slices.DeleteFunc(strings.Split(e.Stderr, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
	if len(said) > 0 {
		return fmt.Sprintf("%s: %s: %s", name, how, strings.TrimSpace(strings.Join(said, "\n")))
	}
	return fmt.Sprintf("%s: %s", name, how)
}

// Look is the World of those who only look.
type Look struct{ World World }

// Now is the clock.
func (l Look) Now() time.Time { return l.World.Now() }

// Start refuses a program that is not marked as only reading.
func (l Look) Start(ctx context.Context, s Spec) (Child, error) {
	if !s.Looks || s.Hook {
		return nil, fmt.Errorf("%s changes something: only an effect may start it", strings.Join(s.Argv, " "))
	}
	return l.World.Start(ctx, s)
}
