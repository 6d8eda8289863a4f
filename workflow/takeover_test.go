package workflow

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zfs2cloud/state"
)

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

// A second stop signal ends a script that hangs where the database can't be written, or tells nothing, and the next is run.
func TestStopWithoutDatabase(t *testing.T) {
	for _, noted := range []bool{false, true} {
		t.Run(fmt.Sprint("noted ", noted), func(t *testing.T) {
			b := newBench(t)
			e := b.engine("state.db")
			signals := func(e *Engine) {
				e.Hook = func(ctx context.Context, argv, _ []string, _ time.Duration) error {
					b.hooked = append(b.hooked, argv[0])
					if argv[0] == "tell" {
						return ctx.Err()
					}
					e.Stop.Signal()
					e.Stop.Signal()
					select {
					case <-ctx.Done():
					case <-time.After(10 * time.Second):
						t.Error("it is not ended")
					}
					return ctx.Err()
				}
			}
			signals(e)
			b.on["snap"] = func(when string) error {
				if when == "do" {
					b.spoil()
				}
				if noted {
					panic(crash{})
				}
				return nil
			}
			s, err := e.Begin(state.Run{Frozen: state.Frozen{Dataset: "tank/data"}, Steps: plan([]Planned{{Name: "stop", Kind: Hook},
				{Name: "snap", Kind: Snapshot}, {Name: "start", Kind: Hook}, {Name: "tell", Kind: Hook}})})
			if err != nil {
				t.Fatal(err)
			}
			err = b.drive(e, s)
			if noted {
				e = b.engine("other.db")
				signals(e)
				_, err = e.Takeover(e.Stop.Soft())
			}
			var open *BracketError
			if !errors.As(err, &open) || !slices.Equal(b.hooked, []string{"start", "tell"}) || strings.Contains(err.Error(), "tell: ") {
				t.Errorf("%v; ran %q", err, b.hooked)
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

// A hook that was to stop the application, was cut off and is still at work, is ended before the application is started, and no
// hook that starts it ever is. One that defies that is not begun a second time beside itself.
func TestCutOffHookStopsNothingLater(t *testing.T) {
	for _, c := range []struct {
		dies, phase    string
		defies, unread bool
		want           string
	}{
		{"stop", "pre", false, false, "end-7 start"},
		{"stop", "pre", true, false, "end-7 start"},
		{"stop", "pre", false, true, "end-7 start start"}, // by what was read of the run, and by its note
		{"start", "post", false, false, "start"},
		{"stop", "", false, false, "end-7 start"}, // of a version that noted no phase
		{"start", "", false, false, "start"},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			b := newBench(t)
			b.on[c.dies] = func(string) error { panic(crash{}) }
			s, err := b.begin(b.engine("state.db"))
			if err != errCrashed {
				t.Fatal(err)
			}
			b.did, b.on[c.dies], b.lasts = nil, nil, context.DeadlineExceeded
			if c.defies {
				b.defies = errors.New("it hangs in the kernel")
			}
			e := b.engine("state.db")
			err = e.Store.Update(func(tx *state.Tx) error {
				r, _, err := tx.Run(s.Run().ID)
				r.Hook = &state.HookMark{PID: 7, Phase: c.phase}
				return errors.Join(err, tx.PutRun(r))
			})
			if err != nil {
				t.Fatal(err)
			}
			if c.unread { // what is stored can be read, and nothing more be stored
				e.Afresh = func(*state.Run) { _ = os.Chmod(b.dir, 0o777) }
			}
			runs, err := e.Takeover(context.Background())
			if (err != nil) != c.unread {
				t.Fatal(err)
			}
			b.did = append(b.did, b.hooked...)
			b.want(c.want)
			if c.unread {
				return
			}
			if noted := len(runs[0].Notes) == 1; noted != (c.dies == "stop") || (runs[0].CutOff != nil) != c.defies {
				t.Errorf("notes %q, cut off %+v", runs[0].Notes, runs[0].CutOff)
			}
			if !c.defies {
				return
			}
			b.did = nil
			if _, err := b.next(true); err == nil || slices.Contains(b.did, "stop") {
				t.Errorf("%v, did %q", err, b.did)
			}
			b.lasts, b.did = nil, nil
			if _, err := b.next(true); err != nil {
				t.Error(err)
			}
			b.want("stop snap start hold export upload unlock finish")
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
