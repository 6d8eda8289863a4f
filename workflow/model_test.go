package workflow

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The model is what a person would say of the engine: which steps are done, whether the application stands
// still, what the next command does, and with which exit status it ends. It knows nothing of records, journals
// or transactions. TestModel lets the engine play the same commands, and compares.
type model struct {
	run     RunState // of the unfinished run; empty if there is none
	dead    bool     // its process was killed, and nobody has said so yet
	next    int      // the first step that is not done
	open    bool     // the application was told to stop, and not to start again
	made    bool     // this attempt's snapshot exists
	tried   bool     // this attempt's start script was begun: who comes later does not look for the snapshot
	stored  string   // a step whose result is stored, but not that it is done
	closing bool     // a command was bringing the application back before anything else

	stopped  bool // the application
	operator bool // holds the lock
	byRun    bool // the run holds it
	high     int  // how many steps were ever done for good
	seen     int  // how many were at the last look
	deaths   int  // in a row, without more steps done
	kills    int  // the last of them that came while closing

	outcomes []outcome
	asked    bool // a stop signal came
	did      []string
}

var modelSteps = []string{"lock", "stop", "snap", "start", "export", "upload", "unlock", "finish"}

const stopAt, snapAt, startAt, exportAt = 1, 2, 3, 4

type ending int

const (
	done ending = iota
	failed
	killed
	lost    // hopeless
	reopens // misses
)

// command tells the exit status, and leaves in m.did what is done.
func (m *model) command(name string, outcomes []outcome) int {
	m.outcomes, m.asked, m.did = slices.Clone(outcomes), false, nil
	if m.dead {
		m.dead = false
		m.countDeath()
	}
	if m.open && name != "abort --skip-hooks" {
		if m.kills >= 5 && name != "abort" && name != "resume --force" {
			return exitStuck
		}
		m.closing = true
		switch m.startApplication() {
		case killed:
			m.dead = true
			return exitKilled
		case failed:
			m.closing = false
			m.forgetDeaths()
			return exitFailed
		}
		m.closing = false
	}
	switch name {
	case "lock":
		if m.operator {
			return exitLocked
		}
		m.operator, m.byRun = true, false
		return exitDone
	case "unlock":
		m.operator, m.byRun = false, false
		return exitDone
	case "abort", "abort --skip-hooks":
		if m.run == "" {
			return exitDone
		}
		m.open = false
		return m.abort()
	}
	if m.operator {
		return exitLocked
	}
	if m.run != "" {
		given := m.run == RunAborting
		exit := m.drive(name == "resume --force")
		given = given || m.run == "" && exit == exitFailed
		if name != "run" || exit != exitDone && !given || m.run != "" {
			return exit
		}
	} else if name != "run" {
		return exitDone
	}
	m.run, m.next, m.high, m.seen, m.made, m.tried, m.stored = RunPending, 0, 0, 0, false, false, ""
	m.forgetDeaths()
	return m.drive(false)
}

func (m *model) forgetDeaths() { m.deaths, m.kills = 0, 0 }

func (m *model) countDeath() {
	if m.high > m.seen {
		m.forgetDeaths()
	} else {
		m.deaths++
		m.kills++
		if !m.closing {
			m.kills = 0
		}
	}
	m.seen, m.closing = m.high, false
	switch {
	case m.run == RunAborting, m.run == RunStuck:
	case m.deaths >= 5:
		m.run = RunStuck
	case m.run != RunFailed:
		m.run = RunInterrupted
	}
}

func (m *model) drive(force bool) int {
	switch {
	case m.run == RunAborting:
		return m.abort()
	case m.run == RunStuck && !force:
		return exitStuck
	}
	if m.high > m.seen || m.run == RunStuck {
		m.forgetDeaths()
	}
	m.seen, m.run = m.high, RunRunning
	m.byRun = m.byRun || m.next > 0 && m.next < len(modelSteps)-1
	again := 0
	for m.next < len(modelSteps) {
		if m.asked {
			return m.end(RunInterrupted)
		}
		how := m.perform()
		if how == reopens && again < 3 {
			again++
			m.next, m.stored = exportAt, "export"
			continue
		}
		if how == done {
			continue
		}
		if how != killed && m.open {
			if back := m.startApplication(); back != done {
				how = back
			}
		}
		switch {
		case how == killed:
			m.dead = true
			return exitKilled
		case m.open: // the start script failed as well
			return m.end(RunFailed)
		case m.asked:
			return m.end(RunInterrupted)
		case how == lost:
			if exit := m.abort(); exit != exitDone {
				return exit
			}
			return exitFailed
		}
		return m.end(RunFailed)
	}
	m.run = ""
	return exitDone
}

// end is one that the process lived to tell.
func (m *model) end(how RunState) int {
	if m.open && how == RunInterrupted {
		switch m.startApplication() {
		case killed:
			m.dead = true
			return exitKilled
		case failed:
			how = RunFailed
		}
	}
	m.forgetDeaths()
	m.run = how
	if how == RunFailed {
		return exitFailed
	}
	return exitInterrupted
}

func (m *model) perform() ending {
	step := modelSteps[m.next]
	m.open = m.open || step == "stop"
	m.tried = m.tried || step == "start"
	if m.stored != step {
		if how := m.effect(step); how != done {
			return how
		}
	}
	m.stored = ""
	m.next++
	m.open = m.open && step != "start"
	if !m.open {
		m.high = max(m.high, m.next)
	}
	return done
}

