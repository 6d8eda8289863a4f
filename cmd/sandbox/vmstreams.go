package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"zfs2cloud/cmd/sandbox/internal/vm"
)

// VMStreamsCmd has OpenZFS send streams of each kind, and cuts them at each record.
type VMStreamsCmd struct {
	Kind   string `arg:"" optional:"" help:"Only this one: plain, large, zstd, raw, properties, volume, small."`
	Golden string `placeholder:"DIR" type:"existingdir" help:"Put them, packed, into a folder, with what was sent for tokens."`
}

// Run runs the test of package stream that needs an OpenZFS, in one life of a guest.
func (c VMStreamsCmd) Run(ctx context.Context) error {
	g, err := layGuest(ctx)
	if err != nil {
		return err
	}
	return g.end(g.streams(ctx, c))
}

func (g *guest) streams(ctx context.Context, c VMStreamsCmd) error {
	ctx, off := context.WithTimeout(ctx, shapesTime)
	defer off()
	tool, err := findGo(ctx, g.host)
	if err != nil {
		return err
	}
	tool.env = append(tool.env, "CGO_ENABLED=0")
	test := filepath.Join(g.dir, "stream.test")
	if err := g.host.Do(ctx, tool.command("test", "-c", "-o", test, "./actions/stream")); err != nil {
		return err
	}
	golden, err := newGolden(c.Golden)
	if err != nil {
		return err
	}
	began, passed := time.Now(), 0
	hear := vm.Lines(func(text string) {
		text = strings.TrimSpace(text)
		switch {
		case strings.HasPrefix(text, "GOLDEN "):
			golden.keep(strings.Fields(text)[1:])
		case strings.HasPrefix(text, "openzfs_test.go:"):
			_, said, _ := strings.Cut(text, ": ")
			line("streams", said, "")
		case strings.HasPrefix(text, "--- PASS: TestOpenZFS/"):
			passed++
		}
	})
	script := fmt.Sprintf("./stream.test -test.v -test.timeout 1h -test.run '^TestOpenZFS$/^%s' -golden=%v 2>&1", c.Kind, c.Golden != "")
	status, err := g.live(ctx, vm.Life{Script: script, Output: io.MultiWriter(g.log, hear), Files: map[string]string{"stream.test": test}})
	if err == nil && status != 0 {
		err = fmt.Errorf("exit status %d", status)
	}
	err = errors.Join(err, golden.close())
	if err == nil && passed == 0 {
		err = errors.New("nothing was tried")
	}
	if err == nil {
		line("streams", fmt.Sprintf("%d kinds, in full and incrementally, were cut at each record, and joined to what they are", passed), took(time.Since(began)))
	}
	return err
}

// golden are the streams that are kept for tests, and the list of what they are.
type golden struct {
	dir  string // empty: none are kept
	list *os.File
	err  error
}

func newGolden(dir string) (g *golden, err error) {
	g = &golden{dir: dir}
	if dir != "" {
		g.list, err = os.Create(filepath.Join(dir, "openzfs.txt"))
	}
	return g, err
}

// keep keeps a stream, of which the words have name, GUIDs and bytes, or what was sent of it for a token: name, token, SHA-256.
func (g *golden) keep(words []string) {
	if g.dir == "" || g.err != nil || len(words) < 4 {
		return
	}
	if words[0] == "stream" {
		packed, err := base64.StdEncoding.DecodeString(words[4])
		if err == nil {
			err = os.WriteFile(filepath.Join(g.dir, "openzfs-"+words[1]+".gz"), packed, 0o644)
		}
		g.err, words = err, words[:4]
	}
	_, err := fmt.Fprintln(g.list, strings.Join(words, " "))
	g.err = errors.Join(g.err, err)
}

func (g *golden) close() error {
	if g.dir == "" {
		return nil
	}
	return errors.Join(g.err, g.list.Close())
}
