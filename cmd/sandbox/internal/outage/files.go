package outage

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// synced holds the remote of mode file against the dataset, which has not changed since its snapshot; and nothing is
// mounted any more, and no folder for a mount left.
func (g *guest) synced(ctx context.Context) error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, " "+dataset+"@") {
			return fmt.Errorf("mounted is %s", line)
		}
	}
	left, err := os.ReadDir(spool)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%s/%s is left", spool, left[0].Name())
	}
	const ours, beat = "zfs2cloud-job-*", "__zfs2cloud_last_updated__"
	_, err = g.Run(ctx, "diff", "-r", "--no-dereference", "-x", ours, "-x", beat, live, remote+"/tank")
	return err
}
