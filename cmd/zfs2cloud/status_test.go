package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

func TestStatusNothingYet(t *testing.T) {
	t.Parallel()
	newTale(t).says(`
NEW          tank/data   no run was ever begun: nothing is in DIR/state.db
last good    none yet
next         zfs2cloud -c web.ini check   says what is missing, and what the first backup will be
  then       zfs2cloud -c web.ini run     makes it
`)
}

// zfsbackup-go#34, sanoid#304, #570, restic#3194, backrest#543: nobody could see what a run was doing, how far it was, and how long
// it would still take.
func TestStatusRunning(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-24*time.Hour))
	name := c.backup(taleJob, today("03:52:00"), state.Backup{Full: true, Sums: state.Sums{Sealed: 42, Uploaded: 27, BytesSealed: 42 << 30, BytesUploaded: 27 << 30}}, workflow.BackupExport)
	c.run(taleRun{Run: state.Run{Backup: name, Updated: taleNow.Add(-3 * time.Second)}, state: begun, bracket: closed, steps: uploading})
	c.live(taleGUID, taleOwner, "7k3f", today("03:52:00"))
	c.says(`
RUNNING      tank/data to b2:acme/web1   run 7k3f since 03:52 (3h 39m), pid 48112
             export done; upload 64%, 27.0 of 42.0 GiB, 2.11 MiB/s, ~2h 1m left
             last checkpoint 3s ago
last good    GOOD, incremental, 24h ago, listed whole 23h ago
next         nothing to do
`)
}

func TestStatusTriesAgain(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	r := state.Run{Updated: taleNow.Add(-3 * time.Second)}
	r.Waits = &state.Wait{Until: taleNow.Add(27 * time.Second), Why: "put: connection refused"}
	c.run(taleRun{Run: r, state: begun, bracket: closed, steps: uploading})
	c.live(taleGUID, taleOwner, "7k3f", today("03:52:00"))
	c.says(`
RUNNING      tank/data to b2:acme/web1   run 7k3f since 03:52 (3h 39m), pid 48112
             in upload-intermediate-to-remote for 3h 38m
             tries again 07:31:27: put: connection refused
             last checkpoint 3s ago
last good    none yet    LATE, due every 36h
next         nothing to do
`)
}

func TestStatusExporting(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	name := c.backup(taleJob, today("03:52:00"), state.Backup{Full: true, Estimate: 41 << 30, SplitSize: 1 << 30, Sums: state.Sums{Sealed: 17, PlainSealed: 17 << 30, BytesSealed: 17 << 30}})
	steps := workflow.NewPlan(talePlan, nil, nil)
	steps[4].Starts = 2 // nobody knows how long it was at work in all: no rate
	steps[4].Detail = "continued behind 12 sealed chunks"
	c.run(taleRun{Run: state.Run{Backup: name, Updated: taleNow.Add(-3 * time.Second), Steps: steps}, state: begun, bracket: closed,
		steps: [][]workflow.StepEvent{stepDone, stepDone, stepDone, stepDone, stepRunning}})
	c.live(taleGUID, taleOwner, "7k3f", today("06:00:00"))
	c.says(`
RUNNING      tank/data to b2:acme/web1   run 7k3f of today 03:52, resumed 06:00 (1h 31m), pid 48112
             export 41%, 17.0 of ~41.0 GiB
             export: continued behind 12 sealed chunks
             last checkpoint 3s ago
last good    none yet    LATE, due every 36h
next         nothing to do
`)
}

func TestStatusInterrupted(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-27*time.Hour))
	name := c.backup(taleJob, today("03:52:00"), state.Backup{Full: true, Sums: state.Sums{Sealed: 41, Uploaded: 27}}, workflow.BackupExport)
	c.run(taleRun{Run: state.Run{Backup: name}, state: begun, bracket: closed, steps: uploading})
	c.says(`
INTERRUPTED  tank/data to b2:acme/web1   run 7k3f, last checkpoint 04:31:07, 2h ago
             its process is gone
             in upload-intermediate-to-remote: 27 of 41 chunks there, 14 sealed here
             app: running
last good    GOOD, incremental, 27h ago, listed whole 26h ago
next         zfs2cloud -c web.ini resume 7k3f   (or leave it: the next run does it first)
`)
}

