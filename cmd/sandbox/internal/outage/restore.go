package outage

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// restoreAll restores what there is, compares it, and has the pool looked through.
func (g *guest) restoreAll(ctx context.Context) error {
	restore := g.restoreChains
	if g.Files {
		restore = g.synced
	}
	if err := restore(ctx); err != nil {
		return err
	}
	if _, err := g.Run(ctx, "zpool", "scrub", "-w", "tank"); err != nil {
		return err
	}
	health, err := g.Run(ctx, "zpool", "status", "-x", "tank")
	if err != nil || !strings.Contains(health, "is healthy") {
		return fmt.Errorf("the pool is not healthy (%w): %s", err, health)
	}
	say(Compared+" %d", g.compared)
	return nil
}

// restoreChains restores each chain, which brings every backup of it, and compares them all.
func (g *guest) restoreChains(ctx context.Context) error {
	text, err := os.ReadFile(sums)
	if err != nil {
		return err
	}
	for chain, backups := range chains(strings.Fields(string(text))) {
		into := fmt.Sprintf("tank/restored%d", chain)
		tip := backups[len(backups)-1].name
		if err := g.product(ctx, nil, "-v", "restore", "-y", "--backup", tip, into); err != nil {
			return err
		}
		for _, b := range backups {
			if err := g.compare(ctx, into, b); err != nil {
				return fmt.Errorf("backup %s: %w", b.name, err)
			}
			g.compared++
		}
	}
	return nil
}

// recorded is a line of sums.
type recorded struct{ name, sum string }

// chains are the backups by the full that they hang on. Words are those of sums.
func chains(words []string) (chains [][]recorded) {
	for ; len(words) >= 2; words = words[2:] {
		b := recorded{words[0], words[1]}
		if strings.HasSuffix(b.name, "-full") {
			chains = append(chains, nil)
		}
		last := len(chains) - 1
		chains[last] = append(chains[last], b)
	}
	return chains
}

// compare makes a file system of the snapshot that was restored, since a snapshot alone would have to be mounted by
// the kernel.
func (g *guest) compare(ctx context.Context, restored string, b recorded) error {
	const dir, clone = "/compared", "tank/compared"
	snapshot := restored + "@" + strings.TrimSuffix(b.name, "-full")
	if _, err := g.Run(ctx, "zfs", "clone", "-o", "mountpoint="+dir, snapshot, clone); err != nil {
		return err
	}
	sum, err := contents(dir)
	if err != nil {
		return err
	}
	if sum != b.sum {
		return fmt.Errorf("restored it is %s, and was %s", sum, b.sum)
	}
	_, err = g.Run(ctx, "zfs", "destroy", clone)
	return err
}

// contents is a digest of all that is below a folder: names, modes, sizes, links, bytes.
func contents(root string) (string, error) {
	digest := sha256.New()
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		target := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if target, err = os.Readlink(path); err != nil {
				return err
			}
		}
		size := info.Size()
		if !info.Mode().IsRegular() {
			size = 0
		}
		fmt.Fprintf(digest, "%q %s %d %q\n", strings.TrimPrefix(path, root), info.Mode(), size, target)
		if !info.Mode().IsRegular() {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(digest, f)
		return err
	})
	return fmt.Sprintf("%x", digest.Sum(nil)), err
}
