package main

import (
	"encoding/json"
	"errors"
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
