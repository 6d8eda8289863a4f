package main

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"zfs2cloud/actions"
	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/cmd/internal/config"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// The levels are the same for who types them, in a sequence, and to the step.
func TestLevels(t *testing.T) {
	var levels []string
	for _, l := range actions.Levels {
		levels = append(levels, string(l))
	}
	for _, s := range config.BuiltinSteps {
		if s.Name == actions.StepVerify && !slices.Equal(s.Words, levels) {
			t.Errorf("a sequence has %v, the step %v", s.Words, levels)
		}
	}
	var cli CLI
	parser, err := newParser(&cli, &App{Out: io.Discard, Err: io.Discard}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range parser.Model.Children {
		for _, f := range n.Flags {
			if n.Name == actions.StepVerify && f.Name == "level" && (f.Enum != strings.Join(levels, ",") || f.Default != string(actions.DefaultLevel)) {
				t.Errorf("the command has %s (%s), the step %v (%s)", f.Enum, f.Default, levels, actions.DefaultLevel)
			}
		}
	}
}

// What was verified is said of the last good backup; what was found bad comes before whatever is only late.
func TestStatusVerified(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-50*time.Hour))
	verified := func(backup string, level actions.Level, ago time.Duration, bad string) {
		c.put(func(tx *state.Tx) error {
			b, err := tx.MustBackup(taleJob, backup)
			if b.Verified == nil {
				b.Verified = map[string]state.Finding{}
			}
			b.Verified[string(level)] = state.Finding{At: taleNow.Add(-ago), Bad: bad}
			return errors.Join(err, tx.PutBackup(b))
		})
	}
	verified(c.newest, actions.Decrypted, 49*time.Hour, "")
	verified(c.newest, actions.Listed, time.Hour, "")
	c.says(`
LATE         tank/data to b2:acme/web1   last good backup: 23 Nov 05:31, 2 days ago, due every 36h
             no run is on record
next         zfs2cloud -c web.ini run   and see whether cron still calls it
`)
	good := c.newest
	bad := state.Bad{At: taleNow.Add(-time.Hour), Level: "hashed", What: "x.000003.gpg: not what was sealed"}
	seen := taleNow.Add(-2 * time.Hour)
	full := c.backup(taleJob, taleNow.Add(-6*time.Hour), state.Backup{Full: true, Bad: &bad, Seen: &seen}, workflow.BackupExport, workflow.BackupCommit)
	incr := c.backup(taleJob, taleNow.Add(-5*time.Hour), state.Backup{Base: &state.Base{Name: full}}, workflow.BackupExport, workflow.BackupCommit)
	c.newest = good
	c.says(`
BAD          tank/data to b2:acme/web1   ` + full + ` was found bad by verify (hashed) 1h ago:
             x.000003.gpg: not what was sealed
last good    GOOD, incremental, 2 days ago, listed whole 2 days ago; verified: decrypted, 2 days ago    LATE, due every 36h
next         zfs2cloud -c web.ini run   makes a new backup, which is not based on it
`)
	verified(full, actions.Hashed, time.Hour, bad.What)
	verified(incr, actions.Hashed, time.Hour, "")
	doc := c.app.see("").document()
	for _, b := range doc.Backups {
		switch b.Name {
		case full:
			if b.Bad == nil || b.Bad.What != bad.What || b.Verified == nil || b.Verified.Bad == nil {
				t.Errorf("%+v", b)
			}
		case incr:
			if b.Bad != nil || b.Verified == nil || b.Verified.Bad != nil || b.Verified.Level != "hashed" {
				t.Errorf("%+v", b)
			}
		}
	}
	if last := doc.Jobs[0].LastGood; last == nil || *last != good {
		t.Errorf("last good %v", last)
	}
	// A full since, and it is history.
	c.backup(taleJob, taleNow.Add(-time.Minute), state.Backup{Full: true}, workflow.BackupExport, workflow.BackupCommit)
	c.says(`
ok           tank/data   last good 1m ago
bad          1 backup found bad by verify: ` + full + `
`)
}

// The closest look counts, until another finds something.
func TestLastVerified(t *testing.T) {
	t.Parallel()
	b := state.Backup{Verified: map[string]state.Finding{}}
	put := func(level actions.Level, hour int, bad string) {
		b.Verified[string(level)] = state.Finding{At: taleNow.Add(time.Duration(hour) * time.Hour), Bad: bad}
	}
	is := func(level actions.Level, bad string) {
		t.Helper()
		if last, known := actions.LastVerifiedOf(b.Verified, taleNow.Add(9*time.Hour)); last.Level != level || last.Bad != bad || known != (level != "") {
			t.Errorf("%+v, not %s %q", last, level, bad)
		}
	}
	is("", "")
	put(actions.Listed, 1, "")
	is(actions.Listed, "")
	put(actions.Decrypted, 2, "")
	put(actions.Listed, 3, "")
	is(actions.Decrypted, "")
	put(actions.Hashed, 4, "hashed")
	is(actions.Hashed, "hashed")
	put(actions.Listed, 5, "")
	is(actions.Hashed, "hashed")
	put(actions.Decrypted, 6, "")
	is(actions.Decrypted, "")
	put(actions.Decrypted, 7, "decrypted")
	put(actions.Hashed, 8, "")
	is(actions.Decrypted, "decrypted")
	put(actions.Decrypted, 9, "")
	is(actions.Decrypted, "")
	put(actions.Decrypted, 90000, "") // while the clock was ahead
	is(actions.Decrypted, "")
	put(actions.Hashed, 9, "hashed")
	is(actions.Hashed, "hashed")
	put(actions.Hashed, 90001, "hashed")
	is(actions.Hashed, "hashed")
	put(actions.Decrypted, 9, "")
	is(actions.Hashed, "hashed")
}

// What was found bad and counts so for who decides what the next is based on is no good in list either, whatever was found since.
func TestListFoundBad(t *testing.T) {
	t.Parallel()
	c, job := newTale(t), taleJob
	l := lister{app: c.app, records: map[string]state.Backup{job + "/20261125030000-full": {
		Bad:      &state.Bad{Level: "hashed", What: "gone"},
		Verified: map[string]state.Finding{"hashed": {At: taleNow}},
	}}}
	e := &catalog.Entry{Name: "20261125030000-full"}
	if got := l.bad(t.Context(), e, &job); got != "found bad by verify (hashed): gone" {
		t.Error(got)
	}
	on := &catalog.Entry{Name: "20261125040000", Manifest: &manifest.Manifest{Job: job, Base: &manifest.Base{Name: e.Name}}}
	if got := l.bad(t.Context(), on, &job); got != "base 20261125030000-full was found bad by verify" {
		t.Error(got)
	}
}

func TestStatusVerifying(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-6*time.Hour))
	steps := workflow.NewPlan([]workflow.Planned{{Name: "verify", Shown: "verify", Kind: workflow.Plain}}, nil, nil)
	c.run(taleRun{Run: state.Run{Typed: "verify", Steps: steps, High: state.Progress{Verified: 1204}}, state: begun, steps: [][]workflow.StepEvent{stepRunning}})
	c.says(`
INTERRUPTED  tank/data to b2:acme/web1   run 7k3f, last checkpoint 04:31:07, 2h ago
             its process is gone
             in verify, 1,204 chunks proved
last good    GOOD, incremental, 6h ago, listed whole 5h ago
next         zfs2cloud -c web.ini resume 7k3f   (or leave it: no backup waits for it)
`)
}
