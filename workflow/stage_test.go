package workflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"zfs2cloud/state"
)

// A stage is a host in small, on which the real engine plays with the real database: an application, its
// snapshots, and one process after the other, each of which is one command. Every effect asks a list of
// outcomes what becomes of it, so that whoever wrote the list knows what must happen.
type stage struct {
	dir     string
	outside outside
	clock   time.Time
	lives   int

	did      []string  // the effects that were had by the present command
	outcomes []outcome // of its effects, one after the other; behind their end all is well
	stop     *Stop     // of the present command

	plan   []Planned
	point  func() // called wherever the process may die
	fault  func(format string, args ...any)
	broken func(*Engine) // breaks the engine, to see that it is found
}

// outside is what outlives processes, and is not in the database.
type outside struct {
	stopped bool            // the application
	snaps   map[string]bool // those that exist; true for one that was made while the application stood still
	late    string          // a snapshot that is still being made by a program whose caller was killed
	results map[string]bool // effects whose result is stored
}

// outcome is what becomes of an effect.
type outcome int

const (
	goesWell outcome = iota
	fails            // it is not had, and says so
	botched          // it is had, and still says that it failed
	cut              // a stop signal ends it before it is had
	stops            // it is had, and meanwhile there is a stop signal
	hopeless         // it is not had, and nobody can finish the run; outside of the bracket only
	misses           // it finds the export's work lost; of the upload only
	diesBefore
	diesAfter    // before its result is stored
	diesLate     // before its step is stored as done
	turnsUpLate  // diesBefore, but a snapshot is made all the same, once nobody waits for it any more
	manyOutcomes = int(turnsUpLate) + 1
)

func (o outcome) String() string {
	return []string{"goes well", "fails", "botched", "cut", "stops", "hopeless", "misses", "dies before", "dies after", "dies late", "turns up late"}[o]
}

// fits is the outcome that an effect can have in place of this one.
func (o outcome) fits(effect string) outcome {
	switch {
	case o == hopeless && effect != "export" && effect != "upload",
		o == misses && effect != "upload":
		return fails
	case o == turnsUpLate && effect != "snap", o == diesLate && effect == "clean":
		return diesBefore
	}
	return o
}

// The exit statuses of the program, and of one that was killed.
const (
	exitDone, exitFailed, exitLocked, exitInterrupted, exitStuck, exitKilled = 0, 1, 3, 4, 5, 137
)

// newStage makes one on a file system without a disk, if there is one: a checkpoint there is some thirty
// times faster, and what a power cut does is not tried here.
func newStage(t *testing.T) *stage {
	base := "/dev/shm"
	if info, err := os.Stat(base); err != nil || !info.IsDir() {
		base = t.TempDir()
	}
	dir, err := os.MkdirTemp(base, "z2c-stage-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &stage{dir: dir, clock: time.Date(2026, 11, 25, 3, 52, 0, 0, time.UTC), plan: standard, point: func() {}, fault: t.Errorf,
		outside: outside{snaps: map[string]bool{}, results: map[string]bool{}}, broken: func(*Engine) {}}
}

func (g *stage) Start(context.Context, Spec) (Child, error) {
	return nil, errors.New("no programs here")
}

func (g *stage) Now() time.Time { return g.clock }

func (g *stage) Sweep(context.Context, string) error { return nil }

func (g *stage) WaitGone(context.Context, ProcessID) error { return nil }

func (g *stage) EndGroup(ProcessID) error { return nil }

// command is a process from its start to its end, as package main has it: it owns the dataset or leaves, takes over
// what is there, and then does what it is for.
func (g *stage) command(name string, outcomes []outcome) (exit int) {
	g.lives++
	g.did, g.outcomes = nil, slices.Clone(outcomes)
	g.stop = NewStop(context.Background())
	e := &Engine{Store: state.New(filepath.Join(g.dir, "state.db")), World: g, Host: g, Stop: g.stop,
		Log: slog.New(slog.DiscardHandler), Notes: state.Folder{Dir: filepath.Join(g.dir, "datasets")},
		Owner:   state.Owner{Nonce: fmt.Sprint("nonce", g.lives), PID: g.lives},
		Dataset: guid, Step: g.step, Clean: func(context.Context, *Session) error { return g.effect("clean", nil) }}
	g.broken(e)
	live, err := e.Notes.Own(guid, e.Owner)
	if err != nil {
		return exitLocked
	}
	defer live.Close() // the kernel does it for one that was killed
	if crashes(func() { exit = g.act(e, name) }) {
		return exitKilled
	}
	return exit
}

func (g *stage) act(e *Engine, name string) int {
	if name == "abort --skip-hooks" {
		e.Leave = func(string) bool { return true }
	}
	e.Insist = name == "abort" || name == "resume --force"
	runs, err := e.Takeover(g.stop.Soft())
	if err != nil {
		return status(err)
	}
	operator := state.Lock{DatasetGUID: guid, User: "root"}
	switch name {
	case "lock":
		return status(e.Store.Update(func(tx *state.Tx) error { return TakeOperatorLock(tx, operator) }))
	case "unlock":
		return status(e.Store.Update(func(tx *state.Tx) error { _, _, err := Free(tx, guid); return err }))
	case "run", "resume", "resume --force":
		if g.locked() {
			return exitLocked
		}
	}
	for _, r := range runs {
		s, err := e.Open(r.ID, "tank/data")
		if err != nil {
			return status(err)
		}
		if name == "abort" || name == "abort --skip-hooks" {
			return status(e.Abort(s, "by hand", name == "abort --skip-hooks"))
		}
		err = e.Drive(s, name == "resume --force")
		var gone *GivenUp
		if name != "run" || err != nil && !errors.As(err, &gone) {
			return status(err)
		}
	}
	if name != "run" {
		return exitDone // there is nothing to go on with, or to give up
	}
	s, err := e.Begin(state.Run{Job: "job", Frozen: state.Frozen{Dataset: "tank/data"}, Steps: g.newPlan()})
	if err != nil {
		return status(err)
	}
	return status(e.Drive(s, false))
}

