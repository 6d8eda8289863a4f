package main

import (
	"os"
	"strings"
)

// severity is a row's state, as it is printed.
type severity string

const (
	isOK      severity = "ok"
	isWarning severity = "warning"
	isError   severity = "error"
)

func (s severity) mood() mood {
	switch s {
	case isError:
		return wrong
	case isWarning:
		return wary
	}
	return good
}

// notice is something that check may find. In text and do a $name stands for an argument, $zfs2cloud for the
// command line with the -c that was given.
type notice struct {
	code     string // for programs; it never changes
	name     string // of the row
	severity severity
	text     string
	do       string // what to do about it
}

// Everything that check finds fault with.
var (
	noticeSlow = notice{"slow", "", isError, "no answer within $time",
		"look what hangs: the network, a disk, the program"}

	noticeConfigError    = notice{"config-error", "config", isError, "$text", "$hint"}
	noticeConfigWarning  = notice{"config-warning", "config", isWarning, "$text", ""}
	noticeSequence       = notice{"sequence-warning", "steps", isWarning, "$text", ""}
	noticeMounts         = notice{"mounts", "mount", isError, "$err", ""}
	noticeFileModeUpload = notice{"file-mode-upload", "steps", isWarning,
		"$step stores all files anew each time, in $place/STAMP-full",
		"upload-snapshot-files-to-remote is probably meant, which makes $place equal to the snapshot and deletes the rest there: $n now"}

	noticeZFS = notice{"zfs", "zfs", isError, "$err",
		"install ZFS, load its module or start its daemon; $$ZFS_PATH names the program"}
	noticeDataset     = notice{"dataset", "zfs", isError, "$text", "$hint"}
	noticePermissions = notice{"permissions", "zfs", isError, "user $user may not $missing on $dataset",
		"as root: zfs allow $user $missing $word"}
	noticeBookmark = notice{"permission-bookmark", "zfs", isWarning,
		"user $user may not bookmark $dataset: the snapshot that incrementals are based on stays, however old it gets",
		"as root: zfs allow $user bookmark $word"}
	noticePermissionsUnknown = notice{"permissions-unknown", "zfs", isWarning,
		"not known whether this user may snapshot, send and hold $dataset: $err", "try $zfs2cloud snapshot, or run as root"}
	noticeChildren = notice{"children", "children", isWarning, "$n below $dataset in no backup: $names",
		"give each that matters a config with a remote path of its own"}

	noticeStateNotLocal = notice{"state-not-local", "state_db", isError, "$err", "name a file on a local disk as state_db"}
	noticeStateUnsafe   = notice{"state-unsafe", "state_db", isError, "$err", "$mend"}
	noticeStateShared   = notice{"state-shared", "state_db", isError, "$err", "name a file in a folder that is this user's alone as state_db"}
	noticeStateParent   = notice{"state-folder", "state_db", isError, "$dir: no such folder, and only the last one of a path is made",
		"make it, or mount its disk"}
	noticeState = notice{"state", "state_db", isError, "$err", ""}

	noticeEncryptionNone = notice{"encryption-none", "gpg", isWarning, "encryption = none: chunks go out as they are",
		"only for a remote that encrypts by itself, such as rclone's crypt"}
	noticeGPG               = notice{"gpg", "gpg", isError, "$err", "install gnupg; $$GPG_PATH names the program"}
	noticePassphrase        = notice{"passphrase", "gpg", isError, "$err", ""}
	noticePassphraseWarning = notice{"passphrase-warning", "gpg", isWarning, "$text", ""}
	noticeCanary            = notice{"canary", "gpg", isError, "$err", "no backup could be read: nothing is sealed before this works"}

	noticeRclone = notice{"rclone", "rclone", isError, "$err", "install rclone; $$RCLONE_PATH names the program"}

	noticeRemote        = notice{"remote", "remote", isError, "$err", ""}
	noticeRemoteUnknown = notice{"remote-unknown", "remote", isError, "$place: $conf has no such remote",
		"$listremotes shows which there are; rclone_conf names another file"}
	noticeRemoteRoot = notice{"remote-folder", "remote", isError, "$place: no such folder",
		"mount the disk, or make the folder: nothing here makes it"}
	noticeRemoteOnRoot = notice{"remote-on-root", "remote", isWarning, "$place lies on the disk of /",
		"if a disk of its own belongs there, mount it"}
	noticeStranger = notice{"remote-stranger", "remote", isError, "$place belongs to $theirs, not to $mine",
		"give each dataset a remote path of its own"}
	noticeRemoteRenamed = notice{"remote-renamed", "remote", isWarning, "$place is where the backups of this job went until now, as $was",
		"nothing was written; the next run goes on with them"}
	noticeRemoteUnsure = notice{"remote-unsure", "remote", isWarning, "$place belongs to $theirs; whether that is this one can't be told while ZFS or the database does not answer",
		"nothing was written"}
	noticeRemoteLost = notice{"remote-lost", "remote", isWarning, "$place belongs to $theirs, which is not on record here",
		"if it is this dataset's, $zfs2cloud run makes the record again; else, also where this one was restored or made anew since, give it a remote path of its own; nothing was written"}
	noticeMarkerGone = notice{"remote-marker", "remote", isError, "$place was used by this job before, and shows its marker no longer ($marker)",
		"mount the disk, or put the remote's name or path right; nothing was written"}
	noticeRemoteDiffers = notice{"remote-differs", "remote", isError, "$place: what was read back is not what was written$how",
		"do not trust this store with a backup"}
	noticeRemoteUnion = notice{"remote-union", "remote", isWarning, "$place is a union, which shows a part of what is there while one of its remotes is away",
		"what it does not show is not taken for deleted; give backups a remote that is there as a whole, or not at all"}
	noticeRemoteCold = notice{"remote-cold", "remote", isWarning, "$place: what is written there can't be read at once: $err",
		"backups go there, known by size and hash alone; list, restore, verify and prune-remote need what the store has brought back"}
	noticeRemoteLeft = notice{"remote-left", "remote", isWarning, "$place: could not remove $object: $err",
		"fine for an append-only store; abort and prunes will leave things there too"}

	noticeBasedir = notice{"basedir", "basedir", isError, "$dir: $err",
		"mount the disk, or make the folder: nothing here makes it"}
	noticeBasedirReadonly = notice{"basedir-readonly", "basedir", isError, "$dir: can't be written to: $err", ""}
	noticeBasedirOwner    = notice{"basedir-owner", "basedir", isWarning, "$dir $why: others could plant or remove files there",
		"chown $user $dir; chmod 700 $dir"}
	noticeSpace = notice{"space", "space", isWarning, "$free free in $dir, a full needs ~$need", "free $missing, or name a folder on a larger disk"}

	noticeNoHooks = notice{"hooks-none", "hooks", isWarning, "none before snapshot: the application is not stopped", ""}

	noticeLocked     = notice{"locked", "lock", isWarning, "$text", "runs are turned away until: $zfs2cloud unlock"}
	noticeLockFile   = notice{"lock-file", "lock", isWarning, "$file is there, made $age: a run of the Python tool, or an operator", "when it is over: $zfs2cloud unlock"}
	noticeUnfinished = notice{"run-unfinished", "runs", isWarning, "run $run of $started is $state", "$zfs2cloud $what $run"}
	noticeStuck      = notice{"run-stuck", "runs", isError, "run $run of $started is stuck: no run starts by itself",
		"look for the cause, then: $zfs2cloud resume --force $run"}
	noticeForeignRun = notice{"run-foreign", "runs", isWarning, "run $run of another job, that of $config, is $state",
		"zfs2cloud -c $config $what $run, or abort $run"}
	noticeAppStopped = notice{"application-stopped", "runs", isError, "run $run died between its hooks: the application may be stopped",
		"$command$what $run, or abort $run: each runs the hooks that are due"}
	noticeAppStoppedNoted = notice{"application-stopped", "runs", isError, "run $run, which is not on record here, died between its hooks: the application may be stopped",
		"$zfs2cloud resume: runs the hooks that are due"}

	noticePythonSnapshots = notice{"python-snapshots", "python", isWarning,
		"$n of the Python tool or a restore: $size that nothing else holds; never a base here, and never pruned until they are taken over",
		"$zfs2cloud adopt says what it would take over"}
	noticePythonFolders = notice{"python-folders", "python", isWarning, "$n of the Python tool in $dir: $size; never a base here, and never pruned until they are taken over",
		"$zfs2cloud adopt says what it would take over"}
	noticePythonPieces = notice{"python-pieces", "python", isWarning, "$folder: its pieces are not all of one size but the last: an older, longer export was written over",
		"do not count on this backup"}

	noticeNext = notice{"next", "next", isError, "what the next backup will be is not known: $err", ""}
)

