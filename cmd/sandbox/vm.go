package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/term"

	"zfs2cloud/cmd/sandbox/internal/apt"
	"zfs2cloud/cmd/sandbox/internal/host"
	"zfs2cloud/cmd/sandbox/internal/vm"
)

// VMCmd is what can be done with a virtual machine that has OpenZFS.
type VMCmd struct {
	ZFS vm.ZFS `name:"zfs" enum:"stable,backports" default:"stable" help:"Which of Debian's OpenZFS: the release's own, or the newer one of its backports (${default})."`

	Image   VMImageCmd   `cmd:"" help:"Make its image, if it is not there."`
	Test    VMTestCmd    `cmd:"" help:"Run the demo in it: backups, SIGKILL, resume, restores, on OpenZFS."`
	Exec    VMExecCmd    `cmd:"" help:"Run a line of shell in it, with zfs2cloud beside, and exit as it did."`
	Cut     VMCutCmd     `cmd:"" help:"Cut the power at chosen moments, boot, resume, restore and compare."`
	Shapes  VMShapesCmd  `cmd:"" help:"Back up, restore and compare datasets of every kind that OpenZFS has."`
	Resume  VMResumeCmd  `cmd:"" help:"Kill restores in the middle of their streams, and see them go on there."`
	Bench   VMBenchCmd   `cmd:"" help:"Measure what a resume costs: its send continued, replayed, or begun again."`
	Streams VMStreamsCmd `cmd:"" help:"Have OpenZFS send streams of each kind, cut at each record, and join them again."`
	Proof   VMProofCmd   `cmd:"" help:"Prove that a power cut takes what its disks were not told to flush, and nothing else."`
	Files   VMFilesCmd   `cmd:"" help:"Try file mode in it: a sync killed, its snapshot unmounted, resumed; an emptied dataset."`
	Shell   VMShellCmd   `cmd:"" help:"Open a shell in it; what you leave there is gone when you leave."`
	CI      VMCICmd      `cmd:"" name:"ci" help:"Run proof and cut, and count what passed."`
}

// openZFS is what all guests of this process have.
var openZFS = vm.Stable

// AfterApply takes the flag over.
func (c *VMCmd) AfterApply() error {
	openZFS = c.ZFS
	return nil
}

// guest is a virtual machine's image and the programs to try in it.
type guest struct {
	*ground
	image vm.Image
	dir   string // of the programs
}

// cacheDir is where images are kept; the variable is for a second one, beside one that others use.
func cacheDir() string {
	if dir := os.Getenv("SANDBOX_CACHE"); dir != "" {
		return dir
	}
	return vm.Cache
}

// layGuest installs what is needed, makes the image, if it is not there, and builds the programs.
func layGuest(ctx context.Context, more ...apt.Need) (*guest, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("run me as root: programs are installed where they are missing, and a Debian is made")
	}
	g := &guest{ground: &ground{host: &host.Host{}}}
	if err := g.openLog(cacheDir()); err != nil {
		return nil, err
	}
	if err := g.prepare(ctx, append(more, vm.Needs...)); err != nil {
		return nil, g.end(err)
	}
	return g, nil
}

func (g *guest) prepare(ctx context.Context, needs []apt.Need) (err error) {
	if err := g.install(ctx, needs); err != nil {
		return err
	}
	began := time.Now()
	image, made, err := vm.Open(ctx, g.host, cacheDir(), openZFS)
	if err != nil {
		return err
	}
	g.image = image
	text := "Debian with OpenZFS, as it was made before"
	if made {
		text = "Debian with OpenZFS, made and kept in " + cacheDir()
	}
	line("image", fmt.Sprintf("%s; QEMU runs it by %s", text, image.Accelerator), took(time.Since(began)))
	began = time.Now()
	if g.dir, err = os.MkdirTemp("", "z2c-guest-"); err != nil {
		return err
	}
	tool, err := findGo(ctx, g.host)
	if err != nil {
		return err
	}
	// The guest has no C library that programs of this machine could count on.
	tool.env = append(tool.env, "CGO_ENABLED=0")
	for _, name := range []string{"zfs2cloud", "sandbox"} {
		err := g.host.Do(ctx, tool.command("build", "-buildvcs=false", "-o", filepath.Join(g.dir, name), "./cmd/"+name))
		if err != nil {
			return err
		}
	}
	line("programs", "zfs2cloud and sandbox, built", took(time.Since(began)))
	return nil
}

func (g *guest) clear() error { return os.RemoveAll(g.dir) }

// files are the programs, by their names in the guest.
func (g *guest) files() map[string]string {
	files := map[string]string{}
	for _, name := range []string{"zfs2cloud", "sandbox"} {
		files[name] = filepath.Join(g.dir, name)
	}
	return files
}

