package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"zfs2cloud/actions"
	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/secret"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/cmd/internal/config"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// taken is a dataset in the hands of this process. Ownership comes first: with nothing but the dataset and
// the database from the config, the dataset is taken and open brackets are closed, whatever else may be
// wrong with the config. Only then is it read.
type taken struct {
	app        *App
	dataset    string
	onFailure  onFailure
	store      *state.Store
	info       zfs.Info
	live       *state.Live
	engine     *workflow.Engine
	kit        *actions.Kit
	unfinished []state.Run
	gone       bool   // ZFS says that there is no such dataset, or no such pool
	without    string // the run that goes on though its dataset is gone: its backup was exported whole
	former     bool   // the dataset is not the config's, but one that it named when a run that was named here began
	waits      bool   // the command is run, which can wait for another to end
	afresh     func(*state.Run)

	settings *settings.Settings // after load
	job      state.Job          // after load
}

// snapshotTime bounds taking a snapshot: it waits for what its pool has to write before, which takes minutes at worst.
const snapshotTime = 10 * time.Minute

// lookTime bounds the first question to ZFS.
const lookTime = 30 * time.Second

// grip is how a command deals with open brackets. The usual is to close them, unless that killed every process that
// tried.
type grip struct {
	leave  func(run string) bool // runs whose brackets stay as they are; or nil
	insist bool                  // a person asked: try once more, whatever it did
	gone   bool                  // a dataset that is gone is taken by what is on record of it, if anything
	whole  bool                  // so is that of a run whose backup was exported whole, and needs it no more
}

// take takes the config's dataset. Whatever the error, taken is good for close and for on_failure.
func (a *App) take(how grip) (*taken, error) {
	t, err := a.basicTaken()
	if err != nil {
		return t, err
	}
	guid, lookErr := t.find()
	if t.gone && how.gone {
		lookErr = nil
	}
	if guid == "" {
		return t, lookErr
	}
	if err := t.own(guid, how); err != nil {
		return t, err
	}
	return t, lookErr
}

// takeRun takes the config's dataset to end a run, by default one of it as it is now. One that is named may be of another that the config
// named when it began; or, to be given up, or if all that is left is to bring its backup to its place, of one that is gone: its record is
// enough, then.
func (a *App) takeRun(id string, how grip) (*taken, error) {
	t, err := a.basicTaken()
	if err != nil {
		return t, err
	}
	guid, err := t.find()
	if id == "" && t.gone && how.whole {
		id = t.onlyOne(guid)
	}
	r, known := t.ofConfig(id)
	if known && r.DatasetGUID != guid && r.Frozen.Dataset != t.dataset { // else it was renamed
		t.dataset, t.onFailure.dataset, t.former = r.Frozen.Dataset, r.Frozen.Dataset, true
		guid, err = t.find()
	}
	there := err == nil && r.DatasetGUID == guid
	switch {
	case known && how.whole && (err == nil || t.gone) && !there && t.isWhole(r):
		t.without = r.ID
		t.kit.Gone = fmt.Errorf("%s is not there any more", t.dataset)
		if err == nil {
			t.kit.Gone = fmt.Errorf("another dataset has the name %s now", t.dataset)
		}
		guid, err = r.DatasetGUID, nil
	case known && how.gone && (err == nil || t.gone):
		guid, err = r.DatasetGUID, nil
	case known && err == nil && r.DatasetGUID != guid: // it would go on with what is not its own
		return t, &refusal{Err: fmt.Errorf("run %s is of another dataset that was named %s, and nobody can finish it", r.ID, t.dataset), Next: a.again("abort " + r.ID)}
	}
	if guid == "" {
		return t, err
	}
	if err := t.own(guid, how); err != nil {
		return t, err
	}
	return t, err
}

// onlyOne is the unfinished run of a dataset, if it has one alone.
func (t *taken) onlyOne(guid string) (id string) {
	var runs []state.Run
	err := t.store.View(func(tx *state.Tx) (err error) {
		runs, err = tx.Runs()
		return err
	})
	runs = slices.DeleteFunc(runs, func(r state.Run) bool { return r.DatasetGUID != guid || r.Restore != nil || workflow.Over(r.State) })
	if err != nil || len(runs) != 1 {
		return ""
	}
	return runs[0].ID
}

