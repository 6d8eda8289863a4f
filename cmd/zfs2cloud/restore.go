package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"zfs2cloud/actions"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/settings"
)

// RestoreCmd is `zfs2cloud restore`.
type RestoreCmd struct {
	Source
	Yes    bool   `short:"y" help:"Do not ask before it begins."`
	Backup string `default:"latest" placeholder:"STAMP|latest" help:"Which backup (${default})."`
	Spool  string `default:"/var/tmp" placeholder:"DIR" help:"Where about two chunks at a time wait until they are checked (${default})."`
	Into   string `arg:"" name:"newdataset" help:"The dataset to be made. Its parent must exist."`
}

// Run restores a backup into a new dataset.
func (c *RestoreCmd) Run(a *App) error {
	if !c.Yes && !a.DryRun && !a.canAsk() {
		return &refusal{Err: errors.New("restore asks before it begins, and there is no terminal to ask on: -y goes on without")}
	}
	spool, err := absolute(c.Spool)
	if err != nil {
		return &refusal{Err: err}
	}
	ctx := a.Stop.Soft()
	kit, catalog, err := c.open(ctx, a, func(catalog *actions.Catalog) error {
		_, _, err := catalog.Target(ctx, c.Into)
		return err
	})
	if err != nil {
		return &unrestored{err}
	}
	plan, err := catalog.PlanRestore(ctx, actions.RestoreRequest{Backup: c.Backup, Into: c.Into, Spool: spool})
	if err != nil {
		return &unrestored{err}
	}
	a.printPlan(plan)
	if c.Backup == actions.Latest {
		missed, err := c.missed(ctx, a, kit, catalog)
		if err != nil {
			return &unrestored{err}
		}
		if missed != "" {
			a.planRow("note", "%s", missed)
		}
	}
	if a.DryRun {
		return nil
	}
	if !c.Yes {
		yes, err := a.confirm(ctx)
		if err == nil && !yes {
			err = &refusal{Err: errors.New("not confirmed")}
		}
		if err != nil {
			return &unrestored{err}
		}
	}
	began := a.World.Now()
	made, err := kit.Restore(ctx, a.World, plan, a.restoreLine(began))
	a.endLine()
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "done %s: %s, %s, every chunk checked\n", made.Snapshot, size(plan.Bytes), duration(a.World.Now().Sub(began)))
	if a.Terminal && !made.Volume {
		fmt.Fprintf(a.Err, "It is not mounted yet: %s\n", kit.MountCommand(ctx, a.World, plan.Into))
	}
	return nil
}

// unrestored is an error that came before anything was done.
type unrestored struct{ error }

func (e *unrestored) Error() string { return e.error.Error() + "\nNothing was restored." }
func (e *unrestored) Unwrap() error { return e.error }

// printPlan says what would be restored, from when, and where to.
func (a *App) printPlan(p *actions.RestorePlan) {
	newest, row := p.Newest(), a.planRow
	row("from", "%s %s as of %s, %s", newest.Host, newest.Dataset, newest.Created.Local().Format("2 Jan 2006 15:04 MST"), age(a.World.Now(), newest.Created))
	row("chain", "%s: all there, %s", chainText(p.Chain), genuine(newest))
	row("into", "%s (new); %s of %s free; spool %s, at most %s", p.Into, size(p.Bytes), size(p.Free), safe(p.Spool), size(p.SpoolBytes))
	if p.StreamBytes > p.Free {
		row("note", "this fits only if the pool compresses it: %s come out of the chunks", size(p.StreamBytes))
	}
	if len(p.Newer) > 0 {
		row("note", "newer, but not committed, and passed over: %s", strings.Join(p.Newer, ", "))
	}
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

// restoreLine draws how far it is, in place, on a terminal.
func (a *App) restoreLine(began time.Time) func(done, total int64) {
	if !a.Terminal || a.Verbose > 0 {
		return nil
	}
	const often = 200 * time.Millisecond
	var last time.Time
	return func(done, total int64) {
		now := a.World.Now()
		took := now.Sub(began)
		if now.Sub(last) < often || took < time.Second {
			return
		}
		last = now
		speed := perSecond(done, took)
		fmt.Fprint(a.Err, "\r\x1b[K"+restoreText(done, total, speed, width(a.Err)))
	}
}

// restoreText says as much as there is room for, and never so much that the terminal would wrap it.
func restoreText(done, total int64, speed float64, columns int) string {
	text := fmt.Sprintf("  running  %2d%%", percent(done, total))
	for _, more := range []string{sizeOf(done, total, false), duration(left(total-done, speed)) + " left", rate(speed)} {
		if columns > 0 && len(text)+2+len(more) >= columns {
			break
		}
		text += "  " + more
	}
	return text
}

// endLine takes the live line away.
func (a *App) endLine() {
	if a.Terminal && a.Verbose == 0 {
		fmt.Fprint(a.Err, "\r\x1b[K")
	}
}
