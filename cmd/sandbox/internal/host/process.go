package host

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process names a process beyond doubt: numbers are used again, a number together with the tick at
// which its process began, and the boot in which it did, is not.
type Process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
	Boot  string `json:"boot"`
}

// Self is this process.
func Self() Process {
	pid := os.Getpid()
	start, _ := startOf(pid)
	return Process{PID: pid, Start: start, Boot: boot()}
}

// Alive says whether that very process still runs. A zombie does not.
func (p Process) Alive() bool {
	start, ok := startOf(p.PID)
	return ok && start == p.Start && p.Boot == boot()
}

func boot() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}

// startOf reads field 22 of /proc/PID/stat: proc(5). The second field, the name, may hold blanks and
// parentheses, so fields are counted from the last parenthesis on.
func startOf(pid int) (uint64, bool) {
	if pid <= 0 {
		return 0, false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return 0, false
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	return start, err == nil
}

// CommandLine is the argv of a process, or nil if there is none of that number, or one whose exec has not yet
// come as far as its arguments.
func CommandLine(pid int) []string {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil || len(line) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
}

// UsersOf names the processes that have a file below dir open or work in a folder there. A pool's daemon,
// which has the pool's file open, does not count.
func UsersOf(dir string) []string {
	var users []string
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		comm, _ := os.ReadFile(process + "/comm")
		name := strings.TrimSpace(string(comm))
		if name != "zfs-fuse" && uses(process, dir) {
			users = append(users, fmt.Sprintf("%s (pid %s)", name, filepath.Base(process)))
		}
	}
	return users
}

func uses(process, dir string) bool {
	files, _ := filepath.Glob(process + "/fd/*")
	for _, file := range append(files, process+"/cwd") {
		target, err := os.Readlink(file)
		if err == nil && (target == dir || strings.HasPrefix(target, dir+"/")) {
			return true
		}
	}
	return false
}
