package workflow

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/looplab/fsm"

	"zfs2cloud/state"
)

// Machine is a table of transitions, with S for its states and E for its events, so that the event of one
// machine can't be fired at the state of another. The library serves as a pure table: one is built from
// the stored state, inside the transaction that stores the new one, fired once, and thrown away. It has
// no callbacks, so that memory and disk can't come apart.
type Machine[S, E ~string] struct {
	name     string
	initial  S
	terminal []S
	rows     []row[S, E]
}

type row[S, E ~string] struct {
	event E
	from  []S
	to    S
}

// Table is a machine of any type, for those who draw or check it.
type Table interface {
	state.Machine
	Name() string
	States() []string
	Mermaid() string
}

// Fire moves a stored state along, in the transaction that stores it.
func (m *Machine[S, E]) Fire(tx *state.Tx, c *state.Cell, event E) error {
	return tx.Fire(m, c, string(event))
}

// Born gives a new record the machine's initial state.
func (m *Machine[S, E]) Born(tx *state.Tx, c *state.Cell) error { return tx.Born(m, c) }

// In tells whether a stored state is one of these.
func (m *Machine[S, E]) In(c state.Cell, states ...S) bool {
	return slices.Contains(states, S(c.String()))
}

// Name is the machine's name.
func (m *Machine[S, E]) Name() string { return m.name }

// Initial is the state in which a record is born.
func (m *Machine[S, E]) Initial() string { return string(m.initial) }

// Next is the state that an event leads to, or an error if the table has no such row.
func (m *Machine[S, E]) Next(from, event string) (string, error) {
	// looplab/fsm 1.0.3 takes an unknown initial state without a word.
	if !slices.Contains(m.States(), from) {
		return "", fmt.Errorf("%s has no state %q", m.name, from)
	}
	events := make([]fsm.EventDesc, 0, len(m.rows))
	for _, r := range m.rows {
		events = append(events, fsm.EventDesc{Name: string(r.event), Src: plain(r.from), Dst: string(r.to)})
	}
	f := fsm.NewFSM(from, events, nil)
	// A context that ends would leave the library stuck in its transition.
	if err := f.Event(context.Background(), event); err != nil {
		return "", fmt.Errorf("%s: %w", m.name, err)
	}
	return f.Current(), nil
}

// States lists the machine's states, the initial one first, in the order of the table.
func (m *Machine[S, E]) States() []string {
	states := []string{string(m.initial)}
	for _, r := range m.rows {
		for _, s := range append(plain(r.from), string(r.to)) {
			if !slices.Contains(states, s) {
				states = append(states, s)
			}
		}
	}
	return states
}

// Mermaid draws the machine as a Mermaid state diagram.
func (m *Machine[S, E]) Mermaid() string {
	var b strings.Builder
	fmt.Fprintf(&b, "stateDiagram-v2\n    [*] --> %s\n", m.initial)
	for _, r := range m.rows {
		for _, src := range r.from {
			fmt.Fprintf(&b, "    %s --> %s: %s\n", src, r.to, r.event)
		}
	}
	for _, s := range m.terminal {
		fmt.Fprintf(&b, "    %s --> [*]\n", s)
	}
	return b.String()
}

func plain[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}
