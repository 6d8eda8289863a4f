package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"zfs2cloud/cmd/sandbox/internal/outage"
	"zfs2cloud/cmd/sandbox/internal/vm"
)

// VMCutCmd lets three guests live side by side, each as often as its power is cut, and once more.
type VMCutCmd struct {
	Cuts int    `default:"14" help:"How many times, by turns in three guests; each moment in turn (${default} is each once)."`
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

// cuts has guests live side by side, one life after the other, each on disks of its own: an emulated one keeps no more than
// one processor at work. It returns how many cuts they came through.
func (g *guest) cuts(ctx context.Context, cuts int, seed uint64) (through int, err error) {
	began := time.Now()
	plan := outage.Plan(cuts, seed)
	var chains [len(plan)]struct {
		through int
		err     error
	}
	var all sync.WaitGroup
	for i, cuts := range plan {
		if len(cuts) == 0 {
			continue
		}
		all.Go(func() {
			l := life{guest: g, name: string(rune('a' + i)), repeated: newRepeated()}
			l.Plain, l.Files = i == outage.Plain, i == outage.Files
			chains[i].through, chains[i].err = l.chain(ctx, cuts)
		})
	}
	all.Wait()
	for _, c := range chains {
		through += c.through
		err = errors.Join(err, c.err)
	}
	if err == nil {
		line("cuts", fmt.Sprintf("%d, seed %d; the pools have no error", cuts, seed), took(time.Since(began)))
	}
	return through, err
}

// chain lives from cut to cut, and once more. It returns how many of them it came through.
func (l *life) chain(ctx context.Context, cuts []outage.Cut) (through int, err error) {
	for _, cut := range cuts {
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
	return l.Number, nil
}

// plug serves the disks: one for state, chunk files and what the hooks write, one for the pool, one for the remote.
func (l *life) plug(ctx context.Context) (disks []*vm.Disk, err error) {
	for _, name := range []string{"data", "pool", "remote"} {
		d, err := vm.Plug(ctx, l.host, filepath.Join(l.dir, name+"-"+l.name), 1<<30)
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
