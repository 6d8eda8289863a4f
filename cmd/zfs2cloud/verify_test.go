package main

import (
	"io"
	"slices"
	"strings"
	"testing"

	"zfs2cloud/actions"
	"zfs2cloud/cmd/internal/config"
)

// The levels are the same for who types them, in a sequence, and to the step.
func TestLevels(t *testing.T) {
	var levels []string
	for _, l := range actions.Levels {
		levels = append(levels, string(l))
	}
	for _, s := range config.BuiltinSteps {
		if s.Name == actions.StepVerify && !slices.Equal(s.Words, levels) {
			t.Errorf("a sequence has %v, the step %v", s.Words, levels)
		}
	}
	var cli CLI
	parser, err := newParser(&cli, &App{Out: io.Discard, Err: io.Discard}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range parser.Model.Children {
		for _, f := range n.Flags {
			if n.Name == actions.StepVerify && f.Name == "level" && (f.Enum != strings.Join(levels, ",") || f.Default != string(actions.DefaultLevel)) {
				t.Errorf("the command has %s (%s), the step %v (%s)", f.Enum, f.Default, levels, actions.DefaultLevel)
			}
		}
	}
}
