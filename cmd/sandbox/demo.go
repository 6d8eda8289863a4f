package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/units"
	"zfs2cloud/cmd/sandbox/internal/apt"
	"zfs2cloud/cmd/sandbox/internal/pool"
)

// DemoCmd shows, on real ZFS, that a run survives SIGKILL and that what it backed up can be restored.
type DemoCmd struct {
	Program
	Keep  bool `help:"Leave everything as it is, for a look (down removes it)."`
	Small bool `help:"A sixteenth of the data in three chunks, for where gpg takes seconds for each."`
}

// Sparse; three copies of the data come to lie in it beside the data.
const demoDisk = 2 << 30

// Run is the whole demo.
func (c *DemoCmd) Run(ctx context.Context) error {
	began := time.Now()
	fmt.Println("A throwaway pool, a backup killed and resumed, two restores: about 2 minutes.")
	g, err := lay(ctx, pool.Options{Base: pool.Base, Size: demoDisk, Stays: c.Keep}, apt.ZFS, apt.Rclone, apt.GnuPG)
	if err != nil {
		return err
	}
	err = c.show(ctx, g)
	if c.Keep {
		fmt.Printf("  kept      %s; removed by: go run ./cmd/sandbox down\n", g.Dir)
	} else if clearing := g.clear(ctx); clearing != nil {
		err = errors.Join(err, clearing)
	} else {
		line("clean up", "pool and files gone; packages stay", "")
	}
	if err != nil {
		fmt.Printf("demo failed after %s\n", took(time.Since(began)))
		return g.failed(err)
	}
	fmt.Printf("demo passed in %s. Your own data next: zfs2cloud check (README, \"First config\")\n", took(time.Since(began)))
	return g.passed()
}

// demo is the state of the demo between its scenes.
type demo struct {
	*product
	scale
	data data

	survivors   map[string]identity // whole chunks on the remote when the run was killed
	callsBefore int                 // calls of rclone until then

	full, incremental moment
}

// show plays the scenes.
func (c *DemoCmd) show(ctx context.Context, g *ground) error {
	d := &demo{scale: whole}
	if c.Small {
		if d.scale = sixteenth; !g.Mounts() {
			return errors.New("--small: what can't be mounted comes from a prepared stream, which has one size")
		}
	}
	d.data = newData(g, d.share)
	var err error
	if d.product, err = c.install(ctx, g, d.scale.split); err != nil {
		return err
	}
	return playAll(ctx, []act{
		{"data", d.data.fill},
		{"run", d.killed},
		{"status", d.interrupted},
		{"resume", d.resumed},
		{"run", d.changed},
		{"restore", d.restored},
		{"restore", d.byTheLetter},
		{"restore", d.byTheScript},
		{"compare", d.equal},
	})
}

// act is a part of a demo. What it says is a line's text.
type act struct {
	name string
	play func(context.Context) (string, error)
}

// playAll plays one act after the other, with a line for each.
func playAll(ctx context.Context, acts []act) error {
	for _, s := range acts {
		began := time.Now()
		text, err := s.play(ctx)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		line(s.name, text, took(time.Since(began)))
	}
	return nil
}

// scale is how much there is of everything.
type scale struct {
	share   int    // of the data
	split   int64  // a chunk
	victim  string // the number of the chunk in whose upload the run is killed
	bwlimit string // in MiB/s: a chunk takes 0.7 s
}

var (
	whole     = scale{share: 1, split: split, victim: "000005", bwlimit: "24M"}
	sixteenth = scale{share: 16, split: 6 << 20, victim: "000001", bwlimit: "9M"}
)

// killed starts the first backup and kills it with SIGKILL while the victim is half on the remote.
func (d *demo) killed(ctx context.Context) (string, error) {
	if err := d.limit(d.bwlimit); err != nil {
		return "", err
	}
	child, err := d.start(ctx, "-v", "run")
	if err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		select {
		case err := <-ended:
			return "", fmt.Errorf("the run ended before chunk %s was uploading: %v", d.victim, err)
		case <-time.After(5 * time.Millisecond):
		}
		there, err := look(d.remote)
		if err != nil {
			return "", err
		}
		if there.arriving(d.victim, d.scale.split) {
			break
		}
	}
	if err := unix.Kill(child.Process.Pid, unix.SIGKILL); err != nil {
		return "", err
	}
	<-ended
	return d.survey()
}

