package meter

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// resident is the sum of the resident sets of some processes and all their descendants.
func resident(roots map[int]bool) int64 {
	if len(roots) == 0 {
		return 0
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	parents, sizes := map[int]int{}, map[int]int64{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if parent, pages, ok := stat(pid); ok {
			parents[pid], sizes[pid] = parent, pages*pageSize
		}
	}
	var sum int64
	for pid, size := range sizes {
		if descends(pid, roots, parents) {
			sum += size
		}
	}
	return sum
}

func descends(pid int, roots map[int]bool, parents map[int]int) bool {
	for ; pid > 1; pid = parents[pid] {
		if roots[pid] {
			return true
		}
	}
	return false
}

// stat reads fields 4 and 24 of /proc/PID/stat: proc(5). The second, the name, may hold blanks and
// parentheses, so fields are counted from the last parenthesis on.
func stat(pid int) (parent int, pages int64, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, false
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 22 {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(fields[1])
	if err != nil {
		return 0, 0, false
	}
	pages, err = strconv.ParseInt(fields[21], 10, 64)
	return parent, pages, err == nil
}

// highWater is the peak of a process's resident set, which the kernel keeps; 0 if it is gone.
func highWater(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}