func TestStatusAnotherProcessIsNotTheRuns(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-27*time.Hour))
	c.run(taleRun{state: begun, steps: [][]workflow.StepEvent{stepRunning}})
	c.live(taleGUID, "another nonce", "9abc", today("07:30:00"))
	c.says(`
INTERRUPTED  tank/data to b2:acme/web1   run 7k3f, last checkpoint 04:31:07, 2h ago
             its process is gone
             in lock
             app: running
             the dataset is in the hands of run 9abc, pid 48112 since 07:30 (1m 0s)
last good    GOOD, incremental, 27h ago, listed whole 26h ago
next         zfs2cloud -c web.ini resume 7k3f   once that is over
`)
}

func TestStatusAppStopped(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-27*time.Hour))
	c.run(taleRun{Run: state.Run{Updated: today("03:52:13"), Why: "rebooted"}, state: begun, bracket: opened, steps: [][]workflow.StepEvent{stepDone, stepDone}})
	got, _ := c.status(StatusCmd{})
	if booted := "its process is gone; the host booted "; !strings.Contains(got, booted) {
		t.Errorf("no %q in:\n%s", booted, got)
	}
	c.run(taleRun{Run: state.Run{Updated: today("03:52:13")}, state: begun, bracket: opened, steps: [][]workflow.StepEvent{stepDone, stepDone}})
	c.says(`
APP STOPPED  tank/data   run 7k3f was cut off after 03:52:13, between its hooks
             ./stop-app ended 03:52:12, exit 0; ./start-app never ran: 3h 38m
             no snapshot was made
last good    GOOD, incremental, 27h ago, listed whole 26h ago
next         zfs2cloud -c web.ini abort 7k3f    runs ./start-app, gives the run up
  or         zfs2cloud -c web.ini resume 7k3f   runs ./start-app, then stops the app again for the backup
`)
}

func TestStatusAppUnknown(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-27*time.Hour))
	c.run(taleRun{Run: state.Run{Updated: today("03:52:33"), Snapshot: "20261125025200", Error: "./start-app: exit status 1; it printed: no\x1b[2J"}, state: broken, bracket: opened,
		steps: [][]workflow.StepEvent{stepDone, stepDone, stepDone, stepFailed}})
	c.says(`
APP UNKNOWN  tank/data   run 7k3f failed 03:52:33, between its hooks
             ./stop-app ended 03:52:12, exit 0; ./start-app failed 03:52:32: 3h 38m
             snapshot tank/data@20261125025200 was made
             ./start-app: exit status 1; it printed: no\x1b[2J
last good    GOOD, incremental, 27h ago, listed whole 26h ago
next         zfs2cloud -c web.ini resume 7k3f               once the cause is removed: runs ./start-app again, and goes on
  or         zfs2cloud -c web.ini abort --skip-hooks 7k3f   leaves the application as it is, gives the run up
`)
}

func TestStatusAppBroughtBack(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-27*time.Hour))
	c.run(taleRun{Run: state.Run{Updated: today("07:20:00"), Closing: true}, state: stopped, bracket: opened, steps: [][]workflow.StepEvent{stepDone, stepDone, stepDone, stepRunning}})
	c.live(taleGUID, taleOwner, "7k3f", today("07:20:00"))
	c.says(`
RUNNING      tank/data to b2:acme/web1   run 7k3f of today 03:52, resumed 07:20 (11m 0s), pid 48112
             it was cut off; the application is being brought back: ./start-app
             the application has been stopped for 3h 38m
             last checkpoint 11m ago
last good    GOOD, incremental, 27h ago, listed whole 26h ago
next         nothing to do
`)
}

