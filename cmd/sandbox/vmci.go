package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"zfs2cloud/cmd/sandbox/internal/events"
	"zfs2cloud/cmd/sandbox/internal/outage"
	"zfs2cloud/cmd/sandbox/internal/vm"
)

// VMCICmd runs what is tried in a virtual machine each time. The demo is not among it, since the cuts back up, resume,
// restore and compare as well. The last line is "N passed, N failed, N skipped"; nothing is
// skipped: where no machine can be made, all has failed.
type VMCICmd struct {
	Most time.Duration `default:"25m" help:"What has not ended by then has failed."`
}

// Run runs it.
func (c VMCICmd) Run(ctx context.Context) error {
	began := time.Now()
	ctx, stop := context.WithTimeoutCause(ctx, c.Most, fmt.Errorf("not ended after %s", took(c.Most)))
	defer stop()
	var counts events.Counts
	g, err := layGuest(ctx, vm.NBDKit)
	if err != nil {
		fail(&counts, "virtual machine", 1+outage.Moments, err)
	} else {
		err = g.end(g.all(ctx, &counts))
	}
	report(counts)
	fmt.Printf("\nin %s\n%s\n", took(time.Since(began)), counts)
	if err != nil || len(counts.Failed) > 0 {
		fmt.Fprintln(os.Stderr, err)
		return errSaid
	}
	return nil
}

// all runs one after the other, also when one fails. Its error says only that something did.
func (g *guest) all(ctx context.Context, counts *events.Counts) error {
	if err := g.prove(ctx); err != nil {
		fail(counts, "vm proof", 1, err)
	} else {
		counts.Passed++
	}
	through, err := g.cuts(ctx, outage.Moments, 1)
	counts.Passed += through
	if err != nil {
		fail(counts, "vm cut", outage.Moments-through, err)
	}
	if n := len(counts.Failed); n > 0 {
		return fmt.Errorf("%d failed in the virtual machine", n)
	}
	return nil
}

// fail counts as many failures as there would have been tests.
func fail(counts *events.Counts, what string, tests int, err error) {
	fmt.Println("FAIL", what+":", err)
	for n := range max(1, tests) {
		test := events.Test{Package: what, Name: fmt.Sprint(n + 1), Output: err.Error()}
		if n > 0 {
			test.Output = "not come to"
		}
		counts.Failed = append(counts.Failed, test)
	}
}
