package state

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Machine is a table of transitions, as package workflow declares them.
type Machine interface {
	// Next returns the state that an event leads to, or an error if it leads nowhere from here.
	Next(from, event string) (string, error)
	// Initial returns the state that a machine begins in.
	Initial() string
}

// Cell is a state of a record. Only Tx.Born and Tx.Fire change it. The zero Cell is not born yet: it has no
// state, and no event leads out of it.
type Cell struct{ s string }

// String returns the state, or nothing for a Cell that is not born.
func (c Cell) String() string { return c.s }

// Is tells whether the Cell is in this state.
func (c Cell) Is(s string) bool { return c.s == s }

// MarshalJSON stores a Cell as its string.
func (c Cell) MarshalJSON() ([]byte, error) { return json.Marshal(c.s) }

// UnmarshalJSON reads what MarshalJSON stored.
func (c *Cell) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &c.s) }

// Born puts a new Cell into its machine's initial state.
func (tx *Tx) Born(m Machine, c *Cell) error {
	if c.s != "" {
		return fmt.Errorf("already born: in state %s", c.s)
	}
	return tx.move(c, m.Initial())
}

// Fire takes a Cell along its machine. The record that it is in is the caller's to store, in this
// transaction; if that is not committed, the Cell goes back to where it was.
func (tx *Tx) Fire(m Machine, c *Cell, event string) error {
	if c.s == "" {
		return fmt.Errorf("%s: not born yet", event)
	}
	to, err := m.Next(c.s, event)
	if err != nil {
		return err
	}
	return tx.move(c, to)
}

func (tx *Tx) move(c *Cell, to string) error {
	if err := tx.mayWrite(); err != nil {
		return err
	}
	if to == "" {
		return errors.New("a machine's state has no name")
	}
	from := *c
	tx.undo = append(tx.undo, func() { *c = from })
	c.s = to
	return nil
}
