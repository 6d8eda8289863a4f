package vm

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"zfs2cloud/cmd/sandbox/internal/host"
)

// A boot sector runs within a second; a QEMU that hangs with KVM counts as one that fails.
const probeTime = 10 * time.Second

// probe is the code of a boot sector that writes 0x21 to port 0xf4, which QEMU's isa-debug-exit turns into its own
// exit status: mov dx,0xf4; mov al,0x21; out dx,al; hlt; jmp $-1.
var probe = []byte{0xba, 0xf4, 0x00, 0xb0, 0x21, 0xee, 0xf4, 0xeb, 0xfd}

// probed is the exit status that isa-debug-exit makes of 0x21: twice the value and one.
const probed = 0x21<<1 | 1

// accelerator is "kvm" if a guest's first instructions can be seen running with it, else "tcg", which is QEMU alone
// and works everywhere. A kernel inside of a virtual machine may offer a /dev/kvm that opens, answers, makes a
// machine, and then refuses what QEMU sets up (verified: kvm-pvm on Linux 6.18, QEMU 7.2 aborts on MSR 0x10a).
func accelerator(ctx context.Context, h *host.Host, dir string) (string, error) {
	if _, err := os.Stat("/dev/kvm"); err != nil {
		return "tcg", nil
	}
	ok, err := runsSector(ctx, h, dir, "kvm")
	if ok {
		return "kvm", err
	}
	return "tcg", err
}

// runsSector says whether the probe runs with that accelerator.
func runsSector(ctx context.Context, h *host.Host, dir, accel string) (bool, error) {
	sector := make([]byte, 512)
	copy(sector, probe)
	sector[510], sector[511] = 0x55, 0xaa
	file := filepath.Join(dir, "sector.img")
	if err := os.WriteFile(file, sector, 0o600); err != nil {
		return false, err
	}
	limited, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	_, err := h.Run(limited, qemu, "-accel", accel, "-cpu", "max", "-m", "64", "-nodefaults", "-display", "none", "-no-reboot",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", "-drive", "if=ide,format=raw,file="+file)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == probed, nil
}
