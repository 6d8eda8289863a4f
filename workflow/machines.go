package workflow

import "zfs2cloud/state"

// Every transition table of the project, to be read in one go. What a machine is stands in machine.go.

// RunState and RunEvent are the states and events of a backup run.
type (
	RunState string
	RunEvent string
)

const (
	RunPending     RunState = "pending"
	RunRunning     RunState = "running"
	RunInterrupted RunState = "interrupted" // its process ended without saying why, or was asked to stop
	RunFailed      RunState = "failed"      // a step failed and said why
	RunStuck       RunState = "stuck"       // died again and again in the same place: a person is needed
	RunAborting    RunState = "aborting"    // given up; only ever finished as aborted
	RunAborted     RunState = "aborted"
	RunSucceeded   RunState = "succeeded"

	RunStart     RunEvent = "start"
	RunInterrupt RunEvent = "interrupt"
	RunFail      RunEvent = "fail"
	RunJam       RunEvent = "jam"
	RunForce     RunEvent = "force"
	RunGiveUp    RunEvent = "give up"
	RunAbort     RunEvent = "abort"
	RunSucceed   RunEvent = "succeed"
)

// StepState and StepEvent are the states and events of a step of a run.
type (
	StepState string
	StepEvent string
)

const (
	StepWaiting StepState = "waiting"
	StepRunning StepState = "running"
	StepDone    StepState = "done"
	StepFailed  StepState = "failed"
	StepSkipped StepState = "skipped"

	StepStart  StepEvent = "start"
	StepFinish StepEvent = "finish"
	StepFail   StepEvent = "fail"
	StepRetry  StepEvent = "retry"
	StepSkip   StepEvent = "skip"
	StepRewind StepEvent = "rewind"
	StepReopen StepEvent = "reopen"
)

// BracketState and BracketEvent are the states and events of a run's pre- and post-snapshot operations.
type (
	BracketState string
	BracketEvent string
)

const (
	BracketIdle   BracketState = "idle"
	BracketOpen   BracketState = "open"
	BracketClosed BracketState = "closed"

	BracketOpens  BracketEvent = "open"
	BracketCloses BracketEvent = "close"
	BracketRewind BracketEvent = "rewind"
)

// ChunkState and ChunkEvent are the states and events of a chunk of a backup, in one generation.
type (
	ChunkState string
	ChunkEvent string
)

const (
	ChunkSealing   ChunkState = "sealing"
	ChunkSealed    ChunkState = "sealed" // encrypted, fsynced, renamed, digests stored
	ChunkUploading ChunkState = "uploading"
	ChunkUploaded  ChunkState = "uploaded" // size and hash seen on the remote
	ChunkReleased  ChunkState = "released" // the local file is gone
	ChunkDiscarded ChunkState = "discarded"

	ChunkSeal    ChunkEvent = "seal"
	ChunkUpload  ChunkEvent = "upload"
	ChunkSeen    ChunkEvent = "seen"
	ChunkRelease ChunkEvent = "release"
	ChunkLost    ChunkEvent = "lost"
	ChunkDiscard ChunkEvent = "discard"
)

// BackupState and BackupEvent are the states and events of a backup.
type (
	BackupState string
	BackupEvent string
)

const (
	BackupExporting BackupState = "exporting"
	BackupExported  BackupState = "exported"
	BackupCommitted BackupState = "committed"
	BackupExpired   BackupState = "expired"
	BackupAbandoned BackupState = "abandoned"

	BackupExport  BackupEvent = "export"
	BackupReopen  BackupEvent = "reopen"
	BackupCommit  BackupEvent = "commit"
	BackupExpire  BackupEvent = "expire"
	BackupAbandon BackupEvent = "abandon"
)

// LockState and LockEvent are the states and events of the lock record of a dataset.
type (
	LockState string
	LockEvent string
)

const (
	LockFree LockState = "free"
	LockHeld LockState = "held"

	LockTake    LockEvent = "take"
	LockRelease LockEvent = "release"
)

// Over tells by the state of a run whether there is nothing left to do for it: it succeeded, or was given up.
func Over(run state.Cell) bool { return RunMachine.In(run, RunSucceeded, RunAborted) }

