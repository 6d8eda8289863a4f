package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/units"
)

const (
	mainSection = "main"
	masked      = "***"
)

// Key is a key of [main].
type Key struct {
	Name    string
	Meaning string
	Unit    string // or form
	Default string // "required", "none", or the value
	Secret  bool   // its value is never shown
	mayHold bool   // nor is it where something is wrong with it: there may be a secret in it

	read     func(*loader, field)
	optEmpty bool // an empty value is as good as none
}

// Keys is every key of [main], in the order in which they are read and shown.
var Keys = []Key{
	{Name: "mode", Meaning: "what a run backs up to: chunk files of a zfs send, or the mounted snapshot's files",
		Unit: "intermediate, file", Default: "intermediate", read: readMode},
	{Name: "zfs_fs", Meaning: "the dataset to back up; between double quotes if the name ends in a blank", Unit: "pool/name", Default: "required", read: readDataset},
	{Name: "intermediate_basedir", Meaning: "the folder for chunk files, or for the mounted snapshot; must exist",
		Unit: "path", Default: "required", read: readIntermediateDir},
	{Name: "remote", Meaning: "where backups go; needed where a step uploads",
		Unit: "rclone's NAME:PATH, or an absolute path", Default: "none", read: readRemote, optEmpty: true},
	{Name: "encryption", Meaning: "how chunks are sealed; none is for remotes that encrypt by themselves",
		Unit: "gpg, none", Default: "gpg", read: readEncryption},
	{Name: "encryption_passphrase", Meaning: "the passphrase itself, as /bin/sh would read it",
		Unit: "1 to 200 bytes", Default: "none", Secret: true, read: readPassphraseInline},
	{Name: "encryption_passphrase_file", Meaning: "a file with the passphrase, taken as it is less one final newline",
		Unit: "path", Default: "none", read: readPassphraseFile},
	{Name: "encryption_passphrase_command", Meaning: "a command that prints the passphrase, less one final newline; ./ is this file's folder",
		Unit: "words, no shell", Default: "none", mayHold: true, read: readPassphraseCommand},
	{Name: "incremental_strategy", Meaning: "what an incremental is based on",
		Unit: "since_last_full, since_last_incremental, never_incremental", Default: "since_last_full", read: readStrategy},
	{Name: "split_size", Meaning: "how much of the stream a chunk has", Unit: "bytes; 512K, 1G and 1GiB binary, 1GB decimal",
		Default: "1G", read: readSplitSize},
	{Name: "upload_jobs", Meaning: "how many chunks are uploaded at once; with rclone_bwlimit, or --bwlimit or --tpslimit among the flags for rclone, it is one", Unit: "1 to 64",
		Default: "4", read: readUploadJobs},
	{Name: "spool_max", Meaning: "how much of chunk files may wait for their upload, at least twice split_size; then the export waits; the disk's free space bounds it always",
		Unit: "as split_size", Default: "none", read: readSpoolMax, optEmpty: true},
	{Name: "nice", Meaning: "how far zfs, gpg and rclone give way to others; hooks do not", Unit: "0 to 19", Default: "0", read: readNice},
	{Name: "io_priority", Meaning: "the same for the disk: a level of best effort, 7 the last, or only when nobody else wants it",
		Unit: "0 to 7, idle", Default: "none", read: readIOPriority, optEmpty: true},
	{Name: "keep_intermediates", Meaning: "whether a chunk's file stays when it is uploaded, until prune-intermediates",
		Unit: "yes, no", Default: "yes", read: readKeep},
	{Name: "full_every_x_days", Meaning: "a full backup when the last is older; less than oldest_snapshot_days",
		Unit: "days", Default: "30", read: readFullEvery},
	{Name: "oldest_snapshot_days", Meaning: "own snapshots older than this are pruned", Unit: "days", Default: "120", read: readOldest},
	{Name: "remote_keep_days", Meaning: "prune-remote deletes a chain of backups when its newest is older; without a limit none goes",
		Unit: "days", Default: "none", read: readKeepDays, optEmpty: true},
	{Name: "remote_keep_fulls", Meaning: "prune-remote deletes a chain when so many newer fulls are there; if both are set, one that is past both",
		Unit: "number", Default: "none", read: readKeepFulls, optEmpty: true},
	{Name: "zfs_send_flags", Meaning: "flags of zfs send", Unit: "of -c -L -e -w -p", Default: "none",
		read: readSendFlags, optEmpty: true},
	{Name: "rclone_conf", Meaning: "rclone's config file; ./ is this file's folder", Unit: "path",
		Default: "$RCLONE_CONFIG, else ~/.rclone.conf if it is there, else rclone's own", read: readRcloneConf, optEmpty: true},
	{Name: "rclone_bwlimit", Meaning: "how fast to upload", Unit: "as rclone's --bwlimit: 10M, 08:00,512k 23:00,off",
		Default: "none", read: readBwlimit, optEmpty: true},
	{Name: "rclone_global_flags", Meaning: "flags for each rclone", Unit: "words", Default: "none",
		mayHold: true, read: readGlobalFlags, optEmpty: true},
	{Name: "rclone_args", Meaning: "flags for each upload; what an object has no use for is dropped", Unit: "words",
		Default: "-v --stats=60s", mayHold: true, read: readRcloneArgs, optEmpty: true},
	{Name: "rclone_env", Meaning: "variables that rclone gets, such as those with credentials", Unit: "names",
		Default: "none", read: readRcloneEnv, optEmpty: true},
	{Name: "rclone_idle_timeout", Meaning: "an rclone that moves no byte for this long is ended, and tried again; for each 8M of split_size, a second more",
		Unit: "duration (10m, 2h), or none", Default: "15m", read: readRcloneIdle},
	{Name: "on_failure", Meaning: "a script that gets the error on standard input; ./ is this file's folder",
		Unit: "path", Default: "none", read: readOnFailure, optEmpty: true},
	{Name: "hook_timeout", Meaning: "a hook is ended after this, and encryption_passphrase_command; that after 5m if there is none", Unit: "duration (90s, 2h) or seconds",
		Default: "none", read: readHookTimeout},
	{Name: "backup_max_age", Meaning: "a last good backup older than this is late", Unit: "duration (36h, 2d)",
		Default: "36h", read: readMaxAge},
	{Name: "state_db", Meaning: "the database of runs; on a local disk", Unit: "path",
		Default: "/var/lib/zfs2cloud/state.db; without root $XDG_STATE_HOME or ~/.local/state, /zfs2cloud/state.db",
		read:    readStateDB},
}

