package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/remote/remotetest"
	"zfs2cloud/cmd/sandbox/internal/apt"
	"zfs2cloud/cmd/sandbox/internal/host"
	"zfs2cloud/cmd/sandbox/internal/pool"
	"zfs2cloud/cmd/sandbox/internal/tree"
)

// BenchCmd measures zfs2cloud against what people have, on the same data, in turn.
type BenchCmd struct {
	Program
	Size   int64    `default:"256" placeholder:"MIB" help:"How much data, in MiB (${default})."`
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
	snapshot string // of it
	mounted  string // where restic finds the data
	server   *webdav
	s3       *remotetest.S3
	attempts int
	fills    int
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
	if b.product, err = c.install(ctx, g); err != nil {
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
	report := benchReport{Machine: machine, Size: c.Size << 20, Split: c.Split << 20}
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

// fill makes the data: noise, which nothing compresses, so that every way moves the same number of bytes.
func (b *bench) fill(ctx context.Context, size int64) error {
	if !b.Mounts() {
		return errors.New("the benchmark fills a file system, and none can be mounted here")
	}
	began := time.Now()
	b.fills++
	name := fmt.Sprintf("data%d", b.fills)
	root := filepath.Join(b.Dir, name)
	b.data = b.Name + "/" + name
	if _, err := b.host.Run(ctx, "zfs", "create", "-o", "mountpoint="+root, b.data); err != nil {
		return err
	}
	if err := noise(root, size); err != nil {
		return err
	}
	b.snapshot = b.data + "@bench"
	if _, err := b.host.Run(ctx, "zfs", "snapshot", b.snapshot); err != nil {
		return err
	}
	line("data", bytes(size)+" of noise in 16 files", took(time.Since(began)))
	if !b.Restic {
		return nil
	}
	b.mounted = root + "-mounted"
	_, err := b.host.Run(ctx, "zfs", "clone", "-o", "mountpoint="+b.mounted, b.snapshot, b.data+"-mounted")
	return err
}

func noise(root string, size int64) error {
	source := tree.Source(4)
	p := make([]byte, 1<<20)
	for n := range int64(16) {
		f, err := os.Create(filepath.Join(root, fmt.Sprintf("noise%02d", n)))
		if err != nil {
			return err
		}
		for left := size/16 + size%16*(n/15); left > 0; left -= int64(len(p)) {
			p = p[:min(left, int64(len(p)))]
			source.Read(p)
			if _, err := f.Write(p); err != nil {
				return errors.Join(err, f.Close())
			}
		}
		p = p[:cap(p)]
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// settle has what was written before reach the disk, so that nobody pays for another's writes.
func (b *bench) settle() { unix.Sync() }

// zfs is a call of zfs whose sends are limited.
func (b *bench) zfs(rate int64, args ...string) host.Command {
	return host.Command{Argv: append(throttled(b.self, rate), args...)}
}
