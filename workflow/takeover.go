package workflow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"zfs2cloud/state"
)

// maxDeaths in a row, without progress, make a run stuck. (A variable, since a test that goes through all states has
// fewer of them with fewer deaths.)
var maxDeaths = 5

// Takeover is what every command does that takes a dataset, before anything else: it ends the zfs, gpg
// and rclone that outlived a dead process, makes the unfinished runs of all jobs on the dataset its own,
// and closes their brackets, by each run's own plan. It returns the unfinished runs, the oldest first.
// The error says which application could not be brought back; the runs are valid all the same. Neither an orphan that
// does not end, for as long as ZFS hangs, nor a database that can't be read keeps an application stopped.
func (e *Engine) Takeover(ctx context.Context) ([]state.Run, error) {
	var errs []error
	if err := e.Host.Sweep(ctx, e.Notes.KidsPath(e.Dataset)); err != nil {
		errs = append(errs, fmt.Errorf("end what a dead run left behind: %w", err))
	}
	ids, err := e.unfinished()
	if err != nil {
		errs = append(errs, err)
	}
	for _, id := range ids {
		if err := e.takeOver(id); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, e.closeNoted()...)
	if len(ids) == 0 {
		return nil, errors.Join(errs...)
	}
	var runs []state.Run
	err = e.Store.View(func(tx *state.Tx) error {
		for _, id := range ids {
			r, ok, err := tx.Run(id)
			if err != nil {
				return err
			}
			if ok {
				runs = append(runs, r)
			}
		}
		return nil
	})
	return runs, errors.Join(append(errs, err)...)
}

// unfinished lists the dataset's runs that are neither succeeded nor aborted, the oldest first.
func (e *Engine) unfinished() ([]string, error) {
	var ids []string
	err := e.Store.View(func(tx *state.Tx) error {
		runs, err := tx.Runs()
		for _, r := range runs {
			if r.DatasetGUID == e.Dataset && !Over(r.State) {
				ids = append(ids, r.ID)
			}
		}
		slices.Reverse(ids)
		return err
	})
	return ids, err
}

// takeOver makes a run ours, whose process is dead since we own its dataset, stores what its end means,
// and closes its bracket.
func (e *Engine) takeOver(id string) error {
	var found, taken state.Run
	var closes bool
	err := e.Store.Update(func(tx *state.Tx) error {
		r, ok, err := tx.Run(id)
		if err != nil || !ok {
			return err
		}
		e.afresh(&r)
		found = r
		died := diedAtWork(r) && r.Owner.Nonce != e.Owner.Nonce
		open := BracketMachine.In(r.Bracket, BracketOpen)
		if !died && !open {
			return nil
		}
		if died {
			if err := e.processEnded(tx, &r); err != nil {
				return err
			}
		}
		r.Owner, r.Waits = e.Owner, nil
		closes = open && !e.leaves(id) && (e.Insist || !closingKills(r))
		r.Closing = closes
		taken = r
		return tx.PutRun(r)
	})
	switch {
	case err != nil:
		if BracketMachine.In(found.Bracket, BracketOpen) {
			e.endCutOffHook(found)
		}
		return errors.Join(err, e.rescue(found))
	case closes:
		return e.recoverBracket(e.session(taken))
	case BracketMachine.In(taken.Bracket, BracketOpen) && !e.leaves(id):
		return &BracketError{Run: id, Err: &StuckError{Run: taken}}
	}
	return nil
}

// recoverBracket closes the bracket of a run that is not being driven, and has it on record for as long as that
// takes: a death meanwhile is one of the run's.
func (e *Engine) recoverBracket(s *Session) error {
	err := e.closeBracket(s)
	if s.failed() == nil {
		err = errors.Join(err, s.update(func(_ *state.Tx, r *state.Run) error {
			r.Closing = false
			if err != nil {
				r.Deaths = nil // an end that could be told breaks the row
			}
			return nil
		}))
	}
	return err
}