// survey takes down what the killed run left on the remote.
func (d *demo) survey() (string, error) {
	spool, err := look(d.spool)
	if err != nil {
		return "", err
	}
	remote, err := look(d.remote)
	if err != nil {
		return "", err
	}
	d.survivors = remote.whole(spool)
	if _, d.callsBefore, err = uploads(d.calls, 0); err != nil {
		return "", err
	}
	if !remote.arriving(d.victim, d.scale.split) {
		return "", errors.New("killed too late: the chunk was there")
	}
	return fmt.Sprintf("full backup; SIGKILL while chunk %d of %d was uploading", len(d.survivors)+1, spool.chunks()), nil
}

// interrupted holds status against what lies there.
func (d *demo) interrupted(ctx context.Context) (string, error) {
	s, err := d.status(ctx)
	if err != nil {
		return "", err
	}
	r := s.Runs[0]
	if r.State != "interrupted" || r.Alive || !r.Resumable {
		return "", fmt.Errorf("run %s is %s, alive %v, resumable %v", r.ID, r.State, r.Alive, r.Resumable)
	}
	// The last one may be there and not be checked yet.
	if up := r.Chunks.Uploaded; up > len(d.survivors) || up < len(d.survivors)-1 {
		return "", fmt.Errorf("%d chunks uploaded, but %d are there", up, len(d.survivors))
	}
	return fmt.Sprintf("%s in %s, %d of %d chunks there", r.State, r.Step, r.Chunks.Uploaded, r.Chunks.Sealed), nil
}

// resumed resumes the run and proves that what was there is still the same files.
func (d *demo) resumed(ctx context.Context) (string, error) {
	if err := d.limit(""); err != nil {
		return "", err
	}
	if err := d.do(ctx, "-v", "resume"); err != nil {
		return "", err
	}
	again, _, err := uploads(d.calls, d.callsBefore)
	if err != nil {
		return "", err
	}
	remote, err := look(d.remote)
	if err != nil {
		return "", err
	}
	now := remote.whole(remote)
	for name, was := range d.survivors {
		if again[name] || now[name] != was {
			return "", fmt.Errorf("%s was uploaded again", name)
		}
	}
	s, err := d.status(ctx)
	if err != nil {
		return "", err
	}
	b, err := s.committed(false)
	if err != nil {
		return "", err
	}
	if s.Runs[0].State != "succeeded" || b.Chunks != len(now) {
		return "", fmt.Errorf("run is %s, with %d chunks of %d on the remote", s.Runs[0].State, len(now), b.Chunks)
	}
	d.full = moment{0, b.stamp()}
	return fmt.Sprintf("%d chunks not touched, %d finished", len(d.survivors), len(now)-len(d.survivors)), nil
}

// changed changes the data and backs it up again.
func (d *demo) changed(ctx context.Context) (string, error) {
	text, err := d.data.change(ctx, d.full.stamp)
	if err != nil {
		return "", err
	}
	if err := d.do(ctx, "-v", "run"); err != nil {
		return "", err
	}
	s, err := d.status(ctx)
	if err != nil {
		return "", err
	}
	b, err := s.committed(true)
	if err != nil {
		return "", err
	}
	d.incremental = moment{1, b.stamp()}
	return fmt.Sprintf("%s: incremental, %s", text, units.Size(b.Bytes)), nil
}

// restored restores each backup into a dataset of its own.
func (d *demo) restored(ctx context.Context) (string, error) {
	if err := d.home(ctx, "restored"); err != nil {
		return "", err
	}
	for _, r := range []struct{ backup, name string }{
		{d.full.stamp + "-full", "full"},
		{d.incremental.stamp, "incremental"},
	} {
		if err := d.do(ctx, "-v", "restore", "-y", "--backup", r.backup, d.Name+"/restored/"+r.name); err != nil {
			return "", err
		}
	}
	return "full and incremental into new datasets", nil
}

// home makes a dataset for restored ones to lie in, with a place to be mounted at.
func (d *demo) home(ctx context.Context, name string) error {
	args := []string{"zfs", "create", "-o", "mountpoint=none", d.Name + "/" + name}
	if d.Mounts() {
		args[3] = "mountpoint=" + filepath.Join(d.Dir, name)
	}
	_, err := d.host.Run(ctx, args...)
	return err
}

// equal compares everything that was restored with what was backed up.
func (d *demo) equal(ctx context.Context) (string, error) {
	for dataset, m := range map[string]moment{
		"restored/full":        d.full,
		"restored/incremental": d.incremental,
		"letter/data":          d.incremental,
		"script/data":          d.incremental,
	} {
		if err := d.data.same(ctx, d.Name+"/"+dataset, m); err != nil {
			return "", err
		}
	}
	return d.data.compared() + ": equal", nil
}
