package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"zfs2cloud/cmd/sandbox/internal/vm"
)

// VMCutCmd cuts the power in the middle of a run's upload, and finishes the run after the next boot.
type VMCutCmd struct{}

//go:embed cut_before.sh
var cutBefore string

//go:embed cut_after.sh
var cutAfter string

// cutMoment is what the first script says when the power is to go.
const cutMoment = "the moment has come"

// Run lets one guest live until the cut, and another after it, on the same two disks.
func (VMCutCmd) Run(ctx context.Context) error {
	g, err := layGuest(ctx, vm.NBDKit)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := errors.Join(g.cut(ctx), g.clear()); err != nil {
		return g.failed(err)
	}
	line("cut", "resumed after the next boot, restored and compared", took(time.Since(began)))
	return g.passed()
}

func (g *guest) cut(ctx context.Context) error {
	if err := g.untilCut(ctx); err != nil {
		return err
	}
	disks, err := g.plug(ctx)
	if err != nil {
		return err
	}
	status, err := g.image.Run(ctx, g.host, vm.Life{Script: cutAfter, Output: os.Stdout, Disks: disks})
	if err = errors.Join(err, unplug(disks)); err == nil && status != 0 {
		err = fmt.Errorf("after the cut: exit status %d", status)
	}
	return err
}

// untilCut is the first life, which has no good end.
func (g *guest) untilCut(ctx context.Context) error {
	disks, err := g.plug(ctx)
	if err != nil {
		return err
	}
	ctx, off := context.WithCancel(ctx)
	defer off()
	seen := false
	var cut error
	watch := vm.Watch(cutMoment, func() {
		seen = true
		cut = unplug(disks)
		off()
	})
	life := vm.Life{
		Files:  map[string]string{"zfs2cloud": filepath.Join(g.dir, "zfs2cloud")},
		Script: cutBefore,
		Output: io.MultiWriter(os.Stdout, watch),
		Disks:  disks,
	}
	status, err := g.image.Run(ctx, g.host, life)
	if !seen {
		return errors.Join(fmt.Errorf("the run ended before the power was cut, exit status %d: %w", status, err), unplug(disks))
	}
	return cut
}

// plug serves the two disks: one for an ext4 with state, spool and remote, and one for a pool.
func (g *guest) plug(ctx context.Context) (disks []*vm.Disk, err error) {
	for _, name := range []string{"ext4", "pool"} {
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
