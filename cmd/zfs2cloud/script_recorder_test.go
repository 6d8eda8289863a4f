package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/state/durable"
)

// A recorder stands in the place of rclone, zfs, zpool or gpg: `recorder DIR ARGS…` writes ARGS to DIR/log, a line
// a call, and becomes the real program, whose name is that of DIR. Its environment goes to DIR/environ. Before that it looks for a fault in DIR/fault,
// "HOW WORD N": the N-th call from now with the argument WORD
//
//	kill    ends the program that called with SIGKILL, instead of doing anything
//	after   does its work, well or not, and then ends the program that called with SIGKILL
//	term    asks the program that called to stop, and hangs until it is ended
//	hang    writes DIR/hanging, and goes on when DIR/go is there
//	fail    does nothing, and exits 1
//	exit5   does nothing, and exits 5, or any other number
//	die     does nothing, and ends itself with SIGKILL
//
// If N is "always", each call from now on fails.
//
// Its line in the log then begins with HOW in brackets. What words there are beside arguments, see is.
func recorder() {
	r := recording{dir: os.Args[1], program: filepath.Base(os.Args[1]), args: os.Args[2:]}
	how, err := r.record()
	if err != nil {
		r.exit(err)
	}
	switch how {
	case "kill":
		endCaller(unix.SIGKILL)
	case "term":
		endCaller(unix.SIGTERM)
	case "fail":
		r.exit(fmt.Errorf("told to fail"))
	case "hang":
		r.hang()
	case "die":
		unix.Kill(os.Getpid(), unix.SIGKILL)
	case "after":
		if err := r.run(); err != nil {
			r.exit(err)
		}
		endCaller(unix.SIGKILL)
	}
	if status, ok := strings.CutPrefix(how, "exit"); ok {
		n, err := strconv.Atoi(status)
		if err != nil {
			r.exit(err)
		}
		fmt.Fprintf(os.Stderr, "%s-recorder: told to exit\n", r.program)
		os.Exit(n)
	}
	r.exit(r.become())
}

type recording struct {
	dir, program string
	args         []string
}

func (r recording) exit(err error) {
	fmt.Fprintf(os.Stderr, "%s-recorder: %v\n", r.program, err)
	os.Exit(1)
}

// record writes the call down, and finds out whether it is the one with the fault. Calls may come at once.
func (r recording) record() (how string, err error) {
	log, err := os.OpenFile(filepath.Join(r.dir, "log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	defer log.Close()
	if err := unix.Flock(int(log.Fd()), unix.LOCK_EX); err != nil {
		return "", err
	}
	if how, err = r.fault(); err != nil {
		return "", err
	}
	if err := r.environment(); err != nil {
		return how, err
	}
	line := strings.Join(r.args, " ")
	if how != "" {
		line = "[" + how + "] " + line
	}
	_, err = fmt.Fprintln(log, line)
	if err == nil && r.program == "rclone" && r.is("arrives") && (how == "" || how == "after") {
		err = r.arrives()
	}
	return how, err
}

// environment adds what the call was given beside its arguments to DIR/environ.
func (r recording) environment() error {
	f, err := os.OpenFile(filepath.Join(r.dir, "environ"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, strings.Join(os.Environ(), "\n"))
	return errors.Join(err, f.Close())
}

// arrives writes down which process has a chunk get its final name, for the audit.
func (r recording) arrives() error {
	f, err := os.OpenFile(filepath.Join(r.dir, "arrivals"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, os.Getppid(), filepath.Base(r.args[len(r.args)-1]))
	return errors.Join(err, f.Close())
}

func (r recording) fault() (how string, err error) {
	file := filepath.Join(r.dir, "fault")
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return "", nil
	}
	fields := strings.Fields(string(text))
	if err != nil || len(fields) != 3 || !r.is(fields[1]) {
		return "", err
	}
	if fields[2] == "always" {
		return fields[0], nil
	}
	n, err := strconv.Atoi(fields[2])
	if err != nil {
		return "", err
	}
	if n > 1 {
		return "", os.WriteFile(file, fmt.Appendf(nil, "%s %s %d", fields[0], fields[1], n-1), 0o600)
	}
	return fields[0], os.Remove(file)
}

// is tells whether a call is one that WORD means: an argument of it, "any", "sends" (a chunk), "arrives" (a chunk gets
// its final name), "indexes" (the index does) or "commits" (the manifest does).
func (r recording) is(word string) bool {
	last := ""
	if n := len(r.args); n > 0 {
		last = filepath.Base(r.args[n-1])
	}
	sends, final := slices.Contains(r.args, "copyto"), !durable.IsTemp(last)
	stores := sends || slices.Contains(r.args, "moveto")
	switch word {
	case "any":
		return true
	case "sends":
		return sends && strings.Contains(last, ".zfs.")
	case "arrives":
		return stores && final && strings.Contains(last, ".zfs.")
	case "indexes":
		return stores && final && manifest.IsIndex(last)
	case "commits":
		return stores && final && strings.HasPrefix(last, "manifest.")
	}
	return slices.Contains(r.args, word)
}

// endCaller sends the program that started us a signal, and waits to be ended with it, or by it.
func endCaller(signal unix.Signal) {
	unix.Kill(os.Getppid(), signal)
	for {
		unix.Pause()
	}
}

func (r recording) hang() {
	if err := os.WriteFile(filepath.Join(r.dir, "hanging"), nil, 0o600); err != nil {
		r.exit(err)
	}
	for !exists(filepath.Join(r.dir, "go")) {
		time.Sleep(10 * time.Millisecond)
	}
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// become turns this process into the real program.
func (r recording) become() error {
	path, err := exec.LookPath(r.program)
	if err != nil {
		return err
	}
	if r.program == "zfs" && (r.is("mount") || r.is("unmount")) {
		if err := r.alone(); err != nil {
			return err
		}
	}
	return unix.Exec(path, append([]string{r.program}, r.args...), os.Environ())
}

// alone waits until nobody else mounts or unmounts, and keeps others waiting until the program that this becomes ends.
func (r recording) alone() error {
	file, err := os.ReadFile(filepath.Join(r.dir, "alone"))
	if err != nil {
		return err
	}
	lock, err := unix.Open(string(file), unix.O_RDWR|unix.O_CREAT, 0o600) // without O_CLOEXEC
	if err != nil {
		return err
	}
	return unix.Flock(lock, unix.LOCK_EX)
}

// run is the real program as a child, with all descriptors that were meant for it.
func (r recording) run() error {
	path, err := exec.LookPath(r.program)
	if err != nil {
		return err
	}
	files, err := inherited()
	if err != nil {
		return err
	}
	child, err := os.StartProcess(path, append([]string{r.program}, r.args...), &os.ProcAttr{Env: os.Environ(), Files: files})
	if err != nil {
		return err
	}
	_, err = child.Wait()
	return err
}

// inherited are the descriptors that our caller handed to us, at their numbers.
func inherited() (files []*os.File, err error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			return nil, err
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue // our own, or the one with which the folder was read
		}
		for len(files) <= fd {
			files = append(files, nil)
		}
		files[fd] = os.NewFile(uintptr(fd), "inherited")
	}
	return files, nil
}
