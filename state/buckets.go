package state

// Buckets names every bucket of the file; doc.go draws what is in them.
var Buckets = []string{BucketJobs, BucketRuns, BucketJournal, BucketBackups, BucketChunks, BucketLocks, BucketVerified, BucketForeign, BucketAdopted}

const (
	BucketJobs    = "jobs"    // JOB                       -> Job
	BucketRuns    = "runs"    // RUN                       -> Run
	BucketJournal = "journal" // RUN/STEP/ATTEMPT/EFFECT   -> Entry
	BucketBackups = "backups" // JOB/NAME                  -> Backup
	BucketChunks  = "chunks"  // JOB/NAME/NUMBER.GENERATION -> Chunk
	BucketLocks   = "locks"   // DATASET GUID              -> Lock
	// JOB/NAME/LEVEL/ and JOB/NAME/LEVEL/NUMBER -> Verified
	BucketVerified = "verified"
	BucketForeign  = "foreign" // JOB/NAME      -> Foreign
	BucketAdopted  = "adopted" // JOB/GUID      -> Adopted
)