// notices lists them all, for the test that sees each of them happen.
func notices() []notice {
	return []notice{
		noticeSlow, noticeConfigError, noticeConfigWarning, noticeSequence, noticeMounts, noticeFileModeUpload,
		noticeZFS, noticeDataset, noticePermissions, noticeBookmark, noticePermissionsUnknown, noticeChildren,
		noticeStateNotLocal, noticeStateUnsafe, noticeStateShared, noticeStateParent, noticeState,
		noticeEncryptionNone, noticeGPG, noticePassphrase, noticePassphraseWarning, noticeCanary, noticeRclone,
		noticeRemote, noticeRemoteUnknown, noticeRemoteRoot, noticeRemoteOnRoot, noticeStranger, noticeRemoteRenamed, noticeRemoteUnsure,
		noticeRemoteLost, noticeMarkerGone,
		noticeRemoteDiffers, noticeRemoteUnion, noticeRemoteCold, noticeRemoteLeft,
		noticeBasedir, noticeBasedirReadonly, noticeBasedirOwner, noticeSpace,
		noticeNoHooks, noticeLocked, noticeLockFile, noticeUnfinished, noticeStuck, noticeForeignRun, noticeAppStopped, noticeAppStoppedNoted,
		noticePythonSnapshots, noticePythonFolders, noticePythonPieces, noticeNext,
	}
}

// finding is a row: a notice with its arguments, or that all is well.
type finding struct {
	Code  string   `json:"code,omitempty"`
	Name  string   `json:"name"`
	State severity `json:"state"`
	Text  string   `json:"text"`
	Do    string   `json:"do,omitempty"`
}

type args map[string]string

// find is a notice that came true.
func (c *checkup) find(n notice, a args) finding {
	fill := func(text string) string {
		return os.Expand(text, func(name string) string {
			switch name {
			case "$":
				return "$"
			case "zfs2cloud":
				return strings.TrimSpace(c.app.again(""))
			}
			if value, ok := a[name]; ok {
				return value
			}
			return "$" + name
		})
	}
	return finding{Code: n.code, Name: n.name, State: n.severity, Text: fill(n.text), Do: fill(n.do)}
}

// named puts a finding into another row.
func (f finding) named(name string) finding {
	f.Name = name
	return f
}

// fine is a row that says that all is well.
func fine(name, text string) finding { return finding{Name: name, State: isOK, Text: text} }
