package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"zfs2cloud/cmd/sandbox/internal/host"
)

// product is zfs2cloud, built, with a config of its own, as a person at a prompt has it.
type product struct {
	*ground
	program string
	config  string
	spool   string
	remote  string // a folder; rclone sees it as a remote of the type local
	calls   string // one line for each call of rclone
	split   int64  // what streams are cut into
}

// split is small, so that the demo has a dozen of chunks.
const split = 16 << 20

// Program is for those who want to try another zfs2cloud than the one whose source lies here.
type Program struct {
	Program string `placeholder:"FILE" help:"The zfs2cloud to use; else one is built."`
}

// install builds the program, if there is none, and writes all that its config names.
func (o Program) install(ctx context.Context, g *ground, split int64) (*product, error) {
	p := &product{
		ground:  g,
		program: o.Program,
		config:  filepath.Join(g.Dir, "config.ini"),
		calls:   filepath.Join(g.Dir, "rclone-calls"),
		split:   split,
	}
	var err error
	if p.spool, err = g.sub("spool"); err != nil {
		return nil, err
	}
	if p.remote, err = g.sub("remote"); err != nil {
		return nil, err
	}
	if p.program == "" {
		p.program = filepath.Join(g.Dir, "zfs2cloud")
		tool, err := findGo(ctx, g.host)
		if err != nil {
			return nil, err
		}
		if err := tool.build(ctx, g.host, p.program); err != nil {
			return nil, err
		}
	}
	return p, p.configure()
}

func (p *product) configure() error {
	passphrase := make([]byte, 16)
	rand.Read(passphrase)
	for name, text := range map[string]string{
		"config.ini":  p.settings(""),
		"passphrase":  fmt.Sprintf("%x\n", passphrase),
		"rclone.conf": "[store]\ntype = local\n",
	} {
		if err := os.WriteFile(filepath.Join(p.Dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(p.recorder(), []byte(p.recording()), 0o700)
}

// settings is the config. A bwlimit makes uploads slow enough to be killed in their middle.
func (p *product) settings(bwlimit string) string {
	text := fmt.Sprintf(`[main]
zfs_fs = %s
intermediate_basedir = %s
remote = store:%s
rclone_conf = %s
encryption_passphrase_file = %s
split_size = %dM
state_db = %s
`, p.dataset(), p.spool, p.remote, filepath.Join(p.Dir, "rclone.conf"), p.passphrase(), p.split>>20, filepath.Join(p.Dir, "state.db"))
	if bwlimit != "" {
		text += "rclone_bwlimit = " + bwlimit + "\n"
	}
	return text
}

func (p *product) limit(bwlimit string) error {
	return os.WriteFile(p.config, []byte(p.settings(bwlimit)), 0o600)
}

func (p *product) passphrase() string { return filepath.Join(p.Dir, "passphrase") }

// recorder is a program that writes down how it was called and then becomes rclone.
func (p *product) recorder() string { return filepath.Join(p.Dir, "rclone") }

func (p *product) recording() string {
	rclone, _ := host.Find("rclone")
	return fmt.Sprintf("#!/bin/sh\nprintf '%%s\\n' \"$*\" >>'%s'\nexec '%s' \"$@\"\n", p.calls, rclone)
}

// command is a command line of the program.
func (p *product) command(args ...string) host.Command {
	return host.Command{
		Argv: append([]string{p.program, "-c", p.config}, args...),
		Dir:  p.Dir,
		Env:  []string{"RCLONE_PATH=" + p.recorder()},
	}
}

// do runs the program to a good end.
func (p *product) do(ctx context.Context, args ...string) error {
	return p.host.Do(ctx, p.command(args...))
}

// start starts the program.
func (p *product) start(ctx context.Context, args ...string) (*exec.Cmd, error) {
	return p.host.Start(ctx, p.command(args...))
}

// status is what status --json says, as far as the demo looks at it.
type status struct {
	Runs    []run
	Backups []backup
}

type run struct {
	ID        string
	State     string
	Alive     bool
	Resumable bool
	Step      string
	Chunks    struct{ Sealed, Uploaded int }
}

type backup struct {
	Name   string
	State  string
	Base   *string
	Chunks int
	Bytes  int64
}

// stamp is the name of the backup's snapshot.
func (b backup) stamp() string { return strings.TrimSuffix(b.Name, "-full") }

func (p *product) status(ctx context.Context) (s status, err error) {
	var out strings.Builder
	c := p.command("status", "--json")
	c.Stdout = &out
	if err := p.host.Do(ctx, c); err != nil {
		return s, err
	}
	if err := json.Unmarshal([]byte(out.String()), &s); err != nil {
		return s, fmt.Errorf("status --json: %w", err)
	}
	if len(s.Runs) == 0 {
		return s, fmt.Errorf("status --json shows no run: %s", out.String())
	}
	return s, nil
}

// committed is the one committed backup that is, or is not, incremental.
func (s status) committed(incremental bool) (backup, error) {
	var found []backup
	for _, b := range s.Backups {
		if b.State == "committed" && (b.Base != nil) == incremental {
			found = append(found, b)
		}
	}
	if len(found) != 1 {
		return backup{}, fmt.Errorf("status --json: %d committed backups with incremental %v, not 1", len(found), incremental)
	}
	return found[0], nil
}
