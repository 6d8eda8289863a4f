package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"zfs2cloud/cmd/sandbox/internal/host"
)

// goTool is the go command, in the module that we are run in.
type goTool struct {
	program string
	root    string   // of the module
	env     []string // where its caches are, which follows from HOME otherwise
}

// findGo finds the go command that runs us.
func findGo(ctx context.Context, h *host.Host) (goTool, error) {
	program, err := exec.LookPath("go")
	if err != nil {
		program = "/usr/local/go/bin/go"
	}
	if program, err = filepath.Abs(program); err != nil {
		return goTool{}, err
	}
	asWeWereCalled := host.Network()
	for _, e := range os.Environ() {
		if strings.HasPrefix(e, "GO") || strings.HasPrefix(e, "HOME=") {
			asWeWereCalled = append(asWeWereCalled, e)
		}
	}
	names := []string{"GOMOD", "GOROOT", "GOPATH", "GOMODCACHE", "GOCACHE", "GOPROXY", "GOFLAGS", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GONOPROXY", "GOTOOLCHAIN"}
	var out strings.Builder
	err = h.Do(ctx, host.Command{Argv: append([]string{program, "env"}, names...), Env: asWeWereCalled, Stdout: &out})
	if err != nil {
		return goTool{}, err
	}
	values := strings.Split(out.String(), "\n")
	if len(values) < len(names) || filepath.Base(values[0]) != "go.mod" {
		return goTool{}, errors.New("run me in the folder of zfs2cloud's source: there is no go.mod here")
	}
	g := goTool{program: program, root: filepath.Dir(values[0])}
	g.env = append(host.Network(), fmt.Sprintf("PATH=%s/bin:%s", values[1], host.Path))
	for i, name := range names {
		if i > 0 && values[i] != "" {
			g.env = append(g.env, name+"="+values[i])
		}
	}
	return g, nil
}

// command is a call of go in the module's root.
func (g goTool) command(args ...string) host.Command {
	return host.Command{Argv: append([]string{g.program}, args...), Dir: g.root, Env: g.env}
}

// gofmt is the program beside go.
func (g goTool) gofmt() string { return filepath.Join(filepath.Dir(g.program), "gofmt") }

// build builds zfs2cloud. No version is stamped into it: that needs git.
func (g goTool) build(ctx context.Context, h *host.Host, to string) error {
	return h.Do(ctx, g.command("build", "-buildvcs=false", "-o", to, "./cmd/zfs2cloud"))
}
