package workflow

import "zfs2cloud/state"

// What a run's hooks left of the application that they stop and start again.
const (
	AppRunning = "running"
	AppStopped = "stopped"
	AppUnknown = "unknown" // what brings it back failed, was cut off, or was skipped
)

// Application says what a run's hooks left of the application, by the run's record alone. It is empty for a
// plan that stops none.
func Application(r state.Run) string {
	return ApplicationOf(r, RunMachine.In(r.State, RunPending, RunRunning, RunAborting))
}

// ApplicationOf is Application for who knows whether the run has a live process: a post-snapshot operation
// that is on record as running was cut off if it has none.
func ApplicationOf(r state.Run, alive bool) string {
	b, ok := bracketOf(r.Steps)
	if !ok || len(b.pre) == 0 {
		return ""
	}
	open := BracketMachine.In(r.Bracket, BracketOpen)
	closed := BracketMachine.In(r.Bracket, BracketClosed)
	for _, i := range b.post {
		step := r.Steps[i].State
		switch {
		case open && StepMachine.In(step, StepFailed),
			open && StepMachine.In(step, StepRunning) && !alive,
			closed && !StepMachine.In(step, StepDone): // an operator gave it up with --skip-hooks
			return AppUnknown
		}
	}
	switch {
	case open:
		return AppStopped
	case len(b.post) == 0:
		return "" // whatever starts it, if anything does, is none of the bracket
	}
	return AppRunning
}

// OpenBracket is what a note in the fixed folder tells of a bracket, whatever database its run is in.
type OpenBracket struct {
	GUID, Run string // from the note's name
	Database  string // the rest is empty where Err is set
	Dataset   string
	Post      [][]string // argv of each post-snapshot operation
	Err       error      // why the note can't be read
}

// OpenBrackets lists the brackets that the notes tell of. One whose run is in the database may be closed
// already: its process died before it dropped the note.
func OpenBrackets(folder state.Folder) ([]OpenBracket, error) {
	notes, err := folder.Notes(bracketNotes, "")
	var open []OpenBracket
	for _, note := range notes {
		o := OpenBracket{GUID: note.GUID, Run: note.ID}
		var n bracketNote
		if o.Err = note.Decode(&n); o.Err == nil {
			o.Database, o.Dataset, o.Post = n.Database, n.Dataset, n.Post
		}
		open = append(open, o)
	}
	return open, err
}
