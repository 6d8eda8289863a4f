package workflow

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"zfs2cloud/state"
)

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
