// Package actions has the steps of a backup: what lock, a script, snapshot, export-intermediate,
// prune-intermediates, prune-snapshots, upload-intermediate-to-remote and unlock do, and how each goes on
// after a crash. Steps lists them; adding one is a file and a line.
//
// A step is handed a workflow.Session. What it wants to know it asks through the session's Look; what it
// does to the world it does inside workflow.Once, which stores the intent before and the result after.
// For chunks the chunk's own record is that journal: sealing and uploading are intents, sealed and
// uploaded are results.
//
// The packages below know one thing each: zfs the zfs program, remote the places where backups go, chunk
// the sealing of pieces, manifest the format on the remote, stream the shape of a send stream, proc the
// starting of programs, settings what a config file comes to.
package actions
