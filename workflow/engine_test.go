package workflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zfs2cloud/state"
)

// bench is an engine over steps in memory: what they do to the world is a line in did. A crash is a panic in
// the middle of a step: whatever is not stored by then is lost, as it is by SIGKILL.
type bench struct {
	t      *testing.T
	dir    string
	did    []string
	snaps  []string                      // snapshots that exist
	on     map[string]func(string) error // what a step does, by its name; called with "do" before and "done" after its line
	clean  int
	orphan int
	wedged error    // of an orphan that can't be ended
	hooked []string // scripts that a note told of
	lives  int
}

func newBench(t *testing.T) *bench {
	return &bench{t: t, dir: t.TempDir(), on: map[string]func(string) error{}}
}

type crash struct{}

type still struct{ t *testing.T }

func (w still) Start(context.Context, Spec) (Child, error) {
	return nil, errors.New("no programs here")
}
func (w still) Now() time.Time { return time.Date(2026, 11, 25, 3, 52, 0, 0, time.UTC) }

type benchHost struct{ b *bench }

func (h benchHost) Sweep(context.Context, string) error       { h.b.orphan++; return h.b.wedged }
func (h benchHost) WaitGone(context.Context, ProcessID) error { return nil }

const guid = "4711"

// engine is a process: another one each time it is called.
func (b *bench) engine(db string) *Engine {
	b.lives++
	return &Engine{Store: state.New(filepath.Join(b.dir, db)), World: still{b.t}, Host: benchHost{b}, Stop: NewStop(context.Background()),
		Log: slog.New(slog.DiscardHandler), Notes: state.Folder{Dir: filepath.Join(b.dir, "datasets")},
		Owner:   state.Owner{Nonce: fmt.Sprint("nonce", b.lives), PID: b.lives},
		Dataset: guid, Step: b.step, Clean: func(context.Context, *Session) error { b.clean++; return nil },
		Hook: func(_ context.Context, argv, _ []string, _ time.Duration) error {
			b.hooked = append(b.hooked, argv[0])
			return nil
		}}
}

func (b *bench) step(s state.Step) (StepDef, error) {
	def := StepDef{Kind: Kind(s.Kind), Run: func(ctx context.Context, s *Session, _ []string) error {
		step := s.Step()
		_, err := Once(ctx, s, Effect[string]{Name: "work",
			Intent: func(_ *state.Tx, r *state.Run) error {
				if Kind(step.Kind) == Snapshot {
					r.Snapshot = fmt.Sprint("snap", step.Attempt)
				}
				return nil
			},
			Do: func(context.Context, Fx) (string, error) {
				if f := b.on[step.Name]; f != nil {
					if err := f("do"); err != nil {
						return "", err
					}
				}
				b.did = append(b.did, step.Name)
				if Kind(step.Kind) == Snapshot {
					b.snaps = append(b.snaps, s.Run().Snapshot)
				}
				if f := b.on[step.Name]; f != nil {
					return "", f("done")
				}
				return "", nil
			}})
		return err
	}}
	if def.Kind == Snapshot {
		def.Settle = func(_ context.Context, s *Session) (bool, error) {
			return slices.Contains(b.snaps, s.Run().Snapshot), nil
		}
	}
	return def, nil
}

var standard = []Planned{{Name: "lock", Kind: Lock}, {Name: "stop", Kind: Hook}, {Name: "snap", Kind: Snapshot}, {Name: "start", Kind: Hook},
	{Name: "export", Kind: Export}, {Name: "upload", Kind: Upload}, {Name: "unlock", Kind: Unlock}}

func plan(steps []Planned) []state.Step {
	for i := range steps {
		steps[i].Shown = steps[i].Name
	}
	return NewPlan(slices.Clone(steps), &Planned{Name: "hold", Shown: "hold", Kind: Plain}, &Planned{Name: "finish", Shown: "finish", Kind: Plain})
}

// begin stores a new run and drives it.
func (b *bench) begin(e *Engine) (s *Session, err error) {
	s, err = e.Begin(state.Run{Job: "job", Frozen: state.Frozen{Dataset: "tank/data"}, Steps: plan(standard)})
	if err != nil {
		b.t.Fatal(err)
	}
	return s, b.drive(e, s)
}

var errCrashed = errors.New("crashed")

func (b *bench) drive(e *Engine, s *Session) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(crash); !ok {
				panic(r)
			}
			err = errCrashed
		}
	}()
	return e.Drive(s, false)
}

