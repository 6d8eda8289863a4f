package main

import (
	"errors"
	"fmt"
	"slices"

	"zfs2cloud/actions"
	"zfs2cloud/state"
)

// VerifyCmd is `zfs2cloud verify`. With the config alone it is a step that was typed: a run, which a resume goes on with,
// and whose findings are kept. With one of the flags of Source it only looks.
type VerifyCmd struct {
	Source
	Level    string   `enum:"listed,hashed,decrypted,received" default:"decrypted" placeholder:"listed|hashed|decrypted|received" help:"How closely: is all there; is each file what was stored; does all of it open; does it restore (${default})."`
	All      bool     `short:"a" help:"All backups; by default the newest, and what it is based on."`
	Sample   string   `short:"s" placeholder:"N%" help:"Only so many of the chunks: those that were not looked at for longest."`
	MaxBytes string   `short:"m" placeholder:"SIZE" help:"Only so much of them, as split_size is written."`
	Spool    string   `default:"/var/tmp" placeholder:"DIR" help:"Where about two chunks at a time wait, with --remote and the like (${default}); else intermediate_basedir."`
	Backups  []string `arg:"" optional:"" name:"backup" help:"These, and what they are based on."`
}

// Run verifies backups.
func (c *VerifyCmd) Run(a *App) error {
	args := slices.Concat([]string{c.Level}, given(c.All, "-a"), valued(c.Sample, "-s"), valued(c.MaxBytes, "-m"), c.Backups)
	q, err := actions.ParseVerify(args)
	if err != nil {
		return &refusal{Err: err}
	}
	if c.Source == (Source{}) {
		return a.typed(actions.StepVerify, q.Args()...)
	}
	return c.look(a, q)
}

// valued is a flag with its value, if it has one.
func valued(value, name string) []string {
	if value == "" {
		return nil
	}
	return []string{name, value}
}

// look verifies what lies there, and keeps nothing.
func (c *VerifyCmd) look(a *App, q actions.VerifyRequest) error {
	if a.DryRun {
		return &refusal{Err: errors.New("--dry-run needs the config's own remote: without its database nobody knows what there is to verify")}
	}
	dir, err := absolute(c.Spool)
	if err != nil {
		return &refusal{Err: err}
	}
	ctx := a.Stop.Soft()
	from, err := c.open(ctx, a, func(*readable) error { return nil })
	if err != nil {
		return err
	}
	bad := 0
	err = from.kit.Verify(ctx, from.catalog, q, dir, func(v actions.Verdict) {
		if len(v.Bad) > 0 {
			bad++
		}
		for _, line := range v.Lines() {
			fmt.Fprintln(a.Out, safe(line))
		}
	})
	if err == nil && bad > 0 {
		err = fmt.Errorf("%s at %s: bad", counted(bad, "backup"), from.catalog.Remote)
	}
	return err
}

// badError is the answer of a verification that found something wrong. The run did all it was to do.
type badError struct {
	Run   state.Run
	Found []actions.Found
}

func (e *badError) Error() string {
	f := e.Found[0]
	text := fmt.Sprintf("verify: %s is bad: %s", f.Backup, f.What)
	for _, f := range e.Found[1:] {
		text += fmt.Sprintf("\n%s is bad: %s", f.Backup, f.What)
	}
	return text
}

// foundBad is a *badError if a run that is over found a backup bad, this life of it or an earlier one.
func (t *taken) foundBad(r state.Run) error {
	var found []actions.Found
	err := t.store.View(func(tx *state.Tx) (err error) {
		found, err = actions.FoundBad(tx, r)
		return err
	})
	if err != nil || len(found) == 0 {
		return err
	}
	return &badError{Run: r, Found: found}
}
