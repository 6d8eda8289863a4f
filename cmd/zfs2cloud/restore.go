package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"zfs2cloud/actions"
	"zfs2cloud/actions/catalog"
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

	Yes      bool     `short:"y" help:"Do not ask before it begins."`
	Backup   string   `default:"latest" placeholder:"STAMP|latest" help:"Which backup (${default})."`
	At       string   `placeholder:"TIME" help:"The newest backup not later than that: 2026-11-25, 2026-11-25T03:00 or a stamp."`
	From     string   `placeholder:"DIR" help:"Read this folder of backups, which somebody fetched, and no config."`
	To       string   `placeholder:"DIR" help:"Write the decrypted streams into files there, and make no dataset."`
	Path     []string `sep:"none" placeholder:"PATH" help:"Restore only this file or folder; may be given more than once. newdataset is a scratch dataset then, and may be left out."`
	Into     string   `placeholder:"DIR" help:"The folder that gets what --path names."`
	Spool    string   `placeholder:"DIR" help:"Where about two chunks at a time wait until they are received (/var/tmp; what is gone on with keeps its own)."`
	SpoolMax string   `placeholder:"SIZE" help:"Fetch ahead, and keep what was received, up to so much there."`
	JSON     bool     `help:"Say what goes on in lines of JSON."`
	Dataset  string   `arg:"" optional:"" name:"newdataset" help:"The dataset to be made. Its parent must exist."`
	// As the Python tool had it: restore --zfs-fs NEWDATASET FOLDER…, which stands in runbooks.
	ZfsFs   string   `name:"zfs-fs" hidden:""`
	Folders []string `arg:"" optional:"" name:"folder" hidden:""`
	chain   []string // that the folders are

	request actions.RestoreRequest
}

// Validate is an error of a command line that says nothing of what is to be made: kong calls it.
func (c *RestoreCmd) Validate() error {
	if c.Dataset == "" && c.From == "" && c.To == "" && c.Into == "" && c.ZfsFs == "" && len(c.Path) == 0 {
		return errors.New("<newdataset> is missing")
	}
	return nil
}

// Run restores a backup. It is a run as a backup is one: what was cut off is gone on with.
func (c *RestoreCmd) Run(a *App) error {
	a.asJSON(c.JSON)
	if !c.Yes && !a.DryRun && !a.canAsk() {
		return &refusal{Err: errors.New("restore asks before it begins, and there is no terminal to ask on: -y goes on without")}
	}
	if err := c.asked(a); err != nil {
		return &unrestored{&refusal{Err: err}}
	}
	old, unfinished, err := a.findRestore(func(r state.Run) bool { return r.Restore.Target() == c.target() })
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
		if err := a.confirm(a.Stop.Soft(), "not confirmed"); err != nil {
			return &unrestored{err}
		}
	}
	from, config, err := c.Source.record(a)
	if err == nil {
		from.OlderFile, err = absolute(c.OlderPassphraseFile)
	}
	if err != nil {
		return &unrestored{err}
	}
	if unfinished {
		return a.goOn(old, b, false, func(r *state.Run) {
			from.OlderFile = cmp.Or(from.OlderFile, r.Restore.From.OlderFile)
			r.Restore.From, r.Config = from, config
			b.plan.NewSpool(r)
		})
	}
	return a.drivePlan(c.target(), b, false, func(t *taken) (*workflow.Session, error) {
		if len(t.unfinished) > 0 { // another command was quicker
			return nil, &unrestored{a.unfinishedRestore(t.unfinished[0])}
		}
		return t.engine.Begin(b.plan.NewRestore(from, config), func(tx *state.Tx) error {
			err := b.plan.MayBegin(tx)
			if going, is := errors.AsType[*actions.BeingDeleted](err); is {
				return &unrestored{&refusal{Err: fmt.Errorf("%w\nOnce that is over, or given up (%s), what there is: %s", err, a.again("abort "+going.Run), a.again("list"))}}
			}
			return err
		})
	})
}

// target names what is to be made, as state.Restore does.
func (c *RestoreCmd) target() string {
	if c.request.Files != nil {
		return c.request.Files.Dir
	}
	return c.request.Into
}

