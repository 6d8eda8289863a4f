//go:build crashpoints

package workflow

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zfs2cloud/state"
	points "zfs2cloud/state/crash"
	"zfs2cloud/state/durable"
)

var exploreFor = flag.Duration("explore", 0, "TestEveryDeath: for so long; 0: to the end")

// TestEveryDeath goes through the states that the engine can leave behind, those that take the fewest commands first, to
// the last one or for as long as it may. It begins with nothing.
// From each state every command is given, once with all going well, and once with each trouble at each of its first
// effects; and what a death at each point on the way would leave, as package crash enumerates them, is a state as well.
// At each of these points a second process wants the dataset. States that differ in nothing that the engine looks at
// (ids, times, attempts that are over) are one, so that there is an end.
//
// Trouble at the first effects is enough: between two steps the engine knows nothing that is not in the database, so that a
// step in trouble is the same whether its process did the ones before, or found them done. A bracket is done by one process,
// and no longer than that. Nor need it befall a run with several deaths behind it: they matter only to how the next is
// counted, and trouble that can be told ends their row.
//
// The tables of the machines alone would prove little: they let a run be interrupted whether or not its bracket is open. It
// is the engine that keeps the two together, so it is the engine that is gone through, with the real database.
func TestEveryDeath(t *testing.T) {
	g := newStage(t)
	g.plan = []Planned{{Name: "stop", Kind: Hook}, {Name: "snap", Kind: Snapshot}, {Name: "start", Kind: Hook}, {Name: "export", Kind: Export}}
	defer func(usual int) { maxDeaths = usual }(maxDeaths)
	maxDeaths = 2 // the third to the fifth are counted as the second is, and would make the states three times as many
	x := &explorer{stage: g, t: t, scratch: newStage(t), known: map[string]bool{}}
	g.fault = func(format string, args ...any) { x.fault(format, args...) }
	g.point = x.point
	points.Watch = func(string) { x.point() }
	defer func() { points.Watch = nil }()
	began := time.Now()
	x.reach(moment{outside: outside{snaps: map[string]bool{}, results: map[string]bool{}}, how: "nothing"})
	for len(x.todo) > 0 && !t.Failed() && (*exploreFor == 0 || time.Since(began) < *exploreFor) {
		x.from = x.todo[0]
		x.todo = x.todo[1:]
		x.leave()
	}
	t.Logf("%d states, %d of them not left yet; %d commands, %d deaths, a second process turned away %d times, in %s",
		len(x.known), len(x.todo), x.commands, x.deaths, x.seconds, time.Since(began).Round(time.Second))
}

// moment is all that is there when no process is.
type moment struct {
	db      []byte
	gate    []byte // knows how many transactions there were
	notes   map[string][]byte
	outside outside
	how     string // it came about
}

type explorer struct {
	stage   *stage
	scratch *stage // where moments are looked at
	t       *testing.T
	known   map[string]bool
	todo    []moment

	from    moment
	command string
	trouble []outcome
	last    moment

	commands, deaths, seconds int
}

func (x *explorer) fault(format string, args ...any) {
	x.t.Errorf("%s, %s %v: %s", x.from.how, x.command, x.trouble, fmt.Sprintf(format, args...))
}

// leave gives every command in the state at hand.
func (x *explorer) leave() {
	x.put(x.stage, x.from)
	rec := x.stage.record()
	r, unfinished := rec.unfinished()
	died := unfinished && (r.Closing || RunMachine.In(r.State, RunPending, RunRunning))
	deaths := r.Deaths
	switch { // as the next command will count them
	case died && r.High.Beyond(r.HighAtLast):
		deaths = nil
	case died:
		deaths = append(slices.Clone(deaths), state.Death{Closing: r.Closing})
	}
	stuck := unfinished && (RunMachine.In(r.State, RunStuck) || died && len(deaths) >= maxDeaths)
	open := unfinished && BracketMachine.In(r.Bracket, BracketOpen)
	commands := []string{"run", "lock", "unlock", "resume --force"}
	if unfinished {
		commands = append(commands, "resume", "abort")
	}
	if open {
		commands = append(commands, "abort --skip-hooks")
	}
	for _, command := range commands {
		exit, did := x.try(command, nil)
		x.checkEnd(command, exit, stuck, rec.held && rec.lock.Operator, open && closingKills(state.Run{Deaths: deaths}))
		if unfinished && (command == "run" || command == "resume --force" && !stuck || len(r.Deaths) > 1) {
			continue // resume has seen it all, or a run with fewer deaths
		}
		for at := 0; at < min(len(did), maxTroubles); at++ {
			for _, o := range []outcome{fails, botched, cut, stops, hopeless, turnsUpLate} {
				if o.fits(did[at]) != o {
					continue
				}
				well := make([]outcome, at)
				x.try(command, append(slices.Clone(well), o))
				if o == fails || o == cut {
					x.try(command, append(well, o, fails)) // and so does what is done about it
				}
			}
		}
	}
}