func status(err error) int {
	var stuck *StuckError
	var locked *LockedError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &stuck):
		return exitStuck
	case errors.As(err, &locked):
		return exitLocked
	case errors.Is(err, ErrInterrupted):
		return exitInterrupted
	}
	return exitFailed
}

func (g *stage) newPlan() []state.Step {
	var steps []Planned
	for _, p := range g.plan {
		p.Shown = p.Name
		steps = append(steps, p)
	}
	return NewPlan(steps, nil, &Planned{Name: "finish", Shown: "finish", Kind: Plain})
}

// step does with the world what its name says.
func (g *stage) step(planned state.Step) (StepDef, error) {
	def := StepDef{Kind: Kind(planned.Kind), Prepare: func(context.Context, *Session) error { g.point(); return nil }}
	def.Run = func(ctx context.Context, s *Session, _ []string) error {
		step := s.Step()
		late := false
		key := fmt.Sprint(s.Run().ID, step.Name, step.Attempt)
		_, err := Once(ctx, s, Effect[Nothing]{Name: "work",
			Intent: func(_ *state.Tx, r *state.Run) error {
				if Kind(step.Kind) == Snapshot {
					r.Snapshot = fmt.Sprintf("%s-%d", s.Run().ID, step.Attempt)
				}
				return nil
			},
			Do: func(context.Context, Fx) (none Nothing, err error) {
				if g.outside.results[key] {
					g.fault("%s is done again, and its result is stored", step.Name)
				}
				late = len(g.outcomes) > 0 && g.outcomes[0].fits(step.Name) == diesLate
				return none, g.effect(step.Name, s)
			},
			Result: func(tx *state.Tx, r *state.Run, _ Nothing) error {
				switch step.Name {
				case "lock":
					return TakeLock(tx, *r, g.clock)
				case "unlock", "finish":
					return FreeLock(tx, *r)
				}
				return nil
			}})
		if err == nil {
			g.outside.results[key] = true
		}
		if late {
			panic(crash{})
		}
		return err
	}
	if def.Kind == Snapshot {
		def.Settle = func(_ context.Context, s *Session) (bool, error) {
			g.point()
			_, there := g.outside.snaps[s.Run().Snapshot]
			return there, nil
		}
	}
	return def, nil
}

// effect has one, or does to the process what its outcome says.
func (g *stage) effect(name string, s *Session) error {
	g.point()
	g.second()
	o := goesWell
	if len(g.outcomes) > 0 {
		o, g.outcomes = g.outcomes[0].fits(name), g.outcomes[1:]
	}
	switch o {
	case fails:
		return errors.New("exit 1")
	case cut:
		g.stop.Signal()
		return context.Canceled
	case stops:
		g.stop.Signal()
	case hopeless:
		return &Hopeless{errors.New("its snapshot is gone")}
	case misses:
		return &Back{To: Export, Err: errors.New("chunk 3 is gone")}
	case turnsUpLate:
		g.outside.late = s.Run().Snapshot
		panic(crash{})
	case diesBefore:
		panic(crash{})
	}
	g.did = append(g.did, name)
	switch name {
	case "stop":
		g.outside.stopped = true
	case "snap":
		g.outside.snaps[s.Run().Snapshot] = g.outside.stopped
	case "start":
		g.outside.stopped = false
		if g.outside.late != "" {
			g.outside.snaps[g.outside.late], g.outside.late = false, ""
		}
	case "export":
		if !g.outside.snaps[s.Run().Snapshot] {
			g.fault("exported is %q, which was not made while the application stood still", s.Run().Snapshot)
		}
	}
	g.point()
	switch o {
	case diesAfter:
		panic(crash{})
	case botched:
		return errors.New("exit 1")
	}
	return nil
}

// second is another process that wants the dataset while this one has it.
func (g *stage) second() {
	live, err := g.folder().Own(guid, state.Owner{Nonce: "second", PID: -1})
	var owned *state.OwnedError
	if !errors.As(err, &owned) {
		g.fault("a second process came in: %v", err)
	}
	if live != nil {
		live.Close()
	}
}

func (g *stage) folder() state.Folder { return state.Folder{Dir: filepath.Join(g.dir, "datasets")} }

// record is what the database says of the unfinished run, the lock, and the runs that are over.
type record struct {
	runs []state.Run // the newest first
	lock state.Lock
	held bool
}

func (g *stage) record() (r record) {
	err := state.New(filepath.Join(g.dir, "state.db")).View(func(tx *state.Tx) (err error) {
		if r.runs, err = tx.Runs(); err != nil {
			return err
		}
		r.lock, r.held, err = tx.Lock(guid)
		r.held = r.held && LockMachine.In(r.lock.State, LockHeld)
		return err
	})
	if err != nil {
		g.fault("%v", err)
	}
	return r
}

// unfinished is the run that is neither succeeded nor aborted.
func (r record) unfinished() (state.Run, bool) {
	for _, run := range r.runs {
		if !Over(run.State) {
			return run, true
		}
	}
	return state.Run{}, false
}

// locked tells whether an operator holds the lock.
func (g *stage) locked() bool { r := g.record(); return r.held && r.lock.Operator }

// noted tells whether a note tells of an open bracket.
func (g *stage) noted() bool {
	open, err := OpenBrackets(g.folder())
	if err != nil {
		g.fault("%v", err)
	}
	return len(open) > 0
}