// closingKills tells whether bringing the application back killed a run's last processes, so many in a row that
// it is not tried again unless a person insists: a host that it takes down would never stay up.
func closingKills(r state.Run) bool {
	last := r.Deaths[max(0, len(r.Deaths)-maxDeaths):]
	return len(last) == maxDeaths && !slices.ContainsFunc(last, func(d state.Death) bool { return !d.Closing })
}

func (e *Engine) leaves(run string) bool { return e.Leave != nil && e.Leave(run) }

// deathsOf are the deaths in a row of a run whose process ended without a word in the record, that one among them, and whether
// they are too many for it to be gone on with. OWNER is who owned the dataset last.
func deathsOf(r state.Run, owner state.Owner) (row []state.Death, tooMany bool) {
	if owner.Left && owner.Nonce == r.Owner.Nonce || r.High.Beyond(r.HighAtLast) {
		return nil, false
	}
	row = append(slices.Clone(r.Deaths), state.Death{At: r.Updated, Where: where(r), Closing: r.Closing})
	return row, len(row) >= maxDeaths
}

// diedAtWork tells whether a run is on record as at work, if only to bring its application back.
func diedAtWork(r state.Run) bool {
	return r.Closing || RunMachine.In(r.State, RunRunning, RunPending)
}

// Found is how the next command finds a run that has no process: its state, and its deaths in a row. OWNER is who owned the
// dataset last.
func Found(r state.Run, owner state.Owner) (RunState, []state.Death) {
	now := RunState(r.State.String())
	if !diedAtWork(r) {
		return now, r.Deaths
	}
	row, tooMany := deathsOf(r, owner)
	switch {
	case tooMany && RunMachine.In(r.State, RunPending, RunRunning, RunInterrupted, RunFailed):
		now = RunStuck
	case RunMachine.In(r.State, RunPending, RunRunning):
		now = RunInterrupted
	}
	return now, row
}

// NeedsForce tells whether the next command leaves a run that has no process to a person: it is stuck, or bringing its
// application back has killed too many.
func NeedsForce(r state.Run, owner state.Owner) bool {
	found, row := Found(r, owner)
	r.Deaths = row
	return found == RunStuck || closingKills(r)
}

// processEnded stores that a run's process ended without a word in the record. One that is given up already, or stuck,
// stays so. A process that could not store its end, on a full disk, say, was not killed: that an owner who told
// somebody was the last breaks the row of deaths as any other end does.
func (e *Engine) processEnded(tx *state.Tx, r *state.Run) error {
	r.Deaths, _ = deathsOf(*r, e.Before)
	r.HighAtLast = r.High
	if RunMachine.In(r.State, RunRunning, RunPending) {
		if err := RunMachine.Fire(tx, &r.State, RunInterrupt); err != nil {
			return err
		}
	}
	if len(r.Deaths) < maxDeaths || !RunMachine.In(r.State, RunInterrupted, RunFailed) {
		return nil
	}
	r.Error = fmt.Sprintf("killed %d times without progress, last in %s", len(r.Deaths), where(*r))
	return RunMachine.Fire(tx, &r.State, RunJam)
}

// progressed tells whether a run has more behind it than when this was asked last. Then what deaths there were
// are forgotten.
func progressed(r *state.Run) bool {
	beyond := r.High.Beyond(r.HighAtLast)
	if beyond {
		r.Deaths = nil
	}
	r.HighAtLast = r.High
	return beyond
}

// where says in words what a run was at.
func where(r state.Run) string {
	if b, ok := bracketOf(r.Steps); ok && r.Closing {
		for _, i := range b.post {
			if !StepMachine.In(r.Steps[i].State, StepDone) {
				return r.Steps[i].Shown
			}
		}
	}
	if i := nextStep(r); i >= 0 {
		return r.Steps[i].Shown
	}
	return "its end"
}

// bracketNote is what a command with another database needs to bring an application back.
type bracketNote struct {
	Database string        `json:"database"`
	Run      string        `json:"run"`
	Dataset  string        `json:"dataset"`
	Post     [][]string    `json:"post"` // argv of each post-snapshot operation
	Timeout  time.Duration `json:"timeout"`
	Config   string        `json:"config,omitempty"`
}

