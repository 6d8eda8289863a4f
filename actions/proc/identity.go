package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/workflow"
)

// bootID names this boot of the kernel.
var bootID = sync.OnceValues(func() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
})

// Self is our own identity.
func Self() (workflow.ProcessID, error) { return IDOf(os.Getpid()) }

// IDOf names the process that has this number now. The error wraps fs.ErrNotExist if none has.
func IDOf(pid int) (workflow.ProcessID, error) {
	st, err := readStat(pid)
	if err != nil {
		return workflow.ProcessID{}, err
	}
	boot, err := bootID()
	if err != nil {
		return workflow.ProcessID{}, err
	}
	return workflow.ProcessID{PID: pid, Start: st.start, Boot: boot}, nil
}

// Alive tells whether that very process still runs. A zombie does not.
func Alive(id workflow.ProcessID) (bool, error) {
	boot, err := bootID()
	if err != nil {
		return false, err
	}
	if id.Boot != boot || id.PID <= 0 {
		return false, nil
	}
	st, err := readStat(id.PID)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return st.start == id.Start && st.state != 'Z' && st.state != 'X', nil
}

type stat struct {
	state byte
	group int
	start uint64
}

// readStat reads /proc/PID/stat: proc(5).
func readStat(pid int) (stat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, unix.ESRCH) { // it ended between open and read
		return stat{}, fmt.Errorf("process %d: %w", pid, fs.ErrNotExist)
	}
	if err != nil {
		return stat{}, err
	}
	return parseStat(b)
}

// parseStat cuts after the last ")": the name before it may hold anything, spaces and ")" too.
func parseStat(b []byte) (stat, error) {
	const state, group, start = 0, 2, 19 // fields 3, 5 and 22
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) <= start {
		return stat{}, fmt.Errorf("process status %q: too short", b)
	}
	g, err := strconv.Atoi(string(fields[group]))
	if err != nil {
		return stat{}, fmt.Errorf("process status: %w", err)
	}
	t, err := strconv.ParseUint(string(fields[start]), 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("process status: %w", err)
	}
	return stat{state: fields[state][0], group: g, start: t}, nil
}

// BootTime is when the kernel started, by today's setting of the clock: proc(5), btime.
func BootTime() (time.Time, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}, err
	}
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, "btime "); ok {
			sec, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			if err != nil {
				return time.Time{}, fmt.Errorf("boot time: %w", err)
			}
			return time.Unix(sec, 0), nil
		}
	}
	return time.Time{}, errors.New("boot time: no btime in /proc/stat")
}
