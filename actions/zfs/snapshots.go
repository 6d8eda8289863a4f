package zfs

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Property is the user property that marks a snapshot as one of ours, and says whose.
const Property = "zfs2cloud:snapshot"

// Source says where a property's value comes from.
type Source string

// Local is the source of a value that was set on the very thing. Others are "received", "default", "-"
// for none, and "inherited from DATASET".
const Local Source = "local"

// SnapshotInfo is what zfs tells of a snapshot.
type SnapshotInfo struct {
	Snapshot  Snapshot
	GUID      GUID
	Creation  time.Time
	CreateTXG uint64 // grows from one snapshot of a pool to the next, whatever the clock does
	Holds     uint64 // how many tags hold it
	// Used is what its destruction would free, Referenced what can be reached through it, in bytes.
	Used, Referenced int64

	mark       string
	markSource Source
}

// Mark is the value of Property that was set on this snapshot itself. One that it inherits from its dataset,
// or that came with a received stream, marks nothing.
func (s SnapshotInfo) Mark() (string, bool) {
	return s.mark, s.markSource == Local
}

// Marked tells whether Property was set on this snapshot itself, or came with it: whoever did that, it is marked as somebody's.
func (s SnapshotInfo) Marked() bool {
	return s.markSource != "-" && !strings.HasPrefix(string(s.markSource), "inherited")
}

// Snapshots lists the snapshots of exactly this dataset in the order of their creation, with one call.
func (p Program) Snapshots(ctx context.Context, d Dataset) ([]SnapshotInfo, error) {
	doing := "get snapshots of " + d.name
	out, err := p.look(ctx, doing, d.subject(), p.zfs("get", "-Hp", "-r", "-d", "1", "-o", "name,property,value,source",
		"guid,creation,createtxg,userrefs,used,referenced,"+Property, d.name))
	if err != nil {
		return nil, err
	}
	snapshots, err := parseSnapshots(d, out)
	if err != nil {
		return nil, &Error{Doing: doing, Err: err}
	}
	return snapshots, nil
}

// Snapshot asks for one snapshot.
func (p Program) Snapshot(ctx context.Context, s Snapshot) (SnapshotInfo, error) {
	doing := "get " + s.String()
	out, err := p.look(ctx, doing, s.subject(), p.zfs("get", "-Hp", "-o", "name,property,value,source",
		"guid,creation,createtxg,userrefs,used,referenced,"+Property, s.String()))
	if err != nil {
		return SnapshotInfo{}, err
	}
	snapshots, err := parseSnapshots(s.dataset, out)
	if err == nil && (len(snapshots) != 1 || snapshots[0].Snapshot != s) {
		err = fmt.Errorf("an answer about something else: %q", out)
	}
	if err != nil {
		return SnapshotInfo{}, &Error{Doing: doing, Err: err}
	}
	return snapshots[0], nil
}

// WithGUID lists the snapshots with a GUID in a whole pool: one that zfs promote has taken to another dataset, or that was renamed, and
// copies of it that were received. It asks for all that the pool has.
func (p Program) WithGUID(ctx context.Context, pool Dataset, guid string) (found []Snapshot, err error) {
	names, err := p.named(ctx, pool, guid)
	for _, name := range names {
		if !strings.Contains(name, "@") {
			continue
		}
		s, err := ParseSnapshot(name)
		if err != nil {
			return nil, &Error{Doing: "get snapshots of " + pool.name, Err: err}
		}
		found = append(found, s)
	}
	return found, err
}

// DatasetWithGUID finds a dataset in a whole pool, whatever its name is now. It asks for all that the pool has.
func (p Program) DatasetWithGUID(ctx context.Context, pool Dataset, guid string) (d Dataset, there bool, err error) {
	names, err := p.named(ctx, pool, guid)
	i := slices.IndexFunc(names, func(name string) bool { return !strings.ContainsAny(name, "@#") })
	if err != nil || i < 0 {
		return d, false, err
	}
	d, err = ParseDataset(names[i])
	return d, err == nil, err
}