const bracketNotes = "bracket"

func (e *Engine) putBracketNote(r state.Run, b bracket) error {
	n := bracketNote{Database: e.Store.Path(), Run: r.ID, Dataset: r.Frozen.Dataset, Timeout: r.Frozen.HookTimeout, Config: r.Config}
	for _, i := range b.post {
		n.Post = append(n.Post, append([]string{r.Steps[i].Name}, r.Steps[i].Args...))
	}
	return e.Notes.PutNote(bracketNotes, r.DatasetGUID, r.ID, n)
}

func (e *Engine) dropBracketNote(r state.Run) error {
	return e.Notes.DropNote(bracketNotes, r.DatasetGUID, r.ID)
}

// closeNoted closes the brackets that only a note tells of: their runs are in another database, or in
// one that was lost.
func (e *Engine) closeNoted() []error {
	notes, err := e.Notes.Notes(bracketNotes, e.Dataset)
	if err != nil {
		return []error{fmt.Errorf("read notes of open brackets: %w", err)}
	}
	var errs []error
	for _, note := range notes {
		if e.leaves(note.ID) {
			continue
		}
		var n bracketNote
		if err := note.Decode(&n); err != nil {
			errs = append(errs, fmt.Errorf("note of an open bracket of run %s can't be read: %w", note.ID, err))
			continue
		}
		if err := e.closeNote(n); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// run is what the database that a note names tells of its run.
func (n bracketNote) run() (r state.Run, known bool, err error) {
	err = state.New(n.Database).View(func(tx *state.Tx) (err error) {
		r, known, err = tx.Run(n.Run)
		return err
	})
	return r, known, err
}

// ElsewhereError says that a run is in another database, whose config can give it up.
type ElsewhereError struct {
	Run      state.Run
	Database string
}

func (e *ElsewhereError) Error() string {
	return fmt.Sprintf("run %s is in another database, %s", e.Run.ID, e.Database)
}

// Forget drops the note of an open bracket, and leaves the application as it is: for a run that no database tells of
// any more, and whose post-snapshot operations can't succeed. It tells whether there was such a note.
func (e *Engine) Forget(run string) (bool, error) {
	notes, err := e.Notes.Notes(bracketNotes, e.Dataset)
	if err != nil {
		return false, fmt.Errorf("read notes of open brackets: %w", err)
	}
	i := slices.IndexFunc(notes, func(n state.Note) bool { return n.ID == run })
	if i < 0 {
		return false, nil
	}
	var n bracketNote
	if notes[i].Decode(&n) == nil && n.Database != e.Store.Path() {
		if r, known, err := n.run(); err == nil && known {
			return false, &ElsewhereError{Run: r, Database: n.Database}
		}
	}
	return true, e.Notes.DropNote(bracketNotes, e.Dataset, run)
}

func (e *Engine) closeNote(n bracketNote) error {
	r, known, err := n.run()
	if err == nil && known {
		if n.Database != e.Store.Path() {
			other := *e
			other.Store = state.New(n.Database)
			if err := other.takeOver(n.Run); err != nil {
				return err
			}
			return e.dropBracketNote(r)
		}
		if !BracketMachine.In(r.Bracket, BracketOpen) {
			return e.dropBracketNote(r) // it was closed, and the process died before it could drop the note
		}
		return nil // takeOver tried, and has reported why it is still open
	}
	e.Log.Warn("a bracket was left open and its database does not tell of it; its post-snapshot operations are run", "run", n.Run, "database", n.Database, "err", err)
	env := bareEnv(n.Run, n.Dataset)
	r = state.Run{Config: n.Config, Frozen: state.Frozen{HookTimeout: n.Timeout}}
	e.afresh(&r)
	var errs []error
	for _, argv := range n.Post {
		if err := e.bareHook(argv, env, r.Frozen.HookTimeout); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return &BracketError{Run: n.Run, Err: errors.Join(errs...)}
	}
	return e.Notes.DropNote(bracketNotes, e.Dataset, n.Run)
}
