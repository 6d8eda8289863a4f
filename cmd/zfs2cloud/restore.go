package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"zfs2cloud/actions"
	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/units"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// RestoreCmd is `zfs2cloud restore`.
type RestoreCmd struct {
	Source
	OlderPassphraseFile string `placeholder:"FILE" help:"A file with an older passphrase, for a chain that was sealed before it was changed; else it is asked for."`

	Yes      bool   `short:"y" help:"Do not ask before it begins."`
	Backup   string `default:"latest" placeholder:"STAMP|latest" help:"Which backup (${default})."`
	At       string `placeholder:"TIME" help:"The newest backup not later than that: 2026-11-25, 2026-11-25T03:00 or a stamp."`
	Spool    string `default:"/var/tmp" placeholder:"DIR" help:"Where about two chunks at a time wait until they are received (${default})."`
	SpoolMax string `placeholder:"SIZE" help:"Fetch ahead, and keep what was received, up to so much there."`
	Into     string `arg:"" name:"newdataset" help:"The dataset to be made. Its parent must exist."`
	// As the Python tool had it: restore --zfs-fs NEWDATASET FOLDER…, which stands in runbooks.
	ZfsFs   string   `name:"zfs-fs" hidden:""`
	Folders []string `arg:"" optional:"" name:"folder" hidden:""`
	chain   []string // that the folders are
}

// Run restores a backup into a new dataset. It is a run as a backup is one: what was cut off is gone on with.
func (c *RestoreCmd) Run(a *App) error {
	if !c.Yes && !a.DryRun && !a.canAsk() {
		return &refusal{Err: errors.New("restore asks before it begins, and there is no terminal to ask on: -y goes on without")}
	}
	if err := c.asPython(a); err != nil {
		return &unrestored{&refusal{Err: err}}
	}
	old, unfinished, err := a.findRestore(func(r state.Run) bool { return r.Restore.Into == c.Into })
	if err != nil {
		return &unrestored{err}
	}
	b, err := c.plan(a, old, unfinished)
	if err != nil {
		return &unrestored{err}
	}
	if a.DryRun {
		return nil
	}
	if !c.Yes {
		yes, err := a.confirm(a.Stop.Soft())
		if err == nil && !yes {
			err = &refusal{Err: errors.New("not confirmed")}
		}
		if err != nil {
			return &unrestored{err}
		}
	}
	if unfinished {
		return a.goOn(old, b, false)
	}
	from, config, err := c.Source.record(a)
	if err == nil {
		from.OlderFile, err = absolute(c.OlderPassphraseFile)
	}
	if err != nil {
		return &unrestored{err}
	}
	return a.drivePlan(c.Into, b, false, func(t *taken) (*workflow.Session, error) {
		if len(t.unfinished) > 0 { // another command was quicker
			return nil, &unrestored{a.unfinishedRestore(t.unfinished[0])}
		}
		return t.engine.Begin(b.plan.NewRestore(from, config))
	})
}

// asPython makes of the Python tool's words what they mean here: the folders, which lie in one, are a chain, the newest last.
func (c *RestoreCmd) asPython(a *App) error {
	switch {
	case c.ZfsFs == "" && len(c.Folders) > 0:
		return errors.New("one dataset is made at a time")
	case c.ZfsFs == "":
		return nil
	case c.Remote != "" || c.Backup != actions.Latest || c.At != "":
		return errors.New("with --zfs-fs the folders say what is restored")
	}
	folders := append([]string{c.Into}, c.Folders...)
	c.Into = c.ZfsFs
	for i, f := range folders {
		dir, err := absolute(f)
		if err != nil {
			return err
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return fmt.Errorf("%s is not a folder", f)
		}
		if i > 0 && filepath.Dir(dir) != c.Remote {
			return fmt.Errorf("%s and %s lie in different folders: put those of one chain into one", folders[0], f)
		}
		c.Remote, c.Backup = filepath.Dir(dir), filepath.Base(dir)
		c.chain = append(c.chain, c.Backup)
	}
	a.ConfigFlag = "" // the Python tool read no config here
	return nil
}

// bound is a plan with the kit that can carry it out.
type bound struct {
	kit  *actions.Kit
	plan *actions.RestorePlan
}

