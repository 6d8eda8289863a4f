package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/term"

	"zfs2cloud/actions"
	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/secret"
	"zfs2cloud/actions/settings"
	"zfs2cloud/cmd/internal/config"
	"zfs2cloud/state"
)

// Source says where backups are read from: from the config's remote, or, on a machine that has no config, from
// one that is named.
type Source struct {
	Remote         string `placeholder:"REMOTE" help:"Read this remote, NAME:PATH of rclone's or an absolute path, and no config."`
	RcloneConfig   string `placeholder:"FILE" help:"The config file of rclone; else as the config says, or where it always lies."`
	PassphraseFile string `placeholder:"FILE" help:"A file with the passphrase; else as the config says, without one it is asked for."`
	Encryption     string `enum:",gpg,none" default:"" placeholder:"gpg|none" help:"How the backups are sealed; else as the config says, without one gpg."`

	of *state.Run // the unfinished restore that is gone on with: it began to read a place that the config named then
}

// readable is a source that was listed, and can be read.
type readable struct {
	kit     *actions.Kit
	catalog *catalog.Catalog
	job     *state.Job // the job on record whose backups these are; nil if there is none
}

// open lists what is there. The passphrase comes last, after CHECK, so that nobody is asked for it in vain.
func (s Source) open(ctx context.Context, a *App, check func(*readable) error) (*readable, error) {
	c, err := s.settings(a)
	if err != nil {
		return nil, err
	}
	kit := &actions.Kit{ZFS: c.ZFS, Settings: c, Host: a.Host, Tool: "zfs2cloud " + version, Pause: a.Pause, Log: a.Log}
	there, err := s.list(ctx, a, kit, s.place(c))
	if now := s.placeNow(c); err != nil && s.of != nil && now != s.place(c) && isNowhere(err) {
		if moved, merr := s.list(ctx, a, kit, now); merr == nil { // rclone calls it by another name by now
			there, err = moved, nil
		}
	}
	if err != nil {
		return nil, noPlace(s.place(c), c, err)
	}
	o := &readable{kit: kit, catalog: there}
	if err := check(o); err != nil {
		return nil, err
	}
	if err := s.passphrase(ctx, a, c, kit); err != nil {
		return nil, &refusal{Err: err}
	}
	if err := there.Unlock(c.Encryption); err != nil {
		return nil, err
	}
	o.job = s.onRecord(a, c, there.Jobs)
	o.remember(a)
	return o, nil
}

// list lists what is at a place.
func (s Source) list(ctx context.Context, a *App, kit *actions.Kit, place string) (*catalog.Catalog, error) {
	r, err := kit.Remote(place)
	if err != nil {
		return nil, &refusal{Err: err}
	}
	return kit.OpenCatalog(ctx, a.World, r)
}

// place is where the backups lie that are meant.
func (s Source) place(c *settings.Settings) string {
	if s.Remote == "" && s.of != nil {
		return s.of.Frozen.Remote
	}
	return s.placeNow(c)
}

// placeNow is the place that is named now.
func (s Source) placeNow(c *settings.Settings) string {
	if s.Remote != "" {
		return c.Remote
	}
	place, _ := actions.PlaceOf(c)
	return place
}

// onRecord is the job on record whose backups the config's remote has; nil without a config, or a database that tells. A dataset that was
// made anew has left one of its name and place behind: it is that whose marker lies there, MARKED, else one that was used.
func (s Source) onRecord(a *App, c *settings.Settings, marked []string) (job *state.Job) {
	if s.Remote != "" {
		return nil
	}
	place := s.place(c)
	rank := func(j state.Job) int {
		switch {
		case slices.Contains(marked, j.ID):
			return 2
		case j.Used:
			return 1
		}
		return 0
	}
	err := state.New(c.StateDB).View(func(tx *state.Tx) error {
		jobs, err := tx.Jobs()
		for _, j := range jobs {
			if j.Place == place && j.Dataset == c.Dataset && (job == nil || rank(j) > rank(*job)) {
				job = &j
			}
		}
		return err
	})
	if err != nil {
		a.Log.Warn("the database can't be read", "err", err)
		return nil
	}
	return job
}

