package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"zfs2cloud/actions/manifest"
)

// Latest asks for the newest backup.
const Latest = "latest"

// Find is the folder of a backup that is named by its folder or by its stamp, or of the latest, which may be that of a moment.
// NEWER are folders that are newer than the latest and have no manifest.
func (c *Catalog) Find(ctx context.Context, backup string, at time.Time) (name string, newer []string, err error) {
	switch {
	case backup != Latest && !at.IsZero():
		return "", nil, Refuse("--backup names one backup, --at asks for that of a moment: give one of the two")
	case backup == Latest:
		return c.latest(ctx, at)
	}
	if _, _, ok := manifest.ParseFolder(backup); !ok {
		return "", nil, Refuse("backup %q: neither a stamp such as 20261125035200 nor %s", backup, Latest)
	}
	if name, ok := c.Folder(backup); ok {
		return name, nil, nil
	}
	return "", nil, Refuse("%s has no backup %s", c.Remote, backup)
}

// Folder finds a backup's folder by its name, or by its stamp alone.
func (c *Catalog) Folder(backup string) (string, bool) {
	stamp, full, _ := manifest.ParseFolder(backup)
	for _, name := range []string{backup, manifest.Folder(stamp, true)} {
		if slices.Contains(c.Folders, name) && (!full || name == backup) {
			return name, true
		}
	}
	return "", false
}

// latest is the newest folder with a manifest. If that can't be restored, an older one is not taken in its place:
// that is for a person to say.
func (c *Catalog) latest(ctx context.Context, at time.Time) (name string, newer []string, err error) {
	all, err := c.ReadAll(ctx)
	if err != nil {
		return "", nil, err
	}
	if err := c.oneJob(all); err != nil {
		return "", nil, err
	}
	if i := slices.IndexFunc(all, func(e *Entry) bool { return e.hasStamp(at) }); i > 0 {
		all = all[i:] // who names a moment by a stamp means no other folder
	}
	for _, e := range all {
		switch {
		case !at.IsZero() && !e.asOf(at):
		case !errors.Is(e.Why, ErrNotCommitted):
			return e.Name, newer, nil
		default:
			newer = append(newer, e.Name)
		}
	}
	if !at.IsZero() {
		return "", nil, Refuse("%s has no backup of %s or before", c.Remote, at.Local().Format("2 Jan 2006 15:04:05"))
	}
	return "", nil, Refuse("%s has no backup", c.Remote)
}

// asOf tells whether a folder's backup is not later than a moment. Its stamp says when it is of; that of the Python tool is in local
// time, but who names a moment by one means it as it stands there. A stamp that was pushed ahead, behind one of a night on which
// the clock was, says nothing: then the manifest does.
func (e *Entry) asOf(at time.Time) bool {
	stamp, ok := manifest.StampOf(e.Name)
	switch {
	case !ok:
		return false
	case stamp.Equal(at):
		return true
	case e.Python:
		stamp = time.Date(stamp.Year(), stamp.Month(), stamp.Day(), stamp.Hour(), stamp.Minute(), stamp.Second(), 0, time.Local)
	case e.Manifest != nil && stamp.After(e.Manifest.Created):
		stamp = e.Manifest.Created
	}
	return !stamp.After(at)
}

// hasStamp tells whether a moment is a folder's stamp.
func (e *Entry) hasStamp(at time.Time) bool {
	stamp, ok := manifest.StampOf(e.Name)
	return ok && stamp.Equal(at)
}

// oneJob is an error if a remote has backups of several jobs: which is the latest would be anyone's guess.
func (c *Catalog) oneJob(all []*Entry) error {
	jobs := slices.Clone(c.Jobs)
	newest := map[string]*manifest.Manifest{}
	for _, e := range all { // the newest first
		if m := e.Manifest; m != nil && newest[m.Job] == nil {
			jobs, newest[m.Job] = append(jobs, m.Job), m
		}
	}
	slices.Sort(jobs)
	jobs = slices.Compact(jobs)
	if len(jobs) < 2 {
		return nil
	}
	var b strings.Builder
	for _, job := range jobs {
		if m := newest[job]; m != nil {
			fmt.Fprintf(&b, "\n  job %s: newest %s, of %s on %s", job, m.Name, m.Dataset, m.Host)
		} else {
			fmt.Fprintf(&b, "\n  job %s: no backup that opens", job)
		}
	}
	return Refuse("%s has backups of several jobs; say which one by --backup:%s", c.Remote, b.String())
}

// Refusal is the error of a request that can't be fulfilled as it was made.
type Refusal struct{ Err error }

func (e *Refusal) Error() string { return e.Err.Error() }
func (e *Refusal) Unwrap() error { return e.Err }

// ExitCode is that of a command that did nothing.
func (e *Refusal) ExitCode() int { return 2 }

// Refuse is a Refusal in these words.
func Refuse(format string, args ...any) error { return &Refusal{fmt.Errorf(format, args...)} }