// asked makes of the words of the command what is asked for.
func (c *RestoreCmd) asked(a *App) (err error) {
	if err := c.asPython(a); err != nil {
		return err
	}
	if err := c.fromFolder(); err != nil {
		return err
	}
	q := actions.RestoreRequest{Backup: c.Backup, Into: c.Dataset}
	switch {
	case c.To != "" && (c.Dataset != "" || len(c.Path) > 0 || c.Into != ""):
		return errors.New("--to writes streams into files: neither a dataset nor --path, --into go with it")
	case c.To != "":
		q.Streams = true
		q.Into, err = absolute(c.To)
	case (len(c.Path) > 0) != (c.Into != ""):
		return errors.New("--path says which files, --into into which folder: give both")
	case c.Into != "":
		q.Files, err = c.files()
	case c.Dataset == "":
		return errors.New("restored into what? Name a new dataset; or a folder, with --to for streams, with --path and --into for files")
	}
	if err != nil {
		return err
	}
	if q.Spool, err = absolute(c.Spool); err != nil {
		return err
	}
	if c.SpoolMax != "" {
		if q.SpoolBytes, err = units.ParseSize(c.SpoolMax); err != nil {
			return fmt.Errorf("--spool-max %q: %w: 500M or 10G, say", c.SpoolMax, err)
		}
	}
	if c.At != "" {
		q.At, err = parseMoment(c.At)
	}
	c.request = q
	return err
}

// files are the paths that are asked for: below the dataset's root, with or without a slash before them.
func (c *RestoreCmd) files() (*state.RestoreFiles, error) {
	dir, err := absolute(c.Into)
	if err != nil {
		return nil, err
	}
	files := &state.RestoreFiles{Dir: dir}
	for _, p := range c.Path {
		clean := strings.TrimPrefix(path.Clean("/"+p), "/")
		if clean == "" || strings.ContainsRune(p, 0) || slices.Contains(strings.Split(p, "/"), "..") {
			return nil, fmt.Errorf("--path %q names neither a file nor a folder in the dataset", p)
		}
		files.Paths = append(files.Paths, clean)
	}
	return files, nil
}

// fromFolder makes of --from what it stands for: a remote, or, if it is the folder of one backup, that one.
func (c *RestoreCmd) fromFolder() error {
	if c.From == "" {
		return nil
	}
	if c.Remote != "" || c.ZfsFs != "" {
		return errors.New("--from names a folder to read: neither --remote nor --zfs-fs goes with it")
	}
	dir, err := absolute(c.From)
	if err != nil {
		return err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("%s is not a folder", c.From)
	}
	if _, _, ok := manifest.ParseFolder(filepath.Base(dir)); ok && c.Backup == catalog.Latest && c.At == "" {
		c.Backup, dir = filepath.Base(dir), filepath.Dir(dir)
	}
	c.Remote = dir
	return nil
}

// asPython makes of the Python tool's words what they mean here: the folders, which lie in one, are a chain, the newest last.
func (c *RestoreCmd) asPython(a *App) error {
	switch {
	case c.ZfsFs == "" && len(c.Folders) > 0:
		return errors.New("one dataset is made at a time")
	case c.ZfsFs == "":
		return nil
	case c.Remote != "" || c.Backup != catalog.Latest || c.At != "" || c.To != "" || c.Into != "":
		return errors.New("with --zfs-fs the folders say what is restored")
	case c.Dataset == "":
		return errors.New("--zfs-fs names the new dataset; what is missing are the folders of the backup")
	}
	folders := append([]string{c.Dataset}, c.Folders...)
	c.Dataset = c.ZfsFs
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
	a.ConfigFlag, a.ConfigEnv = "", "" // the Python tool read no config here
	return nil
}

// bound is a plan with the kit that can carry it out.
type bound struct {
	kit  *actions.Kit
	plan *actions.RestorePlan
}