// next is the next command: a new process that takes over and, with resume, goes on.
func (b *bench) next(resume bool) (state.Run, error) {
	b.t.Helper()
	e := b.engine("state.db")
	runs, err := e.Takeover(context.Background())
	if err != nil {
		return state.Run{}, err
	}
	if len(runs) != 1 {
		b.t.Fatalf("%d unfinished runs", len(runs))
	}
	if !resume {
		return runs[0], nil
	}
	s, err := e.Open(runs[0].ID, "tank/data")
	if err != nil {
		b.t.Fatal(err)
	}
	err = b.drive(e, s)
	return s.Run(), err
}

// spoil makes the database one that can be neither read nor written.
func (b *bench) spoil() {
	db := filepath.Join(b.dir, "state.db")
	if err := errors.Join(os.Rename(db, db+".away"), os.Mkdir(db, 0o700)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) want(did string) {
	b.t.Helper()
	if got := strings.Join(b.did, " "); got != did {
		b.t.Errorf("did   %s\nwant  %s", got, did)
	}
}

const all = "lock stop snap start hold export upload unlock finish"

func TestDriveDoesEachStepOnce(t *testing.T) {
	b := newBench(t)
	s, err := b.begin(b.engine("state.db"))
	if err != nil {
		t.Fatal(err)
	}
	b.want(all)
	if r := s.Run(); !RunMachine.In(r.State, RunSucceeded) || !BracketMachine.In(r.Bracket, BracketClosed) || r.Ended == nil {
		t.Errorf("run is %s, bracket %s, ended %v", r.State, r.Bracket, r.Ended)
	}
}

// Wherever a process dies, the application comes back with the next command, the run goes on, and outside
// of the bracket nothing that was done is done again.
func TestCrashThenResume(t *testing.T) {
	tests := []struct {
		step, when string
		closing    string // what the next command does before anything else
		then       string // what resume does
	}{
		{"lock", "do", "", "lock stop snap start hold export upload unlock finish"},
		{"stop", "do", "start", "stop snap start hold export upload unlock finish"},
		{"stop", "done", "start", "stop snap start hold export upload unlock finish"},
		{"snap", "do", "start", "stop snap start hold export upload unlock finish"},
		{"snap", "done", "start", "hold export upload unlock finish"}, // it was made: only the rest is left
		{"start", "do", "start", "hold export upload unlock finish"},
		{"start", "done", "start", "hold export upload unlock finish"}, // nobody knows whether it ran: again
		{"hold", "do", "", "hold export upload unlock finish"},
		{"export", "do", "", "export upload unlock finish"},
		{"upload", "done", "", "upload unlock finish"},
		{"finish", "do", "", "finish"},
	}
	for _, c := range tests {
		t.Run(c.step+" "+c.when, func(t *testing.T) {
			b := newBench(t)
			died := false
			b.on[c.step] = func(when string) error {
				if when == c.when && !died {
					died = true
					panic(crash{})
				}
				return nil
			}
			if _, err := b.begin(b.engine("state.db")); err != errCrashed {
				t.Fatal(err)
			}
			b.did = nil
			r, err := b.next(false)
			if err != nil {
				t.Fatal(err)
			}
			b.want(c.closing)
			if !RunMachine.In(r.State, RunInterrupted) || BracketMachine.In(r.Bracket, BracketOpen) {
				t.Errorf("run is %s, bracket %s", r.State, r.Bracket)
			}
			b.did = nil
			r, err = b.next(true)
			if err != nil {
				t.Fatal(err)
			}
			b.want(c.then)
			if !RunMachine.In(r.State, RunSucceeded) {
				t.Errorf("run is %s", r.State)
			}
			if notes, err := b.engine("state.db").Notes.Notes(bracketNotes, guid); err != nil || len(notes) != 0 {
				t.Errorf("notes left: %v, %v", notes, err)
			}
		})
	}
}

// A snapshot that turns up after the application was started is never used: a process died while it was being
// made, the next found nothing, began to start the application and died as well, and then it is there.
func TestLateSnapshotIsNotUsed(t *testing.T) {
	b := newBench(t)
	deaths := 0
	b.on["snap"] = func(string) error {
		if deaths == 0 {
			deaths++
			panic(crash{})
		}
		return nil
	}
	b.on["start"] = func(when string) error {
		if deaths == 1 && when == "do" {
			deaths++
			b.snaps = append(b.snaps, "snap1")
			panic(crash{})
		}
		return nil
	}
	if _, err := b.begin(b.engine("state.db")); err != errCrashed {
		t.Fatal(err)
	}
	func() {
		defer func() { recover() }()
		b.engine("state.db").Takeover(context.Background())
	}()
	if deaths != 2 {
		t.Fatal("the takeover did not start the application")
	}
	b.did = nil
	if _, err := b.next(true); err != nil {
		t.Fatal(err)
	}
	b.want("start stop snap start hold export upload unlock finish")
}

func TestFailingHooks(t *testing.T) {
	broken := errors.New("exit 1")
	tests := []struct {
		name, step string
		failures   int
		first      string // what the run does
		open       bool   // whether the bracket is open then
		then       string // what resume does, the cause gone
	}{
		{"pre", "stop", 1, "lock start", false, "stop snap start hold export upload unlock finish"},
		{"snapshot", "snap", 1, "lock stop start", false, "stop snap start hold export upload unlock finish"},
		{"post once", "start", 1, "lock stop snap start", false, "hold export upload unlock finish"},
		{"post twice", "start", 2, "lock stop snap", true, "start hold export upload unlock finish"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			left := c.failures
			b.on[c.step] = func(when string) error {
				if when == "do" && left > 0 {
					left--
					return broken
				}
				return nil
			}
			s, err := b.begin(b.engine("state.db"))
			var step *StepError
			if !errors.As(err, &step) || step.Step.Name != c.step || !errors.Is(err, broken) {
				t.Fatalf("error %v", err)
			}
			b.want(c.first)
			if open := BracketMachine.In(s.Run().Bracket, BracketOpen); open != c.open || !RunMachine.In(s.Run().State, RunFailed) {
				t.Errorf("bracket %s, run %s", s.Run().Bracket, s.Run().State)
			}
			b.did = nil
			if _, err := b.next(true); err != nil {
				t.Fatal(err)
			}
			b.want(c.then)
		})
	}
}

