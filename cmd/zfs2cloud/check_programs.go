package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"zfs2cloud/actions"
	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/settings"
	"zfs2cloud/workflow"
)

// lookGPG: what is sealed can be opened again, with this gpg and this passphrase.
func (c *checkup) lookGPG(ctx context.Context, f facts) (facts, []finding) {
	if c.settings.Mode == settings.File {
		f.seals = true
		return f, []finding{fine("gpg", "not used: mode = file uploads the files as they are; a remote of type crypt encrypts them")}
	}
	if c.settings.Encryption == settings.None {
		f.seals = true
		return f, []finding{c.find(noticeEncryptionNone, nil)}
	}
	version, err := c.versionOf(ctx, c.settings.Gpg, "--version", "gpg (GnuPG) ")
	if err != nil {
		return f, []finding{c.find(noticeGPG, args{"err": err.Error()})}
	}
	pass, warnings, err := c.app.readPassphrase(ctx, c.settings)
	if err != nil {
		return f, []finding{c.find(noticePassphrase, args{"err": err.Error()})}
	}
	sealer := chunk.GPG{World: c.reading(), Words: c.settings.Gpg, Passphrase: pass, TempDir: os.TempDir()}
	if _, err := chunk.NewCanary(ctx, sealer); err != nil {
		return f, []finding{c.find(noticeCanary, args{"err": err.Error()})}
	}
	f.passphrase, f.seals = pass, true
	found := []finding{fine("gpg", version+"; passphrase encrypts and decrypts")}
	for _, w := range warnings {
		found = append(found, c.find(noticePassphraseWarning, args{"text": warning(w)}))
	}
	return f, found
}

// usesRclone tells whether the place of the backups is reached through rclone.
func (c *checkup) usesRclone() bool {
	place, uploads := actions.PlaceOf(c.settings)
	return uploads && (!filepath.IsAbs(place) || c.settings.Mode == settings.File)
}

func (c *checkup) lookRclone(ctx context.Context, f facts) (facts, []finding) {
	if !c.usesRclone() {
		return f, nil
	}
	version, err := c.versionOf(ctx, c.settings.Rclone, "version", "rclone v")
	if err != nil {
		return f, []finding{c.find(noticeRclone, args{"err": err.Error()})}
	}
	return f, []finding{fine("rclone", version+", "+rcloneConf(c.settings))}
}

// versionOf is the first line that a program says of itself, less what it is known to begin with.
func (c *checkup) versionOf(ctx context.Context, words []string, arg, prefix string) (string, error) {
	out, err := proc.Output(ctx, c.reading(), workflow.Spec{Argv: append(slices.Clone(words), arg), Looks: true})
	if err != nil {
		return "", err
	}
	first := firstLine(string(out))
	if first == "" {
		return "", fmt.Errorf("%s %s says nothing", strings.Join(words, " "), arg)
	}
	return strings.TrimPrefix(first, prefix), nil
}
