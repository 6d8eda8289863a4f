package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"zfs2cloud/actions/proc"
	"zfs2cloud/cmd/internal/config"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// sight is what status has seen. Nothing in it waits for anything any more.
type sight struct {
	app    *App
	now    time.Time
	booted time.Time // zero: not known
	id     string    // of the one run that was asked for, or empty

	conf       statusConfig
	database   string
	movedAside string // a damaged database that was moved aside before this one was begun, or empty

	// From the database. If it can't be read, err says why, and the rest is not known.
	err     error
	jobs    []state.Job
	runs    []state.Run // the newest first
	backups []state.Backup
	foreign []state.Foreign
	locks   []state.Lock  // the held ones
	chunks  []state.Chunk // of the one run

	// From the fixed folder. If it can't be read, folderErr says why, and the rest is not known.
	folderErr  error
	owners     map[string]owner // by dataset GUID, of all that ever had one
	notedLocks []state.Lock     // of operators
	brackets   []workflow.OpenBracket
}

// owner is what is known of a dataset's owner.
type owner struct {
	who   state.Owner
	alive bool
	kids  bool  // or, if it is not alive, children that outlived it
	err   error // whether it is alive can't be told
}

// The waits of status. The first two and the 700 ms of state.Glance add up to less than a second.
const (
	configTime = 200 * time.Millisecond // for a config on a disk that hangs
	secondLook = 100 * time.Millisecond // since the start: later there is no time for one
)

// see looks at everything there is: at all runs, or at the one with this id.
func (a *App) see(id string) *sight {
	began := time.Now()
	s := &sight{app: a, now: a.World.Now(), id: id, conf: a.statusConfig()}
	store := state.Glance(s.conf.stateDB)
	s.database = store.Path()
	if booted, err := proc.BootTime(); err == nil {
		s.booted = booted
	}
	s.look(store)
	// Database and liveness are two moments. A run that ended between them looks as if its process had
	// died; a second look tells the one from the other.
	if s.err == nil && s.anyDied() && time.Since(began) < secondLook {
		again := *s
		if again.look(store); again.err == nil {
			s = &again
		}
	}
	return s
}

func (s *sight) look(store *state.Store) {
	s.jobs, s.runs, s.backups, s.foreign, s.locks, s.chunks = nil, nil, nil, nil, nil, nil
	s.err = store.View(s.read)
	if aside, err := store.Aside(); err == nil { // else the database can't be read either
		s.movedAside = aside
	}
	s.notedLocks, s.brackets = nil, nil
	s.folderErr = s.readFolder()
}

func (s *sight) read(tx *state.Tx) (err error) {
	if s.jobs, err = tx.Jobs(); err != nil {
		return err
	}
	if s.backups, err = tx.Backups(""); err != nil {
		return err
	}
	if s.foreign, err = tx.Foreigns(""); err != nil {
		return err
	}
	locks, err := tx.Locks()
	if err != nil {
		return err
	}
	for _, l := range locks {
		if workflow.LockMachine.In(l.State, workflow.LockHeld) {
			s.locks = append(s.locks, l)
		}
	}
	if s.id != "" {
		return s.readOne(tx)
	}
	s.runs, err = tx.Runs()
	return err
}

func (s *sight) readOne(tx *state.Tx) error {
	r, ok, err := tx.Run(s.id)
	if err != nil || !ok {
		return err
	}
	s.runs = []state.Run{r}
	if r.Backup != "" {
		s.chunks, err = tx.Chunks(r.Job, r.Backup)
	}
	return err
}

func (s *sight) readFolder() (err error) {
	folder := s.app.Folder
	if s.owners, err = lookAtOwners(folder); err != nil {
		return err
	}
	notes, err := folder.Notes(lockNotes, "")
	if err != nil {
		return err
	}
	for _, n := range notes {
		var l state.Lock
		if err := n.Decode(&l); err != nil { // it counts all the same
			l = state.Lock{Why: "its note can't be read: " + err.Error()}
		}
		l.DatasetGUID, l.Operator = n.GUID, true
		s.notedLocks = append(s.notedLocks, l)
	}
	s.brackets, err = workflow.OpenBrackets(folder)
	return err
}

// lookAtOwners asks of every dataset that ever had an owner: the files are never removed.
func lookAtOwners(folder state.Folder) (map[string]owner, error) {
	entries, err := os.ReadDir(folder.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	owners := map[string]owner{}
	for _, e := range entries {
		guid, ok := strings.CutSuffix(e.Name(), ".live")
		if !ok {
			continue
		}
		var o owner
		o.who, o.alive, o.err = folder.Alive(guid)
		if o.kids, err = folder.KidsAlive(guid); err != nil {
			o.err = errors.Join(o.err, err)
		}
		owners[guid] = o
	}
	return owners, nil
}

// shown tells whether the fixed folder has anything to tell.
func (s *sight) shown() bool {
	for _, o := range s.owners {
		if o.alive {
			return true
		}
	}
	return len(s.notedLocks)+len(s.brackets) > 0
}

// statusConfig is what status would like to know of the config, which it can do without.
type statusConfig struct {
	stateDB string
	dataset string        // empty: not known
	maxAge  time.Duration // for jobs of this config; 0: not known
	oldLock *oldLockError // nil: none is there, or it can't be told
	err     error         // why it could not be read; that there is none where it lies by default is no reason
}

// defaultMaxAge is backup_max_age where no config tells.
const defaultMaxAge = 36 * time.Hour

// statusConfig reads the config, unless that takes too long: then its reader is left behind.
func (a *App) statusConfig() statusConfig {
	ctx, cancel := context.WithTimeout(context.Background(), configTime)
	defer cancel()
	read := make(chan statusConfig, 1)
	go func() {
		basics, err := a.basics()
		c := statusConfig{stateDB: basics.StateDB, dataset: basics.Dataset, err: inShort(err)}
		if all, err := config.Load(a.Config, a.Env); err == nil {
			c.maxAge = all.BackupMaxAge
			if info, err := os.Lstat(oldLock(all)); err == nil {
				c.oldLock = &oldLockError{File: oldLock(all), Since: info.ModTime()}
			}
		}
		if _, err := os.Lstat(a.Config); a.Config == config.DefaultPath && errors.Is(err, fs.ErrNotExist) {
			c.err = nil
		}
		read <- c
	}()
	select {
	case c := <-read:
		return c
	case <-ctx.Done():
		return statusConfig{stateDB: config.DefaultStateDB(a.Env),
			err: fmt.Errorf("%s: no answer after %s", a.Config, configTime)}
	}
}

// inShort is the first problem of a config that can't be read.
func inShort(err error) error {
	if all, ok := errors.AsType[*config.Errors](err); ok && len(all.Problems) > 0 {
		return fmt.Errorf("%s: %s", all.Path, all.Problems[0].Text)
	}
	return err
}