// maxTroubles is how many of a command's effects get into trouble: as many as a bracket has.
const maxTroubles = 3

func (x *explorer) try(command string, trouble []outcome) (exit int, did []string) {
	x.put(x.stage, x.from)
	x.command, x.trouble, x.last = command, trouble, x.from
	x.commands++
	before := x.stage.record().runs
	exit = x.stage.command(command, trouble)
	x.look()
	did = x.stage.did
	if exit == exitInterrupted && x.stage.outside.stopped && command != "abort --skip-hooks" {
		x.fault("the command stopped at a checkpoint, and left the application stopped")
	}
	after := x.stage.record().runs
	for _, r := range before {
		if !Over(r.State) {
			continue
		}
		i := slices.IndexFunc(after, func(a state.Run) bool { return a.ID == r.ID })
		if i < 0 || after[i].State != r.State {
			x.fault("run %s was over, and is not any more", r.ID)
		}
	}
	return exit, did
}

// checkEnd is what makes of each state one with a way out: with all going well, one command ends it.
func (x *explorer) checkEnd(command string, exit int, stuck, operator, killing bool) {
	want := exitDone
	switch {
	case killing && command != "resume --force" && !strings.HasPrefix(command, "abort"):
		want = exitStuck
	case command == "lock" && operator, operator && !strings.HasPrefix(command, "abort") && command != "unlock":
		want = exitLocked
	case stuck && (command == "run" || command == "resume"):
		want = exitStuck
	}
	if exit != want {
		x.fault("exit %d, want %d", exit, want)
	}
	_, left := x.stage.record().unfinished()
	if want == exitDone && command != "lock" && command != "unlock" {
		if left {
			x.fault("the run is still not over")
		}
		if x.stage.outside.stopped && command != "abort --skip-hooks" {
			x.fault("the application is still stopped")
		}
	}
}

// point is where the process may die.
func (x *explorer) point() {
	if len(x.trouble) > 0 && len(x.stage.outcomes) > 0 {
		return // seen already: up to the last trouble it went as it does without
	}
	if x.look() {
		x.stage.second()
		x.seconds++
	}
}

// look takes what is there now for a state, and tells whether it is another than before.
func (x *explorer) look() bool {
	m := x.take()
	if bytes.Equal(m.db, x.last.db) && maps.EqualFunc(m.notes, x.last.notes, bytes.Equal) && m.outside.equal(x.last.outside) {
		return false
	}
	x.last = m
	x.deaths++
	x.reach(m)
	return true
}

func (o outside) equal(p outside) bool {
	return o.stopped == p.stopped && o.late == p.late && maps.Equal(o.snaps, p.snaps) && maps.Equal(o.results, p.results)
}

// take copies what a death now would leave. Where an operator gave the scripts up, he starts the application himself.
func (x *explorer) take() moment {
	g := x.stage
	m := moment{notes: map[string][]byte{}, outside: g.outside, how: x.from.how + ", " + x.command}
	if len(x.trouble) > 0 {
		m.how += fmt.Sprint(" ", x.trouble)
	}
	m.outside.snaps, m.outside.results = maps.Clone(g.outside.snaps), maps.Clone(g.outside.results)
	if x.command == "abort --skip-hooks" {
		m.outside.stopped = false
	}
	m.db, _ = os.ReadFile(filepath.Join(g.dir, "state.db"))
	m.gate, _ = os.ReadFile(filepath.Join(g.dir, "state.db.gate"))
	files, _ := filepath.Glob(filepath.Join(g.dir, "datasets", "*.json"))
	for _, f := range files {
		if !durable.IsTemp(f) {
			m.notes[filepath.Base(f)], _ = os.ReadFile(f)
		}
	}
	return m
}

