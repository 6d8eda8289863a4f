package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"zfs2cloud/cmd/sandbox/internal/limit"
)

// ThrottleCmd is zfs with a slow disk behind it: what the benchmark gives to zfs2cloud as ZFS_PATH.
type ThrottleCmd struct {
	Rate int64    `arg:"" help:"Bytes a second that zfs send may write."`
	Argv []string `arg:"" passthrough:"" help:"The program with its arguments."`
}

// Run becomes the program, or, if that is to send, stands behind it.
func (c *ThrottleCmd) Run(ctx context.Context) error {
	program, err := exec.LookPath(c.Argv[0])
	if err != nil {
		return err
	}
	if !slices.Contains(c.Argv, "send") {
		return syscall.Exec(program, c.Argv, os.Environ())
	}
	cmd := exec.CommandContext(ctx, program, c.Argv[1:]...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	copying := limit.Copy(os.Stdout, out, limit.NewBucket(c.Rate))
	out.Close() // if we could not write: its next write ends it
	if err := cmd.Wait(); err != nil {
		return errors.Join(copying, err)
	}
	return copying
}

// throttled is how zfs is called when it may send that many bytes a second; 0 is no limit.
func throttled(self string, rate int64) []string {
	if rate == 0 {
		return []string{"zfs"}
	}
	return []string{self, "throttle", strconv.FormatInt(rate, 10), "zfs"}
}
