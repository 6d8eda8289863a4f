package main

import (
	"errors"
	"fmt"
	"io"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// StatusCmd answers at a glance: is anything running or stuck, since when and where exactly; what is the last
// good backup, and is it late; what to type next. It answers within a second at any moment, and needs neither
// a config nor ZFS nor the network: status_see.go looks, status_judge.go makes out what it means,
// status_words.go and status_json.go tell it.
type StatusCmd struct {
	ID    string `arg:"" optional:"" name:"run" help:"Only this run, with every step and chunk."`
	JSON  bool   `help:"Print one JSON document."`
	Graph bool   `help:"Draw the state machines, as Mermaid diagrams in Markdown."`
}

// Run prints the answer. It is an error only if there is none.
func (c *StatusCmd) Run(a *App) error {
	if c.Graph {
		return drawMachines(a.Out)
	}
	s := a.see(c.ID)
	if c.ID != "" && s.err == nil && len(s.runs) == 0 {
		return &refusal{Err: fmt.Errorf("there is no run %q", c.ID), Next: a.again("status")}
	}
	var err error
	switch {
	case c.JSON:
		err = s.printJSON(a.Out)
	case c.ID != "" && s.err == nil:
		err = s.printRun(a.Out)
	default:
		err = s.printWords(a.Out)
	}
	switch {
	case err != nil || s.answers():
		return err
	case c.JSON:
		return s.err
	}
	return &reported{Err: s.err} // what was printed says it
}

// answers tells whether anything could be said: if the database can't be read, then only what the fixed
// folder shows. That of a damaged one is never enough.
func (s *sight) answers() bool {
	return s.err == nil || errors.Is(s.err, state.ErrBusy) && s.shown()
}

// drawMachines draws every machine, each under its name.
func drawMachines(w io.Writer) error {
	for i, m := range workflow.Machines() {
		blank := "\n"
		if i == 0 {
			blank = ""
		}
		if _, err := fmt.Fprintf(w, "%s## %s\n\n```mermaid\n%s```\n", blank, m.Name(), m.Mermaid()); err != nil {
			return err
		}
	}
	return nil
}
