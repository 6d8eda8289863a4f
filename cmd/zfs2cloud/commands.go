package main

import "github.com/alecthomas/kong"

// CLI is the table of contents: every flag and command there is.
type CLI struct {
	Config  string           `short:"c" placeholder:"FILE" help:"Config file. Else $$ZFS2CLOUD_CONFIG, $$ZFS_BACKUP_CONFIG, /etc/zfs2cloud/config.ini."`
	DryRun  bool             `help:"Say what would be done, and do nothing."`
	Verbose int              `short:"v" type:"counter" help:"Log to stderr what goes on; twice: with all that programs say."`
	Version kong.VersionFlag `help:"Print the version."`

	Run    RunCmd    `cmd:"" default:"withargs" aliases:"perform" help:"Finish an unfinished run, then back up: what cron calls."`
	Resume ResumeCmd `cmd:"" help:"Go on with an unfinished run, from its last checkpoint."`
	Status StatusCmd `cmd:"" help:"Say what is running or stuck, the last good backup, and what to type next."`
	Abort  AbortCmd  `cmd:"" help:"Give an unfinished run up and remove what it left."`

	List    ListCmd    `cmd:"" help:"List the backups on the remote."`
	Restore RestoreCmd `cmd:"" help:"Restore a backup into a new dataset."`

	RecoverySheet RecoverySheetCmd `cmd:"" help:"Print a page for a drawer: where the backups are, what is needed, what to type."`

	Verify VerifyCmd `cmd:"" help:"Step: look whether backups on the remote are what was stored there."`
	Stream StreamCmd `cmd:"" help:"Look at ZFS send streams."`

	Check      CheckCmd      `cmd:"" help:"Check config, programs, permissions, remote, passphrase and space; say what the next backup will be."`
	ShowConfig ShowConfigCmd `cmd:"" help:"Print the settings in force, secrets masked."`

	RebuildState RebuildStateCmd `cmd:"" help:"Make the lost or outdated record of backups again from the remote, where run won't do it unasked."`

	Adopt AdoptCmd `cmd:"" help:"Take over what the Python tool or a restore left, so that prunes remove it when it is due."`

	Forget ForgetCmd `cmd:"" help:"Back the dataset up no longer: let go of what is held for it, and of its record. Backups stay."`

	Lock   LockCmd   `cmd:"" help:"Keep runs out until unlock."`
	Unlock UnlockCmd `cmd:"" help:"Let runs in again."`

	Snapshot           SnapshotCmd           `cmd:"" help:"Step: take a snapshot."`
	ExportIntermediate ExportCmd             `cmd:"" help:"Step: export the newest snapshot to chunk files."`
	PruneIntermediates PruneIntermediatesCmd `cmd:"" help:"Step: remove chunk files that are no longer needed."`
	PruneSnapshots     PruneSnapshotsCmd     `cmd:"" help:"Step: destroy own snapshots that are past their days."`
	PruneRemote        PruneRemoteCmd        `cmd:"" help:"Step: delete from the remote what is past its days, and leftovers."`

	UploadIntermediateToRemote  UploadCmd      `cmd:"" help:"Step: upload the newest exported backup."`
	MountSnapshot               MountCmd       `cmd:"" help:"Step of file mode: mount the snapshot."`
	UploadSnapshotFilesToRemote UploadFilesCmd `cmd:"" help:"Step of file mode: sync the mounted files."`
	UmountSnapshot              UmountCmd      `cmd:"" help:"Step of file mode: unmount the snapshot."`
}
