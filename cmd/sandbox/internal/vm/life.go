package vm

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"zfs2cloud/cmd/sandbox/internal/host"
)

// Life is what a guest is for, from its boot to its end.
type Life struct {
	// Files are copied into the guest's folder /guest, by name.
	Files map[string]string
	// Script is run there by sh.
	Script string
	// Output gets what the script prints, as it comes.
	Output io.Writer
	// Disks are /dev/vdc and so on.
	Disks []*Disk
	// Single gives the guest one processor instead of two, where two guests live side by side.
	Single bool
	// Console, if not nil, is the other end of the guest's first serial line; else what comes out there is kept
	// for the error of a guest that dies.
	Console *Console
}

// Console is a person's end of a serial line. The reader is a file, so that nobody waits for more input when the
// guest is gone.
type Console struct {
	In  *os.File
	Out io.Writer
}

// ErrNoStatus is the error of a guest that ended before its script did.
var ErrNoStatus = errors.New("the guest ended before its script")

// Run boots a guest and returns its script's exit status.
func (i Image) Run(ctx context.Context, h *host.Host, l Life) (status int, err error) {
	dir, err := os.MkdirTemp("", "z2c-vm-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := l.pack(filepath.Join(dir, "files.tar")); err != nil {
		return 0, fmt.Errorf("pack the guest's files: %w", err)
	}
	if err := i.live(ctx, h, l, dir); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx) // what QEMU says of its end is of no interest
		}
		return 0, err
	}
	said, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return 0, err
	}
	status, err = strconv.Atoi(strings.TrimSpace(string(said)))
	if err != nil {
		console, _ := os.ReadFile(filepath.Join(dir, "console"))
		return 0, fmt.Errorf("%w; the last of its console: %s", ErrNoStatus, lastLines(string(console)))
	}
	return status, nil
}

// live runs QEMU to its end.
func (i Image) live(ctx context.Context, h *host.Host, l Life, dir string) error {
	c := host.Command{Argv: i.argv(l, dir), Env: []string{"TMPDIR=" + dir}}
	output := l.Output
	if l.Console != nil {
		c.Stdin, output = l.Console.In, l.Console.Out
	}
	c.Stdout = struct{ io.Writer }{output} // a pipe, also where it is a file that can't be opened again
	return h.Do(ctx, c)
}

// cpus is what the guest takes its processor for. Without KVM that is one with few extensions: QEMU emulates AVX, SSSE3 and
// the like far slower than plain instructions, and libgcrypt, Go and glibc use whatever the processor says it has (QEMU
// 7.2: 2 MB through gpg 9.0 s with max, 4.2 s with this). It is a model of QEMU's as a whole: libgcrypt takes a processor
// that has AES to have SSSE3, too, and dies.
var cpus = map[string]string{"kvm": "max", "tcg": "qemu64"}

var kernelArgs = []string{
	"console=ttyS0", "quiet",
	// A kernel that panics boots again, which ends QEMU.
	"panic=1",
	// Its check whether the timer ticks fails on a busy host, and then it has no ticks at all, and modprobe zfs hangs.
	"no_timer_check",
	// What costs an emulated processor seconds, and changes nothing that is tried here.
	"mitigations=off", "cryptomgr.notests", "init_on_alloc=0", "audit=0", "security=none", "nokaslr",
}

// argv is QEMU's. Its stdio is the console, if someone wants that; else its stdout is the output, and not as "stdio",
// which hangs up on the guest when stdin ends.
func (i Image) argv(l Life, dir string) []string {
	output, console := "file,id=output,append=on,path=/dev/stdout", "file,id=console,path="+filepath.Join(dir, "console")
	if l.Console != nil {
		output, console = "null,id=output", "stdio,id=console,signal=off"
	}
	processors := "2"
	if l.Single {
		processors = "1"
	}
	argv := []string{
		qemu, "-accel", i.Accelerator, "-cpu", cpus[i.Accelerator], "-m", "2048", "-smp", processors,
		"-nodefaults", "-display", "none", "-no-reboot",
		"-kernel", i.kernel(), "-initrd", i.initrd(),
		"-append", strings.Join(kernelArgs, " "),
		"-drive", "if=virtio,format=raw,snapshot=on,file=" + i.root(),
		"-drive", "if=virtio,format=raw,readonly=on,file=" + filepath.Join(dir, "files.tar"),
		"-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
		"-chardev", console, "-serial", "chardev:console",
		"-device", "virtio-serial",
		"-chardev", output, "-device", "virtserialport,chardev=output,name=z2c.output",
		"-chardev", "file,id=status,path=" + filepath.Join(dir, "status"),
		"-device", "virtserialport,chardev=status,name=z2c.status",
	}
	for _, d := range l.Disks {
		argv = append(argv, d.argv()...)
	}
	return argv
}

// pack writes the files, and the script as "run", into an archive, which the guest reads from a disk: unlike a folder
// of the host's this needs no driver that Debian's cloud kernel lacks (9p, virtiofs).
func (l Life) pack(to string) error {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w := tar.NewWriter(f)
	err = add(w, "run", int64(len(l.script())), strings.NewReader(l.script()))
	for name, file := range l.Files {
		if err == nil {
			err = addFile(w, name, file)
		}
	}
	return errors.Join(err, w.Close(), f.Close())
}

func (l Life) script() string { return "#!/bin/sh\n" + l.Script + "\n" }

func addFile(w *tar.Writer, name, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return add(w, name, info.Size(), f)
}

func add(w *tar.Writer, name string, size int64, r io.Reader) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: size}); err != nil {
		return err
	}
	_, err := io.Copy(w, r)
	return err
}

func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-6):], " / ")
}
