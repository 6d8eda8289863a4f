package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// sanoid#165, #555, znapzend#322: the same failure each night, and nobody noticed.
func TestStatusLate(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.AddDate(0, 0, -9))
	c.says(`
LATE         tank/data to b2:acme/web1   last good backup: 16 Nov 07:31, 9 days ago, due every 36h
             no run is on record
next         zfs2cloud -c web.ini run   and see whether cron still calls it
`)
	ended := today("04:11:00")
	steps := workflow.NewPlan(talePlan, nil, nil)
	steps[5].Starts = 8
	c.run(taleRun{Run: state.Run{Ended: &ended, Error: "upload-intermediate-to-remote: b2: 403 cap_exceeded", Steps: steps}, state: broken, bracket: closed,
		steps: [][]workflow.StepEvent{stepDone, stepDone, stepDone, stepDone, stepDone, stepFailed}})
	c.says(`
LATE         tank/data to b2:acme/web1   last good backup: 16 Nov 07:31, 9 days ago, due every 36h
             run 7k3f of today 03:52, failed 04:11, 3h ago
             upload-intermediate-to-remote was started 8 times since today 03:52
             upload-intermediate-to-remote: b2: 403 cap_exceeded
             app: running
next         zfs2cloud -c web.ini resume 7k3f   once the cause is removed
  or         zfs2cloud -c web.ini abort 7k3f    gives the run up
`)
}

// A job of another config is judged by what that config said when it was last run.
func TestStatusLateByAnotherConfig(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	for i, maxAge := range []time.Duration{0, 8 * 24 * time.Hour, 12 * time.Hour} {
		id := fmt.Sprintf("0%x", 7+i)
		c.job("tank/"+id, fmt.Sprint(4708+i), id)
		c.good(id, taleNow.Add(-35*time.Hour))
		c.put(func(tx *state.Tx) error {
			j, _, err := tx.Job(id)
			j.Config, j.MaxAge = "/etc/"+id+".ini", maxAge
			return errors.Join(err, tx.PutJob(j))
		})
	}
	c.says(`
LATE         tank/09 to b2:acme/web1   last good backup: 23 Nov 20:31, 35h ago, due every 12h
             no run is on record
next         zfs2cloud -c /etc/09.ini run   and see whether cron still calls it

ok           tank/07   last good 35h ago
ok           tank/08   last good 35h ago
`)
}

// The record was made again from what there was, and the full was not among it.
func TestStatusWithoutABase(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.backup(taleJob, taleNow.Add(-2*time.Hour), state.Backup{Base: &state.Base{Name: "20261120030000-full"}}, workflow.BackupExport, workflow.BackupCommit)
	c.put(func(tx *state.Tx) error {
		j, _, err := tx.Job(taleJob)
		j.Created = taleNow.AddDate(0, 0, -5)
		return errors.Join(err, tx.PutJob(j))
	})
	got, _ := c.status(StatusCmd{})
	if !strings.Contains(got, "LATE ") || strings.Contains(got, "GOOD") {
		t.Error(got)
	}
}

// The remote in the config was changed after the first backups: the job of the old one is late no more.
func TestStatusSuperseded(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, "08")
	c.good("08", taleNow.AddDate(0, 0, -9))
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-2*time.Hour))
	c.put(func(tx *state.Tx) error {
		j, _, err := tx.Job(taleJob)
		j.Place = "s3:new"
		return errors.Join(err, tx.PutJob(j))
	})
	c.run(taleRun{state: []workflow.RunEvent{workflow.RunStart, workflow.RunSucceed}, bracket: closed})
	c.says(`
ok           tank/data to b2:acme/web1   last good 9 days ago
note         its config backs up to s3:new now

ok           tank/data to s3:new   last good 2h ago
`)

	// Who types the upload of what was exported for the old one gets a command of the new one's.
	c.backup("08", taleNow.AddDate(0, 0, -8), state.Backup{Full: true, Dir: "/spool"}, workflow.BackupExport)
	if got, _ := c.status(StatusCmd{}); !strings.Contains(got, "needs: put remote = b2:acme/web1 back first, then: zfs2cloud -c web.ini upload-intermediate-to-remote -s 2026") {
		t.Error(got)
	}
}

