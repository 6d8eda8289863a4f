package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"zfs2cloud/actions/units"
	"zfs2cloud/cmd/sandbox/internal/vm"
)

// VMBenchCmd measures, on OpenZFS, what it takes to finish a run that was killed: where its send is continued, where all is sent
// again and what was sealed is proved, and from the start.
type VMBenchCmd struct {
	Sizes    []int         `default:"300,1000" placeholder:"MIB" help:"How much data, in MiB, in chunks of a tenth of it (${default})."`
	Percents []int         `default:"10,50,90" placeholder:"PERCENT" help:"How much of it is at the remote when a run is killed, in tens (${default})."`
	Time     time.Duration `default:"90m" help:"How long all of it may take (${default})."`
}

//go:embed vmbench.sh
var benchScript string

// Run measures in one life of a guest, one after the other.
func (c VMBenchCmd) Run(ctx context.Context) error {
	for _, p := range c.Percents {
		if p < 10 || p > 90 || p%10 != 0 {
			return fmt.Errorf("--percents: %d is not 10, 20 and so on to 90", p)
		}
	}
	g, err := layGuest(ctx, vm.NBDKit)
	if err != nil {
		return err
	}
	return g.end(g.bench(ctx, c))
}

func (g *guest) bench(ctx context.Context, c VMBenchCmd) error {
	ctx, off := context.WithTimeoutCause(ctx, c.Time, fmt.Errorf("not ended after %s", c.Time))
	defer off()
	largest := int64(slices.Max(c.Sizes)) << 20
	disk, err := vm.Plug(ctx, g.host, filepath.Join(g.dir, "pool"), largest+largest/8+300<<20)
	if err != nil {
		return err
	}
	var rows benchedRows
	script := fmt.Sprintf("SIZES=%q PERCENTS=%q\n%s", words(c.Sizes), words(c.Percents), benchScript)
	hear := vm.Lines(func(text string) {
		if row, ok := rows.hear(text); ok {
			line("resume", row, "")
		}
	})
	status, err := g.live(ctx, vm.Life{Script: script, Output: io.MultiWriter(g.log, hear), Disks: []*vm.Disk{disk}})
	err = errors.Join(err, disk.Cut())
	if err == nil && status != 0 {
		err = fmt.Errorf("exit status %d", status)
	}
	if want := len(c.Sizes) * len(c.Percents); err == nil && rows.whole != want {
		err = fmt.Errorf("%d of %d rows", rows.whole, want)
	}
	return err
}

func words(numbers []int) string { return strings.Trim(fmt.Sprint(numbers), "[]") }

// benched is what one way took.
type benched struct {
	took time.Duration
	read int64 // bytes, from the pool's disk
}

func (b benched) String() string { return fmt.Sprintf("%s, %s read", took(b.took), units.Size(b.read)) }

// benchedRows puts together what the guest says of one size and percentage.
type benchedRows struct {
	begun, continued benched
	whole            int
}

// hear takes a line of the guest, and gives a row once all of it was said.
func (r *benchedRows) hear(text string) (row string, ok bool) {
	var mib, percent int64
	var way string
	var b benched
	if _, err := fmt.Sscanf(text, "bench %d %d %s %d %d", &mib, &percent, &way, &b.took, &b.read); err != nil {
		return "", false
	}
	switch way {
	case "begun":
		r.begun = b
	case "continued":
		r.continued = b
	case "replayed":
		r.whole++
		c := r.continued
		return fmt.Sprintf("%s, killed at %d %%: continued %s; replayed %s; begun again %s; continued to replayed %.2f, to begun again %.2f",
			units.Size(mib<<20), percent, c, b, r.begun, c.took.Seconds()/b.took.Seconds(), c.took.Seconds()/r.begun.took.Seconds()), true
	}
	return "", false
}
