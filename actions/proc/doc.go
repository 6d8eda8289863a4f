// Package proc is the only place that starts child processes. It has the real workflow.World.
//
// # Ordinary children
//
// zfs, gpg and rclone work for us and must not outlive us. Each has a process group of its own, gets
// SIGTERM and a few seconds later SIGKILL when its context ends, and SIGKILL from the kernel when we die.
// That last signal is tied to the thread that forked, not to the process (prctl(2), PR_SET_PDEATHSIG), so
// one goroutine, locked to a thread that never ends, starts all children. It does not reach
// grandchildren, nor what a set-user-id program such as sudo becomes. Therefore ordinary children also
// inherit the file World.Kids, on which the caller holds an open-file-description lock: whoever outlived
// a dead run still holds it, and Sweep finds and ends them. (Not those that may leave an agent behind: Spec.Leaves.)
//
// Their environment is built, never inherited. Their stderr is always drained, and its end kept for the
// error. What copies their output is ours; Wait doesn't hang on it when a grandchild keeps a pipe open.
//
// # Hooks
//
// A hook is a script of the user's, and what it starts is the application. It dies with nobody: no
// parent-death signal, no descriptor of ours, its output in a file. It is over when its own process is.
//
// It starts behind a gate: a shell that waits for a line on its standard input and then becomes the script,
// under the same pid. So its identity can be put on record before it does anything. If we die before the
// gate opens, the shell reads end of file and exits without having run the script.
//
// # Identity
//
// Process numbers are used again. A workflow.ProcessID tells a process from all others, and a pidfd pins
// it while it is looked at. Nothing is signalled by a remembered number alone.
//
// # Caveats
//
//   - A signal that we ignore is ignored by children too. Use signal.Notify, never signal.Ignore.
//   - Descriptors that our own parent left open reach the children unless CloseInherited ran first.
//   - Wait waits for a Stdout writer that blocks, however long: such a writer heeds the context itself. For a
//     Stdin reader that blocks it does not wait.
//   - Hooks get back the soft limit on core files. Lower the soft limit only: who isn't root can't raise the
//     hard one again.
//   - The gate's shell is /bin/sh. Variables whose names are no shell names (BASH_FUNC_f%%) are dropped by
//     dash on the way to the script, and PWD is set.
//   - pidfd_open needs Linux 5.3.
package proc
