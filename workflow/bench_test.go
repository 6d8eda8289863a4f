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
	lasts  error    // of a hook that was cut off, and whose end is waited for in vain
	defies error    // of one that can't be ended
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
func (h benchHost) WaitGone(context.Context, ProcessID) error { return h.b.lasts }

func (h benchHost) EndGroup(id ProcessID) error {
	h.b.did = append(h.b.did, fmt.Sprint("end-", id.PID))
	if h.b.defies == nil {
		h.b.lasts = nil
	}
	return h.b.defies
}

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
	if crashes(func() { err = e.Drive(s, false) }) {
		return errCrashed
	}
	return err
}

// crashes tells whether what was done ended with a crash.
func crashes(do func()) (yes bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, yes = r.(crash); !yes {
				panic(r)
			}
		}
	}()
	do()
	return false
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