// plan finds out what there is to be done, and says it: of the run that is unfinished, what is left of it.
func (c *RestoreCmd) plan(a *App, old state.Run, unfinished bool) (*bound, error) {
	request := actions.RestoreRequest{Backup: c.Backup, Into: c.Into}
	var err error
	if request.Spool, err = absolute(c.Spool); err != nil {
		return nil, &refusal{Err: err}
	}
	if c.SpoolMax != "" {
		if request.SpoolBytes, err = units.ParseSize(c.SpoolMax); err != nil {
			return nil, &refusal{Err: fmt.Errorf("--spool-max %q: %w: 500M or 10G, say", c.SpoolMax, err)}
		}
	}
	if c.At != "" {
		if request.At, err = parseMoment(c.At); err != nil {
			return nil, &refusal{Err: err}
		}
	}
	ctx := a.Stop.Soft()
	kit, catalog, err := c.open(ctx, a, func(catalog *actions.Catalog) error {
		if unfinished {
			return c.sameAs(a, old, catalog)
		}
		_, _, err := catalog.Target(ctx, c.Into)
		return err
	})
	if err != nil {
		return nil, err
	}
	file, err := absolute(c.OlderPassphraseFile)
	if err != nil {
		return nil, &refusal{Err: err}
	}
	if file == "" && unfinished {
		file = old.Restore.From.OlderFile
	}
	catalog.Older = a.older(file)
	if unfinished {
		return a.replan(ctx, kit, catalog, old)
	}
	plan, err := catalog.PlanRestore(ctx, request)
	if errors.Is(err, chunk.ErrPassphrase) {
		err = fmt.Errorf("%w\nIf it was sealed with an older passphrase: --older-passphrase-file FILE", err)
	}
	if err != nil {
		return nil, err
	}
	if err := c.sameChain(plan); err != nil {
		return nil, &refusal{Err: err}
	}
	a.printPlan(plan)
	if c.Backup == actions.Latest && c.At == "" {
		missed, err := c.missed(ctx, a, kit, catalog)
		if err != nil {
			return nil, err
		}
		if missed != "" {
			a.planRow("note", "%s", missed)
		}
	}
	return &bound{kit, plan}, nil
}

// sameChain is an error unless the folders that were named are those that are restored.
func (c *RestoreCmd) sameChain(p *actions.RestorePlan) error {
	var names []string
	for _, m := range p.Chain {
		names = append(names, m.Name)
	}
	if c.ZfsFs != "" && !slices.Equal(names, c.chain) {
		return fmt.Errorf("to restore %s takes %s, in this order; named were %s", p.Newest().Name, strings.Join(names, ", "), strings.Join(c.chain, ", "))
	}
	return nil
}

// sameAs is an error if the unfinished run into this dataset is of something else than what is asked for.
func (c *RestoreCmd) sameAs(a *App, old state.Run, catalog *actions.Catalog) error {
	newest := old.Restore.Newest()
	asked := c.At == "" && (c.Backup == actions.Latest || c.Backup == newest.Name || c.Backup == newest.Snapshot)
	if asked && catalog.Remote.String() == old.Frozen.Remote {
		return nil
	}
	return a.unfinishedRestore(old)
}

// parseMoment reads a moment that a person names, in local time; a stamp is in UTC. A day is meant to its end.
func parseMoment(text string) (time.Time, error) {
	if t, err := time.Parse("20060102150405", text); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if day, err := time.ParseInLocation("2006-01-02", text, time.Local); err == nil {
		return day.AddDate(0, 0, 1).Add(-time.Second), nil
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--at %q: neither a day such as 2026-11-25, a time such as 2026-11-25T03:00, nor a stamp", text)
}

// unrestored is an error that came before anything was done.
type unrestored struct{ error }

func (e *unrestored) Error() string { return e.error.Error() + "\nNothing was restored." }
func (e *unrestored) Unwrap() error { return e.error }

// printPlan says what would be restored, from when, and where to.
func (a *App) printPlan(p *actions.RestorePlan) {
	row := a.planRow
	a.printSource(p)
	row("into", "%s (new); %s of %s free; spool %s, at most %s", p.Into, size(p.Bytes), size(p.Free), safe(p.Spool), size(p.SpoolBytes))
	for _, m := range p.Chain {
		if actions.WrittenOver(m) {
			row("note", "%s has pieces of different sizes: a longer, older export may have been written over, and then it does not open", m.Name)
		}
	}
	if p.StreamBytes > p.Free {
		row("note", "this fits only if the pool compresses it: %s come out of the chunks", size(p.StreamBytes))
	}
	if len(p.Newer) > 0 {
		row("note", "newer, but not committed, and passed over: %s", strings.Join(p.Newer, ", "))
	}
}

// printSource says what is restored, and what vouches for it.
func (a *App) printSource(p *actions.RestorePlan) {
	newest := p.Newest()
	of, vouches := newest.Host+" "+newest.Dataset, genuine(newest)
	if p.Python {
		of, vouches = newest.Dataset, "not proved yet: made by the Python tool, so that each is read twice, first to prove it"
	}
	a.planRow("from", "%s as of %s, %s", safe(of), newest.Created.Local().Format("2 Jan 2006 15:04 MST"), age(a.World.Now(), newest.Created))
	a.planRow("chain", "%s: all there, %s", chainText(p.Chain), vouches)
}

func (a *App) planRow(name, format string, args ...any) {
	fmt.Fprintf(a.Err, "  %-6s %s\n", name, fmt.Sprintf(format, args...))
}

func chainText(chain []*manifest.Manifest) string {
	var parts []string
	for _, m := range chain {
		parts = append(parts, fmt.Sprintf("%s (%s)", m.Name, size(m.Bytes())))
	}
	return strings.Join(parts, ", ")
}

func genuine(m *manifest.Manifest) string {
	if m.Encryption() == settings.None {
		return "not encrypted, so nothing proves who made it"
	}
	return "authentic"
}
