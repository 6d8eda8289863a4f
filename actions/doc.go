// Package actions has the steps of a run: what each does, and how it goes on after a crash. Steps lists them; adding one is a
// file and a line.
//
// A step is handed a workflow.Session. What it wants to know it asks through the session's Look; what it
// does to the world it does inside workflow.Once, which stores the intent before and the result after.
// For chunks the chunk's own record is that journal: sealing and uploading are intents, sealed and
// uploaded are results.
//
// Where to look, by what a file's name begins with:
//
//	job, stamp, snapshot, hook      the bracket around a backup: whose it is, its name, its snapshot, the application's stop
//	choose, needed                  full or incremental, and on what; what must not go, for any prune
//	export, sending, sealstream,    the stream on its way into chunk files: what starts it, feeds it, cuts it, seals
//	coming, behind, goon, recut     each chunk; and how it goes on behind the last one that is sealed
//	ahead, upload, claim, lost      chunks on their way to the remote, whose place it is, and what is done when one is gone
//	commit, index, texts            the objects beside the chunks, and the last of them, which makes the backup count
//	finish, clean, again            the end of a run, also of one that is given up, or that was typed days ago and finished late
//	prune, bookmark, adopt          what goes again, and the Python tool's, once a person says so
//	forget                          what is let go of when a dataset is backed up no longer
//	python                          the Python tool's folders here, and its messages, opened
//	fetch, restore, receiving       the way back: chunks ahead, into a dataset, into files, or single files
//	verify, scratchdataset          how close a look finds what was stored as it was
//	rebuild                         a lost database, from what there is
//	mount, syncfiles                mode file
//	foresee                         what a run would do, for check and --dry-run
//
// The packages below know one thing each: zfs the zfs program, remote the places where backups go, catalog what lies at
// one, chunk the sealing of pieces, manifest the format on the remote, stream the shape of a send stream, proc the
// starting of programs, settings what a config file comes to.
package actions
