package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"zfs2cloud/actions"
	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/state"
)

// ListCmd is `zfs2cloud list`.
type ListCmd struct {
	Source
	Tree bool `help:"As a tree: each full, and below it what is based on it."`
	JSON bool `help:"Print one JSON document."`
}

// listed is a backup as `list --json` tells it: a contract, to which fields may be added.
type listed struct {
	Name       string        `json:"name"`
	Dataset    *string       `json:"dataset"` // null where no manifest tells
	Host       *string       `json:"host"`
	Job        *string       `json:"job"`
	Kind       manifest.Kind `json:"kind"`
	Base       *string       `json:"base"`
	Format     string        `json:"format"`
	Chunks     int           `json:"chunks"`
	Bytes      int64         `json:"bytes"`
	Created    time.Time     `json:"created"`
	Restorable *bool         `json:"restorable"` // null: unknown
	Problem    *string       `json:"problem"`    // why not, in one word or two: catalog.Problem, or foundBad
	Why        *string       `json:"why"`
	Verified   *verifiedJSON `json:"verified"` // null: never, or no database tells
}

const (
	ownFormat    = "zfs2cloud"
	pythonFormat = "python"
)

// foundBad is the problem of a backup that a verification found bad, or that hangs on one.
const foundBad = "found bad"

// Run lists what is on the remote.
func (c *ListCmd) Run(a *App) error {
	if c.Tree && c.JSON {
		return &refusal{Err: errors.New("--tree is for people, --json for programs: give one of the two")}
	}
	ctx := a.Stop.Soft()
	from, err := c.open(ctx, a, func(*readable) error { return nil })
	if err != nil {
		return err
	}
	l := &lister{app: a, catalog: from.catalog, out: columns{to: a.Out}, again: func(string) string { return "; only verify can tell" }}
	if c.Remote == "" {
		l.again = func(name string) string { return ": " + a.again("verify "+name) }
	}
	if from.job != nil {
		l.readRecords(state.New(from.kit.Settings.StateDB), from.job.ID)
	}
	entries, err := l.read(ctx, !c.Tree && !c.JSON)
	if err != nil {
		return err
	}
	var backups []listed
	for _, e := range entries {
		backups = append(backups, l.backup(ctx, e))
	}
	switch {
	case c.JSON:
		err = printJSON(a, backups)
	case len(backups) == 0:
		fmt.Fprintf(a.Err, "%s has no backups.\n", safe(from.catalog.Remote.String()))
	case c.Tree:
		l.printTree(backups)
	default:
		l.printRows(backups, false)
	}
	if err != nil {
		return err
	}
	missed, err := from.missed(ctx, a)
	if missed != "" {
		fmt.Fprintln(a.Err, missed)
	}
	return err
}

func printJSON(a *App, backups []listed) error {
	if backups == nil {
		backups = []listed{}
	}
	e := json.NewEncoder(a.Out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Version int      `json:"version"`
		Backups []listed `json:"backups"`
	}{1, backups})
}

// lister says what the entries of a catalog are.
type lister struct {
	app     *App
	catalog *catalog.Catalog
	own     string                   // the job on record whose place it is; empty if there is none
	records map[string]state.Backup  // by job and name
	foreign map[string]state.Foreign // own's, by name
	again   func(name string) string // what would tell of a backup of the Python tool
	out     columns
	one     string // the dataset, unless they are of several, which then have a column
	several bool
	shown   int // rows of the table
}

// readRecords reads what this host's verifications have found. Without its database nobody knows.
func (l *lister) readRecords(store *state.Store, job string) {
	l.own, l.records, l.foreign = job, map[string]state.Backup{}, map[string]state.Foreign{}
	err := store.View(func(tx *state.Tx) error {
		all, err := tx.Backups("")
		for _, b := range all {
			l.records[b.Job+"/"+b.Name] = b
		}
		if err != nil {
			return err
		}
		foreign, err := tx.Foreigns(job)
		for _, f := range foreign {
			l.foreign[f.Name] = f
		}
		return err
	})
	if err != nil {
		l.app.Log.Warn("the database can't be read", "err", err)
	}
}

// verified is what verifications found of a backup. Of one whose manifest does not open, or is gone, the job's own record
// may know.
func (l *lister) verified(job *string, name string) (actions.LastVerified, bool) {
	return actions.LastVerifiedOf(l.record(job, name).Verified, l.app.World.Now())
}

func (l *lister) record(job *string, name string) state.Backup {
	return l.records[or(job, l.own)+"/"+name]
}

// foundBad says what a verification found wrong with a backup, and counts.
func (l *lister) foundBad(job *string, name string) string {
	if last, _ := l.verified(job, name); last.Bad != "" {
		return foundBadBy(last)
	}
	if bad := l.record(job, name).Bad; bad != nil {
		return foundBadBy(actions.LastVerified{Level: actions.Level(bad.Level), Bad: bad.What})
	}
	return ""
}

