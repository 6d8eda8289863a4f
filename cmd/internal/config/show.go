package config

import (
	"strconv"
	"strings"
	"time"

	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/settings"
)

// KV is a line of show-config.
type KV struct{ Section, Key, Value string }

// Show lists the settings as they are in effect, secrets masked: [main] in the order of Keys, the programs,
// the steps.
func Show(s *settings.Settings) []KV {
	var out []KV
	for _, k := range Keys {
		out = append(out, KV{mainSection, k.Name, shown(s, k.Name)})
	}
	for i, argv := range [][]string{s.ZFS, s.Rclone, s.Gpg} {
		out = append(out, KV{"environment", Variables[i].Name, quoteWords(argv)})
	}
	for _, step := range s.Steps {
		name := step.Name // a script's whole path: what ./ was relative to is the question here
		out = append(out, KV{sequence, step.Key, quoteWords(append([]string{name}, step.Args...))})
	}
	return out
}

// shown is a key's value in effect; empty if there is none.
func shown(s *settings.Settings, key string) string {
	switch key {
	case "mode":
		return string(s.Mode)
	case "zfs_fs":
		return s.Dataset
	case "intermediate_basedir":
		return s.IntermediateDir
	case "remote":
		return maskRemote(s.Remote)
	case "encryption":
		return string(s.Encryption)
	case "encryption_passphrase":
		if len(s.Passphrase.Inline) > 0 {
			return s.Passphrase.Inline.String()
		}
	case "encryption_passphrase_file":
		return s.Passphrase.File
	case "encryption_passphrase_command":
		if len(s.Passphrase.Command) > 1 { // an argument may be the secret
			return quoteWords(s.Passphrase.Command[:1]) + " " + masked
		}
		return quoteWords(s.Passphrase.Command)
	case "incremental_strategy":
		return string(s.Strategy)
	case "split_size":
		return strconv.FormatInt(s.SplitSize, 10)
	case "upload_jobs":
		return strconv.Itoa(s.UploadJobs)
	case "spool_max":
		if s.SpoolMax > 0 {
			return strconv.FormatInt(s.SpoolMax, 10)
		}
	case "nice":
		return strconv.Itoa(s.Nice)
	case "io_priority":
		switch {
		case s.IOIdle:
			return "idle"
		case s.IOLevel >= 0:
			return strconv.Itoa(s.IOLevel)
		}
	case "keep_intermediates":
		if s.KeepIntermediates {
			return "yes"
		}
		return "no"
	case "full_every_x_days":
		return strconv.Itoa(s.FullEveryDays)
	case "oldest_snapshot_days":
		return strconv.Itoa(s.OldestSnapshotDays)
	case "zfs_send_flags":
		return quoteWords(s.SendFlags)
	case "rclone_conf":
		return s.RcloneConf
	case "rclone_bwlimit":
		return s.RcloneBwlimit
	case "rclone_global_flags":
		return quoteWords(proc.Mask(s.RcloneGlobalFlags))
	case "rclone_args":
		return quoteWords(proc.Mask(s.RcloneArgs))
	case "rclone_env":
		return strings.Join(s.RcloneEnv, " ")
	case "rclone_idle_timeout":
		if s.RcloneIdle == 0 {
			return "none"
		}
		return showDuration(s.RcloneIdle)
	case "on_failure":
		return s.OnFailure
	case "hook_timeout":
		return showDuration(s.HookTimeout)
	case "backup_max_age":
		return showDuration(s.BackupMaxAge)
	case "state_db":
		return s.StateDB
	}
	return ""
}

// showDuration writes 36h, not 36h0m0s; none is empty.
func showDuration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	text := strings.TrimSuffix(d.String(), "m0s")
	if text == d.String() {
		return text
	}
	if hours, ok := strings.CutSuffix(text, "h0"); ok {
		return hours + "h"
	}
	return text + "m"
}

// maskRemote hides the parameters of a remote that is described in place, which may be secrets:
// :s3,secret_access_key=…:bucket. They stand between a comma and a colon, before any slash.
func maskRemote(remote string) string {
	name, _, described := strings.Cut(remote, ",")
	if !described || strings.ContainsAny(strings.TrimLeft(name, `:'"`), ":/ ") {
		return remote
	}
	return name + "," + masked
}

// quoteWords writes words so that they can be read back, in single quotes where needed.
func quoteWords(argv []string) string {
	var out []string
	for _, word := range argv {
		if got, err := words(word); err != nil || len(got) != 1 || got[0] != word {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}
