package main

import (
	"fmt"
	"io"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// printRun prints one run with every step and every chunk.
func (s *sight) printRun(w io.Writer) error {
	r := s.runs[0]
	b := s.runBlock(r)
	if name := snapshotName(r); name != "" {
		b.before(row{label: "snapshot", text: safe(name)})
	}
	backup, known := s.backup(r)
	if known {
		b.before(row{label: "backup", text: fmt.Sprintf("%s, %s: %s", backup.Name, backup.State, safe(backup.Reason))})
	}
	for _, n := range r.Notes {
		b.before(row{label: "note", text: safe(n)})
	}
	if err := b.print(w, styleOf(w, s.app.Env.Getenv)); err != nil {
		return err
	}
	if err := s.printSteps(w, r); err != nil || len(s.chunks) == 0 {
		return err
	}
	return printChunks(w, s.chunks)
}

func (s *sight) printSteps(w io.Writer, r state.Run) error {
	t := table(w)
	fmt.Fprintf(t, "\nSTEP\tSTATE\tSTARTS\tBEGAN\tTOOK\t\n")
	for _, step := range r.Steps {
		if step.Implied && !workflow.StepMachine.In(step.State, workflow.StepRunning, workflow.StepFailed) {
			continue
		}
		began, took, said := "-", "-", safe(step.Detail)
		if step.Started != nil {
			began = local(s.now, *step.Started, toTheSecond)
		}
		if step.Started != nil && step.Ended != nil && step.Starts == 1 {
			took = duration(step.Ended.Sub(*step.Started))
		}
		if step.Error != "" {
			said = safe(oneLine(step.Error))
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\n", safe(step.Shown), step.State, step.Starts, began, took, said)
	}
	return t.Flush()
}

func printChunks(w io.Writer, chunks []state.Chunk) error {
	t := table(w)
	fmt.Fprintf(t, "\nCHUNK\tSTATE\tSIZE\tFILE\n")
	for _, c := range chunks {
		name, bytes := safe(c.Name), "-"
		if c.Gen > 1 {
			name += fmt.Sprintf("  generation %d", c.Gen)
		}
		if c.Size > 0 {
			bytes = size(c.Size)
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", c.N, c.State, bytes, name)
	}
	return t.Flush()
}
