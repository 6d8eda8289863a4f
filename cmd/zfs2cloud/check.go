package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"zfs2cloud/actions"
	"zfs2cloud/actions/secret"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/cmd/internal/config"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// CheckCmd looks at all that a run will need, and says what is not as it should be and what to do about it.
// It takes no dataset and no lock, and changes nothing but for one small object on the remote, which it
// removes again. With --dry-run the remote is only listed.
type CheckCmd struct {
	JSON bool `name:"json" help:"Print one JSON document."`
}

const (
	// patience is how long a look may take: one that hangs must not keep the others from being seen.
	patience = 30 * time.Second
	// grace is how long a look that was told to stop has for ending its programs and tidying up.
	grace = 12 * time.Second
)

// Run prints a row a finding. Any error makes it exit 2; warnings do not.
func (c *CheckCmd) Run(a *App) error {
	up := &checkup{app: a, patience: patience}
	var p printer = &checkTable{out: a.Out, style: styleOf(a.Out, a.Env.Getenv)}
	if c.JSON {
		p = &checkJSON{out: a.Out}
	}
	return up.run(p)
}

// checkup is one pass over everything.
type checkup struct {
	app      *App
	settings *settings.Settings
	store    *state.Store
	patience time.Duration // a look
}

// facts is what a look has learned for those that come after it. Each gets a copy and returns one, so that
// a look that hangs in the kernel can be left behind and disturbs nobody.
type facts struct {
	info       zfs.Info // no GUID: ZFS did not tell
	job        state.Job
	known      bool // the job is on record
	jobs       []state.Job
	stateReads bool
	passphrase secret.Bytes
	seals      bool // the passphrase works, or none is needed
	foresight  *actions.Foresight
	backup     *nextBackup
}

// nextBackup is what a run would make now.
type nextBackup struct {
	first  bool
	full   bool
	reason string
	size   int64 // of a full, as far as can be said
}

type look struct {
	name string
	look func(context.Context, facts) (facts, []finding)
}

// looks is everything that is checked, in the order of the rows.
func (c *checkup) looks() []look {
	return []look{
		{"config", c.lookConfig},
		{"zfs", c.lookZFS},
		{"state_db", c.lookState},
		{"children", c.lookChildren},
		{"gpg", c.lookGPG},
		{"rclone", c.lookRclone},
		{"remote", c.lookRemote},
		{"basedir", c.lookBasedir},
		{"space", c.lookSpace},
		{"hooks", c.lookHooks},
		{"steps", c.lookSteps},
		{"lock", c.lookLock},
		{"runs", c.lookRuns},
		{"python", c.lookPython},
		{"next", c.lookNext},
	}
}

func (c *checkup) run(p printer) error {
	ctx := c.app.Stop.Soft()
	s, err := config.Load(c.app.Config, c.app.Env)
	var bad *config.Errors
	if errors.As(err, &bad) {
		return c.badConfig(ctx, p, bad)
	}
	if err != nil {
		return err
	}
	c.settings, c.store = s, state.New(s.StateDB)
	var f facts
	var sum checkSum
	for _, l := range c.looks() {
		var found []finding
		f, found = c.within(ctx, l, f)
		if ctx.Err() != nil {
			return fmt.Errorf("check: %w", workflow.ErrInterrupted)
		}
		for _, row := range found {
			sum.add(row)
			p.row(row)
		}
	}
	sum.backup, sum.again = f.backup, c.app.again
	sum.secret, sum.stored = s.Encryption == settings.GPG, f.known && f.job.Newest != nil && s.Mode != settings.File
	if err := p.end(sum); err != nil {
		return err
	}
	return c.failed(sum)
}

var errSlow = errors.New("took too long")

// within gives a look its time. What comes too late to be an answer is an error row.
func (c *checkup) within(ctx context.Context, l look, f facts) (facts, []finding) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.patience, errSlow)
	defer cancel()
	type answer struct {
		facts facts
		found []finding
	}
	answers := make(chan answer, 1)
	go func() {
		f, found := l.look(ctx, f)
		answers <- answer{f, found}
	}()
	var got answer
	select {
	case got = <-answers:
	case <-ctx.Done():
		select {
		case got = <-answers:
		case <-time.After(grace):
			return f, []finding{c.slow(l)}
		}
	}
	if errors.Is(context.Cause(ctx), errSlow) && anyError(got.found) {
		kept := []finding{c.slow(l)}
		for _, row := range got.found {
			if row.State != isError { // such as what could not be removed
				kept = append(kept, row)
			}
		}
		return f, kept
	}
	return got.facts, got.found
}

func (c *checkup) slow(l look) finding {
	return c.find(noticeSlow, args{"time": duration(c.patience)}).named(l.name)
}

func anyError(found []finding) bool {
	for _, row := range found {
		if row.State == isError {
			return true
		}
	}
	return false
}

// kit is what the steps of a run would work with.
func (c *checkup) kit(f facts) *actions.Kit {
	return &actions.Kit{ZFS: c.settings.ZFS, Settings: c.settings, Passphrase: f.passphrase, Host: c.app.Host,
		Tool: "zfs2cloud " + version, TempDir: os.TempDir(), Pause: c.app.Pause, Log: c.app.Log}
}

// reading is the World of a look that changes nothing.
func (c *checkup) reading() workflow.World { return workflow.Look{World: c.app.World} }
