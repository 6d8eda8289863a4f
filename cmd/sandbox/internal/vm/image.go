package vm

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/cmd/sandbox/internal/apt"
	"zfs2cloud/cmd/sandbox/internal/host"
)

// Cache is where images are kept.
const Cache = "/var/cache/zfs2cloud-sandbox"

const qemu = "qemu-system-x86_64"

// Needs are the programs that this package runs.
var Needs = []apt.Need{
	{Program: qemu, Package: "qemu-system-x86"},
	{Program: "mmdebstrap", Package: "mmdebstrap"},
	{Program: "mke2fs", Package: "e2fsprogs"},
	// For the module: the compiler that Debian's kernel was made by, and what its headers' own programs need.
	{Program: "gcc-12", Package: "gcc-12"},
	{Program: "make", Package: "make"},
	{Program: "/usr/lib/x86_64-linux-gnu/libelf.so.1", Package: "libelf1"},
	apt.LibC,
	// On Ubuntu only Ubuntu's keys are there.
	{Program: "/usr/share/keyrings/debian-archive-keyring.gpg", Package: "debian-archive-keyring"},
}

//go:embed init.sh
var initScript string

//go:embed module.sh
var moduleScript string

//go:embed early.sh
var earlyScript string

// recipe is all that an image is made of, but for the versions that Debian has on the day.
var recipe = struct {
	release, mirror string
	packages        []string
	zfs             []string // that there are of each ZFS: apt takes none of another release by itself, where this one has it
	size            string   // of its file system; the file is sparse
}{
	release: "bookworm",
	mirror:  "http://deb.debian.org/debian",
	packages: []string{
		// The cloud kernel is Debian's with fewer drivers.
		"linux-image-cloud-amd64",
		"udev", "kmod", "iproute2", "busybox-static", "cpio",
		"gpg", "gpg-agent", "rclone",
		// What every Debian has; nothing comes by itself.
		"base-files", "base-passwd", "bash", "coreutils", "dash", "diffutils", "e2fsprogs", "findutils", "grep", "hostname",
		"libc-bin", "mawk", "mount", "procps", "sed", "tar", "util-linux",
	},
	zfs:  []string{"zfsutils-linux", "libnvpair3linux", "libuutil3linux"},
	size: "8G",
}

// ZFS is which of Debian's OpenZFS a guest has.
type ZFS string

// Those that there are.
const (
	Stable    ZFS = "stable"    // the release's own
	Backports ZFS = "backports" // a newer one, for the same kernel
)

// name is a package of OpenZFS's, as apt takes it.
func (z ZFS) name(pkg string) string {
	if z == Backports {
		return pkg + "/" + recipe.release + "-backports"
	}
	return pkg
}

// sources are where packages come from, as mmdebstrap takes them.
func (z ZFS) sources() []string {
	if z == Backports {
		return []string{recipe.mirror, fmt.Sprintf("deb %s %s-backports main contrib", recipe.mirror, recipe.release)}
	}
	return []string{recipe.mirror}
}

// Image is a guest's root file system, and how to boot it.
type Image struct {
	zfs ZFS
	dir string
	// Accelerator is QEMU's word for how it runs: kvm or tcg.
	Accelerator string
}

func (i Image) root() string   { return filepath.Join(i.dir, "root.img") }
func (i Image) kernel() string { return filepath.Join(i.dir, "vmlinuz") }
func (i Image) initrd() string { return filepath.Join(i.dir, "early.cpio") }

// key names the recipe.
func (z ZFS) key() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %+v %s %s %s %s %s", z, recipe, forModule, moduleScript, settle, earlyScript, initScript))
	return fmt.Sprintf("vm-%x", sum[:8])
}

// Open returns the image, and says whether it had to be made. Whoever else wants it waits.
func Open(ctx context.Context, h *host.Host, cache string, zfs ZFS) (i Image, made bool, err error) {
	i.zfs = zfs
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return i, false, err
	}
	unlock, err := host.Lock(filepath.Join(cache, "lock"))
	if err != nil {
		return i, false, err
	}
	defer unlock()
	i.dir = filepath.Join(cache, zfs.key())
	if _, err = os.Stat(i.dir); errors.Is(err, fs.ErrNotExist) {
		made = true
		err = i.make(ctx, h, cache)
	}
	if err != nil {
		return i, made, err
	}
	if err := os.Chtimes(i.dir, time.Time{}, time.Now()); err != nil {
		return i, made, err
	}
	i.Accelerator, err = i.accelerator(ctx, h)
	return i, made, err
}

// idle is how long an image is kept that nobody opens: other checkouts have other recipes, whose guests may be at work.
const idle = 7 * 24 * time.Hour

