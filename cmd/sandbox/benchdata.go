package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"zfs2cloud/actions/units"
	"zfs2cloud/cmd/sandbox/internal/tree"
)

// What a benchmark's data can be.
const (
	dataNoise   = "noise"   // nothing compresses it, so that every way moves the same number of bytes
	dataSmall   = "small"   // text in many small files
	dataChanged = "changed" // noise, of which a part has changed since an earlier backup
)

// The sizes of that.
const (
	noiseFiles   = 16
	smallFile    = 16 << 10
	smallInDir   = 1000
	changedBlock = 128 << 10 // ZFS's usual record
	changedEvery = 50        // blocks: 2 %
)

func (b *bench) dataText(size int64) string {
	switch b.Data {
	case dataSmall:
		return fmt.Sprintf("%s of text in %s files", units.Size(size), count(int(size/smallFile)))
	case dataChanged:
		return fmt.Sprintf("%s of noise, of which 2 %% changed since a first backup", units.Size(size))
	}
	return fmt.Sprintf("%s of noise in %d files", units.Size(size), noiseFiles)
}

// fill makes the data.
func (b *bench) fill(ctx context.Context, size int64) error {
	if !b.Mounts() {
		return errors.New("the benchmark fills a file system, and none can be mounted here")
	}
	began := time.Now()
	b.fills++
	name := fmt.Sprintf("data%d", b.fills)
	b.root = filepath.Join(b.Dir, name)
	b.data, b.base = b.Name+"/"+name, ""
	if _, err := b.host.Run(ctx, "zfs", "create", "-o", "mountpoint="+b.root, b.data); err != nil {
		return err
	}
	write := noise
	if b.Data == dataSmall {
		write = smallFiles
	}
	if err := write(b.root, size); err != nil {
		return err
	}
	if err := b.snap(ctx); err != nil {
		return err
	}
	line("data", b.dataText(size), took(time.Since(began)))
	return nil
}

// snap takes the snapshot that is backed up by those who don't take their own, and shows it to restic.
func (b *bench) snap(ctx context.Context) error {
	b.snaps++
	b.snapshot = fmt.Sprintf("%s@bench%d", b.data, b.snaps)
	if _, err := b.host.Run(ctx, "zfs", "snapshot", b.snapshot); err != nil || !b.Restic {
		return err
	}
	// One that was mounted cannot go at once; restic reads all of the changed files wherever they are.
	name := fmt.Sprintf("-mounted%d", b.snaps)
	b.mounted = b.root + name
	_, err := b.host.Run(ctx, "zfs", "clone", "-o", "mountpoint="+b.mounted, b.snapshot, b.data+name)
	return err
}

// change overwrites a part of the noise, evenly spread, with other noise.
func (b *bench) change(ctx context.Context) error {
	source := tree.Source(uint64(100 + b.snaps))
	p := make([]byte, changedBlock)
	for n := range noiseFiles {
		f, err := os.OpenFile(noiseFile(b.root, n), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		for at := int64(0); err == nil && at+changedBlock <= info.Size(); at += changedEvery * changedBlock {
			source.Read(p)
			_, err = f.WriteAt(p, at)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	b.base = b.snapshot
	return b.snap(ctx)
}

// sending is the arguments of a zfs send of what is backed up.
func (b *bench) sending() []string {
	if b.Data == dataChanged {
		return []string{"send", "-i", b.base, b.snapshot}
	}
	return []string{"send", b.snapshot}
}

func noiseFile(root string, n int) string { return filepath.Join(root, fmt.Sprintf("noise%02d", n)) }

func noise(root string, size int64) error {
	source := tree.Source(4)
	p := make([]byte, 1<<20)
	for n := range noiseFiles {
		f, err := os.Create(noiseFile(root, n))
		if err != nil {
			return err
		}
		for left := size/noiseFiles + size%noiseFiles*int64(n/(noiseFiles-1)); left > 0; left -= int64(len(p)) {
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

func smallFiles(root string, size int64) error {
	source := tree.Source(5)
	p := make([]byte, smallFile)
	for n := range size / smallFile {
		dir := filepath.Join(root, fmt.Sprintf("d%03d", n/smallInDir))
		if n%smallInDir == 0 {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
		}
		tree.Fill(p, source, true)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%03d", n%smallInDir)), p, 0o644); err != nil {
			return err
		}
	}
	return nil
}
