package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"zfs2cloud/state"
)

// Session is a run in the hands of this process, as one of its steps sees it. It is the only door to
// effects and the only writer of checkpoints.
type Session struct {
	*core
	pos int
}

// core is what the sessions of all steps of a run share.
type core struct {
	engine *Engine
	id     string

	updating sync.Mutex // one checkpoint after the other

	// mu is never held over a transaction: who reads the database may ask for the run meanwhile.
	mu     sync.Mutex
	run    state.Run // as last stored
	broken error     // a checkpoint could not be stored: nothing goes on without it
}

// at is the session as step i sees it.
func (s *Session) at(i int) *Session { return &Session{core: s.core, pos: i} }

// Run is the run's record as last stored.
func (s *Session) Run() state.Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run
}

// Step is the record of the step at work.
func (s *Session) Step() state.Step { return s.Run().Steps[s.pos] }

// Ahead is the session as the next step of a kind sees it, if no script stands between: what that step is to do
// may begin already, and its effects have that step's keys.
func (s *Session) Ahead(kind Kind) (*Session, bool) {
	steps := s.Run().Steps
	for i := s.pos + 1; i < len(steps); i++ {
		switch Kind(steps[i].Kind) {
		case kind:
			return s.at(i), true
		case Hook:
			return nil, false
		}
	}
	return nil, false
}

// Attempt is the attempt of the nearest step of a kind, as a snapshot's property names it.
func (s *Session) Attempt() int { return s.Step().Attempt }

// Phase tells where the step stands: "pre", "post" or "step".
func (s *Session) Phase() string { return Phase(s.Run().Steps, s.pos) }

// Behind tells whether a step of a kind stands before this one.
func (s *Session) Behind(kind Kind) bool {
	return slices.ContainsFunc(s.Run().Steps[:s.pos], func(step state.Step) bool { return Kind(step.Kind) == kind })
}

// Look is a World that refuses what is not marked as only reading.
func (s *Session) Look() Look { return Look{s.engine.World} }

// Position is where the step stands in the run's plan: a part of its effects' keys.
func (s *Session) Position() int { return s.pos }

// Log is where a step tells what it does, for -v.
func (s *Session) Log() *slog.Logger {
	return s.engine.Log.With("run", s.id, "step", s.Step().Shown)
}

// HookContext is the context of a hook: it outlives the first stop signal, and ends with the second.
func (s *Session) HookContext() (context.Context, context.CancelFunc) { return s.engine.Stop.Hook() }

// Progress tells whoever watches how far the step is: bytes, and a total or 0, with a ~ if ESTIMATED.
func (s *Session) Progress(done, total int64, estimated bool) {
	if w := s.engine.Watch.Progress; w != nil {
		w(s.pos, done, total, estimated)
	}
}

// Detail stores, with the step's end, one line for people on what it did.
func (s *Session) Detail(format string, args ...any) error {
	return s.update(func(_ *state.Tx, r *state.Run) error {
		r.Steps[s.pos].Detail = fmt.Sprintf(format, args...)
		return nil
	})
}

// Waits stores that something is not tried again before then, for those who ask meanwhile.
func (s *Session) Waits(until time.Time, why error) error {
	return s.update(func(_ *state.Tx, r *state.Run) error {
		r.Waits = &state.Wait{Until: until, Why: why.Error()}
		return nil
	})
}

// View reads the database.
func (s *Session) View(fn func(*state.Tx) error) error { return s.engine.Store.View(fn) }

// Now is the clock.
func (s *Session) Now() time.Time { return s.engine.World.Now() }

// update is the one way in which a run's checkpoints reach the disk: FN changes the run's record and
// whatever else belongs to the same moment, in one transaction. If it can't be stored, the session is
// over.
func (s *Session) update(fn func(*state.Tx, *state.Run) error) error {
	s.updating.Lock()
	defer s.updating.Unlock()
	if err := s.failed(); err != nil {
		return err
	}
	var next state.Run
	err := s.engine.Store.Update(func(tx *state.Tx) error {
		r, ok, err := tx.Run(s.id)
		if err != nil {
			return err
		}
		if !ok || r.Owner.Nonce != s.engine.Owner.Nonce {
			return ErrLost
		}
		if err := fn(tx, &r); err != nil {
			return err
		}
		r.Updated = s.Now()
		next = r
		return tx.PutRun(r)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.broken = fmt.Errorf("store checkpoint of run %s: %w", s.id, err)
		return s.broken
	}
	s.run = next
	return nil
}

// failed is the error of a checkpoint that could not be stored.
func (c *core) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// Effect is something that outlives the process: its intent is stored before, its result after.
type Effect[T any] struct {
	// Name tells the effect from the step's others. Step, position and attempt are added to it.
	Name string
	// Afresh: a stored result is not returned; the effect looks for itself what is left to do. For an
	// effect that spans others, such as one zfs send over many chunks.
	Afresh bool
	// Intent fires what the intent fires, in the transaction that stores it. Optional.
	Intent func(*state.Tx, *state.Run) error
	// Do has the effect. It may run more than once, so it looks before it acts.
	Do func(ctx context.Context, fx Fx) (T, error)
	// Result fires what the result fires, in the transaction that stores it. Optional.
	Result func(*state.Tx, *state.Run, T) error
}

// Fx is the World inside of an effect.
type Fx struct {
	World
	// Again: an intent was found without a result. The effect may have been had, wholly or in part.
	Again bool
	// Note stores a checkpoint in the middle of the effect.
	Note func(func(*state.Tx, *state.Run) error) error
}

// Once has an effect, unless its result is stored already: then it returns that. T goes through JSON.
func Once[T any](ctx context.Context, s *Session, e Effect[T]) (T, error) {
	var zero T
	key := state.EffectKey(s.id, s.pos, s.Step().Attempt, e.Name)
	var entry state.Entry
	var again bool
	err := s.View(func(tx *state.Tx) (err error) {
		entry, again, err = tx.Entry(key)
		return err
	})
	if err != nil {
		return zero, err
	}
	if again && entry.Done != nil && !e.Afresh {
		var v T
		if err := json.Unmarshal(entry.Result, &v); err != nil {
			return zero, fmt.Errorf("stored result of %s: %w", key, err)
		}
		return v, nil
	}
	if !again {
		entry = state.Entry{Intent: s.Now()}
		err := s.update(func(tx *state.Tx, r *state.Run) error {
			if e.Intent != nil {
				if err := e.Intent(tx, r); err != nil {
					return err
				}
			}
			return tx.PutEntry(key, entry)
		})
		if err != nil {
			return zero, err
		}
	}
	v, err := e.Do(ctx, Fx{World: s.engine.World, Again: again, Note: s.update})
	if err != nil {
		return zero, err
	}
	result, err := json.Marshal(v)
	if err != nil {
		return zero, err
	}
	now := s.Now()
	entry.Done, entry.Result = &now, result
	err = s.update(func(tx *state.Tx, r *state.Run) error {
		if e.Result != nil {
			if err := e.Result(tx, r, v); err != nil {
				return err
			}
		}
		return tx.PutEntry(key, entry)
	})
	if err != nil {
		return zero, err
	}
	return v, nil
}

// Nothing is the result of an effect whose having happened is all there is to know.
type Nothing struct{}

// Note keeps with the run what a person should know afterwards.
func (s *Session) Note(text string) error {
	return s.update(func(_ *state.Tx, r *state.Run) error {
		if !slices.Contains(r.Notes, text) {
			r.Notes = append(r.Notes, text)
		}
		return nil
	})
}
