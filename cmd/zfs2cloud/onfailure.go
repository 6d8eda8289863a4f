package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"zfs2cloud/actions/proc"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// onFailure is the user's script that hears of a command that failed.
type onFailure struct {
	app     *App
	script  string // empty: none
	timeout time.Duration
	dataset string
}

// call gives the script a text, and then its first line once more as the last, since scripts take that for the
// message. Its exit status is its own business, and so is what it leaves behind. It is ended after hook_timeout, and
// by a stop signal. What it starts of ours, a resume say, calls no other: while the cause lasts they would nest without end.
func (f onFailure) call(code int, r state.Run, text string) error {
	if f.script == "" || !f.hears(code, r) {
		return nil
	}
	if f.app.Env.Getenv(phaseVariable) == phaseFailure {
		fmt.Fprintf(f.app.Err, "on_failure %s is not called again: this command was started by it\n", safe(f.script))
		return nil
	}
	ctx := f.app.Stop.Soft()
	if f.app.Stop.Asked() { // that was before: it takes another to end the script
		hook, done := f.app.Stop.Hook()
		defer done()
		ctx = hook
	}
	if f.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("hook_timeout is over after %s", f.timeout))
		defer cancel()
	}
	// Its output goes to a file: what it leaves behind would keep our own open, and cron waits for the end of that.
	// It has to be called also where no file can be made.
	stdin := strings.TrimRight(text, "\n") + "\n" + firstLine(text) + "\n"
	spec := workflow.Spec{Argv: []string{f.script}, Env: f.env(code, r), Stdin: strings.NewReader(stdin)}
	output, err := os.CreateTemp("", "zfs2cloud-on_failure-")
	if err == nil {
		defer output.Close()
		os.Remove(output.Name())
		err = proc.MakeRoom(output)
	}
	if err != nil {
		f.app.Log.Warn("what on_failure prints is not kept", "err", err)
		output = nil
	} else {
		spec.Stdout, spec.Stderr = output, output
	}
	err = proc.Run(ctx, f.app.World, spec)
	if output != nil {
		if _, cerr := io.Copy(f.app.Err, io.NewSectionReader(output, 0, failureShown)); cerr != nil {
			f.app.Log.Warn("show what on_failure printed", "err", cerr)
		}
	}
	var exit *workflow.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return nil
	}
	return err
}

// hears tells whether an exit is somebody's business. To be asked to stop is none, unless a run is stopped again and again (by
// its service's limits, say) where no person does it, and gets no further.
func (f onFailure) hears(code int, r state.Run) bool {
	switch code {
	case exitFailed, exitRefused, exitLocked, exitStuck:
		return true
	case exitInterrupted:
		return stoppedAgain(r) && !f.app.Terminal
	}
	return false
}

// stoppedAgain tells whether a run was asked to stop before, and has got no further since.
func stoppedAgain(r state.Run) bool {
	return workflow.RunMachine.In(r.State, workflow.RunInterrupted) && r.Stops > 1
}

// By this variable a script knows when it is called; with this value it is on_failure.
const (
	phaseVariable = "ZFS2CLOUD_PHASE"
	phaseFailure  = "failure"
)

// failureShown is how much of what on_failure prints is shown.
const failureShown = 64 << 10

// env is our caller's environment, and what the scripts of a sequence are told; empty where the failure is not one of
// a run.
func (f onFailure) env(code int, r state.Run) []string {
	return append(os.Environ(), "ZFS2CLOUD_RUN="+r.ID, "ZFS2CLOUD_DATASET="+f.dataset, "ZFS2CLOUD_SNAPSHOT="+snapshotName(r), "ZFS2CLOUD_MOUNT="+r.Mount,
		phaseVariable+"="+phaseFailure, "ZFS2CLOUD_EXIT="+strconv.Itoa(code), "ZFS2CLOUD_CONFIG_FILE="+f.app.Config)
}

// runOf is the run that an error is about, or none.
func runOf(err error) state.Run {
	var run *runError
	var stuck *workflow.StuckError
	var open *workflow.BracketError
	var bad *badError
	switch {
	case errors.As(err, &run):
		return run.Run
	case errors.As(err, &bad):
		return bad.Run
	case errors.As(err, &stuck):
		return stuck.Run
	case errors.As(err, &open):
		return state.Run{ID: open.Run}
	}
	return state.Run{}
}
