// Package workflow runs backups as state machines on disk.
//
// A run is a frozen list of steps, a record in the database, and a journal of what its steps did to the
// world. Whatever process takes the run in hand goes on from there: a step that is done is not done again,
// and within a step every effect has its entry in the journal, written before it (the intent) and after it
// (the result). An intent without a result means that nobody knows; then the effect itself looks at the
// world before it acts.
//
//	machine.go   what a machine is; machines.go has all tables
//	step.go      what a step is, and the plan that a run freezes
//	engine.go    Begin, Drive: a run from its start to its last step
//	end.go       how a step fails, and a run that is stopped, fails or is given up: Abort
//	session.go   Once, the only door to effects, and the only writer of checkpoints
//	bracket.go   the scripts around the snapshot: once the application was stopped, it comes back
//	takeover.go  what the death of a process left: orphans, open brackets, runs to be resumed
//	lock.go      the lock record
//	stop.go      stop signals
//	world.go     the door to programs and the clock
//
// The package knows no step by its name and no program. It owns the dataset while it works: one live
// process a dataset, which package state tells by locks that the kernel drops however a process dies.
package workflow