// The dataset in the config was changed, and each run since was refused: it is the new job that is late. (It was taken for
// superseded by the old one.) Once runs of the old one begin again, it was a slip of the pen.
func TestStatusSupersededByOneWithoutRuns(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.run(taleRun{state: []workflow.RunEvent{workflow.RunStart, workflow.RunSucceed}, bracket: closed})
	c.good(taleJob, taleNow.AddDate(0, 0, -9))
	c.job("tank/other", "4712", "08")
	created := func(at time.Time) {
		c.put(func(tx *state.Tx) error {
			j, _, err := tx.Job("08")
			j.Created = at.UTC()
			r, _, rerr := tx.Run("7k3f")
			r.Started = taleNow.AddDate(0, 0, -3).UTC()
			return errors.Join(err, rerr, tx.PutJob(j), tx.PutRun(r))
		})
	}
	created(taleNow.AddDate(0, 0, -2))
	c.says(`
LATE         tank/other to b2:acme/web1   no backup yet since 23 Nov 07:31, due every 36h
             no run is on record
next         zfs2cloud -c web.ini run   and see whether cron still calls it

ok           tank/data   last good 9 days ago
note         its config backs up tank/other now
`)
	created(taleNow.AddDate(0, 0, -4))
	if got, _ := c.status(StatusCmd{}); !strings.HasPrefix(got, "LATE         tank/data ") || strings.Contains(got, "\nLATE ") || !strings.Contains(got, "its config backs up tank/data now") {
		t.Error(got)
	}
}

// The clock was years ahead when the job of the old remote ran last. It is not the one that its config means for all that, and that
// of the new one is late.
func TestStatusSupersededByNoClock(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, "08")
	c.good("08", taleNow.AddDate(0, 0, -12))
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.AddDate(0, 0, -9))
	c.run(taleRun{Run: state.Run{ID: "ahead", Number: 1}, state: []workflow.RunEvent{workflow.RunStart, workflow.RunSucceed}, bracket: closed})
	c.run(taleRun{Run: state.Run{Number: 2}, state: []workflow.RunEvent{workflow.RunStart, workflow.RunSucceed}, bracket: closed})
	c.put(func(tx *state.Tx) error {
		j, _, err := tx.Job(taleJob)
		j.Place = "s3:new"
		r, _, rerr := tx.Run("ahead")
		r.Job, r.Started = "08", taleNow.AddDate(11, 0, 0)
		return errors.Join(err, rerr, tx.PutJob(j), tx.PutRun(r))
	})
	c.says(`
LATE         tank/data to s3:new   last good backup: 16 Nov 07:31, 9 days ago, due every 36h
             no run is open; the last, run 7k3f of today 03:52, succeeded
next         zfs2cloud -c web.ini run   and see whether cron still calls it

ok           tank/data to b2:acme/web1   last good 12 days ago
note         its config backs up to s3:new now
`)

	// It is another dataset that the config names now.
	c.put(func(tx *state.Tx) error {
		j, _, err := tx.Job(taleJob)
		j.Dataset, j.DatasetGUID, j.Created = "tank/new", "4799", taleNow.AddDate(0, 0, -10)
		r, _, rerr := tx.Run("7k3f")
		r.DatasetGUID = "4799"
		old, _, oerr := tx.Run("ahead")
		old.ID, old.Number, old.Started = "before", 0, taleNow.AddDate(0, 0, -12)
		return errors.Join(err, rerr, oerr, tx.PutJob(j), tx.PutRun(r), tx.PutRun(old))
	})
	if got, _ := c.status(StatusCmd{}); !strings.Contains(got, "\nnote         its config backs up tank/new now\n") || strings.Count(got, "LATE") != 1 {
		t.Error(got)
	}
}