// A stop signal in a bracket closes it first; elsewhere it stops before the next step.
func TestStop(t *testing.T) {
	for step, first := range map[string]string{"stop": "lock stop start", "snap": "lock stop snap start", "export": "lock stop snap start hold export"} {
		t.Run(step, func(t *testing.T) {
			b := newBench(t)
			e := b.engine("state.db")
			b.on[step] = func(string) error {
				if !e.Stop.Asked() {
					e.Stop.Signal()
				}
				return nil
			}
			s, err := b.begin(e)
			if err != ErrInterrupted {
				t.Fatal(err)
			}
			b.want(first)
			if r := s.Run(); !RunMachine.In(r.State, RunInterrupted) || BracketMachine.In(r.Bracket, BracketOpen) {
				t.Errorf("run %s, bracket %s", r.State, r.Bracket)
			}
			if r, err := b.next(true); err != nil || !RunMachine.In(r.State, RunSucceeded) {
				t.Errorf("resume: %v, %s", err, r.State)
			}
		})
	}
}

func TestHopelessRunIsGivenUp(t *testing.T) {
	b := newBench(t)
	b.on["export"] = func(string) error { return &Hopeless{errors.New("its snapshot is gone")} }
	s, err := b.begin(b.engine("state.db"))
	var gone *GivenUp
	if !errors.As(err, &gone) {
		t.Fatal(err)
	}
	if r := s.Run(); !RunMachine.In(r.State, RunAborted) || b.clean != 1 || r.Why != "its snapshot is gone" {
		t.Errorf("run is %s, cleaned %d times, why %q", r.State, b.clean, r.Why)
	}
}

