// Package catalog tells what lies at a remote: which backups, of what each consists, what would have to be restored for it, and
// whether it can be.
//
// # The idea
//
// No database is asked, only what lies there, so that it can be read on a machine that was born today. Open lists the root; Unlock
// says how manifests are opened; Entry looks into a folder, once, and ReadAll into all of them, at few programs for thousands.
// Chain is what has to be restored for a backup, and Judge puts in words what keeps it from being whole. Find is the backup
// that a person means.
//
// # What is believed
//
// Whoever can write there chooses what lies there. So only what an opened manifest says is believed, and names count only if
// they have the form of ours. A folder that could not be looked into is an error; one that holds no backup, or one whose manifest is
// in cold storage or damaged, is an answer.
//
// What an object said when it was opened before may be remembered (memory.go), for those who only show it.
//
// # The Python tool's
//
// Its backups are one message in pieces, and have no manifest. Names and sizes alone are here (python.go, piece.go): what they
// tell has the form of a manifest, of which most is empty, and is believed by nobody until the message was opened to its end.
//
// # Caveat
//
// What was genuine once stays genuine: that a newer backup was taken away, a catalog can't see. Misses holds one against what
// a database knows.
package catalog
