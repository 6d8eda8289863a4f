package workflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"zfs2cloud/state"
)

// Engine drives runs through their plans. It knows steps by their kind only.
type Engine struct {
	Store *state.Store
	World World
	Host  Host
	Stop  *Stop
	Log   *slog.Logger
	Watch Watch
	// Notes is the fixed folder of liveness files and notes, whatever database is in use.
	Notes state.Folder
	// Owner is this process, which owns the dataset with this GUID. Before is who owned it last.
	Owner   state.Owner
	Before  state.Owner
	Dataset string
	// Step finds what a planned step does.
	Step func(state.Step) (StepDef, error)
	// Clean removes what a run that is given up left behind, and settles what became of its backup.
	Clean func(ctx context.Context, s *Session) error
	// Leave, if not nil, names runs whose open brackets Takeover leaves as they are: their scripts can't succeed.
	Leave func(run string) bool
	// Insist: a person asked, so Takeover also tries to close a bracket whose closing killed every process so far.
	Insist bool
	// Afresh, if not nil, changes what a run that is taken over or gone on with takes from today's config, whoever made it.
	Afresh func(*state.Run)
	// Hook runs a script of a bracket that only a note tells of, its database being out of reach.
	Hook func(ctx context.Context, argv []string, env []string, timeout time.Duration) error
}

// Host is what the engine asks of the machine.
type Host interface {
	// Sweep ends zfs, gpg and rclone that outlived the process that started them.
	Sweep(ctx context.Context, kids string) error
	// WaitGone waits for the end of a process that is no child of ours.
	WaitGone(ctx context.Context, id ProcessID) error
	// EndGroup ends a hook that is no child of ours, with its process group, and waits for its end.
	EndGroup(id ProcessID) error
}

// Watch is told what goes on, for a terminal. Each is optional.
type Watch struct {
	Step     func(run state.Run, i int) // a step began, ended or failed
	Progress func(i int, done, total int64, estimated bool)
}

// Begin stores a new run. Its id, its states and its owner are given here. AGAINST has an error for what speaks against it, in
// the transaction that stores it: then nothing is stored.
func (e *Engine) Begin(r state.Run, against ...func(*state.Tx) error) (*Session, error) {
	now := e.World.Now()
	var refused error
	err := e.Store.Update(func(tx *state.Tx) error {
		for _, speaks := range against {
			if refused = speaks(tx); refused != nil {
				return refused
			}
		}
		id, err := tx.NewRunID()
		if err != nil {
			return err
		}
		number, err := tx.NewRunNumber()
		if err != nil {
			return err
		}
		r.ID, r.Number, r.Owner, r.Started, r.Updated = id, number, e.Owner, now, now
		r.DatasetGUID = e.Dataset
		err = errors.Join(RunMachine.Born(tx, &r.State), BracketMachine.Born(tx, &r.Bracket))
		for i := range r.Steps {
			err = errors.Join(err, StepMachine.Born(tx, &r.Steps[i].State))
		}
		if err != nil {
			return err
		}
		return tx.PutRun(r)
	})
	switch {
	case refused != nil:
		return nil, refused
	case err != nil:
		return nil, fmt.Errorf("store new run: %w", err)
	}
	return e.session(r), nil
}

func (e *Engine) session(r state.Run) *Session {
	return &Session{core: &core{engine: e, id: r.ID, run: r}, pos: -1}
}

// Open takes an unfinished run in hand. NAME is the dataset's present name: it is known by its GUID, and may have
// been renamed since. ANEW changes what a resume takes afresh.
func (e *Engine) Open(id, name string, anew ...func(*state.Run)) (*Session, error) {
	var r state.Run
	err := e.Store.Update(func(tx *state.Tx) (err error) {
		var ok bool
		if r, ok, err = tx.Run(id); err != nil {
			return err
		}
		if !ok || Over(r.State) {
			return fmt.Errorf("no unfinished run %s", id)
		}
		r.Owner, r.Waits, r.Frozen.Dataset = e.Owner, nil, name
		e.afresh(&r)
		for _, set := range anew {
			set(&r)
		}
		return tx.PutRun(r)
	})
	if err != nil {
		return nil, err
	}
	return e.session(r), nil
}

