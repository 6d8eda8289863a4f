package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zfs2cloud/actions/proc"
	"zfs2cloud/cmd/internal/config"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// A tale is a database and a fixed folder made by hand, and what status says of them at 07:31.
type tale struct {
	testing.TB
	dir    string
	app    *App
	store  *state.Store
	out    bytes.Buffer
	newest string // name of the last good backup
}

var taleNow = time.Date(2026, 11, 25, 7, 31, 0, 0, time.Local)

// today is a time of the day that the tale is told on.
func today(clock string) time.Time {
	t, err := time.ParseInLocation(toTheSecond, clock, time.Local)
	if err != nil {
		panic(err)
	}
	return time.Date(2026, 11, 25, t.Hour(), t.Minute(), t.Second(), 0, time.Local)
}

func newTale(t testing.TB) *tale {
	t.Helper()
	dir := t.TempDir()
	c := &tale{TB: t, dir: dir}
	path := filepath.Join(dir, "config.ini")
	c.store = state.New(filepath.Join(dir, "state.db"))
	c.app = &App{Config: path, ConfigFlag: "web.ini", Out: &c.out, Err: &c.out, World: &proc.World{Clock: func() time.Time { return taleNow }},
		Folder: state.Folder{Dir: filepath.Join(dir, "datasets")}, Host: "web1", Boot: taleBoot,
		Env: config.Env{Getenv: func(string) string { return "" }, Getwd: os.Getwd, UID: os.Getuid(), Home: dir}}
	c.config("[main]\nzfs_fs = tank/data\nstate_db = " + c.store.Path() + "\n")
	return c
}

func (c *tale) config(text string) {
	c.Helper()
	if err := os.WriteFile(c.app.Config, []byte(text), 0o600); err != nil {
		c.Fatal(err)
	}
}

func (c *tale) put(fn func(*state.Tx) error) {
	c.Helper()
	if err := c.store.Update(fn); err != nil {
		c.Fatal(err)
	}
}

// at takes a record's state along a path of events.
func at[S, E ~string](c *tale, tx *state.Tx, m *workflow.Machine[S, E], cell *state.Cell, path ...E) {
	c.Helper()
	if err := m.Born(tx, cell); err != nil {
		c.Fatal(err)
	}
	for _, event := range path {
		if err := m.Fire(tx, cell, event); err != nil {
			c.Fatal(err)
		}
	}
}

func (c *tale) job(dataset, guid, id string) {
	c.Helper()
	c.put(func(tx *state.Tx) error {
		return tx.PutJob(state.Job{ID: id, Dataset: dataset, DatasetGUID: guid, Place: "b2:acme/web1", Config: c.app.Config, Created: taleNow.AddDate(0, -1, 0).UTC(), Used: true})
	})
}

// backup puts one on record as of a moment.
func (c *tale) backup(job string, asOf time.Time, b state.Backup, path ...workflow.BackupEvent) string {
	c.Helper()
	b.Job, b.Name, b.Dataset, b.Place, b.Created = job, asOf.UTC().Format("20060102150405"), "tank/data", "b2:acme/web1", asOf.UTC()
	if b.Full {
		b.Name += "-full"
	}
	c.put(func(tx *state.Tx) error {
		at(c, tx, workflow.BackupMachine, &b.State, path...)
		return tx.PutBackup(b)
	})
	return b.Name
}

func (c *tale) good(job string, asOf time.Time) {
	c.Helper()
	seen := asOf.Add(time.Hour)
	c.newest = c.backup(job, asOf, state.Backup{Seen: &seen, Committed: &seen}, workflow.BackupExport, workflow.BackupCommit)
}

var talePlan = []workflow.Planned{
	{Name: "lock", Shown: "lock", Kind: workflow.Lock},
	{Name: "/etc/zfs2cloud/stop-app", Shown: "./stop-app", Kind: workflow.Hook},
	{Name: "snapshot", Shown: "snapshot", Kind: workflow.Snapshot},
	{Name: "/etc/zfs2cloud/start-app", Shown: "./start-app", Kind: workflow.Hook},
	{Name: "export-intermediate", Shown: "export-intermediate", Kind: workflow.Export},
	{Name: "upload-intermediate-to-remote", Shown: "upload-intermediate-to-remote", Kind: workflow.Upload},
}