// Variables are those of the environment that stand for a program: words, as a shell splits them.
var Variables = []Key{
	{Name: "ZFS_PATH", Meaning: "the zfs program", Unit: "words", Default: "zfs"},
	{Name: "RCLONE_PATH", Meaning: "the rclone program", Unit: "words", Default: "rclone"},
	{Name: "GPG_PATH", Meaning: "the gpg program", Unit: "words", Default: "gpg"},
}

func keyNames() []string {
	var all []string
	for _, k := range Keys {
		all = append(all, k.Name)
	}
	return all
}

// oneOf reads a value that is one of few words.
func oneOf[T ~string](l *loader, f field, into *T, known ...string) {
	if !slices.Contains(known, f.value) {
		l.bad(f, "unknown value", didYouMean(f.value, known, "one of "+strings.Join(known, ", ")))
		return
	}
	*into = T(f.value)
}

func readMode(l *loader, f field) {
	oneOf(l, f, &l.s.Mode, string(settings.Intermediate), string(settings.File))
}

func readEncryption(l *loader, f field) {
	oneOf(l, f, &l.s.Encryption, string(settings.GPG), string(settings.None))
}

func readStrategy(l *loader, f field) {
	oneOf(l, f, &l.s.Strategy, string(settings.SinceLastFull), string(settings.SinceLastIncremental),
		string(settings.NeverIncremental))
}

func readDataset(l *loader, f field) {
	name := f.value
	if n := len(name); n >= 2 && name[0] == '"' && name[n-1] == '"' { // no name has any, and a line's end loses its blanks
		name = name[1 : n-1]
	}
	if err := checkDataset(name); err != nil {
		l.bad(f, err.Error(), "write it as `zfs list` does")
		return
	}
	l.s.Dataset = name
}

