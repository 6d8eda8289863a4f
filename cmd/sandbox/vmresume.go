package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"zfs2cloud/cmd/sandbox/internal/vm"
)

// VMResumeCmd kills restores in a guest, and has them go on.
type VMResumeCmd struct {
	Kind string `arg:"" optional:"" help:"Only these: plain, begun-again, index-lost, index-altered, given-up, locked, single-file, format-1, large, properties, raw, volume, script."`
}

//go:embed vmresume.sh
var resumeScript string

// halves is how many trials vmresume.sh has.
var halves = strings.Count(resumeScript, ") try ")

// Run tries all kinds in one life of a guest.
func (c VMResumeCmd) Run(ctx context.Context) error {
	g, err := layGuest(ctx)
	if err != nil {
		return err
	}
	return g.end(g.halves(ctx, c.Kind))
}

func (g *guest) halves(ctx context.Context, kind string) error {
	ctx, off := context.WithTimeout(ctx, shapesTime)
	defer off()
	began := time.Now()
	passed := 0
	var failed error
	hear := vm.Lines(func(text string) {
		if said, ok := strings.CutPrefix(text, "resume passed: "); ok {
			passed++
			line("restore", said, "")
		}
		if said, ok := strings.CutPrefix(text, "resume failed: "); ok {
			kind, why, _ := strings.Cut(said, " ")
			line("restore", kind+": FAILED", "")
			failed = errors.Join(failed, fmt.Errorf("%s: %s", kind, why))
		}
	})
	status, err := g.live(ctx, vm.Life{Script: fmt.Sprintf("WORD=%q\n%s", kind, resumeScript), Output: io.MultiWriter(g.log, hear)})
	if err == nil && status != 0 {
		err = fmt.Errorf("exit status %d", status)
	}
	if err = errors.Join(failed, err); err == nil && (passed == 0 || kind == "" && passed != halves) {
		err = fmt.Errorf("%d of %d passed", passed, halves)
	}
	if err == nil {
		line("restores", fmt.Sprintf("%d, each killed in the middle of a stream: they went on there, or began again where they could not, and are what was backed up", passed), took(time.Since(began)))
	}
	return err
}
