package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var chunksFor = flag.Int("chunks", 1500, "of how many chunks the backup of the script many_chunks is")

// chunks: the config is to cut the dataset's stream, of 3 MB, in about as many chunks as the flag says.
func cmdChunks(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 0, "chunks")
	cmdConfig(ts, []string{"config.ini", "split_size=" + strconv.Itoa(max(3<<20 / *chunksFor, 1))})
}

// watch PIDFILE SHARE: looks at a run until it has made that share of all its chunks, or, if that is 1, until its
// process is gone. It fails where memory exceeds 64 MiB, and 4 KB a chunk for the manifest, and, from 10,000 chunks on, where a look at the
// status takes longer than a second or the last chunks take twice as much of the processor as the first.
func cmdWatch(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 2, "watch pidfile share")
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[0])))
	ts.Check(err)
	share, err := strconv.ParseFloat(args[1], 64)
	ts.Check(err)
	w := watched{ts: ts, pid: pid}
	if share == 1 {
		w.inManifest = *chunksFor
	}
	for w.look() && (share == 1 || w.last().sealed < int(share*float64(*chunksFor))) {
		pause := 20 * time.Millisecond // half way must not be missed
		if timed() {
			pause = max(50*time.Millisecond, 20*w.slowest) // the looks must not weigh
		}
		time.Sleep(pause)
	}
	w.judge()
}

// watched is a run at work, and what was seen of it.
type watched struct {
	ts      *testscript.TestScript
	pid     int
	slowest time.Duration // of the looks at the status
	seen    []glance
	// inManifest is of how many chunks the manifest was made, which is the only thing that grows with them; 0 before
	// that.
	inManifest int
}

// glance is what a run has done at a moment, and what it has used.
type glance struct {
	sealed, uploaded int
	cpu              time.Duration
	memory           int64 // bytes of its own, without what it maps of the database
}

func (w *watched) last() glance { return w.seen[len(w.seen)-1] }

// look is false when the process is gone.
func (w *watched) look() bool {
	began := time.Now()
	if err := w.ts.Exec("sh", "-c", "zfs2cloud status --json >seen.json"); err != nil {
		w.ts.Fatalf("status: %v: %s", err, w.ts.ReadFile("stderr"))
	}
	w.slowest = max(w.slowest, time.Since(began))
	var doc statusDocument
	w.ts.Check(json.Unmarshal([]byte(w.ts.ReadFile("seen.json")), &doc))
	g := glance{}
	if len(doc.Runs) > 0 {
		g.sealed, g.uploaded = doc.Runs[0].Chunks.Sealed, doc.Runs[0].Chunks.Uploaded
	}
	var ok bool
	if g.cpu, g.memory, ok = usedBy(w.pid); ok {
		w.seen = append(w.seen, g)
	}
	return ok
}

// usedBy is what a process has used, if it is at work: proc(5), stat and status.
func usedBy(pid int) (cpu time.Duration, memory int64, ok bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return 0, 0, false
	}
	_, behindName, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(behindName)
	if len(fields) < 13 || fields[0] == "Z" {
		return 0, 0, false
	}
	const perTick = time.Second / 100 // USER_HZ
	for _, field := range fields[11:13] {
		ticks, _ := strconv.ParseInt(field, 10, 64)
		cpu += time.Duration(ticks) * perTick
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return 0, 0, false
	}
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "RssAnon: %d kB", &memory); err == nil {
			return cpu, memory << 10, true
		}
	}
	return 0, 0, false
}

// timed: below that, and beside other tests, times say nothing.
func timed() bool { return *chunksFor >= 10_000 }

func (w *watched) judge() {
	if len(w.seen) < 4 {
		if timed() {
			w.ts.Fatalf("it was over after %d looks", len(w.seen))
		}
		return
	}
	first, last := w.seen[0], w.last()
	peak := int64(0)
	for _, g := range w.seen {
		peak = max(peak, g.memory)
	}
	n := len(w.seen)
	early, late := w.effort(0, n/4), w.effort(n-1-n/4, n-1)
	w.ts.Logf("chunks %d to %d: a chunk took %s of the processor in the first quarter of the looks, %s in the last; memory %d MB at most, in the middle %d; a look at the status %s at most",
		first.sealed, last.sealed, early, late, peak>>20, w.seen[n/2].memory>>20, w.slowest)
	switch {
	case timed() && w.slowest > time.Second:
		w.ts.Fatalf("a look at the status took %s", w.slowest)
	case timed() && late > 2*early:
		w.ts.Fatalf("a chunk took %s of the processor, and later %s", early, late)
	case peak > 64<<20+4096*int64(w.inManifest):
		w.ts.Fatalf("%d MB of memory for %d chunks", peak>>20, last.sealed)
	}
}

// effort is what a chunk took of the processor between two looks. Where a run was resumed, the first chunks bear the
// proof of those that were sealed before.
func (w *watched) effort(from, to int) time.Duration {
	a, b := w.seen[from], w.seen[to]
	return (b.cpu - a.cpu) / time.Duration(max(b.sealed-a.sealed, 1))
}