func TestAbortingIsOnlyEverFinishedAsAborted(t *testing.T) {
	b := newBench(t)
	b.on["export"] = func(string) error { panic(crash{}) }
	if _, err := b.begin(b.engine("state.db")); err != errCrashed {
		t.Fatal(err)
	}
	e := b.engine("state.db")
	runs, err := e.Takeover(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Open(runs[0].ID, "tank/data")
	if err != nil {
		t.Fatal(err)
	}
	e.Clean = func(context.Context, *Session) error { return errors.New("the remote does not answer") }
	if err := e.Abort(s, "enough", false); err == nil || !RunMachine.In(s.Run().State, RunAborting) {
		t.Fatalf("abort: %v, run is %s", err, s.Run().State)
	}
	b.did = nil
	if r, err := b.next(true); err != nil || !RunMachine.In(r.State, RunAborted) {
		t.Errorf("resume of it: %v, run is %s", err, r.State)
	}
	b.want("")
}

// An upload that misses a chunk reopens the export, and what lies between stays done.
func TestBackReopens(t *testing.T) {
	b := newBench(t)
	missed := 0
	b.on["upload"] = func(when string) error {
		if when == "do" && missed == 0 {
			missed++
			return &Back{To: Export, Err: errors.New("chunk 3 is gone")}
		}
		return nil
	}
	again := 0
	b.on["export"] = func(when string) error {
		if when == "do" {
			again++
		}
		return nil
	}
	if s, err := b.begin(b.engine("state.db")); err != nil || s.Run().Steps[5].Attempt != 1 {
		t.Fatal(err)
	}
	b.want(all) // its effect has a result, so the reopened export finds nothing to do
	if missed != 1 {
		t.Error("nothing was missed")
	}
}

// A step that has lost work of its own goes on, a few times at most.
func TestBackToItself(t *testing.T) {
	for losses, want := range map[int]RunState{1: RunSucceeded, 9: RunFailed} {
		b := newBench(t)
		lost := 0
		b.on["export"] = func(when string) error {
			if when == "do" && lost < losses {
				lost++
				return &Back{To: Export, Err: errors.New("chunk 3 is gone")}
			}
			return nil
		}
		if s, err := b.begin(b.engine("state.db")); !RunMachine.In(s.Run().State, want) {
			t.Errorf("lost %d times: %v, run is %s", losses, err, s.Run().State)
		}
	}
}

func TestFiveDeathsWithoutProgress(t *testing.T) {
	b := newBench(t)
	b.on["export"] = func(string) error { panic(crash{}) }
	if _, err := b.begin(b.engine("state.db")); err != errCrashed {
		t.Fatal(err)
	}
	// The first life did some steps, so it is not one of the five.
	for range 5 {
		if r, err := b.next(true); err != errCrashed {
			t.Fatalf("%v, run is %s", err, r.State)
		}
	}
	var stuck *StuckError
	r, err := b.next(true)
	if !errors.As(err, &stuck) || !RunMachine.In(r.State, RunStuck) || len(r.Deaths) != 5 || r.Deaths[0].Where != "export" {
		t.Fatalf("%v, run is %s, deaths %v", err, r.State, r.Deaths)
	}
	b.on["export"] = nil
	e := b.engine("state.db")
	if _, err := e.Takeover(context.Background()); err != nil {
		t.Fatal(err)
	}
	s, err := e.Open(r.ID, "tank/data")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Drive(s, true); err != nil || !RunMachine.In(s.Run().State, RunSucceeded) {
		t.Errorf("forced: %v, run is %s", err, s.Run().State)
	}
}

// Deaths count only in a row: a life in between that failed in a clean way begins the count anew.
func TestFailureForgetsDeaths(t *testing.T) {
	b := newBench(t)
	dies := func(string) error { panic(crash{}) }
	b.on["export"] = dies
	b.begin(b.engine("state.db"))
	for range 4 {
		b.next(true)
	}
	b.on["export"] = nil
	b.on["upload"] = func(string) error { return errors.New("503") }
	if r, _ := b.next(true); len(r.Deaths) != 0 || !RunMachine.In(r.State, RunFailed) {
		t.Fatalf("deaths %v, run is %s", r.Deaths, r.State)
	}
	b.on["upload"] = dies
	if _, err := b.next(true); err != errCrashed {
		t.Fatal(err)
	}
	if r, err := b.next(false); err != nil || !RunMachine.In(r.State, RunInterrupted) || len(r.Deaths) != 1 {
		t.Errorf("%v, run is %s, deaths %v", err, r.State, r.Deaths)
	}
}

// A process that could not store how it ended, but told it, was not killed.
func TestAnEndThatCouldNotBeStoredIsNoDeath(t *testing.T) {
	b := newBench(t)
	b.on["export"] = func(string) error { panic(crash{}) }
	b.begin(b.engine("state.db"))
	for range 4 {
		b.next(true)
	}
	e := b.engine("state.db")
	e.Before = state.Owner{Nonce: fmt.Sprint("nonce", b.lives-1), Left: true}
	runs, err := e.Takeover(context.Background())
	if err != nil || len(runs) != 1 || len(runs[0].Deaths) != 0 || !RunMachine.In(runs[0].State, RunInterrupted) {
		t.Errorf("%v, %+v", err, runs)
	}
}

// A clean failure is tried again each day and never jams.
func TestFailuresDoNotJam(t *testing.T) {
	b := newBench(t)
	b.on["upload"] = func(string) error { return errors.New("503") }
	b.begin(b.engine("state.db"))
	for range 7 {
		if r, err := b.next(true); err == nil || !RunMachine.In(r.State, RunFailed) {
			t.Fatalf("%v, run is %s", err, r.State)
		}
	}
}

// Wherever in a bracket the database's disk fails, what is left of the post-snapshot operations is run all the same.
func TestRescue(t *testing.T) {
	for _, when := range []string{"stop begins", "stop fails", "snap ends"} {
		t.Run(when, func(t *testing.T) {
			b := newBench(t)
			e := b.engine("state.db")
			b.on["stop"] = func(now string) error {
				switch {
				case when == "stop begins" && now == "do":
					b.spoil()
				case when == "stop fails":
					return errors.New("exit 1")
				}
				return nil
			}
			e.Watch.Step = func(r state.Run, i int) {
				step := r.Steps[i]
				failed := step.Name == "stop" && StepMachine.In(step.State, StepFailed)
				ended := step.Name == "snap" && StepMachine.In(step.State, StepDone)
				if when == "stop fails" && failed || when == "snap ends" && ended {
					b.spoil()
				}
			}
			if _, err := b.begin(e); err == nil {
				t.Error("no error")
			}
			if !slices.Equal(b.hooked, []string{"start"}) || slices.Contains(b.did, "start") {
				t.Errorf("did %q, and without the database %q", b.did, b.hooked)
			}
		})
	}
}

// An orphan that hangs in the kernel, or a database that can't be read, is an error, but the application comes back.
func TestTakeoverClosesWhateverElseFails(t *testing.T) {
	for _, what := range []string{"orphan", "database"} {
		t.Run(what, func(t *testing.T) {
			b := newBench(t)
			b.on["snap"] = func(string) error { panic(crash{}) }
			if _, err := b.begin(b.engine("state.db")); err != errCrashed {
				t.Fatal(err)
			}
			b.did = nil
			if what == "orphan" {
				b.wedged = errors.New("zfs snapshot does not end")
			} else {
				b.spoil()
			}
			if _, err := b.engine("state.db").Takeover(context.Background()); err == nil {
				t.Error("no error")
			}
			if started := slices.Concat(b.did, b.hooked); !slices.Equal(started, []string{"start"}) {
				t.Errorf("did %q", started)
			}
		})
	}
}

// A command with another database, and one after the database was lost, brings the application back.
func TestBracketIsClosedFromAnotherDatabase(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprint("lost ", lost), func(t *testing.T) {
			b := newBench(t)
			b.on["snap"] = func(string) error { panic(crash{}) }
			if _, err := b.begin(b.engine("state.db")); err != errCrashed {
				t.Fatal(err)
			}
			b.did = nil
			if lost {
				if err := os.RemoveAll(filepath.Join(b.dir, "state.db")); err != nil {
					t.Fatal(err)
				}
			}
			if runs, err := b.engine("other.db").Takeover(context.Background()); err != nil || len(runs) != 0 {
				t.Fatal(runs, err)
			}
			if lost {
				if !slices.Equal(b.hooked, []string{"start"}) {
					t.Errorf("ran %v", b.hooked)
				}
				return
			}
			b.want("start")
			if len(b.hooked) > 0 {
				t.Errorf("ran %v beside the run's own plan", b.hooked)
			}
		})
	}
}

