package remote

import "zfs2cloud/workflow"

// verdict is what an exit status of rclone's says of trying again.
type verdict int

const (
	byWords verdict = iota // it says nothing: the words on stderr do
	again                  // the cause may pass
	final                  // it won't, whatever the words are
	absent                 // what was asked for is apparently not there
)

// exits are rclone's exit statuses, as its documentation has them since 1.49 ("List of exit codes"). In truth
// 1.60 and 1.76 exit with 1 for nearly everything that a server can answer, and 2 for nothing we met.
var exits = map[int]verdict{
	1:  byWords, // syntax or usage error, and most that went wrong at the remote
	2:  byWords, // error not otherwise categorised
	3:  absent,  // directory not found
	4:  absent,  // file not found
	5:  again,   // temporary error: more retries might fix it
	6:  final,   // less serious errors, for which rclone does not retry
	7:  final,   // fatal error: more retries won't fix it
	8:  final,   // transfer exceeded the limit of --max-transfer
	9:  final,   // operation successful, but no file transferred
	10: final,   // duration exceeded the limit of --max-duration
}

// verdictOf judges how an rclone ended. Somebody killed one that a signal ended, such as the kernel for want of
// memory, and it did not say anything. A wrapper's own statuses are not in the table: its words count.
func verdictOf(exit *workflow.ExitError) verdict {
	if exit.Signal != "" {
		return again
	}
	return exits[exit.Code]
}