// The machines. Every stored change of a state goes through one of these tables.
var (
	RunMachine = &Machine[RunState, RunEvent]{name: "run", initial: RunPending, terminal: []RunState{RunAborted, RunSucceeded}, rows: []row[RunState, RunEvent]{
		{RunStart, []RunState{RunPending, RunInterrupted, RunFailed}, RunRunning},
		{RunForce, []RunState{RunStuck}, RunRunning},
		{RunInterrupt, []RunState{RunPending, RunRunning}, RunInterrupted},
		{RunFail, []RunState{RunPending, RunRunning, RunInterrupted}, RunFailed},
		{RunJam, []RunState{RunRunning, RunInterrupted, RunFailed}, RunStuck},
		{RunGiveUp, []RunState{RunPending, RunRunning, RunInterrupted, RunFailed, RunStuck}, RunAborting},
		{RunAbort, []RunState{RunAborting}, RunAborted},
		{RunSucceed, []RunState{RunRunning}, RunSucceeded},
	}}

	StepMachine = &Machine[StepState, StepEvent]{name: "step", initial: StepWaiting, rows: []row[StepState, StepEvent]{
		{StepStart, []StepState{StepWaiting}, StepRunning},
		{StepFinish, []StepState{StepRunning}, StepDone},
		{StepFail, []StepState{StepRunning}, StepFailed},
		{StepRetry, []StepState{StepFailed}, StepRunning},
		{StepSkip, []StepState{StepWaiting}, StepSkipped},
		{StepRewind, []StepState{StepRunning, StepDone, StepFailed, StepSkipped}, StepWaiting},
		{StepReopen, []StepState{StepDone}, StepWaiting},
	}}

	BracketMachine = &Machine[BracketState, BracketEvent]{name: "bracket", initial: BracketIdle, rows: []row[BracketState, BracketEvent]{
		{BracketOpens, []BracketState{BracketIdle}, BracketOpen},
		{BracketCloses, []BracketState{BracketOpen}, BracketClosed},
		{BracketRewind, []BracketState{BracketClosed}, BracketIdle},
	}}

	ChunkMachine = &Machine[ChunkState, ChunkEvent]{name: "chunk", initial: ChunkSealing, terminal: []ChunkState{ChunkDiscarded}, rows: []row[ChunkState, ChunkEvent]{
		{ChunkSeal, []ChunkState{ChunkSealing}, ChunkSealed},
		{ChunkUpload, []ChunkState{ChunkSealed}, ChunkUploading},
		{ChunkSeen, []ChunkState{ChunkUploading}, ChunkUploaded},
		{ChunkRelease, []ChunkState{ChunkUploaded}, ChunkReleased},
		{ChunkLost, []ChunkState{ChunkUploading, ChunkUploaded}, ChunkSealed},
		{ChunkDiscard, []ChunkState{ChunkSealing, ChunkSealed, ChunkUploading, ChunkUploaded, ChunkReleased}, ChunkDiscarded},
	}}

	BackupMachine = &Machine[BackupState, BackupEvent]{name: "backup", initial: BackupExporting, terminal: []BackupState{BackupExpired, BackupAbandoned}, rows: []row[BackupState, BackupEvent]{
		{BackupExport, []BackupState{BackupExporting}, BackupExported},
		{BackupReopen, []BackupState{BackupExported}, BackupExporting},
		{BackupCommit, []BackupState{BackupExported}, BackupCommitted},
		{BackupExpire, []BackupState{BackupCommitted}, BackupExpired},
		{BackupAbandon, []BackupState{BackupExporting, BackupExported}, BackupAbandoned},
	}}

	LockMachine = &Machine[LockState, LockEvent]{name: "lock", initial: LockFree, rows: []row[LockState, LockEvent]{
		{LockTake, []LockState{LockFree}, LockHeld},
		{LockRelease, []LockState{LockHeld}, LockFree},
	}}
)

// Machines lists all machines, for those who draw or check them.
func Machines() []Table {
	return []Table{RunMachine, StepMachine, BracketMachine, ChunkMachine, BackupMachine, LockMachine}
}
