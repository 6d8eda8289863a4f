package workflow

import (
	"context"
	"errors"
	"testing"
	"time"

	"zfs2cloud/state"
)

const guid = "4711"

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
// of the bracket nothing that was done is done again. What was only begun is never taken for done (bzfs#113,
// clickhouse-backup#1569: what was planned was recorded as done).
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

// Whatever fails in the bracket, the application comes back. (volumerize#43, calcardbackup#18: it was left stopped.)
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