// put makes a stage be at a moment.
func (x *explorer) put(g *stage, m moment) {
	g.outside = m.outside
	g.outside.snaps, g.outside.results = maps.Clone(m.outside.snaps), maps.Clone(m.outside.results)
	db := filepath.Join(g.dir, "state.db")
	old, _ := filepath.Glob(filepath.Join(g.dir, "datasets", "*.json"))
	for _, f := range append(old, db) {
		if err := os.Remove(f); err != nil && !os.IsNotExist(err) {
			x.t.Fatal(err)
		}
	}
	if len(m.db) > 0 {
		if err := os.WriteFile(db, m.db, 0o600); err != nil {
			x.t.Fatal(err)
		}
	}
	if err := os.WriteFile(db+".gate", m.gate, 0o600); err != nil {
		x.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(g.dir, "datasets"), 0o700); err != nil {
		x.t.Fatal(err)
	}
	for name, content := range m.notes {
		if err := os.WriteFile(filepath.Join(g.dir, "datasets", name), content, 0o600); err != nil {
			x.t.Fatal(err)
		}
	}
}

// reach looks at a moment, and keeps it if it is a new state.
func (x *explorer) reach(m moment) {
	x.put(x.scratch, m)
	rec := x.scratch.record()
	r, unfinished := rec.unfinished()
	x.checkBalance(m, r, unfinished)
	key := x.key(m, rec, r, unfinished)
	if x.known[key] {
		return
	}
	x.known[key] = true
	x.todo = append(x.todo, m)
}

// checkBalance: what says that the application has to be started again is there for as long as it stands still, in the
// database and beside it, and status does not say otherwise.
func (x *explorer) checkBalance(m moment, r state.Run, unfinished bool) {
	if !m.outside.stopped {
		return
	}
	switch {
	case !unfinished || !BracketMachine.In(r.Bracket, BracketOpen):
		x.fault("the application is stopped, and no bracket is open")
	case len(m.notes) == 0:
		x.fault("the application is stopped, and nothing beside the database says so")
	case ApplicationOf(r, false) == AppRunning:
		x.fault("the application is stopped, and status says that it is not")
	}
}

// key is what the engine can tell a state by.
func (x *explorer) key(m moment, rec record, r state.Run, unfinished bool) string {
	var b strings.Builder
	fmt.Fprint(&b, m.outside.stopped, len(m.notes), " lock ", rec.held, rec.lock.Operator, rec.held && rec.lock.Run == r.ID)
	if !unfinished {
		return b.String()
	}
	kills := 0
	for i := len(r.Deaths) - 1; i >= 0 && r.Deaths[i].Closing; i-- {
		kills++
	}
	fmt.Fprint(&b, " run ", r.State, r.Bracket, r.Closing, min(len(r.Deaths), maxDeaths), min(kills, maxDeaths), r.High.Beyond(r.HighAtLast), r.High.Steps)
	err := x.store().View(func(tx *state.Tx) error {
		for i, s := range r.Steps {
			e, there, err := tx.Entry(state.EffectKey(r.ID, i, s.Attempt, "work"))
			if err != nil {
				return err
			}
			fmt.Fprint(&b, " ", s.State, there, there && e.Done != nil)
		}
		return nil
	})
	if err != nil {
		x.fault("%v", err)
	}
	good, made := m.outside.snaps[r.Snapshot]
	fmt.Fprint(&b, " snapshot ", r.Snapshot != "", made, good, m.outside.late != "", m.outside.late == r.Snapshot)
	return b.String()
}

func (x *explorer) store() *state.Store { return state.New(filepath.Join(x.scratch.dir, "state.db")) }