// A process that lost its run to another can store nothing any more.
func TestALostRunStoresNothing(t *testing.T) {
	b := newBench(t)
	e := b.engine("state.db")
	b.on["export"] = func(when string) error {
		if when == "do" {
			if _, err := b.engine("state.db").Takeover(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		return nil
	}
	if s, err := b.begin(e); !errors.Is(err, ErrLost) {
		t.Errorf("%v, run is %s", err, s.Run().State)
	}
}

func TestTheLockRecord(t *testing.T) {
	b := newBench(t)
	e := b.engine("state.db")
	s, err := e.Begin(state.Run{Frozen: state.Frozen{Dataset: "tank/data"}})
	if err != nil {
		t.Fatal(err)
	}
	update := func(fn func(*state.Tx) error) error { return e.Store.Update(fn) }
	if err := update(func(tx *state.Tx) error { return TakeLock(tx, s.Run(), s.Now()) }); err != nil {
		t.Fatal(err)
	}
	// A dead run's lock makes way, for a run and for an operator.
	if err := update(func(tx *state.Tx) error { return TakeLock(tx, state.Run{ID: "next", DatasetGUID: guid}, s.Now()) }); err != nil {
		t.Fatal(err)
	}
	operator := state.Lock{DatasetGUID: guid, Dataset: "tank/data", User: "root", Why: "moving"}
	if err := update(func(tx *state.Tx) error { return TakeOperatorLock(tx, operator) }); err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	if err := update(func(tx *state.Tx) error { return TakeLock(tx, s.Run(), s.Now()) }); !errors.As(err, &locked) || locked.Lock.Why != "moving" {
		t.Errorf("a run took an operator's lock: %v", err)
	}
	if err := update(func(tx *state.Tx) error { return FreeLock(tx, s.Run()) }); err != nil {
		t.Fatal(err)
	}
	err = update(func(tx *state.Tx) error {
		was, held, err := Free(tx, guid)
		if !held || !was.Operator {
			t.Errorf("freed %+v, held %v", was, held)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What a recovery runs, and a rewind takes back, is no progress: a run that is killed in its bracket each time
// comes to its end.
func TestDeathsInTheBracketJam(t *testing.T) {
	b := newBench(t)
	b.on["stop"] = func(string) error { panic(crash{}) }
	if _, err := b.begin(b.engine("state.db")); err != errCrashed {
		t.Fatal(err)
	}
	for range 5 { // the first life did the lock
		if r, err := b.next(true); err != errCrashed {
			t.Fatalf("%v, run is %s", err, r.State)
		}
	}
	var stuck *StuckError
	if r, err := b.next(true); !errors.As(err, &stuck) || r.High.Steps != 1 {
		t.Errorf("%v, run is %s with %d steps done", err, r.State, r.High.Steps)
	}
}

// A run uploads beside its export: while one goroutine stores a checkpoint, another that reads the database asks
// for the run. Once the one waited for the gate, and the other for the one, for a minute.
func TestReadingWhileACheckpointIsStored(t *testing.T) {
	b := newBench(t)
	e := b.engine("state.db")
	s, err := e.Begin(state.Run{Job: "job", Steps: plan(standard)})
	if err != nil {
		t.Fatal(err)
	}
	entered, waiting := make(chan bool), make(chan bool)
	stored := make(chan error)
	go func() {
		<-entered
		close(waiting)
		stored <- s.update(func(*state.Tx, *state.Run) error { return nil })
	}()
	err = s.View(func(*state.Tx) error {
		close(entered)
		<-waiting
		for range 100 {
			s.Run() // sooner or later while the other has begun, and waits for us
			time.Sleep(time.Millisecond)
		}
		return nil
	})
	if err := errors.Join(err, <-stored); err != nil {
		t.Fatal(err)
	}
}

// If the database can't be written any more while the application is stopped, it is started all the same, and once
// more by the next command.
func TestApplicationComesBackWithoutDatabase(t *testing.T) {
	b := newBench(t)
	e := b.engine("state.db")
	b.on["snap"] = func(when string) error {
		if when == "do" {
			return os.Chmod(b.dir, 0o777) // a folder that others may write is refused
		}
		return nil
	}
	if _, err := b.begin(e); err == nil || errors.Is(err, errCrashed) {
		t.Fatal(err)
	}
	if !slices.Equal(b.hooked, []string{"start"}) {
		t.Errorf("ran %v", b.hooked)
	}
	// Still not to be written: the next command brings it back, too, as far as it can read.
	b.hooked = nil
	if err := os.Chmod(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.did, b.on["snap"] = nil, nil
	if _, err := b.next(true); err != nil {
		t.Fatal(err)
	}
	b.want("start hold export upload unlock finish")
}

// A process that takes a run on has not begun to wait for what the one before it waited for.
func TestAWaitEndsWithItsProcess(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.on["upload"] = func(when string) error {
		if when == "do" {
			panic(crash{})
		}
		return nil
	}
	s, err := b.begin(b.engine("state.db"))
	if !errors.Is(err, errCrashed) {
		t.Fatal(err)
	}
	if err := s.Waits(s.Now().Add(time.Minute), errors.New("refused")); err != nil || s.Run().Waits == nil {
		t.Fatalf("%v, %+v", err, s.Run().Waits)
	}
	if s, err = b.engine("state.db").Open(s.Run().ID, "tank/data"); err != nil || s.Run().Waits != nil {
		t.Errorf("%v, %+v", err, s.Run().Waits)
	}
}
