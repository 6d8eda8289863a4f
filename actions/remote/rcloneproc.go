package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"zfs2cloud/workflow"
)

// call is one rclone process.
type call struct {
	op, name  string // for the error
	verb      string
	first     []string // before all flags of the user's: filters, of which the first wins, and what the user's may be instead of
	flags     []string // of the verb
	operands  []string
	looks     bool
	transfers bool // it moves content: the bandwidth limit counts
	stdin     io.Reader
	stdout    io.Writer
	progress  func(int64)
	stats     func(Stats) // the same, with all that rclone counts
}

// argv: the user's flags stand before those of ours that must win, and rclone takes the last. So that what comes on stdout and
// stderr can be read, and nothing is tried twice behind our back (a repeated cat writes twice).
func (r *rclone) argv(c call) []string {
	argv := slices.Clone(r.program)
	if r.conf != "" {
		argv = append(argv, "--config", r.conf)
	}
	argv = append(argv, c.first...)
	if c.looks && !c.transfers {
		// rclone's own 10 take an S3 that is down a minute and a half, in silence; Retry says what it waits for.
		argv = append(argv, "--low-level-retries", "3")
	}
	argv = append(argv, r.global...)
	argv = append(argv, c.verb)
	if c.verb == "backend" { // its subcommand comes first: backend features
		argv = append(argv, c.flags...)
	}
	argv = append(argv, r.args...)
	if c.verb != "backend" {
		argv = append(argv, c.flags...)
	}
	argv = append(argv, "--retries", "1", "--progress=false", "--use-json-log",
		"--stats", "1s", "--stats-log-level", "NOTICE")
	if c.transfers && r.bwlimit != "" {
		argv = append(argv, "--bwlimit", r.bwlimit)
	}
	return append(append(argv, "--"), c.operands...)
}

func (r *rclone) run(ctx context.Context, w workflow.World, c call) error {
	log := &logReader{progress: c.progress, stats: c.stats}
	err := r.watched(ctx, w, log, workflow.Spec{
		Argv: r.argv(c), Looks: c.looks, Env: r.env, Stdin: c.stdin, Stdout: c.stdout, Stderr: log,
	})
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return r.error(c.op, c.name, nil, ctx.Err())
	}
	var idle *Idle
	if errors.As(err, &idle) {
		return &Error{Op: c.op, Remote: r.remote, Name: c.name, Err: idle, passes: true}
	}
	var exit *workflow.ExitError
	if !errors.As(err, &exit) {
		return r.error(c.op, c.name, nil, err)
	}
	said := *exit
	said.Stderr = log.text()
	kind, passes := rcloneError(&said)
	if c.looks && kind == nil && verdictOf(exit) == absent {
		kind = ErrNotThere
	}
	return &Error{Op: c.op, Remote: r.remote, Name: c.name, Kind: kind, Err: &said, passes: passes}
}

// watched runs a program to its end, or ends it when it does nothing.
func (r *rclone) watched(ctx context.Context, w workflow.World, log *logReader, spec workflow.Spec) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	child, err := w.Start(ctx, spec)
	if err != nil {
		return err
	}
	over, ended := context.WithCancel(context.Background())
	defer ended()
	if r.idle > 0 {
		go log.watch(over, child, r.idle, end)
	}
	return child.Wait()
}

func (r *rclone) error(op, name string, kind, err error) error {
	return &Error{Op: op, Remote: r.remote, Name: name, Kind: kind, Err: err}
}

// rcloneVars are what rclone gets of our own environment, beside the base that each child has.
var rcloneVars = []string{
	"TMPDIR", "RCLONE_CONFIG_PASS",
	"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy",
	"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY",
}

// quickStart keeps rclone from computing, each time that it begins, how wide each character is on a terminal that it never
// draws on: a third of what a call costs where little is to be copied (github.com/gdamore/tcell, commit 2f889d7; measured with
// 1.60, 44 ms of processor with it, 27 ms without).
const quickStart = "TCELL_MINIMIZE=1"

// configVar is the form of a variable that defines a remote. Every other RCLONE_ variable is a flag in
// disguise: RCLONE_DRY_RUN makes each upload do nothing, with exit code 0 (rclone#616).
var configVar = regexp.MustCompile(`^RCLONE_CONFIG_[A-Z0-9_]+$`)

// rcloneEnv picks rclone's variables. Those that aren't set are left out.
func rcloneEnv(names []string, lookup func(string) (string, bool)) ([]string, error) {
	if lookup == nil {
		lookup = os.LookupEnv
	}
	for _, name := range names {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return nil, fmt.Errorf("rclone_env: %q is no name of a variable", name)
		}
		if strings.HasPrefix(name, "RCLONE_") && !configVar.MatchString(name) {
			return nil, fmt.Errorf("rclone_env: %s would change what rclone does (only RCLONE_CONFIG_… is passed on)", name)
		}
	}
	env := []string{quickStart}
	for _, name := range slices.Concat(rcloneVars, names) {
		if value, ok := lookup(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env, nil
}