// backup says what an entry is, once it and what it hangs on were looked into.
func (l *lister) backup(ctx context.Context, e *catalog.Entry) listed {
	stamp, full, _ := manifest.ParseFolder(e.Name)
	b := listed{Name: e.Name, Kind: manifest.Incremental, Format: ownFormat}
	if full {
		b.Kind = manifest.Full
	}
	b.Chunks, b.Bytes = e.Size()
	zone := time.UTC
	if e.Python { // whose stamps are local time
		b.Format, zone = pythonFormat, time.Local
	}
	if t, err := time.ParseInLocation("20060102150405", stamp, zone); err == nil {
		b.Created = t.UTC()
	}
	if m := e.Manifest; m != nil {
		b.Dataset, b.Host, b.Job, b.Created = &m.Dataset, &m.Host, &m.Job, m.Created
		if m.Base != nil {
			b.Base = &m.Base.Name
		}
	}
	j := l.catalog.Judge(ctx, e)
	if e.Python {
		l.python(&b, j)
		return b
	}
	yes, no := true, false
	switch j.Problem {
	case catalog.NoProblem:
		b.Restorable = &yes
	default:
		b.Restorable = &no
	}
	b.Problem, b.Why = orNull(string(j.Problem)), orNull(j.Why)
	last, known := l.verified(b.Job, b.Name)
	b.Verified = verifiedToJSON(last, known)
	if why := l.bad(ctx, e, b.Job); why != "" {
		b.Restorable, b.Problem, b.Why = &no, orNull(foundBad), &why
	}
	return b
}

// python says of a backup of the Python tool what its names tell, which is not whether it can be restored, and what
// verifications found of it and of what it hangs on.
func (l *lister) python(b *listed, j catalog.Judged) {
	last, known := actions.LastVerifiedOf(l.foreign[b.Name].Verified, l.app.World.Now())
	b.Verified = verifiedToJSON(last, known)
	no := false
	if j.Problem != catalog.Python {
		b.Restorable, b.Problem, b.Why = &no, orNull(string(j.Problem)), orNull(j.Why)
		return
	}
	if len(j.Chain) > 1 {
		b.Base = &j.Chain[0].Name
	}
	unproved := ""
	for _, m := range j.Chain {
		f := l.foreign[m.Name]
		if last, _ := actions.LastVerifiedOf(f.Verified, l.app.World.Now()); last.Bad != "" {
			why := fmt.Sprintf("base %s was found bad by verify", m.Name)
			if m.Name == b.Name {
				why = foundBadBy(last)
			}
			b.Restorable, b.Problem, b.Why = &no, orNull(foundBad), &why
			return
		}
		// What was proved tells nothing of other pieces than those that were looked at.
		if proved := f.Pieces > 0 && f.Pieces == len(m.Chunks) && f.Bytes == m.Bytes(); !proved { // its own, before its base's
			unproved = m.Name
		}
	}
	switch unproved {
	case "":
		yes := true
		b.Restorable = &yes
	case b.Name:
		b.Problem, b.Why = orNull(string(j.Problem)), orNull(j.Why+l.again(b.Name))
	default:
		b.Problem, b.Why = orNull(string(j.Problem)), orNull(fmt.Sprintf("base %s is not verified", unproved))
	}
}

// bad says what a verification found wrong with a backup, or with one that it hangs on.
func (l *lister) bad(ctx context.Context, e *catalog.Entry, job *string) string {
	if why := l.foundBad(job, e.Name); why != "" {
		return why
	}
	for m := e.Manifest; m != nil && m.Base != nil; {
		if l.foundBad(&m.Job, m.Base.Name) != "" {
			return fmt.Sprintf("base %s was found bad by verify", m.Base.Name)
		}
		base, err := l.catalog.Entry(ctx, m.Base.Name)
		if err != nil {
			return ""
		}
		m = base.Manifest
	}
	return ""
}

func foundBadBy(last actions.LastVerified) string {
	return fmt.Sprintf("found bad by verify (%s): %s", last.Level, last.Bad)
}

func (b listed) kind() string {
	if b.Format == pythonFormat {
		return string(b.Kind) + ", python"
	}
	return string(b.Kind)
}

func (b listed) verified(now time.Time) string {
	switch {
	case b.Verified == nil:
		return "-"
	case b.Verified.Bad != nil:
		return fmt.Sprintf("BAD (%s), %s", b.Verified.Level, age(now, b.Verified.At))
	}
	return fmt.Sprintf("%s, %s", b.Verified.Level, age(now, b.Verified.At))
}

func (b listed) restorable() string {
	switch {
	case b.Restorable == nil:
		return "unknown: " + safe(or(b.Why, ""))
	case *b.Restorable:
		return "yes"
	}
	return "no: " + safe(or(b.Why, ""))
}

// or is the text, or another where there is none.
func or(text *string, other string) string {
	if text == nil {
		return other
	}
	return *text
}
