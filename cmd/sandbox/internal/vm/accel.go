package vm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"zfs2cloud/cmd/sandbox/internal/host"
)

// With KVM a kernel comes to its end within two seconds; a QEMU that hangs with it counts as one that fails.
const probeTime = 10 * time.Second

// rootless is what a kernel says in the end that was given no disk.
const rootless = "Kernel panic - not syncing: VFS"

// accelerator is "kvm" if the guest's kernel can be seen running with it, else "tcg", which is QEMU alone and works
// everywhere. A kernel inside of a virtual machine may offer a /dev/kvm that opens, answers, makes a machine, and then
// refuses what QEMU sets up, or runs a boot sector and no kernel (verified: kvm-pvm on Linux 6.18; QEMU 7.2 aborts on
// MSR 0x10a, or hangs while dmesg says "INTERNAL_ERROR in batch emul").
func (i Image) accelerator(ctx context.Context, h *host.Host) (string, error) {
	if _, err := os.Stat("/dev/kvm"); err != nil {
		return "tcg", nil
	}
	limited, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	ok, err := runsKernel(limited, h, i.kernel(), "kvm")
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if ok {
		return "kvm", err
	}
	return "tcg", err
}

// runsKernel says whether a kernel that has no disk comes to the point at which it misses one, until ctx ends.
func runsKernel(ctx context.Context, h *host.Host, kernel, accel string) (bool, error) {
	dir, err := os.MkdirTemp("", "z2c-vm-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	console := filepath.Join(dir, "console")
	// How QEMU ends says nothing: also with a kernel that runs it may have to be killed.
	_ = h.Do(ctx, host.Command{Argv: []string{
		qemu, "-accel", accel, "-cpu", cpus[accel], "-m", "256", "-nodefaults", "-display", "none", "-no-reboot",
		"-kernel", kernel, "-append", "console=ttyS0 panic=-1 no_timer_check",
		"-chardev", "file,id=console,path=" + console, "-serial", "chardev:console",
	}})
	said, err := os.ReadFile(console)
	if os.IsNotExist(err) {
		return false, nil // QEMU did not begin
	}
	return strings.Contains(string(said), rootless), err
}
