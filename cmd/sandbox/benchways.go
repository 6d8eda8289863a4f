package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"zfs2cloud/cmd/sandbox/internal/host"
	"zfs2cloud/cmd/sandbox/internal/meter"
)

// way is one way to back the data up.
type way struct {
	name   string
	before func(*attempt, context.Context) error // makes the first backup, where it needs one; nil if not
	run    func(*attempt, context.Context) (result, error)
}

func (b *bench) ways() []way {
	ways := []way{{"ours", (*attempt).oursBefore, (*attempt).ours}, {"serial", nil, (*attempt).serial}}
	if b.Restic {
		ways = append(ways, way{"restic", (*attempt).resticBefore, (*attempt).restic})
	}
	return ways
}

func (a *attempt) oursBefore(ctx context.Context) error {
	_, err := a.ours(ctx)
	return err
}

// ours is a whole run of zfs2cloud, from its start to its exit, with no state and no object before it but those of a
// first backup.
func (a *attempt) ours(ctx context.Context) (result, error) {
	c, err := a.command("run")
	if err != nil {
		return result{}, err
	}
	return a.own(ctx, c)
}

// own measures a command of zfs2cloud.
func (a *attempt) own(ctx context.Context, c host.Command) (result, error) {
	m := meter.Start(a.spool)
	child, err := a.host.Start(ctx, c)
	if err == nil {
		m.Own(child)
		err = a.wait(m, child)
	}
	return result{Figures: m.Stop()}, err
}

// command is a command line of zfs2cloud with this attempt's config.
func (a *attempt) command(args ...string) (host.Command, error) {
	config := filepath.Join(a.dir, "config.ini")
	text := fmt.Sprintf(`[main]
zfs_fs = %s
intermediate_basedir = %s
remote = %s
rclone_conf = %s
encryption_passphrase_file = %s
split_size = %dM
state_db = %s
`, a.data, a.spool, a.remote, a.conf, a.passphrase(), a.Split, filepath.Join(a.dir, "state.db"))
	argv := []string{a.program, "-c", config}
	if a.Trace {
		argv = append(argv, "-vv")
	}
	return host.Command{
		Argv: append(argv, args...),
		Env:  []string{"ZFS_PATH=" + a.zfsPath()},
	}, os.WriteFile(config, []byte(text), 0o600)
}

// serial is the pipeline of the Python tool: first everything to files, then all files to the remote. What lies on
// this machine is synced in the end, since a checkpoint of ours is on the disk when it counts.
func (a *attempt) serial(ctx context.Context) (result, error) {
	m := meter.Start(a.spool)
	r := result{Stages: map[string]int64{}}
	for _, stage := range []struct {
		name string
		row  func() ([]host.Command, error)
	}{
		{"export", func() ([]host.Command, error) { return a.exporting(), nil }},
		{"copy", func() ([]host.Command, error) {
			return []host.Command{{Argv: []string{"rclone", "--config", a.conf, "-v", "--stats=60s", "copy", a.spool, a.remote}}}, nil
		}},
		{"sync", func() ([]host.Command, error) {
			files, err := a.files()
			return []host.Command{{Argv: append([]string{"sync"}, files...)}}, err
		}},
	} {
		began := time.Now()
		row, err := stage.row()
		if err == nil {
			err = a.row(ctx, m, row...)
		}
		if err != nil {
			m.Stop()
			return r, fmt.Errorf("%s: %w", stage.name, err)
		}
		r.Stages[stage.name] = time.Since(began).Nanoseconds()
	}
	r.Figures = m.Stop()
	return r, nil
}

// files are those that lie on this machine.
func (a *attempt) files() ([]string, error) {
	files, err := filepath.Glob(a.spool + "/*")
	if !a.folder() || err != nil {
		return files, err
	}
	stored, err := filepath.Glob(a.kept + "/*")
	return append(files, stored...), err
}

// exporting is the first half of the serial pipeline. gpg gets the options that ours gives it, as far as they
// bear on speed: the same cipher and the same work on the passphrase.
func (a *attempt) exporting() []host.Command {
	return []host.Command{
		a.zfs(a.Source, a.sending()...),
		{Argv: []string{"gpg", "--batch", "--no-tty", "--no-autostart", "--no-keyring", "--pinentry-mode", "loopback",
			"--passphrase-file", a.passphrase(), "--cipher-algo", "AES256", "--compress-algo", "none",
			"--s2k-digest-algo", "SHA256", "--s2k-count", "65011712", "--symmetric"}},
		{Argv: []string{"split", "-b", fmt.Sprint(a.Split << 20), "-", filepath.Join(a.spool, "data.zfs.gpg.")}},
	}
}

// restic backs up the files of the snapshot. No rate of the source limits it: it does not use zfs send.
func (a *attempt) restic(ctx context.Context) (result, error) {
	return a.resticBackup(ctx, a.Data != dataChanged)
}

func (a *attempt) resticBefore(ctx context.Context) error {
	_, err := a.resticBackup(ctx, true)
	return err
}

func (a *attempt) resticBackup(ctx context.Context, first bool) (result, error) {
	m := meter.Start("")
	var err error
	if first {
		err = a.row(ctx, m, a.resticCall("init"))
	}
	if err == nil {
		err = a.row(ctx, m, a.resticCall("backup", a.mounted))
	}
	return result{Figures: m.Stop()}, err
}

func (a *attempt) resticCall(args ...string) host.Command {
	return host.Command{
		Argv: append([]string{"restic", "--repo", "rclone:" + a.remote, "--password-file", a.passphrase(), "--no-cache"}, args...),
		Env:  []string{"RCLONE_CONFIG=" + a.conf},
	}
}

// row runs programs of which each reads what the one before it writes, to their end.
func (b *bench) row(ctx context.Context, m *meter.Meter, commands ...host.Command) error {
	var children []*exec.Cmd
	var errs []error
	var in *os.File // the read end of the pipe to the next program
	for i, c := range commands {
		child, out, err := b.join(ctx, c, in, i < len(commands)-1)
		in = out
		if err != nil {
			errs = append(errs, err)
			break
		}
		m.Add(child)
		children = append(children, child)
	}
	if in != nil {
		in.Close()
	}
	for _, child := range children {
		errs = append(errs, b.wait(m, child))
	}
	return errors.Join(errs...)
}

// join starts one program of a row between two pipes. Ours of their ends are closed, so that a program sees
// when its neighbour is gone.
func (b *bench) join(ctx context.Context, c host.Command, in *os.File, more bool) (child *exec.Cmd, out *os.File, err error) {
	if in != nil {
		c.Stdin = in
		defer in.Close()
	}
	if more {
		var w *os.File
		if out, w, err = os.Pipe(); err != nil {
			return nil, nil, err
		}
		defer w.Close()
		c.Stdout = w
	}
	child, err = b.host.Start(ctx, c)
	return child, out, err
}

// wait waits for a program and takes its figures.
func (b *bench) wait(m *meter.Meter, child *exec.Cmd) error {
	err := child.Wait()
	m.Ended(child)
	if err != nil {
		return &host.Failure{Argv: child.Args, Err: err}
	}
	return nil
}
