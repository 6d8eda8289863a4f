package outage

import (
	"cmp"
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
	// Delay is how much later than it was announced a cut during the call comes. In the table: at most.
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

// moments has each moment once, in chains of runs, which guests live through side by side. That in a resume needs a run that
// was cut off before it; pruning needs a snapshot between a full and the newest, and the folder of an older backup.
var moments = [3][]Cut{
	Plain: {
		{Moment: "pre-snapshot hook", Call: "stop", Step: stopHook, Big: true},
		{Moment: "snapshot", Call: "snapshot", Step: "snapshot"},
		{Moment: "post-snapshot hook", Call: "start", Step: startHook},
		{Moment: "prune", Call: "prune", Step: "prune-snapshots", Late: true},
		{Moment: "prune-intermediates", Call: remove, Step: "prune-intermediates", Delay: 20 * time.Millisecond},
		{Moment: "behind the export", Call: mark, Step: markHook},
	},
	sealed: {
		{Moment: "export", Call: "seal", Step: "export-intermediate", Big: true},
		{Moment: "upload", Call: "upload", Big: true},
		{Moment: "resume", Call: "upload", Resumed: true},
		{Moment: "commit", Call: "commit", Step: "upload-intermediate-to-remote"},
	},
	Files: {
		{Moment: "mount-snapshot", Call: "mount", Step: "mount-snapshot"},
		{Moment: "sync", Call: "sync", Step: "upload-snapshot-files-to-remote", Delay: 4 * time.Second},
		{Moment: "umount-snapshot", Call: "umount", Step: "umount-snapshot"},
		{Moment: "behind umount-snapshot", Call: mark, Step: markHook},
	},
}

// mark is a hook that does nothing. It stands behind a step that is done, so that what the cut takes is what the step should
// have had flushed; a run has it only where the cut comes there, since it stands between the export and an upload.
const mark = "mark"

// The chains.
const (
	// Plain is the chain whose backups are not encrypted: its moments are none of gpg's, whose key derivation takes an
	// emulated processor seconds for each message.
	Plain  = 0
	sealed = 1
	// Files is the chain of mode file.
	Files = 2
)

// Moments is how many there are.
var Moments = len(dealt())

// dealt is each chain as often as it has moments, by turns.
func dealt() (chains []int) {
	for nth := 0; ; nth++ {
		before := len(chains)
		for chain, of := range moments {
			if nth < len(of) {
				chains = append(chains, chain)
			}
		}
		if len(chains) == before {
			return chains
		}
	}
}

// Plan is that many cuts, of each chain in turn and each of its moments in turn. The same seed makes the same cuts.
func Plan(cuts int, seed uint64) (plan [len(moments)][]Cut) {
	chance := rand.New(rand.NewPCG(seed, 0))
	for i, chains := 0, dealt(); i < cuts; i++ {
		chain := chains[i%len(chains)]
		c := moments[chain][len(plan[chain])%len(moments[chain])]
		c.Nth = 1
		if c.Call == "seal" {
			c.Nth += chance.IntN(3) // a canary, and at least two chunks
		}
		c.When = []string{Before, During, After}[chance.IntN(3)]
		most := c.Delay
		if c.Delay = 0; c.When == During {
			c.Delay = time.Duration(chance.Int64N(int64(cmp.Or(most, 500*time.Millisecond))))
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