func (e *Engine) afresh(r *state.Run) {
	if e.Afresh != nil {
		e.Afresh(r)
	}
}

// Drive takes a run through what is left of its plan. The error is nil if it succeeded; ErrInterrupted,
// *StuckError, *GivenUp, *StepError and *BracketError say how it ended otherwise.
func (e *Engine) Drive(s *Session, force bool) error {
	if RunMachine.In(s.Run().State, RunAborting) {
		return e.Abort(s, s.Run().Why, false)
	}
	if err := e.start(s, force); err != nil {
		return err
	}
	backs := 0
	for {
		i := nextStep(s.Run())
		if i < 0 {
			return s.update(func(tx *state.Tx, r *state.Run) error {
				return end(tx, r, RunSucceed, s.Now())
			})
		}
		if e.Stop.Asked() {
			return e.interrupt(s)
		}
		err := e.perform(s, i)
		var back *Back
		var hopeless *Hopeless
		switch {
		case err == nil:
			continue
		case s.failed() != nil:
			return errors.Join(s.failed(), e.rescue(s.Run()))
		case errors.As(err, &back) && backs < maxBacks:
			if rerr := e.reopen(s, i, back); rerr == nil {
				backs++
				continue
			}
		}
		if cerr := e.closeBracket(s); cerr != nil {
			return e.fail(s, i, errors.Join(err, cerr))
		}
		switch {
		case e.Stop.Asked():
			return e.interrupt(s)
		case errors.As(err, &hopeless):
			if aerr := e.Abort(s, err.Error(), false); aerr != nil {
				return errors.Join(&StepError{Step: s.Run().Steps[i], Err: err}, aerr)
			}
			return &GivenUp{Run: s.id, Err: err}
		}
		return e.fail(s, i, err)
	}
}

// maxBacks bounds how often one process reopens steps: a remote that loses all it is given would
// otherwise keep it busy for ever.
const maxBacks = 3

// nextStep is the first step that is neither done nor skipped, or -1.
func nextStep(r state.Run) int {
	for i, s := range r.Steps {
		if !StepMachine.In(s.State, StepDone, StepSkipped) {
			return i
		}
	}
	return -1
}

// start makes a stored run a running one, and takes its lock record again where its plan stands between
// a done lock and its unlock.
func (e *Engine) start(s *Session, force bool) error {
	if r := s.Run(); RunMachine.In(r.State, RunStuck) && !force {
		return &StuckError{Run: r}
	}
	return s.update(func(tx *state.Tx, r *state.Run) error {
		event := RunStart
		if RunMachine.In(r.State, RunStuck) {
			event = RunForce
			r.Deaths = nil
			r.StartOvers = 0
		}
		if err := RunMachine.Fire(tx, &r.State, event); err != nil {
			return err
		}
		progressed(r)
		r.Error, r.Ended = "", nil
		if locked(*r) {
			return TakeLock(tx, *r, s.Now())
		}
		return nil
	})
}

// locked tells whether a plan stands between a done lock and its unlock.
func locked(r state.Run) bool {
	in := false
	for _, step := range r.Steps {
		if !StepMachine.In(step.State, StepDone) {
			continue
		}
		switch Kind(step.Kind) {
		case Lock:
			in = true
		case Unlock:
			in = false
		}
	}
	return in
}

