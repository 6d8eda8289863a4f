// Package state remembers: records of runs, jobs, backups, chunks and locks in one bbolt file a host, and,
// beside it, who is alive. It knows no machine and no step. What it promises is that a record is stored
// whole or not at all, that a state in it was reached by an event of its machine, and that what was damaged
// is said to be damaged.
//
// # A transaction
//
// bbolt locks its file for as long as a process has it open. So Store opens it for one transaction and
// closes it again, behind a gate (gate.go) that keeps a crowd of readers from starving the one writer. A
// process that shows and one that works can do so at any time, and each has only to be short: inside a
// transaction there is no output, no child, no network, and no other transaction.
//
// Who does not get its turn within a minute gives up and says so (ErrBusy); status does after 700 ms (Glance). A file that is missing
// or empty, and was never more, is an empty database to a reader, who makes nothing.
//
// # A state
//
// A Cell is a state that only Tx.Fire changes, by asking the machine that the caller hands in (package
// workflow has the tables). If the transaction comes to nothing, the Cell in memory goes back as well.
//
// # The tree
//
// Every bucket stands at the top of the file, and each of its values is one record: its JSON, with a
// checksum over bucket, key and JSON in front (record.go). buckets.go names every key.
//
//	meta
//	    schema                        the version of this tree; migrations.go has the way from each to the next
//	    count/BUCKET                  how many records BUCKET has, so that a missing one is seen
//	jobs
//	    JOB                           Job
//	runs
//	    RUN                           Run
//	journal
//	    RUN/STEP/ATTEMPT/EFFECT       Entry: an effect's intent and result
//	backups
//	    JOB/NAME                      Backup
//	chunks
//	    JOB/NAME/NUMBER.GENERATION    Chunk
//	locks
//	    DATASET GUID                  Lock
//	verified
//	    JOB/NAME/LEVEL/               Verified, of the backup as a whole
//	    JOB/NAME/LEVEL/NUMBER         Verified, of a chunk; of a backup of the Python tool: of a piece
//	foreign
//	    JOB/NAME                      Foreign: a backup that the Python tool made
//	adopted
//	    JOB/SNAPSHOT GUID             Adopted: a snapshot that it made, and that was taken over
//
// # Who is alive
//
// That is never in a record. A process that works on a dataset holds a lock of the kernel's for as long as
// it lives (live.go), in a fixed folder, whatever database it uses. What must survive the loss of the
// database lies there too, as small files (notes.go).
//
// # Damage
//
// A disk may give back what was never written, a database may be cut off or gone, or an older copy of it may stand
// in its place. None of it may crash or hang us, nor pass for what was stored. Three things see to that. Before its
// first transaction on a file a process looks through all of it without bbolt (inspect.go, package pages). The
// gate's file remembers the last commit (mark.go), so that a file which is behind it is seen. And in each
// transaction records tell by their checksums, buckets by their counts (counts.go), and a panic or fault in
// bbolt is caught (damage.go). All of it is a *DamagedError, which is never that of a disk that does not read, is full
// or is slow.
//
// Nothing is repaired. SetAside (aside.go) moves a damaged database aside, and the next transaction begins a new
// one; what can be known again without it, package actions finds out.
//
// # What this package does not do
//
// The database must be on a local disk: see OnLocalDisk.
package state