// clearIdle removes images that nobody opened for long, and what builds left that were killed.
func clearIdle(cache string) error {
	old, err := filepath.Glob(filepath.Join(cache, "vm-*"))
	if err != nil {
		return err
	}
	for _, dir := range old {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if filepath.Ext(dir) != half && time.Since(info.ModTime()) < idle {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

const half = ".half"

// make makes the image in a folder that gets its name last.
func (i Image) make(ctx context.Context, h *host.Host, cache string) error {
	if err := clearIdle(cache); err != nil {
		return err
	}
	name := i.dir
	i.dir += half
	if err := os.Mkdir(i.dir, 0o700); err != nil {
		return err
	}
	tree := filepath.Join(i.dir, "tree")
	if err := i.debian(ctx, h, tree); err != nil {
		return fmt.Errorf("make the guest's Debian: %w", err)
	}
	if err := i.module(ctx, h, tree); err != nil {
		return fmt.Errorf("make the guest's OpenZFS: %w", err)
	}
	if err := i.collect(ctx, h, tree); err != nil {
		return fmt.Errorf("make the guest's image: %w", err)
	}
	if err := os.RemoveAll(tree); err != nil {
		return err
	}
	unix.Sync() // a power cut must not leave an image that looks whole
	return os.Rename(i.dir, name)
}

// forModule runs beside the guest's tree, with apt as it is there: it fetches what the module is built from. That is
// not put into the tree: the compiler that the headers ask for would be half of the image.
const forModule = `mkdir "$1/module" && cd "$1/module" && kernel=$(ls ../lib/modules) && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" && ` +
	`apt-get -q download $zfs_dkms linux-headers-$kernel linux-headers-${kernel%-cloud-amd64}-common linux-kbuild-${kernel%.*}`

// settle runs in the tree, and does what is needed of all that packages do when they are installed.
const settle = `set -e
for file in passwd group; do cp /usr/share/base-passwd/$file.master /etc/$file; done
ln -s mawk /usr/bin/awk
`

// debian fills a folder with packages, which are extracted and not installed: that takes a third of the time.
// Documents stay out, which nobody reads there. Nothing is mounted in it, neither here nor where that would be
// allowed, so that there is one way for all; and a build that is killed leaves no mount behind, into which the removal
// of the folder would reach.
func (i Image) debian(ctx context.Context, h *host.Host, tree string) error {
	packages := slices.Clone(recipe.packages)
	for _, name := range recipe.zfs {
		packages = append(packages, i.zfs.name(name))
	}
	return h.Do(ctx, host.Command{
		Argv: append([]string{
			"mmdebstrap", "--mode=root", "--skip=chroot/mount", "--variant=extract", "--components=main,contrib",
			"--include=" + strings.Join(packages, ","),
			"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
			"--dpkgopt=path-exclude=/usr/share/locale/*",
			"--extract-hook=" + forModule,
			recipe.release, tree,
		}, i.zfs.sources()...),
		Env: append(host.Network(), "DEBIAN_FRONTEND=noninteractive", "TMPDIR="+i.dir, "zfs_dkms="+i.zfs.name("zfs-dkms")),
	})
}

// module builds OpenZFS's module. Debian's own way, zfs-dkms, does that in the guest's tree, and where no device may be
// made (a container without CAP_MKNOD) the /dev/null of that is an ordinary file, from which the compiler is to read
// nothing and reads what was thrown away.
func (i Image) module(ctx context.Context, h *host.Host, tree string) error {
	dir := filepath.Join(i.dir, "module")
	if err := os.Rename(filepath.Join(tree, "module"), dir); err != nil {
		return err
	}
	err := h.Do(ctx, host.Command{Argv: []string{"sh", "-c", moduleScript}, Dir: dir, Env: []string{"tree=" + tree, "TMPDIR=" + i.dir}})
	return errors.Join(err, os.RemoveAll(dir))
}

// collect takes from the folder what QEMU needs.
func (i Image) collect(ctx context.Context, h *host.Host, tree string) error {
	if err := h.Do(ctx, host.Command{Argv: []string{"chroot", tree, "/bin/sh", "-c", settle + earlyScript}}); err != nil {
		return err
	}
	for pattern, to := range map[string]string{"boot/vmlinuz-*": i.kernel(), "boot/early.cpio": i.initrd()} {
		found, err := filepath.Glob(filepath.Join(tree, pattern))
		if err != nil {
			return err
		}
		if len(found) != 1 {
			return fmt.Errorf("%d files %s, not 1", len(found), pattern)
		}
		if err := os.Rename(found[0], to); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(tree, "z2c-init"), []byte(initScript), 0o755); err != nil {
		return err
	}
	return h.Do(ctx, host.Command{Argv: []string{
		// Without a journal: no guest sees what another one wrote.
		"mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", tree, i.root(), recipe.size,
	}})
}
