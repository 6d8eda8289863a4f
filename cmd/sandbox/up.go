package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"zfs2cloud/cmd/sandbox/internal/apt"
	"zfs2cloud/cmd/sandbox/internal/host"
	"zfs2cloud/cmd/sandbox/internal/pool"
)

// UpCmd leaves a sandbox to play with.
type UpCmd struct{ Program }

// Run makes it and says what to type next.
func (c *UpCmd) Run(ctx context.Context) error {
	g, err := lay(ctx, pool.Options{Base: pool.Base, Size: demoDisk, Stays: true}, apt.ZFS, apt.Rclone, apt.GnuPG)
	if err != nil {
		return err
	}
	p, err := c.install(ctx, g, split)
	if err == nil {
		var text string
		if text, err = newData(g, 1).fill(ctx); err == nil {
			line("data", text, "")
		}
	}
	if err != nil {
		return g.failed(errors.Join(err, g.clear(ctx)))
	}
	fmt.Printf(`Ready. To play:
  export ZFS2CLOUD_CONFIG=%s
  alias zfs2cloud=%s
  zfs2cloud check
  zfs2cloud run
  zfs2cloud status
The dataset is %s, the remote the folder %s.
When you are done: go run ./cmd/sandbox down
`, p.config, p.program, p.dataset(), p.remote)
	return g.passed()
}

// DownCmd removes it.
type DownCmd struct{}

// Run removes what is on record and not in use.
func (DownCmd) Run(ctx context.Context) error {
	cleared, kept, err := pool.Down(ctx, &host.Host{}, pool.Base)
	for _, name := range cleared {
		line("clean up", name+" and its files are gone", "")
	}
	if len(kept) > 0 {
		line("", "zfs-fuse goes on, for the pools "+strings.Join(kept, ", "), "")
	}
	if err == nil && len(cleared) == 0 {
		fmt.Println("nothing to remove")
	}
	return err
}
