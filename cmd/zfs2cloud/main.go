// Command zfs2cloud backs ZFS datasets up to the cloud, in runs that any crash only interrupts.
package main

import (
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/proc"
)

func main() { os.Exit(realMain(os.Args[1:], newApp())) }

// harden keeps what is in our memory out of core dumps and of other processes, and descriptors that our
// caller left open out of our children.
func harden() error {
	if err := proc.CloseInherited(); err != nil {
		return err
	}
	keepOwnRights()
	debug.SetTraceback("single")
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil {
		return err
	}
	core.Cur = 0 // the soft limit only: hooks get back what they had
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &core); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

// keepOwnRights takes the owner's bits out of the umask. With them in it, what we make for ourselves and our children
// we could not open, unless we are root, and on many a network disk not even then. What is for the user alone is made
// so, whatever the umask says of others.
func keepOwnRights() {
	const owner = 0o700
	unix.Umask(unix.Umask(owner) &^ owner)
}
