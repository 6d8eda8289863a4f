package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions"
	"zfs2cloud/actions/settings"
)

// What no single key can tell: how keys, steps and files go together.

func (l *loader) checkAll(st unix.Stat_t) {
	if l.s.FullEveryDays >= l.s.OldestSnapshotDays && !l.complained("full_every_x_days") && !l.complained("oldest_snapshot_days") {
		l.aboutKeys("full_every_x_days", "oldest_snapshot_days",
			fmt.Sprintf("not less than oldest_snapshot_days, which is %d", l.s.OldestSnapshotDays),
			"else the snapshot of the last full is pruned while incrementals need it")
	}
	l.checkNames()
	l.checkSpoolMax()
	l.checkPassphraseKeys()
	l.checkConfigPrivate(st)
	l.checkRemoteThere()
	l.warnKeep()
	l.checkRclone()
	l.filesAsTheyAre()
}

// filesAsTheyAre: what file mode uploads is not encrypted here, whatever other keys say.
func (l *loader) filesAsTheyAre() {
	if l.s.Mode != settings.File {
		return
	}
	for _, e := range l.given(passphraseKeys...) {
		l.warn(field{entry: e, hide: true}, "not used: mode = file uploads the files as they are; for encryption, an rclone remote of type crypt")
	}
	l.s.Encryption, l.s.Passphrase = settings.None, settings.Passphrase{}
}

// checkNames demands that the names of chunk files, in which the dataset's stands, fit where they go.
func (l *loader) checkNames() {
	if l.s.Dataset == "" || l.s.Mode != settings.Intermediate || !l.seals() {
		return
	}
	_, uploads := actions.PlaceOf(l.s)
	if err := actions.CheckName(l.s.Dataset, uploads); err != nil {
		if e, ok := l.doc.find(mainSection, "zfs_fs"); ok {
			l.bad(field{entry: e}, err.Error(), "give the dataset a shorter one: zfs rename")
		}
	}
}

// checkSpoolMax demands room for the chunk that is sealed beside the one that is uploaded.
func (l *loader) checkSpoolMax() {
	if l.s.SpoolMax == 0 || l.s.SpoolMax >= 2*l.s.SplitSize || l.complained("spool_max") || l.complained("split_size") {
		return
	}
	if e, ok := l.doc.find(mainSection, "spool_max"); ok {
		l.bad(field{entry: e}, fmt.Sprintf("less than twice split_size, which is %d", l.s.SplitSize), "one chunk is sealed while another is uploaded")
	}
}

// aboutKeys notes a problem at the first of two keys that is in the file.
func (l *loader) aboutKeys(key, other, text, hint string) {
	for _, name := range []string{key, other} {
		if e, ok := l.doc.find(mainSection, name); ok {
			if name == other {
				text = fmt.Sprintf("not more than %s, which is %d", key, l.s.FullEveryDays)
			}
			l.bad(field{entry: e}, text, hint)
			return
		}
	}
}

var passphraseKeys = []string{"encryption_passphrase", "encryption_passphrase_file", "encryption_passphrase_command"}

// checkPassphraseKeys demands one source of the passphrase, and none with encryption = none.
func (l *loader) checkPassphraseKeys() {
	given := l.given(passphraseKeys...)
	switch {
	case l.s.Encryption == settings.None:
		for _, e := range given {
			l.bad(field{entry: e, hide: true}, "a passphrase with encryption = none", "leave one of the two out")
		}
	case len(given) > 1:
		for _, e := range given[1:] {
			l.bad(field{entry: e, hide: true}, "a second source of the passphrase; "+given[0].key+" is the first", "leave one of the two out")
		}
	case len(given) == 0 && l.seals() && !l.complained("mode") && !slices.ContainsFunc(passphraseKeys, l.complained):
		l.problems = append(l.problems, Problem{Section: mainSection, Key: "encryption_passphrase_file", Text: "missing",
			Hint: "name a file of mode 0600 with the passphrase; or encryption = none, if the remote encrypts by itself"})
	}
}

// given lists which of the keys have a value, or a bad one, in the file.
func (l *loader) given(keys ...string) []entry {
	var all []entry
	for _, key := range keys {
		if e, ok := l.doc.find(mainSection, key); ok && !e.bare {
			all = append(all, e)
		}
	}
	return all
}

// seals says whether a step makes or commits encrypted chunks.
func (l *loader) seals() bool {
	return l.hasStep(stepExport) || l.hasStep(stepUpload) && l.s.Mode == settings.Intermediate
}

