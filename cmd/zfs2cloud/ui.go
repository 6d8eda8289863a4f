package main

import (
	"errors"
	"fmt"
	"strings"

	"zfs2cloud/cmd/internal/config"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// Errors become text, hint and exit status here, and nowhere else. The first line says what was tried, on
// what, and what came back; then what state things are in; the last line what to type next.

// Exit statuses.
const (
	exitDone        = 0
	exitFailed      = 1 // a step of a stored run failed: resume goes on
	exitRefused     = 2 // nothing was done
	exitLocked      = 3
	exitInterrupted = 4
	exitStuck       = 5
)

// exits says what the exit statuses mean, for --help and the README.
var exits = []struct {
	code    int
	meaning string
}{
	{exitDone, "done"},
	{exitFailed, "a step of a stored run failed, of a backup or a restore: `resume` goes on, with a backup the next `run` does too; or a look failed"},
	{exitRefused, "nothing was done: usage, config, or something is missing (a program, the passphrase, the dataset)"},
	{exitLocked, "the dataset is locked by a live run or an operator"},
	{exitInterrupted, "interrupted at a checkpoint; `resume` goes on"},
	{exitStuck, "stuck: a person is needed"},
}

// refusal is an error before anything was done.
type refusal struct {
	Err  error
	Next string // a command to type, without the config flag; or empty
}

func (e *refusal) Error() string { return e.Err.Error() }
func (e *refusal) Unwrap() error { return e.Err }
func (e *refusal) ExitCode() int { return exitRefused }

// reported is an error whose text for people is ready, such as a run's.
type reported struct {
	Err  error
	Text string
}

func (e *reported) Error() string { return e.Text }
func (e *reported) Unwrap() error { return e.Err }

// exitCode is the exit status of an error.
func exitCode(err error) int {
	var coded interface{ ExitCode() int }
	var conf *config.Errors
	var owned *state.OwnedError
	var locked *workflow.LockedError
	var stuck *workflow.StuckError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &owned), errors.As(err, &locked):
		return exitLocked
	case errors.As(err, &stuck):
		return exitStuck
	case errors.Is(err, workflow.ErrInterrupted):
		return exitInterrupted
	case errors.As(err, &coded):
		return coded.ExitCode()
	case errors.As(err, &conf):
		return exitRefused
	}
	return exitFailed
}

// text is what is printed for an error.
func (a *App) text(err error) string {
	var ready *reported
	if errors.As(err, &ready) {
		return ready.Text
	}
	var conf *config.Errors
	if errors.As(err, &conf) {
		return conf.Error() + a.checkNext(conf)
	}
	next := mend(err)
	var r *refusal
	if errors.As(err, &r) && r.Next != "" {
		next = r.Next
	}
	text := "zfs2cloud: " + err.Error()
	if next != "" {
		text += "\nNext: " + next
	}
	return text
}

// checkNext points to check, which says all that is wrong at once; not where there is no config to check.
func (a *App) checkNext(conf *config.Errors) string {
	for _, p := range conf.Problems {
		if p.Line > 0 || p.Key != "" {
			return "\nNext: " + a.again("check")
		}
	}
	return ""
}

// report prints an error to stderr and returns its exit status.
func (a *App) report(err error) int {
	code := exitCode(err)
	if err == nil {
		return code
	}
	text := strings.TrimRight(a.text(err), "\n")
	switch {
	case text == "":
	case a.JSON != nil:
		a.jsonError(code, text)
	case a.Journal:
		for line := range strings.Lines(text + "\n") {
			fmt.Fprint(a.Err, "level=ERROR "+line)
		}
	default:
		fmt.Fprintln(a.Err, text)
	}
	return code
}
