package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"zfs2cloud/actions/zfs/zfstest"
)

// scriptCommands are what scripts can say beside the usual words of testscript.
var scriptCommands = map[string]func(*testscript.TestScript, bool, []string){
	"exits":    onlyYes(cmdExits),
	"fault":    onlyYes(cmdFault),
	"mishap":   onlyYes(cmdMishap),
	"serve":    onlyYes(cmdServe),
	"link":     onlyYes(cmdLink),
	"server":   onlyYes(cmdServer),
	"await":    onlyYes(cmdAwait),
	"days":     onlyYes(cmdDays),
	"config":   onlyYes(cmdConfig),
	"inturn":   onlyYes(cmdInTurn),
	"zfs":      onlyYes(cmdZFS),
	"pool":     onlyYes(cmdPool),
	"change":   onlyYes(cmdChange),
	"shutdown": onlyYes(cmdShutdown),
	"damage":   onlyYes(cmdDamage),
	"flip":     onlyYes(cmdFlip),
	"restored": onlyYes(cmdRestored),
	"count":    onlyYes(cmdCount),
	"signal":   onlyYes(cmdSignal),
	"soak":     onlyYes(cmdSoak),
	"chunks":   onlyYes(cmdChunks),
	"watch":    onlyYes(cmdWatch),
	"standin":  onlyYes(cmdStandIn),
	"allow":    onlyYes(cmdAllow),
	"audit":    onlyYes(cmdAudit),
	"rich":     onlyYes(cmdRich),
	"alike":    onlyYes(cmdAlike),
	"endures":  onlyYes(cmdEndures),
}

func onlyYes(cmd func(*testscript.TestScript, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this command knows no !")
		}
		cmd(ts, args)
	}
}

func need(ts *testscript.TestScript, ok bool, usage string) {
	if !ok {
		ts.Fatalf("usage: %s", usage)
	}
}

// exits STATUS PROGRAM ARG…: the program must end with that exit status, or be "killed".
func cmdExits(ts *testscript.TestScript, args []string) {
	need(ts, len(args) >= 2, "exits STATUS|killed program [args...]")
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() < 0:
		got = exit.Sys().(interface{ Signal() unix.Signal }).Signal().String()
	case errors.As(err, &exit):
		got = strconv.Itoa(exit.ExitCode())
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != args[0] {
		ts.Fatalf("exit %s, not %s", got, args[0])
	}
}

// fault PROGRAM HOW WORD [N]: see recorder.
func cmdFault(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 3 || len(args) == 4, "fault program how word [n]")
	n := "1"
	if len(args) == 4 {
		n = args[3]
	}
	setFault(ts, args[0], args[1], args[2], n)
}

// mishap MOST: the program is to be killed at a call by chance of a child by chance, one of the next MOST.
func cmdMishap(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 1, "mishap most")
	most, err := strconv.Atoi(args[0])
	ts.Check(err)
	program := []string{"zfs", "gpg", "rclone"}[rand.IntN(3)]
	how := []string{"kill", "after"}[rand.IntN(2)]
	n := strconv.Itoa(1 + rand.IntN(most))
	ts.Logf("fault %s %s any %s", program, how, n)
	setFault(ts, program, how, "any", n)
}

func setFault(ts *testscript.TestScript, program, how, word, n string) {
	dir := fixtureOf(ts).at(program)
	for _, old := range []string{"hanging", "go"} {
		ts.Check(os.RemoveAll(filepath.Join(dir, old)))
	}
	ts.Check(os.WriteFile(filepath.Join(dir, "fault"), []byte(how+" "+word+" "+n), 0o600))
}

// awaitMost bounds what a script waits for.
const awaitMost = 30 * time.Second

// await FILE [PATTERN]: waits until the file is there, and has such a line.
func cmdAwait(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 1 || len(args) == 2, "await file [pattern]")
	pattern := regexp.MustCompile(strings.Join(args[1:], ""))
	for until := time.Now().Add(awaitMost); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && pattern.Match(text) {
			return
		}
	}
	ts.Fatalf("waited %s in vain", awaitMost)
}

// days N: sets the program's clock so many days ahead of the machine's.
func cmdDays(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 1, "days n")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(os.WriteFile(fixtureOf(ts).at("clock"), fmt.Appendf(nil, "%dh", 24*n), 0o600))
}

// config FILE KEY=VALUE|KEY…: sets keys of [main], or takes them out. A file that is not there yet begins as a copy
// of $CONF.
func cmdConfig(ts *testscript.TestScript, args []string) {
	need(ts, len(args) >= 2, "config file key=value|key...")
	file := ts.MkAbs(args[0])
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		text, err = os.ReadFile(fixtureOf(ts).at("config.ini"))
	}
	ts.Check(err)
	for _, arg := range args[1:] {
		key, value, set := strings.Cut(arg, "=")
		old := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(key) + ` = .*\n`)
		text = old.ReplaceAll(text, nil)
		if set {
			text = []byte(strings.Replace(string(text), "[main]\n", "[main]\n"+key+" = "+value+"\n", 1))
		}
	}
	ts.Check(os.WriteFile(file, text, 0o600))
}

