// Package settings declares what a config file comes to: typed values, checked once, by package config.
// Nothing behind it sees a raw string of the file.
package settings

import (
	"time"

	"zfs2cloud/actions/secret"
)

// Mode says what the sequence backs up to.
type Mode string

const (
	Intermediate Mode = "intermediate" // chunk files of a zfs send
	File         Mode = "file"         // rclone sync of the mounted snapshot
)

// Strategy says what an incremental is based on.
type Strategy string

const (
	SinceLastFull        Strategy = "since_last_full"
	SinceLastIncremental Strategy = "since_last_incremental"
	NeverIncremental     Strategy = "never_incremental"
)

// Encryption says how chunks are sealed.
type Encryption string

const (
	GPG  Encryption = "gpg"
	None Encryption = "none"
)

// Passphrase says where the passphrase comes from. At most one of the first three is set; none with encryption none.
type Passphrase struct {
	Inline  secret.Bytes // from the config file, as /bin/sh would have read it
	File    string       // absolute; its content less one final newline
	Command []string     // words, no shell; its output less one final newline
	Named   string       // what named File, if not the config's key: a flag
}

// Keep is what stays on the remote beside the newest chain of backups. A chain goes once it is past all the limits that
// are set; with none, none goes.
type Keep struct {
	Days  int // its newest backup is older; 0: no such limit
	Fulls int // so many newer chains are there; 0: no such limit
}

// Step is one line of [backup-sequences].
type Step struct {
	Key  string // "step1"
	Line int    // in the config file; 0 if the standard sequence is used
	// Name is a built-in step's name, or the path of a script, absolute (./ was relative to the config file).
	Name   string
	Args   []string
	Script bool
	// Shown is the step as the file spells it ("./stop-app"), without arguments.
	Shown string
}

// Settings is a config file, understood.
type Settings struct {
	Path string // of the config file, absolute

	Mode               Mode
	Dataset            string // zfs_fs
	IntermediateDir    string // intermediate_basedir, absolute
	Remote             string // an rclone remote (b2:bucket/path) or an absolute path; empty if not set
	Encryption         Encryption
	Passphrase         Passphrase
	Strategy           Strategy
	SplitSize          int64  // bytes
	RcloneConf         string // absolute; empty: rclone's own default
	RcloneBwlimit      string
	RcloneGlobalFlags  []string
	RcloneArgs         []string
	RcloneObjectGlobal []string      // of rclone_global_flags and rclone_args, what a call for a single object takes:
	RcloneObjectArgs   []string      // all but what is a sync's alone, which only mode file has
	RcloneArgsDropped  []string      // in rclone_args, but without meaning for single objects: logged
	RcloneEnv          []string      // names of variables that rclone gets
	RcloneIdle         time.Duration // how long an rclone may move nothing; 0: for ever
	UploadJobs         int           // chunks that are uploaded at once
	SpoolMax           int64         // bytes of chunk files that are not yet uploaded; 0: what the disk has room for
	Nice               int           // of the programs that are started, 0 to 19
	IOIdle             bool          // they have the disk when nobody else wants it
	IOLevel            int           // or this level of best effort, 0 to 7; -1: as the caller has it
	KeepIntermediates  bool          // else a chunk's file goes once it is uploaded
	OldestSnapshotDays int
	FullEveryDays      int
	Keep               Keep          // remote_keep_days, remote_keep_fulls
	OnFailure          string        // absolute path of a script; empty if not set
	StateDB            string        // absolute
	HookTimeout        time.Duration // 0: none
	SendFlags          []string      // allowed flags of zfs send
	BackupMaxAge       time.Duration // older than this, the last good backup is late

	Steps         []Step
	StandardSteps bool // no sequence was given

	ZFS    []string // the program and leading words: {"zfs"}, {"nice", "-n", "1", "zfs"}
	Rclone []string
	Gpg    []string

	// Warnings are said by check, show-config and run -v.
	Warnings []Warning
}

// Warning is something in the config that is not an error.
type Warning struct {
	Line    int // 0 if none
	Section string
	Key     string
	Text    string
}
