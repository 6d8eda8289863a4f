package workflow

import (
	"path/filepath"
	"testing"

	"zfs2cloud/state"
)

// at takes a record's state along a path of events.
func at[S, E ~string](t *testing.T, tx *state.Tx, m *Machine[S, E], c *state.Cell, path ...E) {
	t.Helper()
	if err := m.Born(tx, c); err != nil {
		t.Fatal(err)
	}
	for _, event := range path {
		if err := m.Fire(tx, c, event); err != nil {
			t.Fatal(err)
		}
	}
}

func TestApplication(t *testing.T) {
	var (
		waiting []StepEvent
		running = []StepEvent{StepStart}
		done    = []StepEvent{StepStart, StepFinish}
		failed  = []StepEvent{StepStart, StepFail}
		opened  = []BracketEvent{BracketOpens}
		closed  = []BracketEvent{BracketOpens, BracketCloses}
		begun   = []RunEvent{RunStart}
		cutOff  = []RunEvent{RunStart, RunInterrupt}
	)
	stop, snap, start := Planned{Name: "/stop", Kind: Hook}, Planned{Name: "snapshot", Kind: Snapshot}, Planned{Name: "/start", Kind: Hook}
	all := []Planned{stop, snap, start}
	for _, c := range []struct {
		name    string
		plan    []Planned
		run     []RunEvent
		bracket []BracketEvent
		steps   [][]StepEvent
		want    string
	}{
		{"no hooks", []Planned{snap}, begun, nil, [][]StepEvent{running}, ""},
		{"no snapshot", []Planned{stop}, begun, nil, [][]StepEvent{running}, ""},
		{"nothing that stops it", []Planned{snap, start}, begun, nil, [][]StepEvent{running, waiting}, ""},
		{"not begun", all, begun, nil, [][]StepEvent{waiting, waiting, waiting}, AppRunning},
		{"stopping", all, begun, opened, [][]StepEvent{running, waiting, waiting}, AppStopped},
		{"stop failed", all, cutOff, opened, [][]StepEvent{failed, waiting, waiting}, AppStopped},
		{"starting", all, begun, opened, [][]StepEvent{done, done, running}, AppStopped},
		{"start cut off", all, cutOff, opened, [][]StepEvent{done, done, running}, AppUnknown},
		{"start failed", all, begun, opened, [][]StepEvent{done, done, failed}, AppUnknown},
		{"started", all, begun, closed, [][]StepEvent{done, done, done}, AppRunning},
		{"start skipped", all, begun, closed, [][]StepEvent{done, waiting, waiting}, AppUnknown},
		{"no start", []Planned{stop, snap}, cutOff, opened, [][]StepEvent{done, running}, AppStopped},
		{"no start behind the snapshot", []Planned{stop, snap}, cutOff, closed, [][]StepEvent{done, done}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := state.New(filepath.Join(t.TempDir(), "state.db")).Update(func(tx *state.Tx) error {
				r := state.Run{Steps: NewPlan(c.plan, nil, nil)}
				at(t, tx, RunMachine, &r.State, c.run...)
				at(t, tx, BracketMachine, &r.Bracket, c.bracket...)
				for i, path := range c.steps {
					at(t, tx, StepMachine, &r.Steps[i].State, path...)
				}
				if got := Application(r); got != c.want {
					t.Errorf("%q, want %q", got, c.want)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestApplicationOfADeadRun(t *testing.T) {
	err := state.New(filepath.Join(t.TempDir(), "state.db")).Update(func(tx *state.Tx) error {
		r := state.Run{Steps: NewPlan([]Planned{{Name: "/stop", Kind: Hook}, {Kind: Snapshot}, {Name: "/start", Kind: Hook}}, nil, nil)}
		at(t, tx, RunMachine, &r.State, RunStart) // nobody was left to store that it died
		at(t, tx, BracketMachine, &r.Bracket, BracketOpens)
		for i, path := range [][]StepEvent{{StepStart, StepFinish}, {StepStart, StepFinish}, {StepStart}} {
			at(t, tx, StepMachine, &r.Steps[i].State, path...)
		}
		if got := ApplicationOf(r, true); got != AppStopped {
			t.Errorf("alive: %q", got)
		}
		if got := ApplicationOf(r, false); got != AppUnknown {
			t.Errorf("dead: %q", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpenBrackets(t *testing.T) {
	folder := state.Folder{Dir: filepath.Join(t.TempDir(), "datasets")}
	if open, err := OpenBrackets(folder); err != nil || len(open) != 0 {
		t.Fatal(open, err)
	}
	note := bracketNote{Database: "/other.db", Run: "7k3f", Dataset: "tank/data", Post: [][]string{{"/start", "now"}}}
	if err := folder.PutNote(bracketNotes, "123", "7k3f", note); err != nil {
		t.Fatal(err)
	}
	if err := folder.PutNote(bracketNotes, "124", "9abc", "not one of ours"); err != nil {
		t.Fatal(err)
	}
	open, err := OpenBrackets(folder)
	if err != nil || len(open) != 2 {
		t.Fatal(open, err)
	}
	if o := open[0]; o.GUID != "123" || o.Run != "7k3f" || o.Database != "/other.db" || o.Dataset != "tank/data" || o.Post[0][1] != "now" || o.Err != nil {
		t.Errorf("%+v", o)
	}
	if o := open[1]; o.GUID != "124" || o.Run != "9abc" || o.Err == nil {
		t.Errorf("%+v", o)
	}
}