// isWhole tells whether all of a run's backup was exported, so that the snapshot has done its part.
func (t *taken) isWhole(r state.Run) bool {
	b, known := t.backup(r)
	return known && b.Files == nil && workflow.BackupMachine.In(b.State, workflow.BackupExported, workflow.BackupCommitted)
}

// basicTaken knows what can be known without ZFS, and has taken nothing yet.
func (a *App) basicTaken() (*taken, error) {
	t := &taken{app: a}
	basics, err := a.basics()
	if err == nil && basics.Dataset == "" {
		if _, err = config.Load(a.Config, a.Env); err == nil {
			err = errors.New("the config names no dataset")
		}
	}
	if err != nil {
		return t, &refusal{Err: err}
	}
	t.dataset, t.store = basics.Dataset, state.New(basics.StateDB)
	t.onFailure = onFailure{app: a, script: basics.OnFailure, timeout: basics.HookTimeout, dataset: basics.Dataset}
	t.afresh = func(r *state.Run) {
		if r.Config == a.Config {
			r.Frozen.HookTimeout = basics.HookTimeout
		}
	}
	t.kit = &actions.Kit{ZFS: basics.ZFS, Host: a.Host, Tool: "zfs2cloud " + version, HookDir: hookDir(t.store), Out: a.Out, Pause: a.Pause, Log: a.Log, SnapshotTime: a.SnapshotTime, Again: a.again}
	return t, nil
}

// own makes this process the dataset's owner, and takes over what a dead one left.
func (t *taken) own(guid string, how grip) (err error) {
	a := t.app
	t.kit.TempDir = filepath.Join(filepath.Dir(t.store.Path()), "tmp", guid)
	owner := state.Owner{Nonce: nonce(), PID: os.Getpid(), Host: a.Host, Boot: a.Boot, Since: a.World.Now()}
	if t.live, err = a.Folder.Own(guid, owner); err != nil {
		return err
	}
	t.engine = &workflow.Engine{Store: t.store, World: a.World, Host: host{t}, Stop: a.Stop, Log: a.Log, Notes: a.Folder, Owner: owner, Before: t.live.Before,
		Dataset: guid, Afresh: t.afresh, Step: t.kit.Step, Clean: t.kit.Clean, Hook: t.kit.BareHook(a.World, guid), Leave: how.leave, Insist: how.insist}
	unsound := t.sound()
	t.unfinished, err = t.engine.Takeover(a.Stop.Soft())
	var open *workflow.BracketError
	if unsound != nil && !errors.As(err, &open) {
		return unsound
	}
	return errors.Join(unsound, err)
}

// ofConfig finds an unfinished run by its id, if it is of this config, or its dataset has, or had, the config's name.
func (t *taken) ofConfig(id string) (r state.Run, ok bool) {
	err := t.store.View(func(tx *state.Tx) (err error) {
		r, ok, err = tx.Run(id)
		return err
	})
	if err != nil {
		t.app.Log.Warn("the database can't be read", "err", err)
	}
	return r, ok && !workflow.Over(r.State) && r.Restore == nil && (r.Frozen.Dataset == t.dataset || r.Config == t.app.Config)
}

// find learns the dataset's GUID from ZFS. If ZFS can't tell, what is on record of a dataset of this name
// serves to take it and to close its brackets, and the error is returned beside it.
func (t *taken) find() (guid string, err error) {
	dataset, err := zfs.ParseDataset(t.dataset)
	if err != nil {
		return "", &refusal{Err: err}
	}
	t.gone = false
	ctx, cancel := context.WithTimeout(t.app.Stop.Soft(), lookTime)
	defer cancel()
	program := zfs.Program{World: workflow.Look{World: t.app.World}, Words: t.kit.ZFS}
	if len(program.Words) == 0 {
		_, err = config.Load(t.app.Config, t.app.Env) // says what is wrong with $ZFS_PATH
	} else if t.info, err = program.Info(ctx, dataset); err == nil {
		return t.info.GUID.String(), nil
	} else {
		t.gone = errors.Is(err, zfs.ErrNoDataset) || errors.Is(err, zfs.ErrNoPool)
		err = t.app.noDataset(ctx, program, dataset, err)
	}
	verr := t.store.View(func(tx *state.Tx) (err error) {
		guid, err = lastOf(tx, t.dataset)
		return err
	})
	if verr != nil {
		t.app.Log.Warn("the database can't be read", "err", verr)
	}
	return guid, &refusal{Err: err, Next: t.app.again("check")}
}

