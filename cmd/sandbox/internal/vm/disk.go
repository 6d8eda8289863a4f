package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"zfs2cloud/cmd/sandbox/internal/apt"
	"zfs2cloud/cmd/sandbox/internal/host"
)

// NBDKit serves disks with a cache that dies.
var NBDKit = apt.Need{Program: "nbdkit", Package: "nbdkit"}

// Disk is a guest's disk with a write-back cache of its own: what the guest wrote and did not flush is in the memory
// of a process that Cut kills, and nowhere else. QEMU's own cache would not do: it is the page cache of this
// machine, which outlives QEMU, so that every write would be there after the cut.
type Disk struct {
	file   string
	socket string
	server *exec.Cmd
}

// Plug makes the disk, unless its file is there, and serves it.
func Plug(ctx context.Context, h *host.Host, file string, size int64) (*Disk, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return nil, err
	}
	d := &Disk{file: file, socket: file + ".socket"}
	d.server, err = h.Start(ctx, host.Command{Argv: []string{
		NBDKit.Program, "--foreground", "--exit-with-parent", "--unix", d.socket, "--filter=cache", "file", file, "cache=writeback",
	}})
	if err != nil {
		return nil, err
	}
	for range 100 {
		if _, err := os.Stat(d.socket); err == nil {
			return d, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), d.Cut())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil, errors.Join(fmt.Errorf("nbdkit does not serve %s", file), d.Cut())
}

// Cut ends the disk as a power cut does. The file is then what was on the medium.
func (d *Disk) Cut() error {
	if err := d.server.Process.Kill(); err != nil {
		return err
	}
	_ = d.server.Wait() // killed, as it should be
	return os.Remove(d.socket)
}

// argv is the disk as QEMU takes it.
func (d *Disk) argv() []string {
	return []string{"-drive", "if=virtio,format=raw,cache=writeback,file=nbd:unix:" + d.socket}
}

// The proof's two regions of a disk, and the word that says that both were written.
const (
	region      = 4 << 20
	bothWritten = "both written"
)

// flushed and not: both writes reach the disk, since they go past the guest's page cache, and are read back from it;
// then the first alone is flushed. What is written second is read back too, so that it is the cut that takes it.
const proof = `set -e
tr '\0' A </dev/zero | head -c 4M >a
tr '\0' B </dev/zero | head -c 4M >b
dd if=a of=/dev/vdc bs=1M oflag=direct conv=fsync status=none
dd if=b of=/dev/vdc bs=1M seek=4 oflag=direct status=none
dd if=/dev/vdc bs=1M count=4 iflag=direct status=none | cmp - a
dd if=/dev/vdc bs=1M skip=4 count=4 iflag=direct status=none | cmp - b
echo ` + bothWritten + `
sleep 600`

// Prove has a guest write two regions and flush the first, cuts the power, and returns an error unless the first is
// there, whole, and nothing of the second is. Without it no test with such disks says anything.
func (i Image) Prove(ctx context.Context, h *host.Host) (err error) {
	dir, err := os.MkdirTemp("", "z2c-cut-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d, err := Plug(ctx, h, filepath.Join(dir, "disk"), 64<<20)
	if err != nil {
		return err
	}
	ctx, off := context.WithCancel(ctx)
	defer off()
	var cut error
	seen := false
	on := Lines(func(line string) {
		if line == bothWritten && !seen {
			seen = true
			cut = d.Cut() // first the disk, so that QEMU has nowhere to flush to
			off()
		}
	})
	_, err = i.Run(ctx, h, Life{Script: proof, Output: on, Disks: []*Disk{d}})
	if !seen {
		return errors.Join(fmt.Errorf("the guest did not write its disk: %w", err), d.Cut())
	}
	if cut != nil {
		return cut
	}
	return regions(d.file)
}

// regions looks at the disk after the cut.
func regions(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	both := make([]byte, 2*region)
	if _, err := io.ReadFull(f, both); err != nil {
		return err
	}
	if n := bytes.Count(both[:region], []byte("A")); n != region {
		return fmt.Errorf("of %d bytes that were flushed %d are there", region, n)
	}
	if n := bytes.Count(both[region:], []byte{0}); n != region {
		return fmt.Errorf("of %d bytes that were not flushed %d are there", region, region-n)
	}
	return nil
}
