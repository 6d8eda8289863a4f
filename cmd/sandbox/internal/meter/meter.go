// Package meter measures what a row of programs takes: time, processor time, memory, space.
//
// Time and processor time are exact. The kernel adds up the processor time of a process and of all its
// descendants that were waited for, and whoever is at work here waits for its children. Memory and space are
// peaks of what was seen by looking ten times a second, so that what is shorter may be missed; memory of
// several processes is the sum of their resident sets, in which shared pages count once for each.
//
// A daemon that works for the programs, as zfs-fuse or the kernel does, is in none of it.
package meter

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// interval is that of looking. A look costs about 2 ms.
const interval = 100 * time.Millisecond

// Figures is what was measured.
type Figures struct {
	Wall      time.Duration `json:"wall_ns"`
	Processor time.Duration `json:"processor_ns"`
	Memory    int64         `json:"memory_bytes"`     // peak of all processes together
	OwnMemory int64         `json:"own_memory_bytes"` // peak of the one that was named as own
	Space     int64         `json:"space_bytes"`      // peak of the folder
}

// Meter is a measurement that goes on.
type Meter struct {
	dir   string
	began time.Time
	end   chan struct{}
	over  sync.WaitGroup

	mu    sync.Mutex
	roots map[int]bool
	own   int
	f     Figures
}

// Start begins to measure. DIR is the folder whose space counts; none if it is empty.
func Start(dir string) *Meter {
	m := &Meter{dir: dir, began: time.Now(), end: make(chan struct{}), roots: map[int]bool{}}
	m.over.Go(m.watch)
	return m
}

// Add counts a process that was started, and all its descendants.
func (m *Meter) Add(c *exec.Cmd) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roots[c.Process.Pid] = true
}

// Own counts a process as Add does, and its own memory as well.
func (m *Meter) Own(c *exec.Cmd) {
	m.Add(c)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.own = c.Process.Pid
}

// Ended takes the processor time of a process that was waited for.
func (m *Meter) Ended(c *exec.Cmd) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.roots, c.Process.Pid)
	if c.Process.Pid == m.own {
		m.own = 0
	}
	m.f.Processor += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
}

// Stop ends it.
func (m *Meter) Stop() Figures {
	wall := time.Since(m.began)
	close(m.end)
	m.over.Wait()
	m.look()
	m.f.Wall = wall
	return m.f
}

func (m *Meter) watch() {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		m.look()
		select {
		case <-m.end:
			return
		case <-tick.C:
		}
	}
}

func (m *Meter) look() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.f.Memory = max(m.f.Memory, resident(m.roots))
	if m.own != 0 {
		m.f.OwnMemory = max(m.f.OwnMemory, highWater(m.own))
	}
	if m.dir != "" {
		m.f.Space = max(m.f.Space, Space(m.dir))
	}
}

// Space is what the files below dir take on the disk. One that goes while we look is not counted.
func Space(dir string) int64 {
	var sum int64
	filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil
		}
		if info, err := e.Info(); err == nil {
			sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	return sum
}

// Length is how many bytes the files below dir have, and how many files there are.
func Length(dir string) (sum int64, files int, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			sum += info.Size()
			files++
		}
		return err
	})
	return sum, files, err
}

var pageSize = int64(os.Getpagesize())