// remember has manifests that this host has opened before not be opened again. Where no job is on record nothing is
// remembered, and no database made; and a job that is new may turn out to be another's heir, under another name.
func (o *readable) remember(a *App) {
	if o.job == nil || o.job.Fresh || !o.job.Used {
		return
	}
	store := state.New(o.kit.Settings.StateDB)
	update := store.Update
	if a.DryRun {
		update = nil
	}
	o.catalog.Remember(store.View, update, o.job.ID)
}

// missed says in words that the newest backup which this host stored is not what the remote shows, or nothing. On a
// machine without its database nobody knows.
func (o *readable) missed(ctx context.Context, a *App) (string, error) {
	if o.job == nil || o.job.Newest == nil {
		return "", nil
	}
	newest := o.job.Newest
	why, err := o.catalog.Misses(ctx, *newest)
	if err != nil || why == "" {
		return "", err
	}
	return fmt.Sprintf("%s, which this host stored %s, can't be restored: %s", newest.Name, age(a.World.Now(), newest.At), safe(why)), nil
}

// isNowhere tells whether there is no such place.
func isNowhere(err error) bool {
	return errors.Is(err, remote.ErrNoRemote) || errors.Is(err, remote.ErrNotThere)
}

// noPlace says in plain words that a place is not there, which many a first try ends in; other errors stay.
func noPlace(place string, c *settings.Settings, err error) error {
	switch {
	case errors.Is(err, remote.ErrNoRemote):
		return &refusal{Err: fmt.Errorf("%s: %s has no such remote", place, rcloneConf(c)), Next: listRemotes(c)}
	case errors.Is(err, remote.ErrNotThere):
		return &refusal{Err: fmt.Errorf("%s: no such folder: no run has made it yet, or it is another", place)}
	}
	return err
}

// rcloneConf names the file that rclone reads.
func rcloneConf(c *settings.Settings) string {
	if c.RcloneConf == "" {
		return "rclone's default config"
	}
	return c.RcloneConf
}

// listRemotes shows the remotes that there are.
func listRemotes(c *settings.Settings) string {
	if c.RcloneConf == "" {
		return "rclone listremotes"
	}
	return "rclone --config " + shellQuote(c.RcloneConf) + " listremotes"
}

// settings are the config's, or without one what stands in for it, and above both what the flags say.
func (s Source) settings(a *App) (c *settings.Settings, err error) {
	rcloneConf, err := absolute(s.RcloneConfig)
	if err != nil {
		return nil, &refusal{Err: err}
	}
	switch {
	case s.Remote != "" && a.ConfigFlag != "":
		return nil, &refusal{Err: errors.New("-c names a config, --remote is for doing without: give one of the two")}
	case s.Remote != "":
		a.ConfigEnv = ""
		c, err = config.Bare(s.Remote, rcloneConf, a.Env)
	default:
		c, err = s.configured(a, rcloneConf)
	}
	if err != nil {
		return nil, err
	}
	if s.Encryption != "" {
		c.Encryption = settings.Encryption(s.Encryption)
	}
	if s.PassphraseFile != "" {
		file, err := absolute(s.PassphraseFile)
		if err != nil {
			return nil, &refusal{Err: err}
		}
		c.Passphrase = settings.Passphrase{File: file, Named: "--passphrase-file"}
	}
	return c, nil
}

func (s Source) configured(a *App, rcloneConf string) (*settings.Settings, error) {
	c, err := config.Load(a.Config, a.Env)
	if err != nil {
		without := "Without a config: --remote REMOTE --passphrase-file FILE"
		if s.of != nil {
			without = "Without its config it goes on: " + a.withoutConfig(*s.of)
		}
		return nil, &reported{Err: err, Text: err.Error() + "\n" + without}
	}
	if c.Mode == settings.File && s.of == nil {
		return nil, &refusal{Err: fmt.Errorf("%s is of mode file: its remote has the files themselves; rclone copy brings them back", a.Config)}
	}
	if rcloneConf == "" {
		return c, nil
	}
	if err := config.CheckOwned(rcloneConf, a.Env.UID); err != nil {
		return nil, &refusal{Err: fmt.Errorf("--rclone-config: %w", err)}
	}
	c.RcloneConf = rcloneConf
	return c, nil
}

// absolute makes a flag's path one; none stays none.
func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return filepath.Abs(path)
}

