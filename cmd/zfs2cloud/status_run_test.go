package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

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
	want := `
FAILED       tank/data to b2:acme/web1   run 7k3f of today 03:52, failed 04:31, 3h ago
             upload-intermediate-to-remote: b2: 503 service_unavailable
             app: running
last good    GOOD, incremental, 27h ago, listed whole 26h ago
next         zfs2cloud -c web.ini resume 7k3f   once the cause is removed
  or         zfs2cloud -c web.ini abort 7k3f    gives the run up
`
	c.says(want)

	// Its config was moved, and has run from there.
	c.put(func(tx *state.Tx) error {
		r, _, err := tx.Run("7k3f")
		r.Config = "/etc/zfs2cloud.ini"
		return errors.Join(err, tx.PutRun(r))
	})
	c.says(want)
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
