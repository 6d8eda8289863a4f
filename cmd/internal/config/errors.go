package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Problem is one thing that is wrong. Which fields are empty depends on what is known.
type Problem struct {
	Line    int // 0: nothing in the file, such as a key that is missing
	Section string
	Key     string
	Value   string // as the file has it; never a secret's
	Text    string // what is wrong
	Hint    string // what would be right
	Next    string // a command that sets it right
}

// Errors is all that is wrong with a config file.
type Errors struct {
	Path     string
	Problems []Problem
}

// Error is the block that a person reads: a line of count, then two for each problem.
func (e *Errors) Error() string {
	noun := "errors"
	if len(e.Problems) == 1 {
		noun = "error"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d %s", printable(e.Path), len(e.Problems), noun)
	width := 0
	for _, p := range e.Problems {
		width = max(width, len(p.place()))
	}
	for _, p := range e.Problems {
		text := p.Text
		if p.Hint != "" {
			text += "; " + p.Hint
		}
		if name := p.name(); name != "" {
			fmt.Fprintf(&b, "\n  %-*s%s\n  %*s%s", width, p.place(), name, width, "", text)
		} else {
			fmt.Fprintf(&b, "\n  %-*s%s", width, p.place(), text)
		}
	}
	for _, next := range e.next() {
		fmt.Fprintf(&b, "\nNext: %s", next)
	}
	return b.String()
}

// next lists the commands of the problems, each once.
func (e *Errors) next() []string {
	var all []string
	for _, p := range e.Problems {
		if p.Next != "" && !slices.Contains(all, p.Next) {
			all = append(all, p.Next)
		}
	}
	return all
}

func (p Problem) place() string {
	if p.Line == 0 {
		return ""
	}
	return fmt.Sprintf("line %d  ", p.Line)
}

func (p Problem) name() string {
	var parts []string
	if p.Section != "" {
		parts = append(parts, "["+printable(p.Section)+"]")
	}
	if p.Key != "" {
		parts = append(parts, printable(p.Key))
	}
	if p.Value != "" {
		parts = append(parts, "=", printable(firstLine(p.Value)))
	}
	return strings.Join(parts, " ")
}

func firstLine(s string) string {
	first, _, more := strings.Cut(s, "\n")
	if more {
		return first + " …"
	}
	return first
}

// printable makes text of the file harmless on a terminal.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

// sortProblems orders them as the file does, what is missing in it last.
func sortProblems(ps []Problem) {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Compare(a.Line, b.Line)
	})
}