// lastOf is the GUID of the dataset on record that has, or had, a name: the one with an application to be brought back, if there
// were several, else the one that a run was of last; empty if there is none.
func lastOf(tx *state.Tx, dataset string) (guid string, err error) {
	jobs, err := tx.Jobs()
	if err != nil {
		return "", err
	}
	jobs = slices.DeleteFunc(jobs, func(j state.Job) bool { return j.Dataset != dataset })
	slices.SortStableFunc(jobs, func(a, b state.Job) int { return a.Created.Compare(b.Created) })
	if len(jobs) == 0 {
		return "", nil
	}
	guid = jobs[len(jobs)-1].DatasetGUID
	runs, err := tx.Runs() // the newest first
	runs = slices.DeleteFunc(runs, func(r state.Run) bool {
		return !slices.ContainsFunc(jobs, func(j state.Job) bool { return j.DatasetGUID == r.DatasetGUID })
	})
	if len(runs) > 0 {
		guid = runs[0].DatasetGUID
	}
	if i := slices.IndexFunc(runs, func(r state.Run) bool { return workflow.BracketMachine.In(r.Bracket, workflow.BracketOpen) }); i >= 0 {
		guid = runs[i].DatasetGUID
	}
	return guid, err
}

// left notes, where no database is needed, that this process ends by itself.
func (t *taken) left() {
	if t.live == nil {
		return
	}
	owner := t.engine.Owner
	owner.Left = true
	if err := t.live.Set(owner); err != nil {
		t.app.Log.Warn("note the end", "err", err)
	}
}

// close lets the dataset go. It may be called again.
func (t *taken) close() {
	if t.live == nil {
		return
	}
	if err := t.live.Close(); err != nil {
		t.app.Log.Warn("let the dataset go", "err", err)
	}
	t.live, t.app.World.Kids = nil, nil
	updates, took := t.store.Spent()
	t.app.Log.Debug("checkpoints", "count", updates, "took", took)
}

// load reads the whole config, and finds the job. It does not look at the passphrase or the remote.
func (t *taken) load() error {
	if err := t.configured(); err != nil {
		return err
	}
	return t.findJob()
}

// configured reads the whole config.
func (t *taken) configured() error {
	c, err := config.Load(t.app.Config, t.app.Env)
	if err != nil {
		return err
	}
	t.settings, t.kit.Settings = c, c
	t.app.World.Manners = manners(c)
	t.kit.ShowConfig = func() { printConfig(t.app, c) }
	for _, w := range c.Warnings {
		t.app.Log.Warn("config", "line", w.Line, "key", w.Key, "warning", w.Text)
	}
	return nil
}

// manners are those that the config asks for.
func manners(c *settings.Settings) proc.Manners {
	m := proc.Manners{Nice: c.Nice}
	switch {
	case c.IOIdle:
		m.IO = proc.IOIdle
	case c.IOLevel >= 0:
		m.IO = proc.IOBestEffort(c.IOLevel)
	}
	return m
}

// findJob finds the job that the dataset and the config make.
func (t *taken) findJob() (err error) {
	t.job, err = actions.FindJob(t.store, t.info, t.dataset, t.settings, t.app.World.Now())
	return err
}

// ready makes sure, before the first script, that what a run of the sequence will need is there: a database that
// outlives a power cut, programs, passphrase, folders. The error is a refusal: nothing was done.
func (t *taken) ready(ctx context.Context) error {
	err := state.OnLocalDisk(t.store.Path())
	if errors.Is(err, state.ErrNotLocal) {
		err = fmt.Errorf("state_db: %w: %s", err, noticeStateNotLocal.do)
	}
	if err == nil {
		err = t.app.ready(ctx, t.settings, t.kit, t.job.ID)
	}
	if err != nil {
		return &refusal{Err: err, Next: t.app.again("check")}
	}
	return nil
}

