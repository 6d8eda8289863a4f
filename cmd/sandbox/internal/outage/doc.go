// Package outage is what happens in a guest whose power is cut again and again.
//
// Each life of the guest begins on the disks that the one before left: what was not flushed is gone. It looks whether
// the state database is sound and whether status tells the truth, resumes the run that was cut off, holds what it
// finds against what must always hold, changes the data, and starts the next run, which goes on to the moment at
// which the power is to be cut. There the guest says so, and the machine around it cuts. The last life restores every
// backup of all of them, compares, and scrubs the pool.
//
// A moment is a call of zfs, gpg or rclone, or a hook: a wrapper stands in for each (at.sh). The power goes before
// the call does anything, so that an intent is on disk without its effect; after it, and before zfs2cloud hears of
// that, so that the effect is there without its result; or while it works.
//
// The remote is a file system of its own, mounted so that each write is flushed: it stands for another machine,
// whose power is not cut. The pool, and the file system with state and chunk files, have no such help.
package outage