func readIntermediateDir(l *loader, f field) { l.s.IntermediateDir = l.place(f, false) }
func readStateDB(l *loader, f field)         { l.s.StateDB = l.place(f, true) }

func readRemote(l *loader, f field) {
	remote, err := oneWord(f.value)
	if err != nil {
		l.notWords(f, err)
		return
	}
	before, _, colon := strings.Cut(remote, ":")
	secret := secretParameter(remote)
	switch {
	case secret != "":
		l.bad(f, printable(secret)+" looks like a secret, and a remote is stored, printed, and seen by every user as rclone's argument",
			"write NAME:PATH, and that into a section [NAME] of rclone.conf, or into a variable RCLONE_CONFIG_NAME_… that rclone_env names")
	case strings.HasPrefix(remote, "-") || remote == ":" || remote == "":
		l.bad(f, "not a remote", "write NAME:PATH with a name that rclone knows, or an absolute path")
	case colon && !strings.Contains(before, "/"):
		l.s.Remote = trimSlash(remote)
	default:
		f.value = remote
		l.s.Remote = l.place(f, false)
	}
}

// trimSlash makes b2:bucket/ and b2:bucket one remote; sftp:/ stays what it is.
func trimSlash(remote string) string {
	for strings.HasSuffix(remote, "/") && !strings.HasSuffix(remote, ":/") {
		remote = remote[:len(remote)-1]
	}
	return remote
}

func readPassphraseInline(l *loader, f field) {
	p, err := inlinePassphrase(f.value)
	if err != nil {
		l.bad(f, err.Error(), "put the passphrase into a file of mode 0600, as it is, and name that in encryption_passphrase_file")
		return
	}
	l.s.Passphrase.Inline = p
}

func readPassphraseFile(l *loader, f field) {
	path := l.place(f, true)
	if st, ok := l.owned(f, path); ok {
		if err := checkPrivate(path, st, l.env.UID); err != nil {
			l.badFile(f, path, err)
		}
	}
	l.s.Passphrase.File = path
}

func readPassphraseCommand(l *loader, f field) {
	all, err := words(f.value)
	if err != nil {
		l.notWords(f, err)
		return
	}
	if len(all) > 0 && strings.Contains(all[0], "/") { // else it is looked for in PATH, which is root's own
		f.value = all[0]
		all[0] = l.place(f, true)
		l.script(f, all[0])
	}
	l.s.Passphrase.Command = all
}

func readSplitSize(l *loader, f field) { l.size(f, &l.s.SplitSize) }
func readSpoolMax(l *loader, f field)  { l.size(f, &l.s.SpoolMax) }

// size reads a size as GNU split takes it.
func (l *loader) size(f field, into *int64) {
	word, err := oneWord(f.value)
	if err != nil {
		l.notWords(f, err)
		return
	}
	n, err := units.ParseSize(word)
	if err != nil {
		l.bad(f, err.Error(), "bytes, or a number with K, M, G (binary) or KB, MB, GB (decimal): 1G")
		return
	}
	*into = n
}

func readUploadJobs(l *loader, f field) {
	n, err := strconv.Atoi(f.value)
	if err != nil || n < 1 || n > 64 {
		l.bad(f, "not a number from 1 to 64", "its default is 4")
		return
	}
	l.s.UploadJobs = n
}

func readNice(l *loader, f field) {
	n, err := strconv.Atoi(f.value)
	if err != nil || n < 0 || n > 19 {
		l.bad(f, "not a number from 0 to 19", "0 is as others, 19 gives way to all: nice(1)")
		return
	}
	l.s.Nice = n
}

func readIOPriority(l *loader, f field) {
	if f.value == "idle" {
		l.s.IOIdle = true
		return
	}
	n, err := strconv.Atoi(f.value)
	if err != nil || n < 0 || n > 7 {
		l.bad(f, "neither a number from 0 to 7 nor idle", "7 gives way to all but idle: ionice(1)")
		return
	}
	l.s.IOLevel = n
}

func readKeep(l *loader, f field) {
	word := "yes"
	oneOf(l, f, &word, "yes", "no")
	l.s.KeepIntermediates = word == "yes"
}