// perform runs one step and stores how it ended.
func (e *Engine) perform(s *Session, i int) error {
	s = s.at(i)
	step := s.Step()
	def, err := e.Step(step)
	if err != nil {
		return err
	}
	run := s.Run()
	b, hasBracket := bracketOf(run.Steps)
	opens := hasBracket && b.opens(i) && BracketMachine.In(run.Bracket, BracketIdle)
	if opens {
		if err := e.prepareBracket(s, b); err != nil {
			return err
		}
	} else if def.Prepare != nil && !BracketMachine.In(run.Bracket, BracketOpen) {
		if err := def.Prepare(e.Stop.Soft(), s); err != nil {
			return err
		}
	}
	err = s.update(func(tx *state.Tx, r *state.Run) error {
		if opens {
			if err := BracketMachine.Fire(tx, &r.Bracket, BracketOpens); err != nil {
				return err
			}
		}
		return startStep(tx, r, i, s.Now())
	})
	if err != nil {
		return err
	}
	e.watchStep(s, i)
	defer e.watchStep(s, i)

	ctx := e.Stop.Soft()
	if BracketMachine.In(s.Run().Bracket, BracketOpen) {
		// While the application is stopped, what was begun is brought to its end, or ended by a second signal.
		var done context.CancelFunc
		ctx, done = e.Stop.Hook()
		defer done()
	}
	if Kind(step.Kind) == Hook && !BracketMachine.In(run.Bracket, BracketOpen) {
		err = e.waitForCutOffHook(ctx, s.Run())
	}
	if err == nil {
		err = def.Run(ctx, s, step.Args)
	}
	if err != nil {
		return errors.Join(err, s.failStep(i, err))
	}
	err = s.update(func(tx *state.Tx, r *state.Run) error { return finishStep(tx, r, i, s.Now()) })
	if err != nil {
		return err
	}
	if hasBracket && i >= b.first && i <= b.last && BracketMachine.In(s.Run().Bracket, BracketClosed) {
		return e.dropBracketNote(s.Run())
	}
	return nil
}

// prepareBracket looks up what the snapshot needs, before the application is stopped, and leaves the
// note by which a command with another database finds an open bracket.
func (e *Engine) prepareBracket(s *Session, b bracket) error {
	run := s.Run()
	def, err := e.Step(run.Steps[b.snapshot])
	if err != nil {
		return err
	}
	if def.Prepare != nil {
		if err := def.Prepare(e.Stop.Soft(), s.at(b.snapshot)); err != nil {
			return err
		}
	}
	return e.putBracketNote(run, b)
}

func startStep(tx *state.Tx, r *state.Run, i int, now time.Time) error {
	step := &r.Steps[i]
	var err error
	switch {
	case StepMachine.In(step.State, StepWaiting):
		err = StepMachine.Fire(tx, &step.State, StepStart)
	case StepMachine.In(step.State, StepFailed):
		err = StepMachine.Fire(tx, &step.State, StepRetry)
	}
	step.Starts++
	if step.Started == nil {
		step.Started = &now
	}
	step.Ended, step.Error = nil, ""
	return err
}

// finishStep stores a step's end, and closes the bracket if nothing of it is left to do.
func finishStep(tx *state.Tx, r *state.Run, i int, now time.Time) error {
	step := &r.Steps[i]
	if err := StepMachine.Fire(tx, &step.State, StepFinish); err != nil {
		return err
	}
	step.Ended = &now
	if bracketDone(*r) {
		if err := BracketMachine.Fire(tx, &r.Bracket, BracketCloses); err != nil {
			return err
		}
	}
	r.High.Raise(state.Progress{Steps: stepsDone(*r)})
	return nil
}

// bracketDone tells whether an open bracket has its snapshot and all its post-snapshot operations.
func bracketDone(r state.Run) bool {
	b, ok := bracketOf(r.Steps)
	if !ok || !BracketMachine.In(r.Bracket, BracketOpen) || !StepMachine.In(r.Steps[b.snapshot].State, StepDone) {
		return false
	}
	for _, p := range b.post {
		if !StepMachine.In(r.Steps[p].State, StepDone) {
			return false
		}
	}
	return true
}

// stepsDone counts the steps that are done for good. What stands in an open bracket may be rewound, and is no
// progress.
func stepsDone(r state.Run) int {
	b, ok := bracketOf(r.Steps)
	open := ok && BracketMachine.In(r.Bracket, BracketOpen)
	done := 0
	for i, s := range r.Steps {
		if StepMachine.In(s.State, StepDone) && !(open && i >= b.first && i <= b.last) {
			done++
		}
	}
	return done
}

func (e *Engine) watchStep(s *Session, i int) {
	if w := e.Watch.Step; w != nil {
		w(s.Run(), i)
	}
}
