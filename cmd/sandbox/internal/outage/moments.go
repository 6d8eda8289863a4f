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

// moments has each moment once. That in a resume needs a run that was cut off before.
var moments = []Cut{
	{Moment: "pre-snapshot hook", Call: "stop", Step: stopHook, Big: true},
	{Moment: "snapshot", Call: "snapshot", Step: "snapshot"},
	{Moment: "post-snapshot hook", Call: "start", Step: startHook},
	{Moment: "export", Call: "seal", Step: "export-intermediate", Big: true},
	{Moment: "prune", Call: "prune", Step: "prune-snapshots", Late: true},
	{Moment: "upload", Call: "upload", Big: true},
	{Moment: "resume", Call: "upload", Resumed: true},
	{Moment: "commit", Call: "commit", Step: "upload-intermediate-to-remote"},
}

// Moments is how many there are.
var Moments = len(moments)

// Plan is that many cuts, each moment in turn. The same seed makes the same cuts.
func Plan(cuts int, seed uint64) []Cut {
	chance := rand.New(rand.NewPCG(seed, 0))
	plan := make([]Cut, cuts)
	for i := range plan {
		c := moments[i%len(moments)]
		c.Nth = 1
		if c.Call == "seal" {
			c.Nth += chance.IntN(3) // a canary, and at least two chunks
		}
		c.When = []string{Before, During, After}[chance.IntN(3)]
		if c.When == During {
			c.Delay = time.Duration(chance.IntN(500)) * time.Millisecond
		}
		plan[i] = c
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
