package outage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/cmd/sandbox/internal/host"
)

// Life is what one life of the guest is to do.
type Life struct {
	Number int  // the first is 0
	Last   bool // it restores and compares instead of being cut off
	Days   int  // how far its clock is ahead
	Plain  bool // its backups are not encrypted
	Files  bool // it is one of mode file
	Ended  Cut  // the end of the one before
	End    Cut
}

// What the guest says begins with Says and goes on with one of these words.
const (
	Says     = "outage: "
	Moment   = "moment"   // cut the power
	Call     = "call"     // a call of a program: kind, size, name
	Looked   = "looked"   // what status said
	Kept     = "kept"     // a chunk that it calls uploaded, and that is there
	Resuming = "resuming" // the work begins again
	Resumed  = "resumed"  // and is done: how many chunks the backup has, or what was synced
	Compared = "compared" // all is: how many backups were restored for it
)

// MonthLater is how far the clock goes ahead for a run that is to find old snapshots.
const MonthLater = 40

// Where things lie in the guest. All of /data is on a disk that loses what was not flushed.
const (
	run     = "/run/outage"
	bin     = "/data/bin"
	program = "/data/bin/zfs2cloud"
	spool   = "/data/spool"
	remote  = "/remote"
	state   = "/var/lib/zfs2cloud"
	dataset = "tank/data"
	live    = "/tank/data"

	stopHook  = bin + "/stop"
	startHook = bin + "/start"
	markHook  = bin + "/mark"
)

type guest struct {
	*host.Host
	Life

	compared int // backups that were restored
}

// Live lives that life. Whoever cuts the power may do so once Moment was said; until then Live does not return, but
// with an error.
func Live(ctx context.Context, l Life) error {
	g := &guest{Host: &host.Host{Log: os.Stdout, Home: "/root"}, Life: l}
	for _, begin := range []func(context.Context) error{g.listen, g.forward, g.disks} {
		if err := begin(ctx); err != nil {
			return err
		}
	}
	if l.Number > 0 {
		if err := g.recover(ctx); err != nil {
			return fmt.Errorf("after the cut (%s): %w", l.Ended, err)
		}
	}
	if l.Last {
		return g.restoreAll(ctx)
	}
	return g.runToItsEnd(ctx)
}

func say(format string, args ...any) { fmt.Printf(Says+format+"\n", args...) }

// listen passes on what the wrappers say.
func (g *guest) listen(context.Context) error {
	if err := os.Mkdir(run, 0o700); err != nil {
		return err
	}
	fifo := filepath.Join(run, "say")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(fifo, os.O_RDWR, 0) // for writing too, so that it never ends
	if err != nil {
		return err
	}
	go func() {
		for lines := bufio.NewScanner(f); lines.Scan(); {
			say("%s", lines.Text())
		}
	}()
	return g.expect("none 0 never")
}

// expect tells the wrappers where to stop, counting from now on.
func (g *guest) expect(moment string) error {
	calls := filepath.Join(run, "calls")
	if err := errors.Join(os.RemoveAll(calls), os.Mkdir(calls, 0o700)); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(run, "moment"), []byte(moment+"\n"), 0o600)
}

func (g *guest) forward(context.Context) error { return ahead(g.Days) }

func ahead(days int) error {
	now := unix.NsecToTimespec(time.Now().AddDate(0, 0, days).UnixNano())
	return unix.ClockSettime(unix.CLOCK_REALTIME, &now)
}

// recover is what comes after a cut: a look, the resume, and an audit.
func (g *guest) recover(ctx context.Context) error {
	if err := g.look(ctx); err != nil {
		return err
	}
	say(Resuming)
	if g.End.Resumed && !g.Last {
		return nil // this life is to end in it
	}
	if err := g.product(ctx, nil, "-v", "resume"); err != nil {
		return err
	}
	s, err := g.status(ctx)
	if err != nil {
		return err
	}
	if g.Files {
		say(Resumed+" %s", newest(s.Backups).Files)
	} else {
		say(Resumed+" %d", s.Runs[0].Chunks.Sealed)
	}
	return g.audit(ctx, s)
}

// runToItsEnd starts what the power cut is to end.
func (g *guest) runToItsEnd(ctx context.Context) error {
	command := "resume"
	if !g.End.Resumed {
		command = "run"
		if g.End.Late {
			if err := ahead(MonthLater); err != nil {
				return err
			}
		}
		if err := g.change(ctx); err != nil {
			return err
		}
		if err := os.WriteFile("/data/config.ini", []byte(g.config()), 0o600); err != nil {
			return err
		}
		unix.Sync()
	}
	if err := g.expect(fmt.Sprintf("%s %d %s", g.End.Call, g.End.Nth, g.End.When)); err != nil {
		return err
	}
	if g.End.Call == remove {
		if err := g.watch(); err != nil {
			return err
		}
	}
	err := g.product(ctx, nil, "-v", command)
	if _, notCome := os.Stat(filepath.Join(run, "cut")); notCome != nil {
		return fmt.Errorf("%s ended before its moment (%s): %w", command, g.End, errors.Join(err, notCome))
	}
	<-ctx.Done() // the run was faster than the cut
	return context.Cause(ctx)
}

// product runs zfs2cloud with the wrappers.
func (g *guest) product(ctx context.Context, out io.Writer, args ...string) error {
	return g.Do(ctx, host.Command{
		Argv:   append([]string{program, "-c", "/data/config.ini"}, args...),
		Env:    []string{"PATH=" + bin + ":" + host.Path},
		Stdout: out,
	})
}

// lines are the words of each line of what a program prints.
func (g *guest) lines(ctx context.Context, argv ...string) (lines [][]string, err error) {
	out, err := g.Run(ctx, argv...)
	for line := range strings.Lines(out) {
		lines = append(lines, strings.Fields(line))
	}
	return lines, err
}