// nightly are deaths in the export, one a night, from four days ago to so many.
func nightly(to int) (deaths []state.Death) {
	for day := 4; day >= to; day-- {
		deaths = append(deaths, state.Death{At: today("03:58:00").AddDate(0, 0, -day), Where: "export-intermediate"})
	}
	return deaths
}

func TestStatusStuck(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.AddDate(0, 0, -5))
	c.run(taleRun{Run: state.Run{Deaths: nightly(0), Error: "killed 5 times without progress, last in export-intermediate"}, state: jammed, bracket: closed,
		steps: [][]workflow.StepEvent{stepDone, stepDone, stepDone, stepDone, stepRunning}})
	c.says(`
STUCK        tank/data   run 7k3f was killed 5 times without progress:
             last in export-intermediate: 21 Nov 03:58 … today 03:58
             app: running
             No run starts by itself now (exit 5)
last good    GOOD, incremental, 5 days ago, listed whole 4 days ago    LATE, due every 36h
next         journalctl -k --since "2026-11-25 03:57" --until "2026-11-25 04:00"   says whether the kernel killed it
  then       zfs2cloud -c web.ini resume --force 7k3f                              once more
  or         zfs2cloud -c web.ini abort 7k3f                                       gives the run up
`)
}

// The fifth death in a row is on record only once the next command finds it.
func TestStatusStuckByTheNext(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-27*time.Hour))
	c.run(taleRun{Run: state.Run{Deaths: nightly(1), Updated: today("03:58:00")}, state: begun, bracket: closed,
		steps: [][]workflow.StepEvent{stepDone, stepDone, stepDone, stepDone, stepRunning}})
	c.says(`
STUCK        tank/data   run 7k3f was killed 5 times without progress:
             last in export-intermediate: 21 Nov 03:58 … today 03:58
             app: running
             No run starts by itself now (exit 5)
last good    GOOD, incremental, 27h ago, listed whole 26h ago
next         journalctl -k --since "2026-11-25 03:57" --until "2026-11-25 04:00"   says whether the kernel killed it
  then       zfs2cloud -c web.ini resume --force 7k3f                              once more
  or         zfs2cloud -c web.ini abort 7k3f                                       gives the run up
`)
}

func TestStatusFailed(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-27*time.Hour))
	ended := today("04:31:00")
	c.run(taleRun{Run: state.Run{Ended: &ended, Error: "upload-intermediate-to-remote: b2: 503 service_unavailable"}, state: broken, bracket: closed,
		steps: [][]workflow.StepEvent{stepDone, stepDone, stepDone, stepDone, stepDone, stepFailed}})
	c.says(`
FAILED       tank/data to b2:acme/web1   run 7k3f of today 03:52, failed 04:31, 3h ago
             upload-intermediate-to-remote: b2: 503 service_unavailable
             app: running
last good    GOOD, incremental, 27h ago, listed whole 26h ago
next         zfs2cloud -c web.ini resume 7k3f   once the cause is removed
  or         zfs2cloud -c web.ini abort 7k3f    gives the run up
`)
}

func TestStatusAborting(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-27*time.Hour))
	c.run(taleRun{Run: state.Run{Why: "its snapshot is gone"}, state: givenUp, bracket: closed, steps: uploading})
	c.says(`
ABORTING     tank/data to b2:acme/web1   run 7k3f is given up: its snapshot is gone
             what it left is not all removed; last checkpoint 04:31:07, 2h ago
             in upload-intermediate-to-remote
             app: running
last good    GOOD, incremental, 27h ago, listed whole 26h ago
next         zfs2cloud -c web.ini abort 7k3f   (or leave it: the next run does it first)
`)
	c.live(taleGUID, taleOwner, "7k3f", today("03:52:00"))
	c.says(`
ABORTING     tank/data to b2:acme/web1   run 7k3f since 03:52 (3h 39m), pid 48112
             it is being given up: its snapshot is gone
             last checkpoint 2h ago
last good    GOOD, incremental, 27h ago, listed whole 26h ago
next         nothing to do
`)
}

