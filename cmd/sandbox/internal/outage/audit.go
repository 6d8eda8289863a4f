package outage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// audit holds what there is after a resume against what must always hold, and takes down what the newest backup has.
func (g *guest) audit(ctx context.Context, s status) error {
	if r := s.Runs[0]; r.State != "succeeded" {
		return fmt.Errorf("run %s was resumed and is %s", r.ID, r.State)
	}
	for _, look := range []func() error{
		func() error { return g.started() },
		func() error { return g.unheld(ctx) },
		func() error { return g.noOrphans(s.Backups) },
		func() error { return g.whole(ctx, s.Backups) },
	} {
		if err := look(); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
	}
	if g.Files {
		return nil
	}
	return g.record(s.Backups)
}

// whole: what is called a backup is there.
func (g *guest) whole(ctx context.Context, backups []backup) error {
	if !g.Files {
		return g.committed(backups)
	}
	if b := newest(backups); b.State != "committed" {
		return fmt.Errorf("the sync %s is %s", b.Name, b.State)
	}
	return g.synced(ctx)
}

// started: the application runs.
func (g *guest) started() error {
	last, err := lastHook()
	if err == nil && last != "start" {
		err = fmt.Errorf("the last hook was %q", last)
	}
	return err
}

// unheld: no run that is over holds its snapshot. A base is held by a tag of another name.
func (g *guest) unheld(ctx context.Context) error {
	snapshots, err := g.lines(ctx, "zfs", "list", "-H", "-t", "snapshot", "-o", "name")
	if err != nil {
		return err
	}
	for _, s := range snapshots {
		holds, err := g.lines(ctx, "zfs", "holds", "-H", s[0])
		if err != nil {
			return err
		}
		for _, h := range holds {
			if strings.HasPrefix(h[1], "zfs2cloud:") {
				return fmt.Errorf("%s is held: %s", s[0], h[1])
			}
		}
	}
	return nil
}

// noOrphans: nothing unfinished lies anywhere, and each folder of chunk files is a known backup's.
func (g *guest) noOrphans(backups []backup) error {
	known := map[string]bool{}
	for _, b := range backups {
		known[b.Name] = true
	}
	for _, dir := range []string{spool, remote, "/data/state"} {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			name := filepath.Base(path)
			switch {
			case err != nil:
				return err
			case strings.Contains(name, "z2c-tmp"), strings.HasSuffix(name, ".partial"):
				return fmt.Errorf("%s is left", path)
			case strings.Contains(name, ".zfs.") && !known[filepath.Base(filepath.Dir(path))]:
				return fmt.Errorf("%s is nobody's", path)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// committed: each backup is, and is there whole.
func (g *guest) committed(backups []backup) error {
	for _, b := range backups {
		if b.State != "committed" {
			return fmt.Errorf("backup %s is %s", b.Name, b.State)
		}
		folder := filepath.Join(remote, "tank", b.Name)
		manifest := "manifest.json.gpg"
		if g.Plain {
			manifest = "manifest.json"
		}
		if _, err := os.Stat(filepath.Join(folder, manifest)); err != nil {
			return err
		}
		chunks, err := filepath.Glob(filepath.Join(folder, "*.zfs.*"))
		if err != nil {
			return err
		}
		var size int64
		for _, c := range chunks {
			info, err := os.Stat(c)
			if err != nil {
				return err
			}
			size += info.Size()
		}
		if len(chunks) != b.Chunks || size != b.Bytes {
			return fmt.Errorf("backup %s has %d chunks, %d bytes; there are %d, %d bytes", b.Name, b.Chunks, b.Bytes, len(chunks), size)
		}
	}
	return nil
}

// sums is the file with one line for each backup: its name and what the data then was.
const sums = "/data/sums"

// record adds the newest backup. The data has not changed since its snapshot.
func (g *guest) record(backups []backup) error {
	sum, err := contents(live)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(sums, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, newest(backups).Name, sum)
	return errors.Join(err, f.Sync(), f.Close())
}

// newest is that of the last name: stamps grow.
func newest(backups []backup) (last backup) {
	for _, b := range backups {
		if b.Name > last.Name {
			last = b
		}
	}
	return last
}
