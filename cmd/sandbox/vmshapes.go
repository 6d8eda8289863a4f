package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"zfs2cloud/cmd/sandbox/internal/events"
	"zfs2cloud/cmd/sandbox/internal/shapes"
	"zfs2cloud/cmd/sandbox/internal/vm"
)

// ShapesCmd is the guest's part of vm shapes.
type ShapesCmd struct {
	Word string `arg:"" optional:"" help:"Only those with this word in their names."`
}

// Run tries them.
func (c ShapesCmd) Run(ctx context.Context) error { return shapes.Live(ctx, os.Stdout, c.Word) }

// VMShapesCmd tries datasets of all shapes. The last line is "N passed, N failed, N skipped".
type VMShapesCmd struct {
	Word string `arg:"" optional:"" help:"Only those with this word in their names."`
}

// shapesTime is for all of them, which take four minutes where nothing else is at work.
const shapesTime = 40 * time.Minute

// Run tries them in one life of a guest.
func (c VMShapesCmd) Run(ctx context.Context) error {
	g, err := layGuest(ctx)
	if err != nil {
		return err
	}
	var counts events.Counts
	err = g.end(g.shapes(ctx, c.Word, &counts))
	report(counts)
	fmt.Printf("\n%s\n", counts)
	return err
}

// shapes has each shape counted. An error says that some failed, or that not all were tried.
func (g *guest) shapes(ctx context.Context, word string, counts *events.Counts) error {
	ctx, off := context.WithTimeoutCause(ctx, shapesTime, fmt.Errorf("not ended after %s", shapesTime))
	defer off()
	began := time.Now()
	passed, failed := 0, 0
	hear := vm.Lines(func(text string) {
		if name, ok := strings.CutPrefix(text, shapes.Passed); ok {
			passed++
			name, said, _ := strings.Cut(name, " ")
			line("shape", name+": "+said, "")
		}
		if name, ok := strings.CutPrefix(text, shapes.Failed); ok {
			failed++
			name, why, _ := strings.Cut(name, " ")
			line("shape", name+": FAILED", "")
			counts.Failed = append(counts.Failed, events.Test{Package: "vm shapes", Name: name, Output: why})
		}
	})
	status, err := g.live(ctx, vm.Life{Script: "exec ./sandbox shapes " + word, Output: io.MultiWriter(g.log, hear)})
	counts.Passed += passed
	if err == nil && status != 0 {
		err = fmt.Errorf("exit status %d", status)
	}
	switch {
	case err != nil || passed+failed == 0 || word == "" && passed+failed != shapes.Count:
		err = errors.Join(err, fmt.Errorf("%d of %d shapes were tried", passed+failed, shapes.Count))
		fail(counts, "vm shapes", shapes.Count-passed-failed, err)
	case failed > 0:
		err = fmt.Errorf("%d shapes failed", failed)
	default:
		line("shapes", fmt.Sprintf("%d, each in full and incrementally, restored and compared", passed), took(time.Since(began)))
	}
	return err
}