// taleRun is a run whose steps stand as told; the rest of them wait.
type taleRun struct {
	state.Run
	state   []workflow.RunEvent
	bracket []workflow.BracketEvent
	steps   [][]workflow.StepEvent
}

func (c *tale) run(r taleRun) {
	c.Helper()
	if r.ID == "" {
		r.ID = "7k3f"
	}
	r.Job, r.DatasetGUID, r.Config = taleJob, taleGUID, c.app.Config
	r.Frozen = state.Frozen{Dataset: "tank/data", Remote: "b2:acme/web1", IntermediateDir: "/spool", SplitSize: 1 << 30}
	r.Started = today("03:52:00").UTC()
	if r.Updated.IsZero() {
		r.Updated = today("04:31:07").UTC()
	}
	r.Owner = state.Owner{Nonce: taleOwner, PID: 48112, Host: "web1", Boot: taleBoot, Run: r.ID, Since: r.Started}
	if r.Run.Why == "rebooted" {
		r.Run.Why, r.Owner.Boot = "", "boot of yesterday"
	}
	if r.Steps == nil {
		r.Steps = workflow.NewPlan(talePlan, nil, &workflow.Planned{Name: "finish", Shown: "finish", Kind: workflow.Plain})
	}
	c.put(func(tx *state.Tx) error {
		at(c, tx, workflow.RunMachine, &r.State, r.state...)
		at(c, tx, workflow.BracketMachine, &r.Bracket, r.bracket...)
		for i := range r.Steps {
			var path []workflow.StepEvent
			if i < len(r.steps) {
				path = r.steps[i]
			}
			at(c, tx, workflow.StepMachine, &r.Steps[i].State, path...)
			step := &r.Steps[i]
			if len(path) > 0 {
				began := r.Started.Add(time.Duration(i) * 10 * time.Second)
				step.Starts, step.Started = max(step.Starts, 1), &began
			}
			if len(path) > 1 {
				ended := step.Started.Add(2 * time.Second)
				step.Ended = &ended
			}
		}
		return tx.PutRun(r.Run)
	})
}

// live makes this process the owner of the dataset.
func (c *tale) live(guid, nonce, run string, since time.Time) {
	c.Helper()
	l, err := c.app.Folder.Own(guid, state.Owner{Nonce: nonce, PID: 48112, Run: run, Host: "web1", Boot: taleBoot, Since: since.UTC()})
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { l.Close() })
}

func (c *tale) status(cmd StatusCmd) (string, error) {
	c.Helper()
	c.out.Reset()
	began := time.Now()
	err := cmd.Run(c.app)
	if took := time.Since(began); took > time.Second {
		c.Errorf("status took %s", took)
	}
	return c.out.String(), err
}

// says compares what status says.
func (c *tale) says(want string) {
	c.Helper()
	got, err := c.status(StatusCmd{})
	if err != nil {
		c.Error(err)
	}
	want = strings.NewReplacer("DIR", c.dir, "GOOD", c.newest, "DEFAULT", config.DefaultStateDB(c.app.Env)).Replace(strings.TrimPrefix(want, "\n"))
	if got != want {
		c.Errorf("status says:\n%s\nwant:\n%s", got, want)
	}
}

var (
	stepDone    = []workflow.StepEvent{workflow.StepStart, workflow.StepFinish}
	stepRunning = []workflow.StepEvent{workflow.StepStart}
	stepFailed  = []workflow.StepEvent{workflow.StepStart, workflow.StepFail}
)

var (
	begun   = []workflow.RunEvent{workflow.RunStart}
	stopped = []workflow.RunEvent{workflow.RunStart, workflow.RunInterrupt}
	broken  = []workflow.RunEvent{workflow.RunStart, workflow.RunFail}
	jammed  = []workflow.RunEvent{workflow.RunStart, workflow.RunInterrupt, workflow.RunJam}
	givenUp = []workflow.RunEvent{workflow.RunStart, workflow.RunGiveUp}

	opened = []workflow.BracketEvent{workflow.BracketOpens}
	closed = []workflow.BracketEvent{workflow.BracketOpens, workflow.BracketCloses}

	uploading = [][]workflow.StepEvent{stepDone, stepDone, stepDone, stepDone, stepDone, stepRunning}
)

const (
	taleGUID  = "4711"
	taleJob   = "0a"
	taleBoot  = "boot of today"
	taleOwner = "nonce of the owner"
)