// abort --skip-hooks was given up half way: nothing starts the application any more.
func TestStatusAbortingWithoutHooks(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-27*time.Hour))
	c.run(taleRun{Run: state.Run{Why: "aborted by an operator"}, state: givenUp, bracket: closed, steps: [][]workflow.StepEvent{stepDone, stepDone, stepDone, stepFailed}})
	c.says(`
ABORTING     tank/data to b2:acme/web1   run 7k3f is given up: aborted by an operator
             what it left is not all removed; last checkpoint 04:31:07, 2h ago
             its hooks were skipped: start the application by hand
             in ./start-app
             app: unknown
last good    GOOD, incremental, 27h ago, listed whole 26h ago
next         zfs2cloud -c web.ini abort 7k3f   (or leave it: the next run does it first)
`)
}

func TestStatusLocked(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.AddDate(0, 0, -5))
	last := today("03:52:00")
	c.put(func(tx *state.Tx) error {
		return workflow.TakeOperatorLock(tx, state.Lock{DatasetGUID: taleGUID, Dataset: "tank/data", User: "root (pts/0)", Why: "moving pool",
			Since: time.Date(2026, 11, 20, 16, 20, 0, 0, time.Local).UTC(), TurnedAway: 4, TurnedAwayLast: &last})
	})
	c.says(`
LOCKED       tank/data   by operator root (pts/0) since Fri 20 Nov 16:20: "moving pool"
             4 runs were turned away, the last today 03:52
last good    GOOD, incremental, 5 days ago, listed whole 4 days ago    LATE, due every 36h
next         zfs2cloud -c web.ini unlock
`)
}

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

func TestStatusOfOtherDatabases(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	note := map[string]any{"database": "/other.db", "run": "9abc", "dataset": "tank/data", "post": [][]string{{"/etc/zfs2cloud/start-app"}}}
	err := errors.Join(c.app.Folder.PutNote("bracket", taleGUID, "9abc", note),
		c.app.Folder.PutNote(lockNotes, "4712", "", state.Lock{Dataset: "tank/mail", User: "root", Since: today("07:00:00")}))
	if err != nil {
		t.Fatal(err)
	}
	c.live("4713", "nonce", "xyz2", today("07:00:00"))
	c.says(`
APP STOPPED  tank/data   run 9abc was cut off between its hooks
             that run is in /other.db
next         zfs2cloud -c web.ini resume   runs /etc/zfs2cloud/start-app

LOCKED       tank/mail   by operator root since Wed 25 Nov 07:00
next         zfs2cloud -c CONFIG unlock   with the config that names this dataset

RUNNING      the dataset with GUID 4713   run xyz2, pid 48112 since 07:00 (31m 0s)
             nothing about it is in DIR/state.db: another database has it, or it is just beginning
`)
}

func TestStatusBadConfig(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-6*time.Hour))
	c.config("[main]\nzfs_fs = tank/data\nencryption = rot13\nstate_db = " + c.store.Path() + "\n")
	c.says(`
ok           tank/data   last good 6h ago
`)
	c.app.Config = filepath.Join(c.dir, "missing.ini")
	c.app.Env.UID = 1 // the default database is then in the tale's home
	c.says(`
NEW          no run was ever begun: nothing is in DEFAULT
last good    none yet
next         zfs2cloud -c web.ini check   says what is missing, and what the first backup will be
  then       zfs2cloud -c web.ini run     makes it

note         DIR/missing.ini: no such file; looked into DEFAULT
`)
}

// A disk that hangs is not to be had in a test; something that the reading of a config asks for is.
func TestStatusOfAConfigThatHangs(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.app.Env.UID = 1 // the default database is then in the tale's home
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	c.app.Env.Getenv = func(name string) string {
		if name == "ZFS_PATH" {
			<-hang
		}
		return ""
	}
	got, err := c.status(StatusCmd{})
	if err != nil || !strings.Contains(got, "no answer after 200ms") {
		t.Error(got, err)
	}
}

