package workflow

import (
	"context"
	"sync"
)

// Stop turns stop signals into ends of contexts. The first asks for a stop: what can be repeated ends at
// once, a bracket is closed first. Each later one also ends what is at work in the bracket: the hook, with its process
// group, or the program that takes the snapshot.
type Stop struct {
	soft   context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	hooks map[int]context.CancelFunc
	next  int
}

// NewStop makes one whose soft context ends with PARENT or with the first signal.
func NewStop(parent context.Context) *Stop {
	soft, cancel := context.WithCancel(parent)
	return &Stop{soft: soft, cancel: cancel, hooks: map[int]context.CancelFunc{}}
}

// Signal is called for each stop signal.
func (s *Stop) Signal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.soft.Err() == nil {
		s.cancel()
		return
	}
	for _, cancel := range s.hooks {
		cancel()
	}
}

// Soft is the context of work that can be repeated.
func (s *Stop) Soft() context.Context { return s.soft }

// Asked tells whether a stop was asked for.
func (s *Stop) Asked() bool { return s.soft.Err() != nil }

// Hook is the context of a hook, and of whatever else is done while the application is stopped.
func (s *Stop) Hook() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.soft))
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.next
	s.next++
	s.hooks[n] = cancel
	return ctx, func() {
		s.mu.Lock()
		delete(s.hooks, n)
		s.mu.Unlock()
		cancel()
	}
}
