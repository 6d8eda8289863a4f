// Package fuse keeps zfs-fuse 0.7 from waiting for ever.
package fuse

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/mounts"
)

// stuckFor is how long zfs-fuse waits in a read, at least, before it is taken for stuck.
const stuckFor = 500 * time.Millisecond

var once sync.Once

// Unstick has a goroutine look after zfs-fuse for as long as this process lives. Each time it helped, it tells LOG.
//
// The daemon's listener polls the descriptors of all mounts, then reads, under a lock, from one that had something to
// read. A signal to who asked takes that away again between the two: a killed process its question, and any signal, such
// as those by which Go's scheduler interrupts a thread, the notice that it came (fuse_dev_do_read and
// request_wait_answer in Linux's fs/fuse/dev.c). The read then waits for the next question about that very file system,
// and all of ZFS with it. So that is asked.
func Unstick(log io.Writer) {
	once.Do(func() {
		go func() {
			var before []string
			for range time.Tick(stuckFor) {
				now := reading()
				if slices.ContainsFunc(now, func(thread string) bool { return slices.Contains(before, thread) }) {
					fmt.Fprintln(log, "zfs-fuse waits for a question that was withdrawn, and is asked another")
					ask()
				}
				before = now
			}
		}()
	})
}

// reading are the threads of zfs-fuse that wait in a read from the kernel. One that is idle waits in a poll.
func reading() (threads []string) {
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, name := range names {
		if comm, _ := os.ReadFile(name); string(comm) != "zfs-fuse\n" {
			continue
		}
		daemon := filepath.Dir(name)
		calls, _ := filepath.Glob(filepath.Join(daemon, "task/*/syscall"))
		for _, file := range calls {
			call, _ := os.ReadFile(file) // proc(5): "running", or number and arguments of the system call that it waits in
			var number, fd int
			if _, err := fmt.Sscanf(string(call), "%d 0x%x", &number, &fd); err != nil || number != unix.SYS_READ {
				continue
			}
			if to, _ := os.Readlink(fmt.Sprintf("%s/fd/%d", daemon, fd)); to == "/dev/fuse" {
				threads = append(threads, file)
			}
		}
	}
	return threads
}

var asking sync.Map // devices that have not answered yet

// ask asks about each of its file systems how full it is, which the kernel never answers by itself: by device, since a
// path may lead through one that is stuck, and a descriptor would keep others from unmounting it.
func ask() {
	const ustat = 136 // ustat(2) on amd64; others have none
	if runtime.GOARCH != "amd64" {
		return
	}
	all, _ := mounts.All()
	for _, m := range all {
		var major, minor uint32
		if _, err := fmt.Sscanf(m.Device, "%d:%d", &major, &minor); err != nil || m.Type != "fuse.zfs" {
			continue
		}
		if _, waits := asking.LoadOrStore(m.Device, true); waits {
			continue
		}
		go func() {
			defer asking.Delete(m.Device)
			var answer [32]byte
			unix.Syscall(ustat, uintptr(uint32(unix.Mkdev(major, minor))), uintptr(unsafe.Pointer(&answer)), 0)
		}()
	}
}
