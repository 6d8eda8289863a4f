package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/remote"
	"zfs2cloud/cmd/internal/config"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// version is set by the linker for a release.
var version = "0.1"

// description is the text above the commands in --help.
func description() string {
	var b strings.Builder
	b.WriteString("Backs ZFS snapshots up to the cloud as encrypted chunk files, in runs that are state machines on disk: " +
		"whatever cuts one off, the next command goes on from there.\n\nExit status:")
	for _, e := range exits {
		fmt.Fprintf(&b, "\n  %d  %s", e.code, strings.ReplaceAll(e.meaning, "`", ""))
	}
	return b.String()
}

// newParser makes the command line of the CLI.
func newParser(cli *CLI, a *App, exit func(int)) (*kong.Kong, error) {
	return kong.New(cli, kong.Name("zfs2cloud"), kong.Description(description()), kong.Writers(a.Out, a.Err),
		kong.Vars{"version": "zfs2cloud " + version}, kong.Exit(exit), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
}

// newApp is the process as it is started for real.
func newApp() *App {
	a := &App{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: config.OSEnv(), World: &proc.World{}, Pause: remote.Pause, SnapshotTime: snapshotTime}
	a.Terminal = term.IsTerminal(int(os.Stderr.Fd()))
	return a
}

// realMain runs one command line and returns the exit status.
func realMain(args []string, a *App) int {
	if err := harden(); err != nil {
		return a.report(err)
	}
	var cli CLI
	exited := -1
	parser, err := newParser(&cli, a, func(code int) { exited = code })
	if err != nil {
		return a.report(err)
	}
	k, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		return a.report(usage(parser, args, err))
	}
	if err := a.prepare(cli); err != nil {
		return a.report(err)
	}
	return a.report(k.Run(a))
}

// prepare fills in what the flags and the machine tell.
func (a *App) prepare(cli CLI) error {
	a.ConfigFlag, a.Config = cli.Config, config.Find(cli.Config, a.Env.Getenv)
	if a.ConfigFlag == "" && !a.Terminal && a.Config != config.DefaultPath {
		a.ConfigEnv = a.Config
	}
	a.DryRun, a.Verbose = cli.DryRun, cli.Verbose
	if f, ok := a.Err.(*os.File); ok && inJournal(f, a.Env.Getenv("JOURNAL_STREAM")) {
		a.Journal, a.Err = true, &lineWriter{to: f, form: toJournal}
	}
	a.Log = newLog(a.Err, a.Verbose, a.Journal)
	a.World.Log = a.Log
	folder, err := state.DefaultFolder()
	if err != nil {
		return err
	}
	if a.Folder.Dir == "" {
		a.Folder = folder
	}
	if a.Host, err = os.Hostname(); err != nil {
		return err
	}
	self, err := proc.Self()
	if err != nil {
		return err
	}
	a.Boot = self.Boot
	a.Stop = workflow.NewStop(context.Background())
	a.listen()
	return nil
}

// listen hears signals. A terminal that is closed, and a reader of our output that goes away, do not end a
// run; they are heard and not ignored, since what is ignored our children would inherit.
func (a *App) listen() {
	stop := make(chan os.Signal, 4)
	signal.Notify(stop, unix.SIGTERM, unix.SIGINT)
	go func() {
		for range stop {
			a.Stop.Signal()
		}
	}()
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGPIPE)
}

// newLog is silent but for errors of the program's own, unless -v. The journal knows the time.
func newLog(w io.Writer, verbose int, journal bool) *slog.Logger {
	if verbose == 0 {
		return slog.New(slog.DiscardHandler)
	}
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	if verbose > 1 {
		options.Level = slog.LevelDebug
	}
	if journal {
		options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(slog.NewTextHandler(w, options))
}