func (l *loader) hasStep(name string) bool { return l.stepAt(name) >= 0 }

func (l *loader) stepAt(name string) int {
	return slices.IndexFunc(l.s.Steps, func(s settings.Step) bool { return s.Name == name })
}

// checkConfigPrivate refuses a config that tells the passphrase to others.
func (l *loader) checkConfigPrivate(st unix.Stat_t) {
	e, ok := l.doc.find(mainSection, "encryption_passphrase")
	if !ok || e.value == "" {
		return
	}
	if err := checkPrivate(l.s.Path, st, l.env.UID); err != nil {
		l.badFile(field{entry: e, hide: true}, l.s.Path, err)
	}
}

// checkRemoteThere demands a remote where a step uses it.
func (l *loader) checkRemoteThere() {
	if l.s.Remote != "" || l.complained("remote") {
		return
	}
	for _, name := range []string{stepUpload, stepUploadFiles} {
		if at := l.stepAt(name); at >= 0 {
			l.problems = append(l.problems, Problem{Section: mainSection, Key: "remote", Text: "missing; " + l.s.Steps[at].Key + " uploads",
				Hint: "name rclone's NAME:PATH, or an absolute path"})
			return
		}
	}
}

// warnKeep says so if a limit of what stays on the remote is set, and nothing deletes there.
func (l *loader) warnKeep() {
	if l.hasStep(stepPruneRemote) || !l.hasStep(stepUpload) {
		return
	}
	for _, e := range l.given("remote_keep_days", "remote_keep_fulls") {
		l.warn(field{entry: e}, "no step prune-remote -y in the sequence: what is past it stays, until that is typed")
	}
}

// usesRclone says whether rclone is run at all: an absolute path is written without it, but for a sync.
func (l *loader) usesRclone() bool {
	return l.s.Remote != "" && (!filepath.IsAbs(l.s.Remote) || l.s.Mode == settings.File)
}

// checkRclone finds rclone's config and demands that it is ours, since it may name commands to run.
func (l *loader) checkRclone() {
	if !l.usesRclone() {
		return
	}
	if e, ok := l.doc.find(mainSection, "rclone_conf"); ok && e.value != "" {
		l.owned(field{entry: e}, l.s.RcloneConf)
		return
	}
	if path := l.env.Getenv("RCLONE_CONFIG"); path != "" {
		l.s.RcloneConf = l.place(field{entry: entry{key: "$RCLONE_CONFIG"}, value: path}, false)
		l.ownedIfThere(l.s.RcloneConf)
		return
	}
	if path := filepath.Join(l.env.Home, ".rclone.conf"); l.ownedIfThere(path) {
		l.s.RcloneConf = path
		return
	}
	l.ownedIfThere(filepath.Join(l.env.Home, ".config/rclone/rclone.conf")) // rclone's own default
}

// ownedIfThere says whether the file is there, and notes a problem if it may not be obeyed.
func (l *loader) ownedIfThere(path string) bool {
	if path == "" || !filepath.IsAbs(path) {
		return false
	}
	err := CheckOwned(path, l.env.UID)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		l.badFile(field{entry: entry{section: mainSection, key: "rclone_conf"}}, path, err)
	}
	return true
}

// checkUnknown tells slips from what is none of our business. Keys that others refer to are meant.
func (l *loader) checkUnknown() {
	known := []string{mainSection, sequence, sequenceOldStyle, defaultSection}
	for _, h := range l.doc.headers {
		if slices.Contains(known, h.name) {
			continue
		}
		if near := Nearest(h.name, known); near != "" {
			l.problems = append(l.problems, Problem{Line: h.line, Section: h.name, Text: "unknown section", Hint: "did you mean [" + near + "]?"})
			continue
		}
		l.s.Warnings = append(l.s.Warnings, settings.Warning{Line: h.line, Section: h.name, Text: "unknown section, ignored"})
	}
	names := keyNames()
	for _, e := range l.doc.entries {
		if e.section != mainSection && e.section != defaultSection || slices.Contains(names, e.key) || l.doc.used[e.key] {
			continue
		}
		f := field{entry: e, hide: true} // it may be the slip of a secret's name
		if near := Nearest(e.key, names); near != "" {
			l.bad(f, "unknown key", "did you mean "+near+"?")
			continue
		}
		l.warn(f, "unknown key, ignored")
	}
}
