package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts in testdata/script show what a person sees: the real program on real ZFS, gpg and rclone, with
// real signals. A script has a dataset, a remote and a config of its own (script_fixture_test.go), and ends
// with the audit of what must always hold (script_audit_test.go). A program that is to die in a certain
// place is killed by the child that it just started (script_recorder_test.go), not after a while.

// Variables that only the program in this test binary reads.
const (
	clockVar  = "ZFS2CLOUD_TEST_CLOCK"  // a file with a duration by which the clock is ahead
	folderVar = "ZFS2CLOUD_TEST_FOLDER" // in place of /var/lib/zfs2cloud/datasets; state.db may be beside it
	hasteVar  = "ZFS2CLOUD_TEST_HASTE"  // a file with the time that a snapshot may take
	pauseVar  = "ZFS2CLOUD_TEST_PAUSES" // a file that gets each pause between two tries, which is none then
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"zfs2cloud": program,
		"recorder":  recorder,
		"newer":     newer,
	})
}

func TestScripts(t *testing.T) { runScripts(t, filepath.Join("..", "..", "testdata", "script")) }

func runScripts(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		Setup:               setUp,
		Cmds:                scriptCommands,
		Condition:           condition,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// program is the real one, but for its clock, the folder where it says that it is alive, and the database that it
// has if no config says otherwise.
func program() {
	a := newApp()
	a.Folder.Dir = os.Getenv(folderVar)
	a.Env.StateDB = filepath.Join(filepath.Dir(a.Folder.Dir), "state.db")
	a.World.Clock = clockAhead(os.Getenv(clockVar))
	a.Pause = notePause(os.Getenv(pauseVar))
	if limit, err := os.ReadFile(os.Getenv(hasteVar)); err == nil {
		if a.SnapshotTime, err = time.ParseDuration(strings.TrimSpace(string(limit))); err != nil {
			panic(err)
		}
	}
	time.AfterFunc(hangs, func() {
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		fmt.Fprintf(os.Stderr, "%q did not end in %s\n", os.Args[1:], hangs)
		os.Exit(99)
	})
	os.Exit(realMain(os.Args[1:], a))
}

// hangs is how long a program of a script may take, by far; one that takes longer says where it is.
const hangs = 12 * time.Minute

// notePause writes down for how long would be waited.
func notePause(file string) func(context.Context, time.Duration) error {
	return func(ctx context.Context, d time.Duration) error {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			panic(err)
		}
		_, err = fmt.Fprintln(f, d)
		return errors.Join(err, f.Close(), ctx.Err())
	}
}

// clockAhead goes as the machine's clock does, ahead of it by what stands in a file.
func clockAhead(file string) func() time.Time {
	text, err := os.ReadFile(file)
	if err != nil {
		return time.Now
	}
	ahead, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		panic(err)
	}
	return func() time.Time { return time.Now().Add(ahead) }
}
