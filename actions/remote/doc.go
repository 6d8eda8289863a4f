// Package remote is where backups go: an rclone remote, run through the rclone program, or a local folder.
//
// # The idea
//
// One small interface, Remote, holds all that a backup asks of a store: list, look, put, get, delete. What
// both implementations owe stands in its comments, and one conformance suite holds them to it. Every
// method takes the World that it may use, so that one who only looks (workflow.Look) can't write: rclone
// isn't started, and the folder, which needs no program, refuses by itself.
//
// # Three answers
//
// A store says "there", "not there", or nothing that can be relied on. rclone gives the same exit code for a
// missing object, a missing folder and a remote that vanished (an unmounted disk), and a copy into a
// vanished remote makes it anew. So a Remote's ErrNotThere means: apparently. Who decides by it asks a
// Place: a remote with the marker of the one job that it belongs to. There "not there" counts only
// while the marker is seen, and nothing is written where it isn't.
//
// # Caveats
//
// An exit code proves nothing. After Put the caller looks at what is there, by List, with hashes where the store
// has them. A hash counts where the store computes it over content; a store that lies is found out only by
// reading back.
//
// Whoever can write to the bucket chooses the names in a listing: they are foreign text until ValidName
// says otherwise, or until they equal a name that was computed here.
//
// A local folder on a file system that hangs (NFS, hard mounted) hangs us in the kernel: no context ends that.
//
// Every rclone operation is a process, 70 to 95 ms. rclone's own retries of whole operations are turned off,
// since a repeated `cat` writes its output twice; Retry is in their place. Those on a lower level stay.
package remote
