package zfs

import (
	"context"
	"errors"
	"maps"
	"slices"
)

// TakeSnapshot takes a snapshot with these user properties, in one step: there is never one without them.
// ErrExists, ErrNoDataset.
func (p Program) TakeSnapshot(ctx context.Context, s Snapshot, props map[string]string) error {
	doing := "snapshot " + s.String()
	spec := p.zfs("snapshot")
	for _, name := range slices.Sorted(maps.Keys(props)) {
		if err := checkProperty(name, props[name]); err != nil {
			return &Error{Doing: doing, Err: err}
		}
		spec.Argv = append(spec.Argv, "-o", name+"="+props[name])
	}
	spec.Argv = append(spec.Argv, s.String())
	on := s.subject()
	on.missing = ErrNoDataset
	return p.change(ctx, doing, on, spec)
}

// SetProperty sets a user property of a snapshot. ErrNoSnapshot, ErrPermission.
func (p Program) SetProperty(ctx context.Context, s Snapshot, name, value string) error {
	doing := "set " + name + " of " + s.String()
	if err := checkProperty(name, value); err != nil {
		return &Error{Doing: doing, Err: err}
	}
	return p.change(ctx, doing, s.subject(), p.zfs("set", name+"="+value, s.String()))
}

// Hold keeps a snapshot from being destroyed until the tag is released. ErrHeld if this tag holds it
// already, ErrNoSnapshot.
func (p Program) Hold(ctx context.Context, tag string, s Snapshot) error {
	return p.tag(ctx, "hold", tag, s)
}

// Release takes a hold away. ErrNoHold if there is none by this tag, ErrNoSnapshot.
func (p Program) Release(ctx context.Context, tag string, s Snapshot) error {
	return p.tag(ctx, "release", tag, s)
}

func (p Program) tag(ctx context.Context, verb, tag string, s Snapshot) error {
	doing := verb + " " + tag + " " + s.String()
	if err := checkTag(tag); err != nil {
		return &Error{Doing: doing, Err: err}
	}
	return p.change(ctx, doing, s.subject(), p.zfs(verb, tag, s.String()))
}

// Destroy destroys one snapshot, never more: no -r, -R, -f, and a Snapshot's name is neither a list nor a
// range. ErrNoSnapshot, ErrBusy (held, by whatever tag, or in use), ErrClones, ErrPermission.
func (p Program) Destroy(ctx context.Context, s Snapshot) error {
	return p.change(ctx, "destroy "+s.String(), s.subject(), p.zfs("destroy", s.String()))
}

// DestroyDataset destroys one dataset that has neither children nor snapshots, as a receive may leave one.
// ErrNoDataset, ErrChildren (also if it has snapshots), ErrBusy, ErrPermission.
func (p Program) DestroyDataset(ctx context.Context, d Dataset) error {
	doing := "destroy " + d.name
	if d == d.Pool() {
		return &Error{Doing: doing, Err: errors.New("it is the pool itself")}
	}
	return p.change(ctx, doing, d.subject(), p.zfs("destroy", d.name))
}