// startApplication is what brings it back after anything else went wrong. The run goes on behind its snapshot,
// or, if that was not made, from the stop script.
func (m *model) startApplication() ending {
	if m.made && !m.tried {
		m.next = startAt
	}
	used := m.next == startAt
	m.tried = true
	m.next = startAt
	if !used {
		m.next = snapAt // remembered, should this process die
	}
	if m.stored != "start" {
		if how := m.effect("start"); how != done {
			return how
		}
	}
	m.stored, m.open = "", false
	if used {
		m.next++
		m.high = max(m.high, m.next)
	} else {
		m.next, m.made, m.tried = stopAt, false, false
	}
	return done
}

func (m *model) abort() int {
	m.run, m.stored = RunAborting, ""
	switch m.effect("clean") {
	case killed:
		return exitKilled
	case failed:
		if m.asked {
			return exitInterrupted
		}
		return exitFailed
	}
	m.run, m.byRun = "", false
	return exitDone
}

func (m *model) effect(name string) ending {
	o := goesWell
	if len(m.outcomes) > 0 {
		o, m.outcomes = m.outcomes[0].fits(name), m.outcomes[1:]
	}
	m.asked = m.asked || o == cut || o == stops
	switch o {
	case fails, cut:
		return failed
	case hopeless:
		return lost
	case misses:
		return reopens
	case diesBefore, turnsUpLate:
		return killed
	}
	m.did = append(m.did, name)
	switch name {
	case "stop":
		m.stopped = true
	case "snap":
		m.made = true
	case "start":
		m.stopped = false
	}
	switch o {
	case diesAfter:
		return killed
	case botched:
		return failed
	}
	switch name {
	case "lock":
		m.byRun = true
	case "unlock", "finish":
		m.byRun = false
	}
	if o == diesLate {
		m.stored = name
		return killed
	}
	return done
}

var modelCommands = []string{"run", "run", "run", "resume", "resume", "resume --force", "abort", "abort --skip-hooks", "lock", "unlock", "unlock"}

// Whatever is typed, and whatever dies, fails or is stopped in between: the engine does what the model says.
func TestModel(t *testing.T) {
	exits := map[int]int{}
	defer func() { t.Logf("how the commands ended: %v", exits) }()
	rapid.Check(t, func(rt *rapid.T) {
		g := newStage(t)
		g.fault = rt.Errorf
		m := &model{}
		// What can happen in one case is little, so that it happens together.
		kinds := rapid.SliceOfNDistinct(rapid.IntRange(int(fails), manyOutcomes-1), 1, 3, rapid.ID[int]).Draw(rt, "kinds of trouble")
		trouble := []outcome{goesWell}
		for _, k := range kinds {
			trouble = append(trouble, outcome(k))
		}
		for range rapid.IntRange(5, 15).Draw(rt, "commands") {
			g.clock = g.clock.Add(time.Duration(rapid.IntRange(-48, 72).Draw(rt, "hours")) * time.Hour)
			name := rapid.SampledFrom(modelCommands).Draw(rt, "command")
			outcomes := make([]outcome, rapid.IntRange(0, 5).Draw(rt, "go well"))
			outcomes = append(outcomes, rapid.SliceOfN(rapid.SampledFrom(trouble), 1, 6).Draw(rt, "then")...)
			for range rapid.SampledFrom([]int{1, 1, 1, 1, 6}).Draw(rt, "times") {
				want, exit := m.command(name, outcomes), g.command(name, outcomes)
				rt.Logf("%s: exit %d, did %s", name, exit, strings.Join(g.did, " "))
				if exit != want || !slices.Equal(g.did, m.did) {
					rt.Fatalf("%s ends with %d, having done %v; the model says %d and %v", name, exit, g.did, want, m.did)
				}
				m.compare(rt, g)
				exits[exit]++
			}
		}
	})
}

// compare looks at what the command left.
func (m *model) compare(rt *rapid.T, g *stage) {
	if g.outside.stopped != m.stopped {
		rt.Fatalf("the application is stopped: %v; the model says %v", g.outside.stopped, m.stopped)
	}
	rec := g.record()
	if by := rec.held && !rec.lock.Operator; by != m.byRun || g.locked() != m.operator {
		rt.Fatalf("lock held %v, by an operator %v; the model says by a run %v, by an operator %v", rec.held, rec.lock.Operator, m.byRun, m.operator)
	}
	r, there := rec.unfinished()
	if there != (m.run != "") {
		rt.Fatalf("there is an unfinished run: %v; the model says %q", there, m.run)
	}
	if !there {
		return
	}
	stored := RunState(r.State.String())
	if m.dead && (stored == RunPending || stored == RunRunning) {
		stored = m.run // the dead can't store that they are
	}
	if stored != m.run || BracketMachine.In(r.Bracket, BracketOpen) != m.open || g.noted() != m.open {
		rt.Fatalf("the run is %s, its bracket %s, noted %v; the model says %s, open %v", r.State, r.Bracket, g.noted(), m.run, m.open)
	}
	if len(r.Deaths) != m.deaths && !m.dead {
		rt.Fatalf("%d deaths; the model says %d", len(r.Deaths), m.deaths)
	}
}
