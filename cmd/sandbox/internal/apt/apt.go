// Package apt installs what the sandbox needs and does not find, on Debian and its descendants.
//
// The package of zfs-fuse starts its daemon when it is installed, as a service that imports and mounts
// all pools, and fails to install where that fails (a container). The sandbox starts its own, so while
// apt is at work a policy-rc.d file, the interface of Debian for that (invoke-rc.d(8)), says that no
// service is to be started. A file of that name that is there is left as it is.
package apt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"zfs2cloud/cmd/sandbox/internal/host"
)

// Need is a program, and the package that has it.
type Need struct {
	Program string
	Package string
}

// The programs that the sandbox needs beside Go. Which ZFS it is, is chosen by Missing.
var (
	ZFS    = Need{"zpool", ""}
	Rclone = Need{"rclone", "rclone"}
	GnuPG  = Need{"gpg", "gnupg"}
	Restic = Need{"restic", "restic"}
	GnuPG1 = Need{"gpg1", "gnupg1"} // old, but what it opens can be opened anywhere
	GCC    = Need{"gcc", "gcc"}
	LibC   = Need{"/usr/include/stdlib.h", "libc6-dev"}
)

// ErrNoApt is the error of a machine without apt.
var ErrNoApt = errors.New("this is no Debian or Ubuntu: there is no apt-get")

// Missing returns the packages to install so that the needs are met.
func Missing(ctx context.Context, h *host.Host, needs ...Need) []string {
	var packages []string
	for _, n := range needs {
		if present(n.Program) {
			continue
		}
		if n == ZFS {
			n.Package = zfsPackage(ctx, h)
		}
		packages = append(packages, n.Package)
	}
	return packages
}

func present(program string) bool {
	if strings.HasPrefix(program, "/") {
		_, err := os.Stat(program)
		return err == nil
	}
	_, found := host.Find(program)
	return found
}

// zfsPackage is OpenZFS's tools where the kernel has its module (Ubuntu's have), else zfs-fuse.
func zfsPackage(ctx context.Context, h *host.Host) string {
	if _, err := os.Stat("/dev/zfs"); err == nil {
		return "zfsutils-linux"
	}
	if _, err := h.Run(ctx, "modprobe", "--dry-run", "zfs"); err == nil {
		return "zfsutils-linux"
	}
	return "zfs-fuse"
}

// Install installs packages. It is not stopped half way: dpkg would have to be repaired.
func Install(ctx context.Context, h *host.Host, packages []string) error {
	if _, found := host.Find("apt-get"); !found {
		return fmt.Errorf("%w: install %s by hand", ErrNoApt, strings.Join(packages, ", "))
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("installing %s needs root", strings.Join(packages, ", "))
	}
	// Of two at once the first to end would let services start.
	unlock, err := host.Lock("/run/zfs2cloud-sandbox-apt.lock")
	if err != nil {
		return err
	}
	defer unlock()
	lift, err := forbidServices("/usr/sbin/policy-rc.d")
	if err != nil {
		return err
	}
	defer lift()
	if !listed() {
		if err := get(ctx, h, "update"); err != nil {
			return err
		}
		return install(ctx, h, packages)
	}
	if install(ctx, h, packages) == nil {
		return nil
	}
	// The lists may be old, and name versions that are no longer there.
	if err := get(ctx, h, "update"); err != nil {
		return err
	}
	return install(ctx, h, packages)
}

func install(ctx context.Context, h *host.Host, packages []string) error {
	return get(ctx, h, append([]string{"install", "-y", "--no-install-recommends"}, packages...)...)
}

func get(ctx context.Context, h *host.Host, args ...string) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	return h.Do(ctx, host.Command{
		Argv:  append([]string{"apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"}, args...),
		Env:   append(host.Network(), "DEBIAN_FRONTEND=noninteractive"),
		Whole: true,
	})
}

// listed says whether apt-get update was ever run here.
func listed() bool {
	lists, err := filepath.Glob("/var/lib/apt/lists/*Packages*")
	return err == nil && len(lists) > 0
}

// policy is what our policy-rc.d says. 101 means: action forbidden.
const policy = "#!/bin/sh\n# Made by the sandbox of zfs2cloud while it installs packages; can be removed.\nexit 101\n"

// forbidServices keeps packages from starting services until lift is called. A file that a killed
// sandbox left is taken over.
func forbidServices(file string) (lift func(), err error) {
	text, err := os.ReadFile(file)
	switch {
	case err == nil && string(text) != policy:
		return func() {}, nil
	case err != nil && !os.IsNotExist(err):
		return nil, err
	}
	if err := os.WriteFile(file, []byte(policy), 0o755); err != nil {
		return nil, err
	}
	return func() { os.Remove(file) }, nil
}
