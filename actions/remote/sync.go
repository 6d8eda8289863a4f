package remote

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"zfs2cloud/workflow"
)

// Stats is what rclone counts of a sync. Until it has listed all, its totals grow.
type Stats struct {
	Bytes, TotalBytes         int64 // of the files that are transferred
	Transfers, TotalTransfers int64 // files
	Checks                    int64 // objects at the destination that were compared, those that are deleted among them
	Deletes                   int64
	Errors                    int64
	Links                     int64  // symbolic links that were left out, for want of --links or --copy-links
	Marker                    string // a job's, that would be deleted
}

// HeartbeatFile is what the Python tool touched at the destination after each sync; people watch its age.
const HeartbeatFile = "__zfs2cloud_last_updated__"

// Sync makes a folder of a remote equal to a local one, by rclone's own sync. It is the one thing here that deletes what it
// was not told by name. So it is asked first what it would delete (Plan), and then may delete no more than that (Run).
//
// At the remote's root what is ours stays out of it: the markers of jobs, and the heartbeat.
type Sync struct {
	rclone *rclone
	into   string // the folder at the remote; "" is its root
}

// NewSync opens the destination. The flags of Options are those for a sync: filters are allowed.
func NewSync(o Options, into string) (*Sync, error) {
	r, err := Open(o)
	if err != nil {
		return nil, err
	}
	known, ok := r.(*rclone)
	if !ok { // a local folder: rclone, too, brings it there
		env, err := rcloneEnv(o.EnvNames, o.LookupEnv)
		if err != nil {
			return nil, err
		}
		known = &rclone{remote: filepath.Clean(o.Remote), program: slices.Clone(o.Rclone), conf: o.Conf, bwlimit: o.Bwlimit,
			global: slices.Clone(o.GlobalFlags), args: slices.Clone(o.Args), env: env, temp: o.TempDir, idle: o.Idle}
	}
	return &Sync{rclone: known, into: into}, nil
}

func (y *Sync) String() string { return join(y.rclone.remote, y.into) }

// Plan asks rclone what it would do, and changes nothing: how much it would transfer, and delete.
func (y *Sync) Plan(ctx context.Context, w workflow.World, from string) (Stats, error) {
	c := y.call(from, "--dry-run")
	c.op, c.looks = "see what to sync to", true
	s, err := y.run(ctx, w, c)
	if err == nil && s.Marker != "" && y.into == "" {
		err = y.rclone.error(c.op, y.into, nil, fmt.Errorf("the filters of rclone_args or rclone_global_flags include %s, which the sync would delete: "+
			"write --include X as --filter '+ X' and --filter '- *'", s.Marker))
	}
	return s, err
}

// Run makes the destination equal to a folder. It deletes at most so many objects, and then stops with an error.
func (y *Sync) Run(ctx context.Context, w workflow.World, from string, deletes int64, progress func(Stats)) (Stats, error) {
	if err := mayWrite(w, "sync", y.into); err != nil {
		return Stats{}, err
	}
	c := y.call(from, "--max-delete", fmt.Sprint(deletes))
	c.op, c.transfers, c.stats = "sync", true, progress
	s, err := y.run(ctx, w, c)
	if err != nil && s.Deletes > deletes {
		err = y.rclone.error(c.op, y.into, nil, errors.Join(fmt.Errorf("it would delete more than the %d that were counted before", deletes), err))
	}
	return s, err
}

func (y *Sync) call(from string, flags ...string) call {
	c := call{name: y.into, verb: "sync", flags: flags, operands: []string{from, join(y.rclone.remote, y.into)}}
	if y.into == "" && !y.listed() {
		c.first = []string{"--filter", "- /" + markerPrefix + "*", "--filter", "- /" + HeartbeatFile}
	}
	return c
}

// listed tells whether the user names the files. rclone takes no other filter beside that, and deletes none that is not named.
func (y *Sync) listed() bool {
	return slices.ContainsFunc(slices.Concat(y.rclone.global, y.rclone.args), func(a string) bool {
		return strings.HasPrefix(strings.ReplaceAll(a, "_", "-"), "--files-from")
	})
}

// run returns the last that rclone counted.
func (y *Sync) run(ctx context.Context, w workflow.World, c call) (last Stats, err error) {
	progress := c.stats
	c.stats = func(s Stats) {
		last = s
		if progress != nil {
			progress(s)
		}
	}
	err = y.rclone.run(ctx, w, c)
	return last, err
}
