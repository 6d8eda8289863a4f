package workflow

import (
	"slices"
	"testing"
)

// The library takes mistakes in a table silently: a misspelt state, a second row for one pair of event
// and source, a transition to the same state. So the tables are checked here.
func TestTables(t *testing.T) {
	checkTable(t, RunMachine)
	checkTable(t, StepMachine)
	checkTable(t, BracketMachine)
	checkTable(t, ChunkMachine)
	checkTable(t, BackupMachine)
	checkTable(t, LockMachine)
	if n := len(Machines()); n != 6 {
		t.Errorf("Machines lists %d, want the six that are checked here", n)
	}
}

func checkTable[S, E ~string](t *testing.T, m *Machine[S, E]) {
	t.Helper()
	type pair struct {
		event E
		from  S
	}
	seen := map[pair]bool{}
	leaves := map[S]bool{}
	for _, r := range m.rows {
		if len(r.from) == 0 {
			t.Errorf("%s: event %q has no source", m.name, r.event)
		}
		for _, from := range r.from {
			if seen[pair{r.event, from}] {
				t.Errorf("%s: two rows for event %q in state %q", m.name, r.event, from)
			}
			seen[pair{r.event, from}] = true
			if from == r.to {
				t.Errorf("%s: event %q leads from %q to itself", m.name, r.event, from)
			}
			leaves[from] = true
		}
	}
	reached := []S{m.initial}
	for i := 0; i < len(reached); i++ {
		for _, r := range m.rows {
			if slices.Contains(r.from, reached[i]) && !slices.Contains(reached, r.to) {
				reached = append(reached, r.to)
			}
		}
	}
	for _, name := range m.States() {
		s := S(name)
		if !slices.Contains(reached, s) {
			t.Errorf("%s: state %q is never reached", m.name, s)
		}
		if terminal := slices.Contains(m.terminal, s); terminal == leaves[s] {
			t.Errorf("%s: state %q: declared terminal: %v, has a way out: %v", m.name, s, terminal, leaves[s])
		}
	}
}

// Every state and event constant is used by its table, with the spelling that stands in the design.
func TestTablesHaveTheStatesOfTheDesign(t *testing.T) {
	want := map[Table][]string{
		RunMachine:     {"aborted", "aborting", "failed", "interrupted", "pending", "running", "stuck", "succeeded"},
		StepMachine:    {"done", "failed", "running", "skipped", "waiting"},
		BracketMachine: {"closed", "idle", "open"},
		ChunkMachine:   {"discarded", "released", "sealed", "sealing", "uploaded", "uploading"},
		BackupMachine:  {"abandoned", "committed", "expired", "exported", "exporting"},
		LockMachine:    {"free", "held"},
	}
	for m, states := range want {
		got := m.States()
		slices.Sort(got)
		if !slices.Equal(got, states) {
			t.Errorf("%s has states %v, want %v", m.Name(), got, states)
		}
	}
}

func TestNextRefusesWhatTheTableDoesNotHave(t *testing.T) {
	for _, c := range []struct{ from, event string }{
		{string(RunSucceeded), string(RunStart)}, {string(RunAborting), string(RunSucceed)}, {string(RunStuck), string(RunStart)}, {"nonsense", string(RunStart)}, {string(RunPending), "nonsense"}, {"", string(RunStart)},
	} {
		if to, err := RunMachine.Next(c.from, c.event); err == nil {
			t.Errorf("%s in %q led to %q", c.event, c.from, to)
		}
	}
	if to, err := RunMachine.Next(string(RunInterrupted), string(RunStart)); err != nil || to != string(RunRunning) {
		t.Errorf("start in interrupted: %q, %v", to, err)
	}
}
