package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
)

// door is a machine that is open or shut.
type door struct{}

func (door) Initial() string { return "shut" }

func (door) Next(from, event string) (string, error) {
	switch from + " " + event {
	case "shut push":
		return "open", nil
	case "open pull":
		return "shut", nil
	}
	return "", fmt.Errorf("door is %s: no %s", from, event)
}

func TestCellIsMovedByItsMachineAlone(t *testing.T) {
	t.Parallel()
	var c Cell
	ok(t, newStore(t).Update(func(tx *Tx) error {
		if tx.Fire(door{}, &c, "push") == nil {
			t.Error("an event moved a cell that was not born")
		}
		ok(t, tx.Born(door{}, &c))
		same(t, c.String(), "shut")
		if tx.Born(door{}, &c) == nil {
			t.Error("born twice")
		}
		if tx.Fire(door{}, &c, "pull") == nil || !c.Is("shut") {
			t.Error("an event that the machine refuses moved the cell")
		}
		return tx.Fire(door{}, &c, "push")
	}))
	same(t, c.String(), "open")
}

func TestCellGoesBackWithItsTransaction(t *testing.T) {
	t.Parallel()
	s, boom := newStore(t), errors.New("boom")
	var c Cell
	ok(t, s.Update(func(tx *Tx) error { return tx.Born(door{}, &c) }))
	isErr(t, s.Update(func(tx *Tx) error {
		ok(t, tx.Fire(door{}, &c, "push"))
		ok(t, tx.Fire(door{}, &c, "pull"))
		ok(t, tx.Fire(door{}, &c, "push"))
		return boom
	}), boom)
	same(t, c.String(), "shut")
}

func TestCellDoesNotMoveWhereNothingIsStored(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var c Cell
	var late *Tx
	ok(t, s.Update(func(tx *Tx) error { late = tx; return tx.Born(door{}, &c) }))
	isErr(t, late.Fire(door{}, &c, "push"), errEnded)
	ok(t, s.View(func(tx *Tx) error {
		isErr(t, tx.Fire(door{}, &c, "push"), errReadOnly)
		return nil
	}))
	same(t, c.String(), "shut")
}

func TestCellIsStoredAsItsString(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(struct{ A, B Cell }{A: Cell{"open"}})
	ok(t, err)
	same(t, string(b), `{"A":"open","B":""}`)
	var back struct{ A, B Cell }
	ok(t, json.Unmarshal(b, &back))
	same(t, back.A, Cell{"open"})
	same(t, back.B, Cell{})
}
