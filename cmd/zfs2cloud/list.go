package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"zfs2cloud/actions"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/state"
)

// ListCmd is `zfs2cloud list`.
type ListCmd struct {
	Source
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
	Why        *string       `json:"why"`
	Verified   *verifiedJSON `json:"verified"` // null: never, or no database tells
}

const (
	ownFormat    = "zfs2cloud"
	pythonFormat = "python"
)

// Run lists what is on the remote.
func (c *ListCmd) Run(a *App) error {
	ctx := a.Stop.Soft()
	kit, catalog, err := c.open(ctx, a, func(*actions.Catalog) error { return nil })
	if err != nil {
		return err
	}
	entries, err := catalog.ReadAll(ctx)
	if err != nil {
		return err
	}
	backups := make([]listed, 0, len(entries))
	for _, e := range entries {
		l := list(ctx, catalog, e)
		if e.Python {
			if err := c.python(ctx, a, catalog, &l); err != nil {
				return err
			}
		}
		backups = append(backups, l)
	}
	if err := c.verified(a, kit, backups); err != nil {
		return err
	}
	missed, err := c.missed(ctx, a, kit, catalog)
	if err != nil {
		return err
	}
	if missed != "" {
		fmt.Fprintln(a.Err, missed)
	}
	if c.JSON {
		e := json.NewEncoder(a.Out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(struct {
			Version int      `json:"version"`
			Backups []listed `json:"backups"`
		}{1, backups})
	}
	if len(backups) == 0 {
		fmt.Fprintf(a.Err, "%s has no backups.\n", safe(catalog.Remote.String()))
		return nil
	}
	return a.printBackups(backups)
}

// verified adds what this host's verifications have found. Without its database nobody knows.
func (c *ListCmd) verified(a *App, kit *actions.Kit, backups []listed) error {
	if c.Remote != "" {
		return nil
	}
	place, _ := actions.PlaceOf(kit.Settings)
	err := state.New(kit.Settings.StateDB).View(func(tx *state.Tx) error {
		jobs, err := tx.Jobs()
		if err != nil {
			return err
		}
		own := ""
		for _, j := range jobs {
			if j.Place == place && j.Dataset == kit.Settings.Dataset {
				own = j.ID
			}
		}
		for i := range backups {
			b := &backups[i]
			if b.Format == pythonFormat {
				f, _, err := tx.Foreign(own, b.Name)
				if err != nil {
					return err
				}
				b.foreign(f)
				continue
			}
			// Of one whose manifest does not open, or is gone, the job's own record may know.
			record, _, err := tx.Backup(or(b.Job, own), b.Name)
			if err != nil {
				return err
			}
			last, known := actions.LastVerifiedOf(record.Verified)
			if b.Verified = verifiedToJSON(last, known); known && last.Bad != "" {
				no, why := false, fmt.Sprintf("found bad by verify (%s): %s", last.Level, last.Bad)
				b.Restorable, b.Why = &no, &why
			}
		}
		return nil
	})
	if err != nil {
		a.Log.Warn("the database can't be read", "err", err)
	}
	hangingOn(backups)
	return nil
}

// python says of a backup of the Python tool what its names tell, which is not whether it can be restored.
func (c *ListCmd) python(ctx context.Context, a *App, catalog *actions.Catalog, l *listed) error {
	chain, err := catalog.PythonChain(ctx, l.Name)
	if refused, is := errors.AsType[*actions.RestoreRefusal](err); is {
		no, why := false, strings.TrimPrefix(refused.Error(), l.Name+": ")
		l.Restorable, l.Why = &no, &why
		return nil
	}
	if err != nil {
		return err
	}
	if len(chain) > 1 {
		l.Base = &chain[0].Name
	}
	why := "made by the Python tool; only verify can tell"
	if c.Remote == "" {
		why = "made by the Python tool: " + a.again("verify "+l.Name)
	}
	l.Why = &why
	return nil
}

// foreign adds what was found of a backup of the Python tool, if it is still the one that was looked at.
func (b *listed) foreign(f state.Foreign) {
	last, known := actions.LastVerifiedOf(f.Verified)
	b.Verified = verifiedToJSON(last, known)
	switch {
	case known && last.Bad != "":
		no, why := false, fmt.Sprintf("found bad by verify (%s): %s", last.Level, last.Bad)
		b.Restorable, b.Why = &no, &why
	case b.Restorable == nil && f.Pieces == b.Chunks && f.Bytes == b.Bytes && f.Pieces > 0:
		yes := true
		b.Restorable, b.Why = &yes, nil
	}
}

// hangingOn says of backups that hang on one that was found bad that they can't be restored either.
func hangingOn(backups []listed) {
	bad, unknown := map[string]bool{}, map[string]bool{}
	for i := len(backups) - 1; i >= 0; i-- { // the oldest first
		b := &backups[i]
		switch {
		case b.Verified != nil && b.Verified.Bad != nil:
			bad[b.Name] = true
		case b.Base != nil && bad[*b.Base]:
			no, why := false, fmt.Sprintf("base %s was found bad by verify", *b.Base)
			bad[b.Name], b.Restorable, b.Why = true, &no, &why
		case b.Format == pythonFormat && b.Base != nil && unknown[*b.Base] && b.Restorable != nil && *b.Restorable:
			why := fmt.Sprintf("base %s is not verified", *b.Base)
			b.Restorable, b.Why = nil, &why
		}
		unknown[b.Name] = b.Restorable == nil
	}
}

// list says what an entry is. All folders have been looked into, so whatever keeps a chain from being whole is
// known, and not a failure to look.
func list(ctx context.Context, catalog *actions.Catalog, e *actions.Entry) listed {
	stamp, full, _ := manifest.ParseFolder(e.Name)
	l := listed{Name: e.Name, Kind: manifest.Incremental, Format: ownFormat}
	if full {
		l.Kind = manifest.Full
	}
	l.Chunks, l.Bytes = e.Size()
	yes, no := true, false
	_, err := catalog.Chain(ctx, e.Name)
	switch {
	case err == nil:
		l.Restorable = &yes
	case !errors.Is(e.Why, actions.ErrPython):
		l.Restorable = &no
	}
	if err != nil {
		why := err.Error()
		l.Why = &why
	}
	if m := e.Manifest; m != nil {
		l.Dataset, l.Host, l.Job, l.Created = &m.Dataset, &m.Host, &m.Job, m.Created
		if m.Base != nil {
			l.Base = &m.Base.Name
		}
		return l
	}
	zone := time.UTC
	if e.Python { // whose stamps are local time
		l.Format, zone = pythonFormat, time.Local
	}
	if t, err := time.ParseInLocation("20060102150405", stamp, zone); err == nil {
		l.Created = t.UTC()
	}
	return l
}

func (a *App) printBackups(backups []listed) error {
	datasets := map[string]bool{}
	for _, b := range backups {
		if b.Dataset != nil {
			datasets[*b.Dataset] = true
		}
	}
	w := table(a.Out)
	row := func(cells ...string) { fmt.Fprintln(w, strings.Join(cells, "\t")) }
	head := []string{"BACKUP", "KIND", "BASE", "SIZE", "AGE", "VERIFIED", "RESTORABLE"}
	if len(datasets) > 1 {
		head = append([]string{"DATASET"}, head...)
	}
	row(head...)
	for _, b := range backups {
		cells := []string{b.Name, b.kind(), or(b.Base, "-"), size(b.Bytes), briefly(max(0, a.World.Now().Sub(b.Created))), b.verified(a.World.Now()), b.restorable()}
		if len(datasets) > 1 {
			cells = append([]string{or(b.Dataset, "-")}, cells...)
		}
		row(cells...)
	}
	return w.Flush()
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