// live has a guest live with the programs.
func (g *guest) live(ctx context.Context, l vm.Life) (status int, err error) {
	files := g.files()
	maps.Copy(files, l.Files)
	l.Files = files
	return g.image.Run(ctx, g.host, l)
}

// end removes what the guest was given, and the log, if all went well.
func (g *guest) end(err error) error {
	if err = errors.Join(err, g.clear()); err != nil {
		return g.failed(err)
	}
	return g.passed()
}

// VMImageCmd makes the image.
type VMImageCmd struct{}

// Run makes it, and installs what the other commands need.
func (VMImageCmd) Run(ctx context.Context) error {
	g, err := layGuest(ctx, vm.NBDKit)
	if err != nil {
		return err
	}
	return g.end(nil)
}

// VMTestCmd runs the demo in a guest.
type VMTestCmd struct{}

// Run runs it, and fails unless it passed.
func (VMTestCmd) Run(ctx context.Context) error {
	g, err := layGuest(ctx)
	if err != nil {
		return err
	}
	return g.end(g.demo(ctx))
}

func (g *guest) demo(ctx context.Context) error {
	ctx, off := context.WithTimeout(ctx, lifeTime)
	defer off()
	began := time.Now()
	status, err := g.live(ctx, vm.Life{
		Script: "zfs version && ./sandbox demo --small --program /guest/zfs2cloud || { cat /var/lib/zfs2cloud-sandbox/log-*; exit 1; }",
		Output: os.Stdout,
	})
	if err == nil && status != 0 {
		err = fmt.Errorf("the demo failed in the virtual machine, exit status %d", status)
	}
	if err == nil {
		fmt.Printf("passed in the virtual machine, in %s from its boot to its end\n", took(time.Since(began)))
	}
	return err
}

// VMFilesCmd tries file mode in a guest.
type VMFilesCmd struct{}

// Run runs it, and fails unless it passed.
func (VMFilesCmd) Run(ctx context.Context) error {
	g, err := layGuest(ctx)
	if err != nil {
		return err
	}
	return g.end(g.fileMode(ctx))
}

func (g *guest) fileMode(ctx context.Context) error {
	ctx, off := context.WithTimeout(ctx, lifeTime)
	defer off()
	status, err := g.live(ctx, vm.Life{
		Script: "./sandbox files --program /guest/zfs2cloud || { cat /var/lib/zfs2cloud-sandbox/log-*; exit 1; }",
		Output: os.Stdout,
	})
	if err == nil && status != 0 {
		err = fmt.Errorf("file mode failed in the virtual machine, exit status %d", status)
	}
	return err
}

// VMExecCmd runs a line of shell.
type VMExecCmd struct {
	Line string `arg:"" help:"For the guest's shell, in the folder /guest, where zfs2cloud and sandbox lie."`
}

// Run runs it. The exit status of the line becomes ours.
func (c VMExecCmd) Run(ctx context.Context) error {
	g, err := layGuest(ctx)
	if err != nil {
		return err
	}
	status, err := g.live(ctx, vm.Life{Script: c.Line, Output: os.Stdout})
	if err := g.end(err); err != nil {
		return err
	}
	if status != 0 {
		os.Exit(status)
	}
	return nil
}

// VMProofCmd proves that the disks for power cuts lose what they should.
type VMProofCmd struct{}

// Run does it once.
func (VMProofCmd) Run(ctx context.Context) error {
	g, err := layGuest(ctx, vm.NBDKit)
	if err != nil {
		return err
	}
	return g.end(g.prove(ctx))
}

func (g *guest) prove(ctx context.Context) error {
	ctx, off := context.WithTimeout(ctx, lifeTime)
	defer off()
	began := time.Now()
	err := g.image.Prove(ctx, g.host)
	if err == nil {
		line("proof", "4.00 MiB that were flushed are there, and nothing of 4.00 MiB that were not", took(time.Since(began)))
	}
	return err
}

// VMShellCmd opens a shell.
type VMShellCmd struct{}

// Run gives the terminal to the guest until its shell ends.
func (VMShellCmd) Run(ctx context.Context) error {
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return errors.New("a shell needs a terminal; for a line of shell: sandbox vm exec LINE")
	}
	g, err := layGuest(ctx)
	if err != nil {
		return err
	}
	// QEMU is not in the terminal's foreground, and so would be stopped if it read from it.
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	before, err := term.MakeRaw(fd)
	if err != nil {
		return err
	}
	go func() { _, _ = w.ReadFrom(os.Stdin) }()
	_, err = g.live(ctx, vm.Life{
		Script:  `exec setsid -c bash -i </dev/ttyS0 >/dev/ttyS0 2>&1`,
		Console: &vm.Console{In: r, Out: os.Stdout},
	})
	return g.end(errors.Join(err, term.Restore(fd, before)))
}
