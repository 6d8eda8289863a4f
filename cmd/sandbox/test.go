package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"zfs2cloud/cmd/sandbox/internal/apt"
	"zfs2cloud/cmd/sandbox/internal/events"
	"zfs2cloud/cmd/sandbox/internal/host"
	"zfs2cloud/cmd/sandbox/internal/pool"
)

// TestCmd runs all checks and tests. The last line is "N passed, N failed, N skipped".
type TestCmd struct{}

// All tests of a package must not take longer. The scripts take six minutes on two cores that do nothing else, and
// took more than twice as long where others were at work.
const testTime = "40m"

// concurrent are the scripts in which most is done at once. They run under the race detector, with which a
// program starts four times slower: all of them would take nearly twice as long.
const concurrent = "TestScripts/^(ahead|bracket_second|bracket_terminated|hook_killed|link|lock_second|restore|resume_interrupted|run_restore$|run_same|status|store)"

// The pool is there to find out whether file systems can be mounted; the tests make pools of their own.
const testDisk = 128 << 20

// Run runs them and fails if one did.
func (TestCmd) Run(ctx context.Context) error {
	began := time.Now()
	fmt.Println("All checks and tests, on real ZFS, gpg and rclone: some minutes.")
	g, err := lay(ctx, pool.Options{Base: pool.Base, Size: testDisk}, apt.ZFS, apt.Rclone, apt.GnuPG, apt.GnuPG1, apt.GCC, apt.LibC)
	if err != nil {
		return err
	}
	counts, err := g.test(ctx)
	if err = errors.Join(err, g.clear(ctx)); err != nil {
		return g.failed(err)
	}
	report(counts)
	fmt.Printf("\nin %s\n%s\n", took(time.Since(began)), counts)
	if len(counts.Failed) > 0 {
		fmt.Fprintln(os.Stderr, "all commands and what they said:", g.log.Name())
		return errSaid
	}
	return g.passed()
}

func (g *ground) test(ctx context.Context) (events.Counts, error) {
	tool, err := findGo(ctx, g.host)
	if err != nil {
		return events.Counts{}, err
	}
	counts := g.checks(ctx, tool)
	for _, args := range [][]string{
		{"-race", "-skip=^TestScripts$", "./..."},
		{"-race", "-run=" + concurrent, "./cmd/zfs2cloud"},
		{"-run=TestScripts", "-skip=" + concurrent, "./cmd/zfs2cloud"},
		// A sample of the points at which a run can die, once and twice; -crashshare=1 goes through all of them, and takes its time.
		{"-tags=crashpoints", "-run=TestCrashPoints", "./cmd/zfs2cloud", "-crashshare=8", "-crashpairs=2"},
		{"-tags=crashpoints", "-run=TestEveryDeath", "./workflow", "-explore=1m"},
	} {
		tests, err := g.goTest(ctx, tool, args...)
		counts.Add(tests)
		if err != nil {
			return counts, err
		}
	}
	return counts, nil
}

// goTest runs go test. Packages run one after the other, since mounts at the same moment can wedge
// zfs-fuse 0.7 for ever (eight at once: after some hundred mounts its listener hangs), and with temporary
// folders that lie in the sandbox's: the pools of a test that was killed go with it.
func (g *ground) goTest(ctx context.Context, tool goTool, args ...string) (counts events.Counts, err error) {
	temp, err := g.sub("t")
	if err != nil {
		return counts, err
	}
	c := tool.command(append([]string{"test", "-json", "-count=1", "-p=1", "-timeout=" + testTime}, args...)...)
	c.Env = append(c.Env, "HOME="+g.host.Home, "TMPDIR="+temp)
	failed := g.through(ctx, c, func(r io.Reader) (err error) {
		counts, err = events.Read(r, os.Stdout)
		return err
	})
	if ctx.Err() != nil {
		return counts, context.Cause(ctx)
	}
	var f *host.Failure
	if errors.As(failed, &f) && len(counts.Failed) == 0 {
		// go itself failed, before any package: nothing that was counted says so.
		counts.Failed = append(counts.Failed, events.Test{Package: "go test", Output: f.Error()})
	} else if f == nil {
		err = failed
	}
	return counts, err
}

// report names what did not pass, and why.
func report(c events.Counts) {
	if len(c.Skipped) > 0 {
		fmt.Printf("\n%d skipped:\n", len(c.Skipped))
	}
	for n, s := range c.Skipped {
		fmt.Printf("%4d  %s: %s\n", n+1, s, s.Reason)
	}
	if len(c.Failed) > 0 {
		fmt.Printf("\n%d failed:\n", len(c.Failed))
	}
	for n, f := range c.Failed {
		fmt.Printf("%4d  %s\n", n+1, f)
		for _, line := range f.Why(12) {
			fmt.Println("      ", line)
		}
	}
}