func (a *App) ready(ctx context.Context, c *settings.Settings, kit *actions.Kit, job string) error {
	place, uploads := actions.PlaceOf(c)
	programs := map[string]string{"ZFS_PATH": c.ZFS[0]}
	if c.Encryption == settings.GPG {
		programs["GPG_PATH"] = c.Gpg[0]
	}
	viaRclone := uploads && place != "" && place[0] != '/'
	if viaRclone || uploads && c.Mode == settings.File {
		programs["RCLONE_PATH"] = c.Rclone[0]
	}
	if slices.ContainsFunc(c.Steps, func(s settings.Step) bool { return s.Name == actions.StepMount }) {
		if err := actions.CanMount(c.IntermediateDir); err != nil {
			return err
		}
	}
	for _, variable := range slices.Sorted(maps.Keys(programs)) {
		if _, err := proc.LookPath(programs[variable]); err != nil {
			return whichProgram(err, variable)
		}
	}
	for _, dir := range []string{c.IntermediateDir, place} {
		if dir == "" || dir[0] != '/' {
			continue
		}
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: no such folder: mount its disk, or make it; nothing here makes it", dir)
		}
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s is not a folder", dir)
		}
	}
	if err := a.passphrase(ctx, c, kit); err != nil {
		return err
	}
	if !viaRclone {
		return nil
	}
	p, err := kit.Place(actions.Freeze(c), job)
	if err != nil {
		return err
	}
	if _, err := p.HashKind(ctx, workflow.Look{World: a.World}); errors.Is(err, remote.ErrNoRemote) {
		return noPlace(place, c, err)
	}
	return nil
}

// passphrase reads the passphrase, if the config has one.
func (a *App) passphrase(ctx context.Context, c *settings.Settings, kit *actions.Kit) error {
	if c.Encryption == settings.None {
		return nil
	}
	pass, warnings, err := a.readPassphrase(ctx, c)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		a.Log.Warn("passphrase", "warning", w.Text)
	}
	kit.Passphrase = pass
	return nil
}

// vaultTime bounds encryption_passphrase_command where hook_timeout sets nothing: a person may have to unlock a vault.
const vaultTime = 5 * time.Minute

func (a *App) readPassphrase(ctx context.Context, c *settings.Settings) (secret.Bytes, []settings.Warning, error) {
	return config.ReadPassphrase(ctx, c.Passphrase, func(ctx context.Context, argv []string) ([]byte, error) {
		limit := cmp.Or(c.HookTimeout, vaultTime)
		ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it gave none in %s; hook_timeout sets another time", limit))
		defer cancel()
		return proc.Output(ctx, a.World, workflow.Spec{Argv: argv, Leaves: true})
	})
}

// How long a process may take to die that no longer has any descriptors, and how often that is asked.
const (
	dyingTime  = 10 * time.Second
	dyingPause = 20 * time.Millisecond
)

// host is the machine, as the engine asks it.
type host struct{ t *taken }

// Sweep ends the orphans of a dead owner, and then has our own children inherit the mark by which they would
// be found.
func (h host) Sweep(ctx context.Context, kids string) error {
	// A process that is dying has no descriptor left by which it could be found, and for some time yet the lock: 35 ms were seen.
	for until := time.Now().Add(dyingTime); ; {
		swept, err := proc.Sweep(ctx, kids, h.t.app.Log)
		if err != nil {
			return err
		}
		for _, s := range swept {
			h.t.app.Log.Warn("ended a program that outlived its run", "pid", s.ID.PID, "argv", s.Argv)
		}
		h.t.app.World.Kids, err = h.t.live.Kids()
		if err == nil {
			break
		}
		if !errors.Is(err, state.ErrOrphans) || time.Now().After(until) || remote.Pause(ctx, dyingPause) != nil {
			return err
		}
	}
	// What gpg's homes were in, when it was killed. The folder is this dataset's, which we own.
	return errors.Join(os.RemoveAll(h.t.kit.TempDir), os.MkdirAll(h.t.kit.TempDir, 0o700))
}

func (h host) WaitGone(ctx context.Context, id workflow.ProcessID) error {
	return proc.WaitGone(ctx, id)
}

func (h host) EndGroup(id workflow.ProcessID) error { return proc.EndGroup(id) }