// passphrase reads the passphrase, or asks for it.
func (s Source) passphrase(ctx context.Context, a *App, c *settings.Settings, kit *actions.Kit) error {
	p := c.Passphrase
	if c.Encryption == settings.None || len(p.Inline) > 0 || p.File != "" || len(p.Command) > 0 {
		return a.passphrase(ctx, c, kit)
	}
	if !a.canAsk() {
		return errors.New("a passphrase is needed, and there is no terminal to ask on: --passphrase-file FILE")
	}
	typed, err := a.askPassphrase(ctx, "Passphrase: ")
	if err == nil {
		err = chunk.CheckPassphrase(typed)
	}
	kit.Passphrase = typed
	return err
}

func (a *App) askPassphrase(ctx context.Context, prompt string) (secret.Bytes, error) {
	fmt.Fprint(a.Err, prompt)
	typed, err := a.answer(ctx, func(fd int) ([]byte, error) { return term.ReadPassword(fd) })
	fmt.Fprintln(a.Err)
	if text := config.UnseenTyped(typed); text != "" {
		fmt.Fprintln(a.Err, "warning:", text)
	}
	return typed, err
}

// older gives passphrases of backups that were sealed before it was changed: that in a file, if one was named, and then
// what a person types who sits there, also where a file that was named BEFORE is gone.
func (a *App) older(file string, before bool) func(context.Context, string) (secret.Bytes, error) {
	return func(ctx context.Context, folder string) (secret.Bytes, error) {
		if file != "" {
			named := settings.Passphrase{File: file, Named: "--older-passphrase-file"}
			file = ""
			pass, _, err := config.ReadPassphrase(ctx, named, nil)
			if err == nil {
				return pass, nil
			}
			if !before || !errors.Is(err, fs.ErrNotExist) || !a.canAsk() {
				return nil, &olderFileError{err}
			}
		}
		if !a.canAsk() {
			return nil, nil
		}
		fmt.Fprintf(a.Err, "%s does not open: it was sealed with another passphrase, or changed by someone.\n", folder)
		typed, err := a.askPassphrase(ctx, "Older passphrase, or none: ")
		if err != nil || len(typed) == 0 {
			return nil, err
		}
		return typed, chunk.CheckPassphrase(typed)
	}
}

// olderFileError is the error of a file with an older passphrase.
type olderFileError struct{ error }

func (e *olderFileError) Unwrap() error { return e.error }
func (e *olderFileError) ExitCode() int { return exitRefused }

// canAsk tells whether a person sits there.
func (a *App) canAsk() bool { return a.Terminal && term.IsTerminal(int(a.In.Fd())) }

// confirm asks whether to go on. NOT is the refusal's text if not.
func (a *App) confirm(ctx context.Context, not string) error {
	fmt.Fprint(a.Err, "Go on? [y/N] ")
	line, err := a.answer(ctx, func(int) ([]byte, error) { return bufio.NewReader(a.In).ReadBytes('\n') })
	if err != nil {
		fmt.Fprintln(a.Err)
		return err
	}
	switch strings.ToLower(strings.TrimSpace(string(line))) {
	case "y", "yes":
		return nil
	}
	return &refusal{Err: errors.New(not)}
}

// answer waits for what a person types, or for a stop signal, after which the terminal is as it was.
func (a *App) answer(ctx context.Context, read func(fd int) ([]byte, error)) ([]byte, error) {
	fd := int(a.In.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := read(fd)
		answers <- answer{text, err}
	}()
	select {
	case got := <-answers:
		return got.text, got.err
	case <-ctx.Done():
		return nil, errors.Join(errors.New("interrupted"), term.Restore(fd, before))
	}
}

// backThere is how what lies at a place is found without a record and without a config.
func backThere(place string, c *settings.Settings) string {
	if c.Mode == settings.File {
		return "rclone copy brings the files back"
	}
	words := []string{"zfs2cloud list --remote", shellQuote(place)}
	if c.RcloneConf != "" && !filepath.IsAbs(place) {
		words = append(words, "--rclone-config", shellQuote(c.RcloneConf))
	}
	switch {
	case c.Encryption == settings.None:
		words = append(words, "--encryption none")
	case c.Passphrase.File != "":
		words = append(words, "--passphrase-file", shellQuote(c.Passphrase.File))
	}
	return strings.Join(words, " ") + ", and restore with the same flags"
}
