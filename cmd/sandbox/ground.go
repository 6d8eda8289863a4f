package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"zfs2cloud/actions/units"
	"zfs2cloud/cmd/sandbox/internal/apt"
	"zfs2cloud/cmd/sandbox/internal/host"
	"zfs2cloud/cmd/sandbox/internal/pool"
)

// ground is what every command of the sandbox stands on: programs installed, a pool, a log.
type ground struct {
	*pool.Sandbox
	host *host.Host
	log  *os.File
}

// lay prepares it. What it does is printed, since it may install packages on someone's machine.
func lay(ctx context.Context, o pool.Options, needs ...apt.Need) (*ground, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("run me as root: pools are made, and programs installed where they are missing")
	}
	g := &ground{host: &host.Host{}}
	if err := g.openLog(o.Base); err != nil {
		return nil, err
	}
	err := g.install(ctx, needs)
	if err == nil {
		err = g.makePool(ctx, o)
	}
	if err != nil {
		return nil, g.failed(err)
	}
	return g, nil
}

func (g *ground) openLog(base string) (err error) {
	if err := os.MkdirAll(base, 0o700); err != nil {
		return err
	}
	g.log, err = os.CreateTemp(base, "log-*.txt")
	g.host.Log = g.log
	return err
}

func (g *ground) install(ctx context.Context, needs []apt.Need) error {
	began := time.Now()
	packages := apt.Missing(ctx, g.host, needs...)
	if len(packages) == 0 {
		line("install", "nothing: all programs are there", "")
		return nil
	}
	if err := apt.Install(ctx, g.host, packages); err != nil {
		return err
	}
	line("install", strings.Join(packages, ", ")+" by apt", took(time.Since(began)))
	return nil
}

func (g *ground) makePool(ctx context.Context, o pool.Options) (err error) {
	began := time.Now()
	if g.Sandbox, err = pool.Open(ctx, g.host, o); err != nil {
		return err
	}
	g.host.Home = filepath.Join(g.Dir, "home")
	if err := os.Mkdir(g.host.Home, 0o700); err != nil {
		return errors.Join(err, g.clear(ctx))
	}
	for _, name := range g.Cleared {
		line("clean up", name+", left by a sandbox that was killed", "")
	}
	line("pool", fmt.Sprintf("%s on a %s file", g.Name, units.Size(o.Size)), took(time.Since(began)))
	if !g.Mounts() {
		line("", "file systems can't be mounted here: data comes by zfs receive,", "")
		line("", "and is compared by zfs send", "")
	}
	return nil
}

// clear removes everything but packages and the log.
func (g *ground) clear(ctx context.Context) error {
	kept, err := g.Close(ctx)
	if len(kept) > 0 {
		line("", "zfs-fuse goes on, for the pools "+strings.Join(kept, ", "), "")
	}
	return err
}

// failed says where the log is, which stays.
func (g *ground) failed(err error) error {
	return fmt.Errorf("%w\nAll commands and what they said: %s", err, g.log.Name())
}

// passed removes the log.
func (g *ground) passed() error {
	return errors.Join(g.log.Close(), os.Remove(g.log.Name()))
}

// sub makes a folder of the sandbox's and returns its path.
func (g *ground) sub(name string) (string, error) {
	dir := filepath.Join(g.Dir, name)
	return dir, os.MkdirAll(dir, 0o700)
}

// through runs a program whose output is read as it comes.
func (g *ground) through(ctx context.Context, c host.Command, read func(io.Reader) error) error {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := read(r)
		r.CloseWithError(err) // the program's writes fail from here on
		done <- err
	}()
	c.Stdout = w
	err := g.host.Do(ctx, c)
	w.CloseWithError(err)
	return errors.Join(<-done, err)
}

// from runs a program whose input is written as it goes.
func (g *ground) from(ctx context.Context, argv []string, write func(io.Writer) error) error {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := write(w)
		w.CloseWithError(err)
		done <- err
	}()
	err := g.host.Do(ctx, host.Command{Argv: argv, Stdin: r})
	r.CloseWithError(err)
	return errors.Join(<-done, err)
}