// plan finds out what there is to be done, and says it: of the run that is unfinished, what is left of it.
func (c *RestoreCmd) plan(a *App, old state.Run, unfinished bool) (*bound, error) {
	ctx := a.Stop.Soft()
	source := c.Source
	if unfinished && c.Remote == "" && old.Restore.From.Remote == "" && old.Config == a.Config {
		source.of = &old
	}
	from, err := source.open(ctx, a, func(from *readable) error {
		if unfinished {
			return c.sameAs(a, old, source.of != nil || from.catalog.Remote.String() == old.Frozen.Remote)
		}
		return from.kit.Aim(ctx, a.World, c.request)
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
	from.catalog.Older = a.older(file, c.OlderPassphraseFile == "")
	if unfinished {
		if err := c.sameMoment(ctx, a, old, from.catalog); err != nil {
			return nil, err
		}
		b, err := a.replan(ctx, from, old)
		if err == nil {
			b.plan.Files = c.request.Files // other paths may be named than before
			err = c.respool(a, b.plan)
		}
		return b, err
	}
	q := c.request
	q.Spool = cmp.Or(q.Spool, "/var/tmp")
	plan, err := from.kit.PlanRestore(ctx, from.catalog, q)
	switch {
	case errors.Is(err, chunk.ErrPassphrase) && file != "":
		return nil, fmt.Errorf("%w\nThat in %s does not open it either", err, safe(file))
	case errors.Is(err, chunk.ErrPassphrase):
		return nil, fmt.Errorf("%w\nIf it was sealed with an older passphrase: --older-passphrase-file FILE", err)
	case err != nil:
		return nil, err
	case plan.Python && c.OlderPassphraseFile != "":
		return nil, &refusal{Err: fmt.Errorf("%s was made by the Python tool: --passphrase-file names a file with the passphrase that it was sealed with", plan.Newest().Name)}
	}
	if err := c.sameChain(plan); err != nil {
		return nil, &refusal{Err: err}
	}
	a.printPlan(plan)
	if c.Backup == catalog.Latest && c.At == "" {
		missed, err := from.missed(ctx, a)
		if err != nil {
			return nil, err
		}
		if missed != "" {
			a.planRow("note", "%s", missed)
		}
	}
	return &bound{from.kit, plan}, nil
}

// respool has what is gone on with use the spool folder that is named, if one is.
func (c *RestoreCmd) respool(a *App, p *actions.RestorePlan) error {
	err := p.Respool(c.request.Spool, c.request.SpoolBytes)
	if err == nil && (c.Spool != "" || c.SpoolMax != "") {
		a.planRow("spool", "%s, at most %s", safe(p.Spool), size(p.SpoolBytes))
	}
	return err
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

// sameAs is an error if the unfinished run into this target is of something else than what is asked for, or from elsewhere.
func (c *RestoreCmd) sameAs(a *App, old state.Run, there bool) error {
	newest, q := old.Restore.Newest(), c.request
	asked := q.Streams == old.Restore.Streams && (q.Files == nil) == (old.Restore.Files == nil) && (c.Backup == catalog.Latest || c.Backup == newest.Name || c.Backup == newest.Snapshot)
	if !asked || !there {
		return a.unfinishedRestore(old)
	}
	if scratch := path.Dir(old.Restore.Into); q.Files != nil && q.Into != "" && q.Into != scratch {
		return &refusal{Err: fmt.Errorf("run %s, which restores by way of %s, is unfinished, and goes on by no other\n%s", old.ID, scratch, a.waysOut(old))}
	}
	return nil
}

// sameMoment is sameAs for what is asked for by a moment: which backup that is is known once the manifests can be opened.
func (c *RestoreCmd) sameMoment(ctx context.Context, a *App, old state.Run, from *catalog.Catalog) error {
	if c.At == "" {
		return nil
	}
	name, _, err := from.Find(ctx, c.Backup, c.request.At)
	if err == nil && name != old.Restore.Newest().Name {
		err = a.unfinishedRestore(old)
	}
	return err
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
	room := fmt.Sprintf("%s of %s free; spool %s, at most %s", size(p.Bytes), size(p.Free), safe(p.Spool), size(p.SpoolBytes))
	switch {
	case p.Streams:
		row("into", "%s: %s; %s", safe(p.Dir), counted(len(p.Chain), "stream"), room)
	case p.Files != nil:
		row("into", "%s: %s", safe(p.Dir), safe(strings.Join(p.Files.Paths, ", ")))
		row("by way", "of %s, which goes again; %s", p.Into, room)
	default:
		row("into", "%s (new); %s", p.Into, room)
	}
	for _, m := range p.Chain {
		if _, what := catalog.WrittenOver(m); what != "" {
			row("note", "%s has pieces of different sizes: a longer, older export may have been written over, and then it does not open", m.Name)
		}
	}
	switch {
	case p.StreamBytes > p.Free && p.Streams:
		row("note", "this does not fit: the streams are %s", size(p.StreamBytes))
	case p.StreamBytes > p.Free:
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
