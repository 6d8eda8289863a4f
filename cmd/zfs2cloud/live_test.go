package main

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/sys/unix"

	"zfs2cloud/actions/proc"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// A terminal that is closed while bars are drawn ends the drawing, and not the run.
func TestLiveTerminalGone(t *testing.T) {
	master, terminal := pseudoTerminal(t)
	a := &App{Err: terminal, Terminal: true, World: &proc.World{}, Stop: workflow.NewStop(t.Context())}
	l := a.draw(state.Run{Steps: []state.Step{{Shown: "export-intermediate"}, {Shown: "upload-intermediate-to-remote"}}})
	l.begin(0)
	l.onProgress(0, 1<<20, 4<<20, true)
	if err := master.Close(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); !l.gone && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond) // mpb draws by itself, and sees then that the terminal is gone
		l.onProgress(0, 2<<20, 4<<20, true)
		l.begin(1)
		l.onProgress(1, 1<<20, 4<<20, false)
		l.say("a line\n")
		l.clear(1)
	}
	if !l.gone {
		t.Error("it is still drawn to a terminal that is gone")
	}
	l.onProgress(0, 3<<20, 4<<20, true)
	l.begin(1)
	l.onProgress(1, 2<<20, 4<<20, false)
	l.stop()
}

// pseudoTerminal is a terminal of the kernel's, and the side on which an emulator of one would be.
func pseudoTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100}); err != nil {
		t.Fatal(err)
	}
	return master, terminal
}

// The share is seen however narrow the terminal is.
func TestLiveLine(t *testing.T) {
	began := time.Date(2026, 11, 25, 3, 52, 0, 0, time.UTC)
	b := &bar{since: began, measured: true}
	const name = "upload-intermediate-to-remote"
	for columns, want := range map[int]string{
		0:  "  running  upload-intermediate-to-remote  41%  24.0 of 57.5 MiB  6.00 MiB/s ",
		80: "  running  upload-intermediate-to-remote  41%  24.0 of 57.5 MiB  6.00 MiB/s ",
		79: "  running  upload-intermediate-to-remote  41%  24.0 of 57.5 MiB  6.00 MiB/s",
		60: "  running  upload-intermediate-to-r…  41%  24.0 of 57.5 MiB",
		40: "  running  upload-intermediate-to…  41%",
		12: "  running  …  41%",
	} {
		got := b.line(name, decor.Statistics{Current: 24 << 20, Total: 575 << 20 / 10}, began.Add(4*time.Second), columns)
		if got != want {
			t.Errorf("%d columns: %q, want %q", columns, got, want)
		}
	}
}

// While chunks go up beside the export there is one time left: that of the later of the two.
func TestTimeLeft(t *testing.T) {
	now := time.Date(2026, 11, 25, 3, 52, 0, 0, time.UTC)
	var e ends
	expect := func(i int, want time.Duration) {
		t.Helper()
		if got := e.left(i, now); got != want {
			t.Errorf("step %d: %v, want %v", i, got, want)
		}
	}
	expect(4, 0)
	e.set(4, now.Add(5*time.Minute))
	expect(4, 5*time.Minute)
	e.set(5, now.Add(2*time.Minute))
	expect(4, 0)
	expect(5, 5*time.Minute)
	e.set(5, now.Add(9*time.Minute))
	expect(5, 9*time.Minute)
	e.forget(4)
	expect(5, 9*time.Minute)
}

// A script has nothing to measure: what is seen is its name, and for how long it has been at work.
func TestLiveLineOfAScript(t *testing.T) {
	began := time.Date(2026, 11, 25, 3, 52, 0, 0, time.UTC)
	b := &bar{since: began}
	for columns, want := range map[int]string{
		80: "  running  ./dump-database                 12m 5s ",
		40: "  running  ./dump-database  12m 5s",
		28: "  running  ./dump-…  12m 5s",
	} {
		if got := b.line("./dump-database", decor.Statistics{}, began.Add(725*time.Second), columns); got != want {
			t.Errorf("%d columns: %q, want %q", columns, got, want)
		}
	}
}

// A step that is over keeps its line on a terminal that has the room, and else gives up the columns.
func TestLiveOver(t *testing.T) {
	step := state.Step{Shown: "export-intermediate", Detail: "incremental since 20261125130023-full; 1 chunk"}
	if err := json.Unmarshal([]byte(`"done"`), &step.State); err != nil {
		t.Fatal(err)
	}
	for columns, want := range map[int]string{
		0: "  done     export-intermediate               2.6s  incremental since 20261125130023-full; 1 chunk\n",
		80: "  done     export-intermediate               2.6s\n" +
			"           incremental since 20261125130023-full; 1 chunk\n",
		40: "  done     export-intermediate  2.6s\n" +
			"           incremental since 20261125130023-full; 1 chunk\n",
	} {
		if got := over(step, "2.6s", columns); got != want {
			t.Errorf("%d columns: %q, want %q", columns, got, want)
		}
	}
	step.Shown, step.Detail = "./stop-app", ""
	if got, want := over(step, "4.0s", 80), "  done     ./stop-app                        4.0s\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
