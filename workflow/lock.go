package workflow

import (
	"time"

	"zfs2cloud/state"
)

// TakeLock writes the lock record for a run. A dead run's record keeps nobody out: whoever calls this
// owns the dataset, so the run that it names has no process. An operator's does: *LockedError.
func TakeLock(tx *state.Tx, r state.Run, now time.Time) error {
	l, ok, err := tx.Lock(r.DatasetGUID)
	if err != nil {
		return err
	}
	if !ok {
		if err := LockMachine.Born(tx, &l.State); err != nil {
			return err
		}
	}
	if LockMachine.In(l.State, LockHeld) {
		if l.Operator {
			return &LockedError{Lock: l}
		}
		if err := LockMachine.Fire(tx, &l.State, LockRelease); err != nil {
			return err
		}
	}
	if err := LockMachine.Fire(tx, &l.State, LockTake); err != nil {
		return err
	}
	return tx.PutLock(state.Lock{State: l.State, DatasetGUID: r.DatasetGUID, Dataset: r.Frozen.Dataset,
		Run: r.ID, Host: r.Owner.Host, PID: r.Owner.PID, Boot: r.Owner.Boot, Since: now})
}

// FreeLock frees the lock record if this run has it.
func FreeLock(tx *state.Tx, r state.Run) error {
	l, ok, err := tx.Lock(r.DatasetGUID)
	if err != nil || !ok || l.Operator || l.Run != r.ID || !LockMachine.In(l.State, LockHeld) {
		return err
	}
	if err := LockMachine.Fire(tx, &l.State, LockRelease); err != nil {
		return err
	}
	return tx.PutLock(l)
}

// OperatorLock returns the operator's lock of a dataset, or of another that had its name when that was locked, if there is one: a dataset that
// is moved to another pool gets another GUID, and that may be what it was locked for.
func OperatorLock(tx *state.Tx, guid, name string) (state.Lock, bool, error) {
	held := func(l state.Lock) bool { return l.Operator && LockMachine.In(l.State, LockHeld) }
	if l, ok, err := tx.Lock(guid); err != nil || ok && held(l) {
		return l, err == nil, err
	}
	locks, err := tx.Locks()
	for _, l := range locks {
		if held(l) && l.Dataset == name {
			return l, err == nil, err
		}
	}
	return state.Lock{}, false, err
}

// TakeOperatorLock writes an operator's lock, which stays until unlock, across reboots. The record of a
// dead run makes way; an operator's that is there already is an error.
func TakeOperatorLock(tx *state.Tx, l state.Lock) error {
	old, ok, err := tx.Lock(l.DatasetGUID)
	if err != nil {
		return err
	}
	l.Operator, l.State = true, old.State
	switch {
	case !ok:
		if err := LockMachine.Born(tx, &l.State); err != nil {
			return err
		}
	case LockMachine.In(old.State, LockHeld):
		if old.Operator {
			return &LockedError{Lock: old}
		}
		if err := LockMachine.Fire(tx, &l.State, LockRelease); err != nil {
			return err
		}
	}
	if err := LockMachine.Fire(tx, &l.State, LockTake); err != nil {
		return err
	}
	return tx.PutLock(l)
}

// Free frees the lock record, whoever has it, and returns it as it was. Not held is a false.
func Free(tx *state.Tx, guid string) (state.Lock, bool, error) {
	l, ok, err := tx.Lock(guid)
	if err != nil || !ok || !LockMachine.In(l.State, LockHeld) {
		return l, false, err
	}
	was := l
	if err := LockMachine.Fire(tx, &l.State, LockRelease); err != nil {
		return l, false, err
	}
	return was, true, tx.PutLock(l)
}
