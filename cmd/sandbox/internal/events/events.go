// Package events counts what go test -json says.
//
// Counted are the tests at the leaves: one with subtests is what its subtests are, unless it fails by
// itself. A package that fails though none of its tests did (it does not build, or its process died)
// counts as one failure, and so does each test that was begun and never ended.
package events

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// event is a line of go test -json: go doc test2json, and go help buildjson for those of the build.
type event struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

// Test is a test that did not pass.
type Test struct {
	Package string
	Name    string // empty: the package itself
	Output  string // of a failed one
	Reason  string // of a skipped one
}

// Why is the end of what a failed test said, without go test's own lines: at most that many, and no long ones. Of a
// script it is what led to the line at which it failed; what its programs said when they were ended comes behind that.
func (t Test) Why(lines int) []string {
	said := ownLines(strings.ReplaceAll(t.Output, "\r", "\n"))
	if i := slices.IndexFunc(said, func(line string) bool { return strings.HasPrefix(line, "FAIL: ") }); i >= 0 {
		said = said[:i+1]
	}
	said = slices.Clone(said[max(0, len(said)-lines):])
	for i, line := range said {
		if r := []rune(line); len(r) > longLine {
			said[i] = string(r[:longLine]) + "…"
		}
	}
	return said
}

// longLine is how much of a line is shown, in characters, where the whole is elsewhere.
const longLine = 240

func (t Test) String() string {
	if t.Name == "" {
		return t.Package
	}
	return t.Package + " " + t.Name
}

// Counts is what came of all tests.
type Counts struct {
	Passed  int
	Failed  []Test
	Skipped []Test
}

// Add adds what is counted elsewhere.
func (c *Counts) Add(o Counts) {
	c.Passed += o.Passed
	c.Failed = append(c.Failed, o.Failed...)
	c.Skipped = append(c.Skipped, o.Skipped...)
}

// String is the line that a run of tests ends with.
func (c Counts) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.Passed, len(c.Failed), len(c.Skipped))
}

// Read reads the events to their end and prints a line for each package that is done, and what failed
// tests said, as it comes.
func Read(from io.Reader, progress io.Writer) (Counts, error) {
	r := reader{packages: map[string]*pack{}, builds: map[string]*strings.Builder{}, progress: progress}
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			r.line(line)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return r.total, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.packages)) {
		r.end(name, event{Action: "fail"}) // its end never came
	}
	return r.total, nil
}

type reader struct {
	packages map[string]*pack
	builds   map[string]*strings.Builder
	progress io.Writer
	total    Counts
}

// pack is a package at work.
type pack struct {
	tests  map[string]*test
	order  []string
	output strings.Builder
}

type test struct {
	action  string // run, pass, fail, skip
	parent  bool
	failing bool // a subtest failed
	output  strings.Builder
}

func (r *reader) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		fmt.Fprintf(r.progress, "%s", line) // not of the tests: go itself
		return
	}
	switch {
	case e.Action == "build-output":
		r.build(e.ImportPath).WriteString(e.Output)
	case e.Action == "build-fail":
	case e.Test != "":
		r.pack(e.Package).event(e)
	case e.Action == "output":
		r.pack(e.Package).output.WriteString(e.Output)
	case e.Action == "pass" || e.Action == "fail" || e.Action == "skip":
		r.pack(e.Package)
		r.end(e.Package, e)
	}
}

func (r *reader) build(path string) *strings.Builder {
	if r.builds[path] == nil {
		r.builds[path] = &strings.Builder{}
	}
	return r.builds[path]
}

func (r *reader) pack(name string) *pack {
	if r.packages[name] == nil {
		r.packages[name] = &pack{tests: map[string]*test{}}
	}
	return r.packages[name]
}

func (p *pack) event(e event) {
	t := p.tests[e.Test]
	if t == nil {
		t = &test{action: "run"}
		p.tests[e.Test] = t
		p.order = append(p.order, e.Test)
		if parent := p.tests[parentOf(e.Test)]; parent != nil {
			parent.parent = true
		}
	}
	switch e.Action {
	case "output":
		t.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		t.action = e.Action
		if parent := p.tests[parentOf(e.Test)]; e.Action == "fail" && parent != nil {
			parent.failing = true
		}
	}
}

func parentOf(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i]
	}
	return ""
}

// end counts a package's tests and prints its line.
func (r *reader) end(name string, e event) {
	p := r.packages[name]
	delete(r.packages, name)
	var c Counts
	for _, n := range p.order {
		p.tests[n].count(&c, Test{Package: name, Name: n})
	}
	if e.Action == "fail" && len(c.Failed) == 0 {
		output := p.output.String()
		if b := r.builds[e.FailedBuild]; b != nil {
			output = b.String() + output
		}
		c.Failed = append(c.Failed, Test{Package: name, Output: output})
	}
	r.total.Add(c)
	if len(p.order) == 0 && len(c.Failed) == 0 {
		return // has no tests
	}
	for _, f := range c.Failed {
		fmt.Fprintf(r.progress, "FAIL %s\n%s", f, indent(f.Output))
	}
	word := map[string]string{"pass": "ok", "skip": "ok"}[e.Action]
	if word == "" {
		word = "FAIL"
	}
	took := time.Duration(e.Elapsed * float64(time.Second)).Round(100 * time.Millisecond)
	fmt.Fprintf(r.progress, "%-4s %-48s %6s  %s\n", word, name, took, c)
}

func (t *test) count(c *Counts, named Test) {
	switch {
	case t.action == "run":
		named.Output = t.output.String() + "(never ended)\n"
		c.Failed = append(c.Failed, named)
	case t.action == "fail" && !t.failing:
		named.Output = t.output.String()
		c.Failed = append(c.Failed, named)
	case t.parent:
	case t.action == "skip":
		named.Reason = reason(t.output.String())
		c.Skipped = append(c.Skipped, named)
	case t.action == "pass":
		c.Passed++
	}
}

// reason is what a skipped test gave to t.Skip: the last line that is not go test's own, without the
// place in the source.
func reason(output string) string {
	said := ownLines(output)
	if len(said) == 0 {
		return "without a reason"
	}
	why := said[len(said)-1]
	if place, rest, ok := strings.Cut(why, ": "); ok && strings.Contains(place, ".go:") {
		return rest
	}
	return why
}

// ownLines are those of a test itself, not of go test about it.
func ownLines(output string) (said []string) {
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	return said
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("     " + line)
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		b.WriteByte('\n')
	}
	return b.String()
}
