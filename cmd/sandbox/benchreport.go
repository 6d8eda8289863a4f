package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"zfs2cloud/actions/units"
)

// report is everything that was measured.
type benchReport struct {
	Machine string      `json:"machine"`
	Load    string      `json:"load_after"`
	Data    string      `json:"data"`
	Split   int64       `json:"split_size"`
	Scenes  []*measured `json:"scenes"`
	Growth  *growth     `json:"growth,omitempty"`
}

func (r benchReport) store(file string) error {
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

func (r benchReport) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s; load after it: %s\n", r.Machine, r.Load)
	fmt.Fprintf(w, "%s; chunks of %s. Medians; ratios are ours to theirs, of the same round: median (least..most).\n", r.Data, units.Size(r.Split))
	for _, m := range r.Scenes {
		m.print(w)
	}
	r.Growth.print(w)
}

// figure is a row of the table.
type figure struct {
	name string
	of   func(result) float64
	text func(float64) string
}

var figures = []figure{
	{"wall", func(r result) float64 { return r.Wall.Seconds() }, seconds},
	{"processor", func(r result) float64 { return r.Processor.Seconds() }, seconds},
	{"memory, all", func(r result) float64 { return float64(r.Memory) }, size},
	{"memory, own", func(r result) float64 { return float64(r.OwnMemory) }, size},
	{"space", func(r result) float64 { return float64(r.Space) }, size},
	{"on the remote", func(r result) float64 { return float64(r.Remote) }, size},
}

func seconds(v float64) string { return fmt.Sprintf("%.2fs", v) }

func size(v float64) string {
	if v == 0 {
		return "-"
	}
	return units.Size(int64(v))
}

func (m *measured) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %s\n", m.Name, m.Text)
	ours, others := m.Results[m.Ways[0]], m.Ways[1:]
	head := fmt.Sprintf("  %-14s %10s", "", m.Ways[0])
	for _, name := range others {
		head += fmt.Sprintf(" %10s %-20s", name, "  ratio")
	}
	fmt.Fprintln(w, strings.TrimRight(head, " "))
	for _, f := range figures {
		row := fmt.Sprintf("  %-14s %10s", f.name, f.text(median(values(ours, f.of))))
		for _, name := range others {
			theirs := m.Results[name]
			row += fmt.Sprintf(" %10s   %-18s", f.text(median(values(theirs, f.of))), ratios(values(ours, f.of), values(theirs, f.of)))
		}
		fmt.Fprintln(w, strings.TrimRight(row, " "))
	}
	m.printStages(w)
	m.printResumes(w)
}

// printStages holds ours against the slowest of what must be done anyway, each alone.
func (m *measured) printStages(w io.Writer) {
	var slowest, export, copying []float64
	for i, r := range m.Results["serial"] {
		export = append(export, time.Duration(r.Stages["export"]).Seconds())
		copying = append(copying, time.Duration(r.Stages["copy"]).Seconds())
		slowest = append(slowest, max(copying[i], time.Duration(m.Alone[i]).Seconds()))
	}
	ours := values(m.Results["ours"], figures[0].of)
	fmt.Fprintf(w, "  alone: send %s, send|gpg|split %s, rclone copy %s; the slower of send and copy to ours: %s\n",
		seconds(median(durations(m.Alone))), seconds(median(export)), seconds(median(copying)), ratios(slowest, ours))
}

// printResumes holds each resume against the whole run of its round.
func (m *measured) printResumes(w io.Writer) {
	by := map[int][]resumed{}
	for _, r := range m.Resumes {
		by[r.Percent] = append(by[r.Percent], r)
	}
	for _, percent := range slices.Sorted(maps.Keys(by)) {
		var rest []float64
		for _, r := range by[percent] {
			rest = append(rest, r.Rest.Wall.Seconds())
		}
		r := by[percent][0]
		fmt.Fprintf(w, "  killed with %d of %d chunks there: resume %s, to starting over %s\n",
			r.Chunks, r.Of, seconds(median(rest)), ratios(rest, values(m.Results["ours"], figures[0].of)))
	}
}

func values(results []result, of func(result) float64) (v []float64) {
	for _, r := range results {
		v = append(v, of(r))
	}
	return v
}

func durations(ns []int64) (v []float64) {
	for _, n := range ns {
		v = append(v, time.Duration(n).Seconds())
	}
	return v
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// ratios are those of pairs from the same round.
func ratios(a, b []float64) string {
	var q []float64
	for i := range a {
		if a[i] == 0 || b[i] == 0 {
			return "-"
		}
		q = append(q, a[i]/b[i])
	}
	return fmt.Sprintf("%.2f (%.2f..%.2f)", median(q), slices.Min(q), slices.Max(q))
}

// describe is the machine, as far as it bears on speed, with what else it had to do before we began.
func describe() string {
	text := fmt.Sprintf("%d processors", runtime.NumCPU())
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			text += ", " + strings.TrimSpace(value)
			break
		}
	}
	if out, err := exec.Command("uname", "-r").Output(); err == nil {
		text += ", Linux " + strings.TrimSpace(string(out))
	}
	return text + ", load before it: " + load()
}

// load is the mean number of running processes over the last minute.
func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