// named are the names in a pool of all that has a GUID.
func (p Program) named(ctx context.Context, pool Dataset, guid string) (names []string, err error) {
	out, err := p.look(ctx, "get GUIDs of "+pool.name, pool.subject(), p.zfs("get", "-Hp", "-r", "-o", "name,value", "guid", pool.name))
	for line := range strings.Lines(out) {
		if name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); value == guid {
			names = append(names, name)
		}
	}
	return names, err
}

// parseSnapshots reads lines of name, property, value and source. A value of a user property may hold tabs
// and line ends and so pretend to be other lines: what is not one value a property is refused.
func parseSnapshots(d Dataset, out string) ([]SnapshotInfo, error) {
	values := map[string]properties{}
	sources := map[string]Source{}
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 4 {
			return nil, fmt.Errorf("not four fields: %q", line)
		}
		name, property, value, source := f[0], f[1], f[2], f[3]
		if values[name] == nil {
			values[name] = properties{}
		}
		if _, twice := values[name][property]; twice {
			return nil, fmt.Errorf("two values of %s of %q", property, name)
		}
		values[name][property] = value
		if property == Property {
			sources[name] = Source(source)
		}
	}
	var snapshots []SnapshotInfo
	for name, props := range values {
		if !strings.HasPrefix(name, d.name+"@") {
			continue // the dataset itself, or a child
		}
		s, err := snapshotInfo(name, props)
		if err != nil {
			return nil, err
		}
		s.markSource = sources[name]
		snapshots = append(snapshots, s)
	}
	slices.SortFunc(snapshots, func(a, b SnapshotInfo) int { return cmp.Compare(a.CreateTXG, b.CreateTXG) })
	return snapshots, nil
}

func snapshotInfo(name string, props properties) (SnapshotInfo, error) {
	s, err := ParseSnapshot(name)
	info := SnapshotInfo{
		Snapshot:   s,
		GUID:       GUID(props.unsigned("guid", &err)),
		Creation:   props.time("creation", &err),
		CreateTXG:  props.unsigned("createtxg", &err),
		Holds:      props.unsigned("userrefs", &err),
		Used:       props.bytes("used", &err),
		Referenced: props.bytes("referenced", &err),
		mark:       props[Property],
	}
	if err != nil {
		return info, fmt.Errorf("snapshot %q: %w", name, err)
	}
	return info, nil
}

// Clones names the clones of each snapshot of the dataset that has any. They may lie anywhere in the pool.
func (p Program) Clones(ctx context.Context, d Dataset) (map[Snapshot][]string, error) {
	doing := "list clones of " + d.name
	out, err := p.look(ctx, doing, d.subject(),
		p.zfs("list", "-H", "-t", "filesystem,volume", "-o", "name,origin", "-r", d.Pool().name))
	if err != nil {
		return nil, err
	}
	clones := map[Snapshot][]string{}
	for line := range strings.Lines(out) {
		name, origin, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !strings.HasPrefix(origin, d.name+"@") {
			continue
		}
		s, err := ParseSnapshot(origin)
		if err != nil {
			return nil, &Error{Doing: doing, Err: err}
		}
		clones[s] = append(clones[s], name)
	}
	return clones, nil
}

// Holds lists the tags that hold a snapshot. zfs-fuse can't: ErrUnsupported; how many there are is in
// SnapshotInfo.
func (p Program) Holds(ctx context.Context, s Snapshot) ([]string, error) {
	doing := "holds " + s.String()
	out, err := p.look(ctx, doing, s.subject(), p.zfs("holds", "-H", s.String()))
	if err != nil {
		return nil, err
	}
	var tags []string
	for line := range strings.Lines(out) {
		f := strings.Split(line, "\t")
		if len(f) != 3 {
			return nil, &Error{Doing: doing, Err: fmt.Errorf("not three fields: %q", line)}
		}
		tags = append(tags, f[1])
	}
	return tags, nil
}
