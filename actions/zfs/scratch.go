package zfs

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// CreateFolder creates a dataset that holds others, with user properties: it is never mounted itself, and what is made in
// it has its mountpoint below MOUNTPOINT. ErrExists, ErrNoDataset (what it should lie in).
func (p Program) CreateFolder(ctx context.Context, d Dataset, mountpoint string, props map[string]string) error {
	doing := "create " + d.name
	spec := p.zfs("create", "-o", "canmount=off", "-o", "mountpoint="+mountpoint)
	for _, name := range slices.Sorted(maps.Keys(props)) {
		if err := checkProperty(name, props[name]); err != nil {
			return &Error{Doing: doing, Err: err}
		}
		spec.Argv = append(spec.Argv, "-o", name+"="+props[name])
	}
	spec.Argv = append(spec.Argv, d.name)
	return p.change(ctx, doing, d.subject(), spec)
}

// UserProperty reads a user property, and whether it was set on the dataset itself.
func (p Program) UserProperty(ctx context.Context, d Dataset, name string) (value string, local bool, err error) {
	out, err := p.look(ctx, "get "+name+" "+d.name, d.subject(), p.zfs("get", "-Hp", "-o", "value,source", name, d.name))
	if err != nil {
		return "", false, err
	}
	value, source, _ := strings.Cut(strings.TrimSuffix(out, "\n"), "\t")
	return value, source == "local", nil
}

// Mount mounts a dataset where its mountpoint says, for reading alone: not even the times of access change.
func (p Program) Mount(ctx context.Context, d Dataset) error {
	return p.change(ctx, "mount "+d.name, d.subject(), p.zfs("mount", "-o", "ro", d.name))
}

// Unmount undoes Mount. ErrBusy.
func (p Program) Unmount(ctx context.Context, d Dataset) error {
	return p.change(ctx, "unmount "+d.name, d.subject(), p.zfs("unmount", d.name))
}

// SendsAlike tells whether a received snapshot, sent again, gives the records that it came in, but for what
// stream.Essence leaves out: that of zfs-fuse does, whose records have no sums of their own.
func (p Program) SendsAlike(ctx context.Context) (bool, error) {
	open, err := p.receiveTakesProperties(ctx)
	return !open, err
}
