package outage

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// Cut is one end of a guest's life.
type Cut struct {
	Moment string // its name, for people
	Call   string // the kind of call at which it comes, in the words of at.sh
	Nth    int    // of that kind, in that life
	When   string // Before, During or After the call
	// Delay is how much later than it was announced a cut during the call comes.
	Delay time.Duration
	// Resumed says that the moment is one of the resume of the run that the last cut ended; else it is one of a new run.
	Resumed bool
	// Step is where a cut before or after the call leaves the run, if there is but one such step.
	Step string
	// Big says that the run should have more than one chunk, Late that it should find old snapshots to prune.
	Big, Late bool
}

// When a cut comes.
const (
	Before = "before"
	During = "during"
	After  = "after"
)

// moments has each moment once, in two chains of runs, which two guests live through side by side. That in a resume needs
// a run that was cut off before it; pruning needs a snapshot between a full and the newest.
var moments = [2][]Cut{
	{
		{Moment: "pre-snapshot hook", Call: "stop", Step: stopHook, Big: true},
		{Moment: "snapshot", Call: "snapshot", Step: "snapshot"},
		{Moment: "post-snapshot hook", Call: "start", Step: startHook},
		{Moment: "prune", Call: "prune", Step: "prune-snapshots", Late: true},
	},
	{
		{Moment: "export", Call: "seal", Step: "export-intermediate", Big: true},
		{Moment: "upload", Call: "upload", Big: true},
		{Moment: "resume", Call: "upload", Resumed: true},
		{Moment: "commit", Call: "commit", Step: "upload-intermediate-to-remote"},
	},
}

// Plain is the chain whose backups are not encrypted: its moments are none of gpg's, whose key derivation takes an
// emulated processor seconds for each message.
const Plain = 0

// Moments is how many there are.
var Moments = len(moments[0]) + len(moments[1])

// Plan is that many cuts, of each chain in turn and each of its moments in turn. The same seed makes the same cuts.
func Plan(cuts int, seed uint64) (plan [2][]Cut) {
	chance := rand.New(rand.NewPCG(seed, 0))
	for i := range cuts {
		chain := i % len(moments)
		c := moments[chain][len(plan[chain])%len(moments[chain])]
		c.Nth = 1
		if c.Call == "seal" {
			c.Nth += chance.IntN(3) // a canary, and at least two chunks
		}
		c.When = []string{Before, During, After}[chance.IntN(3)]
		if c.When == During {
			c.Delay = time.Duration(chance.IntN(500)) * time.Millisecond
		}
		plan[chain] = append(plan[chain], c)
	}
	return plan
}

// String is the moment in words.
func (c Cut) String() string {
	text := c.Moment
	if c.Nth > 1 {
		text += " " + strconv.Itoa(c.Nth)
	}
	return text + ", " + c.When
}