// inturn: a script stands between export and upload, so that nothing is uploaded before all is exported, and then
// one chunk after the other.
func cmdInTurn(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 0, "inturn")
	f := fixtureOf(ts)
	text, err := os.ReadFile(f.at("config.ini"))
	ts.Check(err)
	now := strings.Replace(string(text), "[main]\n", "[main]\nupload_jobs = 1\n", 1)
	now = strings.Replace(now, "004 = export-intermediate\n", "004 = export-intermediate\n0041 = ./between\n", 1)
	ts.Check(errors.Join(
		os.WriteFile(f.at("between"), []byte("#!/bin/sh\n"), 0o700),
		os.WriteFile(f.at("config.ini"), []byte(now), 0o600)))
}

// zfs ARG…: the real zfs, for what mounts or unmounts: that must not happen twice at once.
func cmdZFS(ts *testscript.TestScript, args []string) {
	need(ts, len(args) > 0, "zfs args...")
	zfstest.RunWhenFree(fixtureOf(ts).t, append([]string{"zfs"}, args...)...)
}

// pool export|import: the pool goes away, or comes back. Only where it can be mounted.
func cmdPool(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 1, "pool export|import")
	f := fixtureOf(ts)
	argv := []string{"zpool", args[0]}
	if args[0] == "import" {
		argv = append(argv, "-d", filepath.Dir(filepath.Dir(f.data)))
	}
	zfstest.RunWhenFree(f.t, append(argv, f.pool)...)
}

// change: some of the dataset's data changes. Where nothing is mounted, nothing does. A file that is written anew has another
// length each time: zfs-fuse knows when one was changed to the second only, and rclone takes one of the same length and time for
// the same.
func cmdChange(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 0, "change")
	f := fixtureOf(ts)
	if f.data == "" {
		return
	}
	f.changes++
	ts.Check(errors.Join(
		writeNoise(filepath.Join(f.data, "big-1"), 300<<10+f.changes),
		writeNoise(filepath.Join(f.data, "new "+strconv.FormatInt(time.Now().UnixNano(), 36)), 1000),
		os.RemoveAll(filepath.Join(f.data, "a folder", "deeper", "small 3"))))
}

// restored NEW DIR: the dataset NEW has the files of DIR, as alike has it, and its newest snapshot is that of the same name of
// $DATASET, by its GUID. Where nothing can be mounted, the lengths of their streams are compared.
func cmdRestored(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 2, "restored new dir")
	f := fixtureOf(ts)
	names := strings.Fields(zfstest.Run(f.t, "zfs", "list", "-H", "-t", "snapshot", "-d", "1", "-o", "name", "-S", "creation", args[0]))
	if len(names) == 0 {
		ts.Fatalf("%s has no snapshot", args[0])
	}
	_, snapshot, _ := strings.Cut(names[0], "@")
	guid := func(dataset string) string {
		return zfstest.Run(f.t, "zfs", "get", "-Hp", "-o", "value", "guid", dataset+"@"+snapshot)
	}
	if a, b := guid(args[0]), guid(f.dataset); a != b {
		ts.Fatalf("GUIDs differ: %s and %s", a, b)
	}
	if f.data == "" {
		length := func(dataset string) string {
			return zfstest.Run(f.t, "sh", "-c", `zfs send "$0" | wc -c`, dataset+"@"+snapshot)
		}
		if a, b := length(args[0]), length(f.dataset); a != b {
			ts.Fatalf("lengths of streams differ: %s and %s", a, b)
		}
		return
	}
	zfstest.Run(f.t, "zfs", "mount", args[0])
	dir := zfstest.NeedMount(f.t, args[0])
	cmdAlike(ts, []string{args[1], dir})
}

// count N PATTERN: so many files match.
func cmdCount(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 2, "count n pattern")
	files, err := filepath.Glob(ts.MkAbs(args[1]))
	ts.Check(err)
	if strconv.Itoa(len(files)) != args[0] {
		ts.Fatalf("%d files match: %q", len(files), files)
	}
}

// signal NAME FILE: sends TERM, HUP, INT, KILL or 0 (is it there?) to the process whose number is in the file.
func cmdSignal(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 2, "signal name file")
	signals := map[string]unix.Signal{"TERM": unix.SIGTERM, "HUP": unix.SIGHUP, "INT": unix.SIGINT, "KILL": unix.SIGKILL, "0": 0}
	signal, ok := signals[args[0]]
	need(ts, ok, "signal TERM|HUP|INT|KILL|0 file")
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[1])))
	ts.Check(err)
	ts.Check(unix.Kill(pid, signal))
}

// allow WORD…: the audit is not to mind that. stopped: the application ends stopped, or was started twice;
// missing: objects of committed backups are gone; temps: unfinished files are left; again: a chunk was
// uploaded twice; mounted: a snapshot is left mounted.
func cmdAllow(ts *testscript.TestScript, args []string) {
	for _, word := range args {
		fixtureOf(ts).allowed[word] = true
	}
}

// audit: looks now, as at the end of the script.
func cmdAudit(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 0, "audit")
	fixtureOf(ts).audit()
}

// shutdown DIR: the ext4 file system that is mounted there fails, with EIO for whatever is asked of it, until it is
// unmounted.
func cmdShutdown(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 1, "shutdown dir")
	dir, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer dir.Close()
	const (
		request    = 0x8004587d // EXT4_IOC_SHUTDOWN of the kernel's ext4.h: _IOR('X', 125, __u32)
		noLogFlush = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH: what was not synced is lost
	)
	ts.Check(unix.IoctlSetPointerInt(int(dir.Fd()), request, noLogFlush))
}
