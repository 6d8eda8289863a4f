package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// lockNotes is the kind of the notes by which a command with another database knows of an operator's lock.
const lockNotes = "lock"

// LockCmd writes an operator's lock, which has no process: it stays until unlock, across reboots.
type LockCmd struct {
	Why string `short:"m" name:"message" placeholder:"WHY" help:"Why, for those who are turned away."`
}

// Run takes the dataset for a moment, so that a live run refuses it.
func (c *LockCmd) Run(a *App) error {
	if a.DryRun {
		fmt.Fprintln(a.Out, "would lock the dataset until unlock")
		return nil
	}
	t, err := a.take(grip{})
	defer t.close()
	if err == nil {
		err = c.lock(t)
	}
	return t.failed(err)
}

func (c *LockCmd) lock(t *taken) error {
	a := t.app
	if err := t.notLocked(); err != nil {
		return err
	}
	lock := state.Lock{DatasetGUID: t.engine.Dataset, Dataset: t.dataset, Host: a.Host, User: operator(), Since: a.World.Now().UTC(), Why: c.Why}
	// The note first: a lock that only the database knows of could be missed, one that only the note
	// knows of is still a lock.
	if err := a.Folder.PutNote(lockNotes, t.engine.Dataset, "", lock); err != nil {
		return err
	}
	if err := t.store.Update(func(tx *state.Tx) error { return workflow.TakeOperatorLock(tx, lock) }); err != nil {
		return err
	}
	if a.Terminal { // maintenance scripts lock, too, and cron would mail it
		fmt.Fprintf(a.Out, "locked %s: runs are turned away until: %s\n", t.dataset, a.again("unlock"))
	}
	return nil
}

// operator says who types: the login name and, if there is one, the terminal.
func operator() string {
	name := os.Getenv("SUDO_USER")
	if name == "" {
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
	}
	if tty, err := os.Readlink("/proc/self/fd/0"); err == nil {
		if _, terr := unix.IoctlGetTermios(0, unix.TCGETS); terr == nil {
			name += " (" + tty[len("/dev/"):] + ")"
		}
	}
	return name
}

// UnlockCmd frees the dataset's lock record.
type UnlockCmd struct{}

// Run frees an operator's lock, that of a dead run, and the lock file of the Python tool. A live run's lock is
// refused: taking the dataset fails. On a free one it says so.
func (c *UnlockCmd) Run(a *App) error {
	if a.DryRun {
		fmt.Fprintln(a.Out, "would unlock the dataset")
		return nil
	}
	t, err := a.take(grip{gone: true})
	defer t.close()
	if err != nil {
		return t.failed(err)
	}
	was, held, err := t.free()
	if err != nil {
		return err
	}
	notes, err := a.lockNotes(t.guid(), t.dataset)
	if err != nil {
		return err
	}
	for _, n := range notes {
		if err := a.Folder.DropNote(lockNotes, n.GUID, ""); err != nil {
			return err
		}
	}
	removed := false
	// The lock file is where the config says; a config that is otherwise bad keeps nobody from unlocking.
	unread := t.configured()
	if unread == nil {
		err := os.Remove(t.oldLock())
		removed = err == nil
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	} else {
		fmt.Fprintf(a.Err, "%swhether the Python tool's lock file _lock is in intermediate_basedir can't be told\n", a.subject(t))
	}
	switch {
	case held && was.Operator || len(notes) > 0:
		fmt.Fprintf(a.Out, "unlocked %s\n", t.dataset)
	case held:
		fmt.Fprintf(a.Out, "unlocked %s; run %s can still be resumed\n", t.dataset, was.Run)
	case removed:
		fmt.Fprintf(a.Out, "removed %s\n", t.oldLock())
	case unread != nil:
		return unread
	default:
		fmt.Fprintf(a.Out, "%s was not locked\n", t.dataset)
	}
	return nil
}

// guid is that of the dataset that was taken; empty where it is gone, and nothing on record.
func (t *taken) guid() string {
	if t.engine == nil {
		return ""
	}
	return t.engine.Dataset
}

// free frees the dataset's lock record, and those of operators that count for it by its name.
func (t *taken) free() (was state.Lock, held bool, err error) {
	err = t.store.Update(func(tx *state.Tx) error {
		if t.guid() != "" {
			if was, held, err = workflow.Free(tx, t.guid()); err != nil {
				return err
			}
		}
		for {
			l, more, err := workflow.OperatorLock(tx, t.guid(), t.dataset)
			if err != nil || !more {
				return err
			}
			if was, held, err = workflow.Free(tx, l.DatasetGUID); err != nil {
				return err
			}
		}
	})
	return was, held, err
}

// lockNotes are the notes of operators' locks that count for a dataset: its own, and those of one that had its name.
func (a *App) lockNotes(guid, dataset string) ([]state.Note, error) {
	notes, err := a.Folder.Notes(lockNotes, "")
	return slices.DeleteFunc(notes, func(n state.Note) bool {
		var l state.Lock
		return n.GUID != guid && (n.Decode(&l) != nil || l.Dataset != dataset)
	}), err
}

// notLocked is an error if an operator holds the dataset's lock: that note must not be written over.
func (t *taken) notLocked() error {
	err := t.store.View(func(tx *state.Tx) error {
		l, held, err := workflow.OperatorLock(tx, t.engine.Dataset, t.dataset)
		if err == nil && held {
			err = &workflow.LockedError{Lock: l}
		}
		return err
	})
	if err != nil {
		return err
	}
	return t.lockedElsewhere()
}

// lockedElsewhere is an error if an operator's lock stands only in a note: it was taken with another
// database, or its database is lost.
func (t *taken) lockedElsewhere() error {
	notes, err := t.app.lockNotes(t.engine.Dataset, t.dataset)
	if err != nil {
		return err
	}
	if len(notes) == 0 {
		return nil
	}
	var l state.Lock
	if err := notes[0].Decode(&l); err != nil {
		return fmt.Errorf("an operator's lock, whose note can't be read: %w", err)
	}
	return &workflow.LockedError{Lock: l}
}

// noOldLock is an error if the lock file of the Python tool is there: a run of it, or an operator, is at
// work.
func (t *taken) noOldLock() error {
	info, err := os.Lstat(t.oldLock())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &refusal{Err: err}
	}
	return &oldLockError{File: t.oldLock(), Since: info.ModTime()}
}

// oldLockError is the error of a lock file as the Python tool writes it.
type oldLockError struct {
	File  string
	Since time.Time
}

func (e *oldLockError) Error() string {
	return fmt.Sprintf("locked by %s, made %s: a run of the Python tool, or an operator", safe(e.File), e.Since.Local().Format("Mon 2 Jan 15:04"))
}

// ExitCode is that of a dataset that is locked.
func (e *oldLockError) ExitCode() int { return exitLocked }
