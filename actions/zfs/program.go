package zfs

import (
	"context"
	"fmt"
	"path"
	"slices"

	"zfs2cloud/actions/proc"
	"zfs2cloud/workflow"
)

// Program is the zfs program in a World.
type Program struct {
	World workflow.World
	// Words is how it is called: {"zfs"}, {"sudo", "zfs"}, {"nice", "-n", "1", "/sbin/zfs"}. The zpool
	// program is called in the same way, and lies in the same folder.
	Words []string
}

func (p Program) zfs(args ...string) workflow.Spec {
	return workflow.Spec{Argv: append(slices.Clone(p.Words), args...)}
}

func (p Program) zpool(args ...string) workflow.Spec {
	spec := p.zfs()
	last := len(spec.Argv) - 1
	dir, _ := path.Split(spec.Argv[last])
	spec.Argv[last] = dir + "zpool"
	spec.Argv = append(spec.Argv, args...)
	return spec
}

// look runs what only reads, and gives its output.
func (p Program) look(ctx context.Context, doing string, on subject, spec workflow.Spec) (string, error) {
	var said beginning
	spec.Looks, spec.Stderr = true, &said
	out, err := proc.Output(ctx, p.World, spec)
	reason := said.String()
	if reason == "" {
		reason = string(out) // that is where zfs-fuse says why it has no holds
	}
	return string(out), p.failed(ctx, doing, on, reason, err)
}

// change runs what changes something.
func (p Program) change(ctx context.Context, doing string, on subject, spec workflow.Spec) error {
	var said beginning
	spec.Stderr = &said
	err := proc.Run(ctx, p.World, spec)
	return p.failed(ctx, doing, on, said.String(), err)
}

// subject is what a call is about.
type subject struct {
	name    string
	pool    Dataset
	missing error // the kind of its absence: ErrNoDataset or ErrNoSnapshot
}

func (d Dataset) subject() subject  { return subject{d.name, d.Pool(), ErrNoDataset} }
func (s Snapshot) subject() subject { return subject{s.String(), s.dataset.Pool(), ErrNoSnapshot} }

// failed gives an error its kind, by what zfs said. That something "does not exist" is also what zfs says
// when the whole pool is not imported: then nothing is known of what it holds.
func (p Program) failed(ctx context.Context, doing string, on subject, said string, err error) error {
	if err == nil {
		return nil
	}
	kind := classify(said, on.name)
	if kind == errMissing {
		kind = on.missing
		if said, gone := p.poolGone(ctx, on.pool); gone != nil {
			kind, err = classify(said, on.pool.name), fmt.Errorf("%w (%w)", err, gone)
		}
	}
	return &Error{Doing: doing, Kind: kind, Err: err}
}

// poolGone is nil if the pool is there; else what zpool said comes with the error.
func (p Program) poolGone(ctx context.Context, pool Dataset) (string, error) {
	var said beginning
	spec := p.zpool("list", "-H", "-o", "name", pool.name)
	spec.Looks, spec.Stderr = true, &said
	_, err := proc.Output(ctx, p.World, spec)
	return said.String(), err
}