// While a run of another job of the dataset is at work, a job is judged all the same.
func TestStatusOfAnotherJobsRun(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-2*time.Hour))
	c.run(taleRun{state: begun, bracket: closed, steps: uploading})
	c.live(taleGUID, taleOwner, "7k3f", today("03:52:00"))
	c.job("tank/data", taleGUID, "08")
	c.put(func(tx *state.Tx) error {
		j, _, err := tx.Job("08")
		j.Config, j.Created = "/etc/other.ini", taleNow.AddDate(0, 0, -9)
		return errors.Join(err, tx.PutJob(j))
	})
	if got, _ := c.status(StatusCmd{}); !strings.Contains(got, "\nLATE ") && !strings.HasPrefix(got, "LATE ") {
		t.Error(got)
	}
}

// A typed export that nobody uploads keeps its folder, its snapshot and its base.
func TestStatusNotUploaded(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-2*time.Hour))
	c.backup(taleJob, taleNow.Add(-5*time.Hour), state.Backup{Full: true, Dir: "/spool"}, workflow.BackupExport)
	c.says(`
ok           tank/data   last good 2h ago
note         20261125023100-full is exported, not uploaded, and kept with all that it needs: zfs2cloud -c web.ini upload-intermediate-to-remote -s 20261125023100-full
`)
}

func TestStatusSeveral(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	for i, dataset := range []string{"tank/ok", "tank/mail", "tank/new", "tank/data"} {
		c.job(dataset, fmt.Sprint(4708+i), fmt.Sprintf("0%x", 7+i))
	}
	c.good("07", taleNow.Add(-6*time.Hour))
	c.good("08", taleNow.Add(-7*time.Hour))
	c.good(taleJob, taleNow.Add(-27*time.Hour))
	c.put(func(tx *state.Tx) error {
		j, _, err := tx.Job("09")
		j.Created, j.Config = taleNow.Add(-time.Hour), "/etc/my configs/new.ini"
		err = errors.Join(err, tx.PutJob(j))
		for _, id := range []string{"07", "08"} { // a config names one dataset
			j, _, jerr := tx.Job(id)
			j.Config = id + ".ini"
			err = errors.Join(err, jerr, tx.PutJob(j))
		}
		return err
	})
	c.run(taleRun{state: begun, steps: [][]workflow.StepEvent{stepRunning}})
	c.run(taleRun{Run: state.Run{ID: "2b2b", Typed: "snapshot"}, state: stopped, steps: [][]workflow.StepEvent{stepDone}})
	c.run(taleRun{Run: state.Run{ID: "9abc", Notes: []string{"could not remove /spool/x"}}, state: givenUp})
	c.put(func(tx *state.Tx) error {
		r, _, err := tx.Run("9abc")
		r.Started = r.Started.Add(time.Minute)
		return errors.Join(err, workflow.RunMachine.Fire(tx, &r.State, workflow.RunAbort), tx.PutRun(r))
	})
	c.says(`
INTERRUPTED  tank/data to b2:acme/web1   run 2b2b, last checkpoint 04:31:07, 2h ago
             in ./stop-app
             app: running
last good    GOOD, incremental, 27h ago, listed whole 26h ago
also         run 7k3f of today 03:52 is interrupted in lock: zfs2cloud -c web.ini resume 7k3f
note         run 9abc: could not remove /spool/x
next         zfs2cloud -c web.ini resume 2b2b   (or leave it: the next run does it first)

NEW          tank/new to b2:acme/web1   no backup yet
             nor has any run of /etc/my configs/new.ini been begun
last good    none yet
next         zfs2cloud -c '/etc/my configs/new.ini' run

ok           tank/ok   last good 6h ago
ok           tank/mail   last good 7h ago
`)
}
