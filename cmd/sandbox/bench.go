package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/remote/remotetest"
	"zfs2cloud/cmd/sandbox/internal/apt"
	"zfs2cloud/cmd/sandbox/internal/host"
	"zfs2cloud/cmd/sandbox/internal/pool"
)

// BenchCmd measures zfs2cloud against what people have, on the same data, in turn.
type BenchCmd struct {
	Program
	Size   int64    `default:"256" placeholder:"MIB" help:"How much data, in MiB (${default})."`
	Data   string   `default:"noise" enum:"noise,small,changed" help:"noise: 16 files that nothing compresses. small: text in files of 16 KiB. changed: noise, of which 2 % changed since a first backup (${default})."`
	Split  int64    `default:"64" placeholder:"MIB" help:"Size of a chunk, in MiB (${default})."`
	Rate   int64    `default:"40" placeholder:"MIB" help:"MiB a second where something is limited (${default})."`
	Rounds int      `default:"3" help:"How often each is measured (${default})."`
	Scenes []string `default:"disk,s3,both,link" enum:"disk,s3,both,link,slow,webdav" help:"What is measured (${default})."`
	Kill   []int    `default:"10,50,90" placeholder:"PERCENT" help:"How much is there when a run is killed, to be resumed (${default})."`
	Growth []int64  `placeholder:"MIB" help:"Measure these sizes, too, in the first scene: how time grows."`
	SVG    string   `name:"svg" placeholder:"FILE" help:"Draw the growth."`
	Restic bool     `help:"Measure restic too."`
	Trace  bool     `help:"Have zfs2cloud log each program that it starts, and keep the log. This costs a little."`
	JSON   string   `name:"json" placeholder:"FILE" help:"Write every single figure to a file."`
}

// roundTrip is the time from a question to its answer over the limited link.
const roundTrip = 30 * time.Millisecond

// bench is what all measurements share.
type bench struct {
	*product
	*BenchCmd
	self     string // this program, which is its own throttle
	data     string // the dataset that is backed up
	root     string // where that is mounted
	snapshot string // of it
	base     string // the one before the data changed, or none
	mounted  string // where restic finds the data
	server   *webdav
	s3       *remotetest.S3
	attempts int
	fills    int
	snaps    int
}

// Run measures, and prints tables.
func (c *BenchCmd) Run(ctx context.Context) error {
	if c.Size < 1 || c.Split < 1 || c.Rate < 1 || c.Rounds < 1 || len(c.Growth) > 0 && slices.Min(c.Growth) < 1 {
		return errors.New("sizes, rate and rounds are 1 or more")
	}
	if c.SVG != "" && len(c.Growth) < 2 {
		return errors.New("a drawing takes two sizes of --growth or more")
	}
	all := c.Size // MiB
	for _, size := range c.Growth {
		all += size
	}
	needs := []apt.Need{apt.ZFS, apt.Rclone, apt.GnuPG}
	if c.Restic {
		needs = append(needs, apt.Restic)
	}
	machine := describe()
	g, err := lay(ctx, pool.Options{Base: pool.Base, Size: 2*all<<20 + 1<<30}, needs...)
	if err != nil {
		return err
	}
	err = c.measure(ctx, g, machine)
	if err = errors.Join(err, g.clear(ctx)); err != nil {
		return g.failed(err)
	}
	if c.Trace {
		fmt.Printf("\nlog: %s\n", g.log.Name())
		return g.log.Close()
	}
	return g.passed()
}

func (c *BenchCmd) measure(ctx context.Context, g *ground, machine string) (err error) {
	b := &bench{BenchCmd: c}
	if b.product, err = c.install(ctx, g, split); err != nil {
		return err
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if err := b.fill(ctx, c.Size<<20); err != nil {
		return err
	}
	if b.server, err = serve(ctx, g); err != nil {
		return err
	}
	defer b.server.stop()
	if b.s3, err = serveS3(g); err != nil {
		return err
	}
	defer b.s3.Close()
	report := benchReport{Machine: machine, Data: b.dataText(c.Size << 20), Split: c.Split << 20}
	for _, s := range b.scenes() {
		began := time.Now()
		m, err := b.play(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		line(s.Name, fmt.Sprintf("measured %d times each", c.Rounds), took(time.Since(began)))
		report.Scenes = append(report.Scenes, m)
	}
	if len(c.Growth) > 0 {
		if report.Growth, err = b.grow(ctx, b.scenes()[0]); err != nil {
			return fmt.Errorf("growth: %w", err)
		}
	}
	report.Load = load()
	report.print(os.Stdout)
	return errors.Join(report.store(c.JSON), report.Growth.draw(c.SVG))
}

// settle has what was written before reach the disk, so that nobody pays for another's writes.
func (b *bench) settle() { unix.Sync() }

// zfs is a call of zfs whose sends are limited.
func (b *bench) zfs(rate int64, args ...string) host.Command {
	return host.Command{Argv: append(throttled(b.self, rate), args...)}
}