func readFullEvery(l *loader, f field) { l.days(f, &l.s.FullEveryDays) }
func readKeepDays(l *loader, f field)  { l.days(f, &l.s.Keep.Days) }
func readOldest(l *loader, f field)    { l.days(f, &l.s.OldestSnapshotDays) }

func readKeepFulls(l *loader, f field) {
	n, err := strconv.Atoi(f.value)
	if err != nil || n < 1 || n > 10_000 {
		l.bad(f, "not a number from 1 on", "how many chains of backups stay, the newest among them")
		return
	}
	l.s.Keep.Fulls = n
}

func readSendFlags(l *loader, f field) {
	all, err := words(f.value)
	if err == nil {
		all, err = parseSendFlags(all)
	}
	if err != nil {
		l.bad(f, err.Error(), "allowed are -c -L -e -w -p")
		return
	}
	l.s.SendFlags = all
}

func readRcloneConf(l *loader, f field) { l.s.RcloneConf = l.place(f, true) }

func readBwlimit(l *loader, f field) {
	if !bwlimit.MatchString(f.value) {
		l.bad(f, "not a limit that rclone knows", "such as 10M, 10M:1M, off, or 08:00,512k 23:00,off")
		return
	}
	l.s.RcloneBwlimit = f.value
	l.warn(f, "throttles uploads now; the Python tool read it and never used it")
}

func readGlobalFlags(l *loader, f field) {
	l.s.RcloneGlobalFlags, l.s.RcloneObjectGlobal = l.flags(f, true)
}
func readRcloneArgs(l *loader, f field) { l.s.RcloneArgs, l.s.RcloneObjectArgs = l.flags(f, false) }

func readRcloneEnv(l *loader, f field) {
	for _, name := range strings.FieldsFunc(f.value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' }) {
		if err := checkVariable(name); err != nil {
			l.bad(f, err.Error(), "list names, such as AWS_ACCESS_KEY_ID")
			continue
		}
		l.s.RcloneEnv = append(l.s.RcloneEnv, name)
	}
}

func readOnFailure(l *loader, f field) {
	l.s.OnFailure = l.place(f, true)
	l.script(f, l.s.OnFailure)
}

func readHookTimeout(l *loader, f field) {
	if f.value == "none" {
		return
	}
	if seconds, err := strconv.ParseUint(f.value, 10, 31); err == nil {
		l.s.HookTimeout = time.Duration(seconds) * time.Second
		return
	}
	d, err := parseDuration(f.value)
	if err != nil {
		l.bad(f, err.Error(), "seconds, or a number with its unit: 90s, 10m, 2h")
		return
	}
	l.s.HookTimeout = d
}

func readRcloneIdle(l *loader, f field) {
	if f.value == "none" {
		l.s.RcloneIdle = 0
		return
	}
	d, err := parseDuration(f.value)
	if err != nil || d < time.Second {
		l.bad(f, "not a time to be idle for", "a second or more with its unit: 90s, 10m, 2h; or none")
		return
	}
	l.s.RcloneIdle = d
}

func readMaxAge(l *loader, f field) {
	d, err := parseDuration(f.value)
	if err != nil || d == 0 {
		l.bad(f, "not an age", "a number with its unit: 36h, 2d")
		return
	}
	l.s.BackupMaxAge = d
}

// flags reads rclone_args or rclone_global_flags: all that is passed on, and what of it a single object takes.
func (l *loader) flags(f field, global bool) (passed, object []string) {
	all, err := words(f.value)
	if err != nil {
		l.notWords(f, err)
		return nil, nil
	}
	sorted := sortFlags(all, l.s.Mode, global)
	for _, flag := range sorted.refused {
		l.bad(f, printable(flag)+" is refused: it changes what a command means", "leave it out")
	}
	for _, flag := range sorted.dropped {
		l.s.RcloneArgsDropped = append(l.s.RcloneArgsDropped, flag.argv...)
		if flag.rule.verdict != quiet {
			l.warn(f, fmt.Sprintf("%s has no meaning for single objects and is dropped", printable(flag.shown)))
		}
	}
	return sorted.passed, sorted.object
}
