package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"zfs2cloud/actions/proc"
	"zfs2cloud/cmd/internal/config"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// App is what every command may need of the process that it runs in.
type App struct {
	ConfigFlag string // as typed, for hints
	ConfigEnv  string // what the environment of cron or of a service names instead, absolute: who reads its mail has another
	Config     string // absolute
	DryRun     bool
	Verbose    int

	In       *os.File
	Out, Err io.Writer
	// Terminal says that stderr is one: then live lines are drawn, and prompts may be asked.
	Terminal bool
	// JSON is the real stderr while lines are printed as JSON, else nil.
	JSON io.Writer
	// Journal says that stderr is the systemd journal's.
	Journal bool

	Env    config.Env
	World  *proc.World
	Log    *slog.Logger
	Folder state.Folder // liveness and notes
	Stop   *workflow.Stop
	// SnapshotTime bounds how long taking a snapshot may keep the application stopped; snapshotTime but in tests.
	SnapshotTime time.Duration
	// Pause waits between two tries at a remote; remote.Pause but in tests.
	Pause func(context.Context, time.Duration) error
	Host  string
	Boot  string
}

// nonce makes the word by which a process is known as the owner of what it works on.
func nonce() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// basics is what can be known of the config before anything else; an error leaves the defaults.
func (a *App) basics() (config.Basics, error) { return config.Peek(a.Config, a.Env) }

// again is a command line to type, with the -c that it needs.
func (a *App) again(command string) string {
	if file := cmp.Or(a.ConfigFlag, a.ConfigEnv); file != "" {
		return "zfs2cloud -c " + shellQuote(file) + " " + command
	}
	return "zfs2cloud " + command
}

// againWithout is again for a command that does without a config, and refuses -c: what the config says of the database counts
// all the same.
func (a *App) againWithout(command string) string {
	if file := cmp.Or(a.ConfigFlag, a.ConfigEnv); file != "" {
		return "ZFS2CLOUD_CONFIG=" + shellQuote(file) + " zfs2cloud " + command
	}
	return "zfs2cloud " + command
}

// waysOut are the two commands for a run that is unfinished.
func (a *App) waysOut(r state.Run) string {
	resume := "resume "
	if workflow.NeedsForce(r, state.Owner{}) {
		resume = "resume --force "
	}
	return fmt.Sprintf("To finish it: %s\n  or give it up: %s", a.again(resume+r.ID), a.again("abort "+r.ID))
}

func hookDir(store *state.Store) string { return filepath.Join(filepath.Dir(store.Path()), "hooks") }