// hold keeps a file's locks as another process would: they belong to the open file, not to the process.
func hold(t *testing.T, path string, kind func(fd int) error) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := kind(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
}

// bbolt#782: whoever holds the database, for ever even, status answers.
func TestStatusWithTheDatabaseHeld(t *testing.T) {
	t.Parallel()
	gate := func(fd int) error {
		return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	}
	bolt := func(fd int) error { return unix.Flock(fd, unix.LOCK_EX) }
	for name, held := range map[string]struct {
		suffix string
		lock   func(int) error
	}{"turnstile": {".turn", gate}, "gate": {".gate", gate}, "database": {"", bolt}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newTale(t)
			c.job("tank/data", taleGUID, taleJob)
			c.run(taleRun{state: begun})
			hold(t, c.store.Path()+held.suffix, held.lock)

			got, err := c.status(StatusCmd{})
			if !errors.Is(err, state.ErrBusy) || !strings.Contains(got, "no process is at work") {
				t.Errorf("%v\n%s", err, got)
			}
			c.live(taleGUID, taleOwner, "7k3f", today("03:52:00"))
			got, err = c.status(StatusCmd{})
			if err != nil || !strings.Contains(got, "NOT KNOWN    ") || !strings.Contains(got, "RUNNING      the dataset with GUID 4711   run 7k3f, pid 48112 since 03:52") {
				t.Errorf("%v\n%s", err, got)
			}
			text, err := c.status(StatusCmd{JSON: true})
			var d statusDocument
			if err := errors.Join(err, json.Unmarshal([]byte(text), &d)); err != nil {
				t.Fatal(err)
			}
			if d.Runs != nil || d.Error == nil || len(d.Processes) != 1 || *d.Processes[0].Run != "7k3f" {
				t.Errorf("%s", text)
			}
		})
	}
}

// In file mode there is one backup at the remote, which a sync that is cut off leaves as the last good one.
func TestStatusFiles(t *testing.T) {
	t.Parallel()
	at := today("03:52:00")
	for _, c := range []struct {
		alive bool
		want  string
	}{
		{true, `
RUNNING      tank/data to b2:acme/web1   run 7k3f since 03:52 (3h 39m), pid 48112
             sync 25%, 10.0 of 40.0 GiB, 0.78 MiB/s, ~10h 56m left
             last checkpoint 3s ago
last good    20261124033100, files, 28h ago
next         nothing to do
`},
		{false, `
INTERRUPTED  tank/data to b2:acme/web1   run 7k3f, last checkpoint 07:30:57, 3s ago
             its process is gone
             in upload-snapshot-files-to-remote: 1,204 files synced, 10.0 of 40.0 GiB
last good    20261124033100, files, 28h ago
next         zfs2cloud -c web.ini resume 7k3f   (or leave it: the next run does it first)
`},
	} {
		plan := workflow.NewPlan([]workflow.Planned{{Name: "mount-snapshot", Shown: "mount-snapshot", Kind: workflow.Plain},
			{Name: "upload-snapshot-files-to-remote", Shown: "upload-snapshot-files-to-remote", Kind: workflow.Plain}}, nil, nil)
		plan[1].Starts, plan[1].Started = 1, &at
		tale := newTale(t)
		tale.job("tank/data", taleGUID, taleJob)
		tale.backup(taleJob, taleNow.Add(-28*time.Hour), state.Backup{Files: &state.Files{}}, workflow.BackupExport, workflow.BackupCommit)
		name := tale.backup(taleJob, at, state.Backup{Files: &state.Files{Into: "b2:acme/web1", Bytes: 10 << 30, Total: 40 << 30, Sent: 1204}})
		tale.run(taleRun{Run: state.Run{Backup: name, Updated: taleNow.Add(-3 * time.Second), Steps: plan}, state: begun, steps: [][]workflow.StepEvent{stepDone, stepRunning}})
		if c.alive {
			tale.live(taleGUID, taleOwner, "7k3f", at)
		}
		tale.says(c.want)
	}
}
