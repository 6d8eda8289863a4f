package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"zfs2cloud/cmd/sandbox/internal/outage"
	"zfs2cloud/cmd/sandbox/internal/vm"
)

// VMCutCmd lets a guest live as often as its power is cut, and once more.
type VMCutCmd struct {
	Cuts int    `default:"8" help:"How many times; each moment in turn (${default} is each once)."`
	Seed uint64 `default:"1" help:"Decides whether a cut comes before, during or after what its moment is named for."`
}

// Run does that.
func (c VMCutCmd) Run(ctx context.Context) error {
	if c.Cuts < 1 {
		return errors.New("--cuts: at least one")
	}
	g, err := layGuest(ctx, vm.NBDKit)
	if err != nil {
		return err
	}
	_, err = g.cuts(ctx, c.Cuts, c.Seed)
	return g.end(err)
}

// cuts has one guest live after the other, on the same disks. It returns how many cuts it came through.
func (g *guest) cuts(ctx context.Context, cuts int, seed uint64) (through int, err error) {
	began := time.Now()
	l := life{guest: g, repeated: newRepeated()}
	for _, cut := range outage.Plan(cuts, seed) {
		l.End = cut
		if err := l.live(ctx); err != nil {
			return max(0, l.Number-1), err
		}
		l.Ended = cut
		l.Number++
		if cut.Late {
			l.Days += outage.MonthLater
		}
	}
	l.Last = true
	if err := l.live(ctx); err != nil {
		return l.Number - 1, err
	}
	line("cuts", fmt.Sprintf("%d, seed %d; the pool has no error", cuts, seed), took(time.Since(began)))
	return cuts, nil
}

// plug serves the disks: one for state, chunk files and what the hooks write, one for the pool, one for the remote.
func (g *guest) plug(ctx context.Context) (disks []*vm.Disk, err error) {
	for _, name := range []string{"data", "pool", "remote"} {
		d, err := vm.Plug(ctx, g.host, filepath.Join(g.dir, name), 1<<30)
		if err != nil {
			return nil, errors.Join(err, unplug(disks))
		}
		disks = append(disks, d)
	}
	return disks, nil
}

func unplug(disks []*vm.Disk) error {
	var errs []error
	for _, d := range disks {
		errs = append(errs, d.Cut())
	}
	return errors.Join(errs...)
}
