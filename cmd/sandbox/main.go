// Command sandbox is what a newcomer runs on a fresh Debian or Ubuntu machine, with nothing but Go and
// root: a demo of the whole on a throwaway pool, all tests, a benchmark, or a pool and a config to play with.
//
//	go run ./cmd/sandbox demo
//	go run ./cmd/sandbox test
//	go run ./cmd/sandbox bench
//
// It stands outside of the program as a person does: it builds zfs2cloud, types its commands, reads what
// they print, and looks at what lies on the disks. It shares no code with what it tries.
//
// File systems can't be mounted everywhere: an ordinary container has no /dev/fuse. There data comes
// into datasets by receiving a prepared stream, and is compared by sending it, and the output says so.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"
)

// CLI is every command there is.
type CLI struct {
	Demo  DemoCmd  `cmd:"" help:"Back up, kill, resume, restore and compare, on a throwaway pool: about 2 minutes."`
	Test  TestCmd  `cmd:"" help:"Run all checks and all tests."`
	Bench BenchCmd `cmd:"" help:"Measure zfs2cloud against other ways, on a throwaway pool."`
	Up    UpCmd    `cmd:"" help:"Leave a throwaway pool and a ready config to play with."`
	Down  DownCmd  `cmd:"" help:"Remove what up left, and what killed sandboxes left."`
	VM    VMCmd    `cmd:"" name:"vm" help:"A virtual machine with OpenZFS."`

	Files    FilesCmd    `cmd:"" hidden:"" help:"What vm files runs in the guest."`
	Throttle ThrottleCmd `cmd:"" hidden:"" help:"zfs with a slow disk behind it."`
	Outage   OutageCmd   `cmd:"" hidden:"" help:"A life of the guest of vm cut."`
	Shapes   ShapesCmd   `cmd:"" hidden:"" help:"The guest of vm shapes."`
}

func main() {
	var cli CLI
	k := kong.Parse(&cli, kong.Name("sandbox"), kong.Description("Throwaway ZFS pools to try zfs2cloud on."))
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	followGo()
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(); err != nil {
		if !errors.Is(err, errSaid) {
			fmt.Fprintln(os.Stderr, "sandbox:", err)
		}
		os.Exit(1)
	}
}

// errSaid is an error that was printed already.
var errSaid = errors.New("said")

// followGo has the kernel tell us to stop when "go run" ends before us: it passes no SIGTERM on.
func followGo() {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", os.Getppid()))
	if err == nil && strings.TrimSpace(string(name)) == "go" {
		_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0)
	}
}
