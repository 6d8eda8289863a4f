package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// printer is a form of check's answer.
type printer interface {
	row(finding)
	end(checkSum) error
}

// checkSum is what all rows together come to.
type checkSum struct {
	errors, warnings int
	backup           *nextBackup
	secret           bool // a passphrase is in use
	stored           bool // a backup is committed
	locked, atWork   bool // so a run would be turned away now
	again            func(string) string
}

func (s *checkSum) add(f finding) {
	if f.Name == "lock" {
		s.locked = s.locked || f.State == isWarning
		s.atWork = s.atWork || f.State == isOK
	}
	switch f.State {
	case isError:
		s.errors++
	case isWarning:
		s.warnings++
	}
}

// failed is the exit status, with a line for those who do not see our output.
func (c *checkup) failed(s checkSum) error {
	if s.errors == 0 {
		return nil
	}
	err := &reported{Err: &refusal{Err: errors.New("check: " + counted(s.errors, "error"))}}
	if !isTerminal(c.app.Out) {
		err.Text = "zfs2cloud: " + err.Err.Error()
	}
	return err
}

// checkTable prints a row as soon as it is known, so that whoever waits sees for what.
type checkTable struct {
	out   io.Writer
	style style
}

const checkIndent = 18

func (t *checkTable) row(f finding) {
	if f.Name == "next" && f.State == isOK {
		return // the last lines say it
	}
	lines := append(textLines(f.Text), textLines(f.Do)...)
	for i, l := range lines {
		if i == 0 {
			fmt.Fprintf(t.out, "%s%-9s%s\n", t.style.word(f.State.mood(), fmt.Sprintf("%-9s", f.State)), f.Name, l)
		} else {
			fmt.Fprintf(t.out, "%*s%s\n", checkIndent, "", l)
		}
	}
}

// textLines makes foreign text harmless, and keeps its lines.
func textLines(text string) (lines []string) {
	for l := range strings.SplitSeq(text, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, safe(l))
		}
	}
	return lines
}

func (t *checkTable) end(s checkSum) error {
	line := s.count() + "."
	if s.backup != nil {
		line += " " + s.backup.sentence()
	}
	fmt.Fprintln(t.out, line)
	if s.secret {
		fmt.Fprintln(t.out, "KEEP THE PASSPHRASE ELSEWHERE TOO: without it no backup can be read.")
		if s.stored {
			fmt.Fprintln(t.out, "What else is needed stands on a page: "+t.style.command(s.again("recovery-sheet")))
		}
	}
	next := t.style.command(s.again("run"))
	switch {
	case s.errors > 0:
		next = "set the errors right, then: " + t.style.command(s.again("check"))
	case s.locked:
		next = "when it may run again: " + t.style.command(s.again("unlock"))
	case s.atWork:
		next = t.style.command(s.again("status"))
	}
	_, err := fmt.Fprintln(t.out, "Next: "+next)
	return err
}

func (s *checkSum) count() string {
	var parts []string
	if s.errors > 0 {
		parts = append(parts, counted(s.errors, "error"))
	}
	if s.warnings > 0 {
		parts = append(parts, counted(s.warnings, "warning"))
	}
	if len(parts) == 0 {
		return "All is well"
	}
	return strings.Join(parts, ", ")
}

func (b nextBackup) sentence() string {
	which := "Next"
	if b.first {
		which = "First"
	}
	return which + " backup: " + b.text() + "."
}

func (b nextBackup) text() string {
	if !b.full {
		return "incremental, " + b.reason
	}
	return fmt.Sprintf("full, ~%s, because %s", size(b.size), b.reason)
}

// checkJSON gathers the rows into one document.
type checkJSON struct {
	out  io.Writer
	rows []finding
}

func (j *checkJSON) row(f finding) { j.rows = append(j.rows, f) }

func (j *checkJSON) end(checkSum) error {
	e := json.NewEncoder(j.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Version int       `json:"version"`
		Checks  []finding `json:"checks"`
	}{1, j.rows})
}
