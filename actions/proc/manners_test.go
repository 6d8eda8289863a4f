package proc

import (
	"testing"

	"zfs2cloud/workflow"
)

// A program gives way as it was told; a hook, which starts the application, does not.
func TestManners(t *testing.T) {
	t.Parallel()
	const ask = "nice; ionice -p $$"
	for want, m := range map[string]Manners{
		"7\nbest-effort: prio 6\n": {Nice: 7, IO: IOBestEffort(6)},
		"0\nidle\n":                {IO: IOIdle},
	} {
		w := &World{Manners: m}
		out, err := Output(t.Context(), w, workflow.Spec{Argv: []string{"sh", "-c", ask}})
		if err != nil || string(out) != want {
			t.Errorf("a program: %q, %v; not %q", out, err, want)
		}
		file := hookFile(t)
		hook, err := w.Start(t.Context(), workflow.Spec{Hook: true, Stdout: file, Argv: []string{script(t, ask)}})
		must(t, err)
		must(t, hook.Release())
		must(t, hook.Wait())
		if got := readFile(t, file.Name()); got != "0\nnone: prio 0\n" {
			t.Errorf("a hook: %q", got)
		}
	}
}
