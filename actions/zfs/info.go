package zfs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// GUID tells a pool, a dataset or a snapshot from any other. In JSON it is a decimal string, since many
// readers of JSON cut a number off at 53 bits.
type GUID uint64

func (g GUID) String() string { return strconv.FormatUint(uint64(g), 10) }

// MarshalText writes it in decimal.
func (g GUID) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (g *GUID) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 10, 64)
	*g = GUID(n)
	return err
}

// Info is what zfs tells of a dataset.
type Info struct {
	GUID, PoolGUID GUID
	Type           string // "filesystem" or "volume"
	Mountpoint     string // a path, "none", "legacy", or "-" for a volume
	Mounted        bool
	// In bytes. Available is what this dataset may still take, by its pool and its quotas.
	Referenced, Used, Available int64
	Creation                    time.Time
}

// Info asks for a dataset.
func (p Program) Info(ctx context.Context, d Dataset) (Info, error) {
	props, err := p.get(ctx, d, "guid,type,mountpoint,mounted,referenced,used,available,creation")
	if err != nil {
		return Info{}, err
	}
	info := Info{
		GUID:       GUID(props.unsigned("guid", &err)),
		Type:       props["type"],
		Mountpoint: props["mountpoint"],
		Mounted:    props["mounted"] == "yes",
		Referenced: props.bytes("referenced", &err),
		Used:       props.bytes("used", &err),
		Available:  props.bytes("available", &err),
		Creation:   props.time("creation", &err),
	}
	if err != nil {
		return Info{}, &Error{Doing: "get " + d.name, Err: err}
	}
	info.PoolGUID, err = p.poolGUID(ctx, d.Pool())
	return info, err
}

func (p Program) get(ctx context.Context, d Dataset, names string) (properties, error) {
	out, err := p.look(ctx, "get "+d.name, d.subject(), p.zfs("get", "-Hp", "-o", "property,value", names, d.name))
	props := properties{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		props[name] = value
	}
	return props, err
}

// Encryption is what zfs tells of a dataset that it encrypts.
type Encryption struct {
	On     bool
	Locked bool // its key is not loaded
}

// Encryption asks for that of a dataset. A zfs that does not know of it encrypts nothing.
func (p Program) Encryption(ctx context.Context, d Dataset) (Encryption, error) {
	props, err := p.get(ctx, d, "encryption,keystatus")
	if err != nil {
		if errors.Is(err, ErrUnsupported) {
			err = nil
		}
		return Encryption{}, err
	}
	off := []string{"off", "-", ""}
	return Encryption{On: !slices.Contains(off, props["encryption"]), Locked: props["keystatus"] == "unavailable"}, nil
}

// Sends tells whether zfs sends it with some flags: raw, by -w, in any case, else with its key, and without its properties.
func (e Encryption) Sends(flags []string) bool {
	return !e.On || slices.Contains(flags, "-w") || !e.Locked && !slices.Contains(flags, "-p")
}

func (p Program) poolGUID(ctx context.Context, pool Dataset) (guid GUID, err error) {
	value, err := p.poolProperty(ctx, pool, "guid")
	if err == nil {
		err = guid.UnmarshalText([]byte(value))
	}
	return guid, err
}

// poolProperty reads the table that `zpool get` writes: zfs-fuse's has no -H. A pool's name may have blanks.
func (p Program) poolProperty(ctx context.Context, pool Dataset, name string) (string, error) {
	doing := "pool get " + name + " " + pool.name
	out, err := p.look(ctx, doing, pool.subject(), p.zpool("get", name, pool.name))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out) {
		rest, ok := strings.CutPrefix(line, pool.name)
		if fields := strings.Fields(rest); ok && len(fields) == 3 && fields[0] == name {
			return fields[1], nil
		}
	}
	return "", &Error{Doing: doing, Err: fmt.Errorf("no %s in %q", name, out)}
}

// poolFeature tells whether a pool has a feature. Where there are no features, as in zfs-fuse, it has not.
func (p Program) poolFeature(ctx context.Context, pool Dataset, name string) (bool, error) {
	value, err := p.poolProperty(ctx, pool, "feature@"+name)
	if errors.Is(err, ErrUnsupported) {
		return false, nil
	}
	return value == "enabled" || value == "active", err
}

// Datasets lists all file systems and volumes.
func (p Program) Datasets(ctx context.Context) ([]string, error) {
	return p.list(ctx, "list", subject{})
}

// Children lists the file systems and volumes below a dataset, at any depth.
func (p Program) Children(ctx context.Context, d Dataset) ([]string, error) {
	names, err := p.list(ctx, "list "+d.name, d.subject(), "-r", d.name)
	if err != nil {
		return nil, err
	}
	var children []string
	for _, name := range names {
		if name != d.name {
			children = append(children, name)
		}
	}
	return children, nil
}

func (p Program) list(ctx context.Context, doing string, on subject, args ...string) ([]string, error) {
	spec := p.zfs("list", "-H", "-o", "name", "-t", "filesystem,volume")
	spec.Argv = append(spec.Argv, args...)
	out, err := p.look(ctx, doing, on, spec)
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(out) {
		names = append(names, strings.TrimSuffix(line, "\n"))
	}
	return names, nil
}

// Version says in words which ZFS it is: what `zfs version` has in its first line, or, of a zfs that has no
// such command, which those are, and the version of its pools.
func (p Program) Version(ctx context.Context) (string, error) {
	out, err := p.look(ctx, "version", subject{}, p.zfs("version"))
	if err == nil {
		first, _, _ := strings.Cut(out, "\n")
		return first, nil
	}
	if !errors.Is(err, ErrUnsupported) {
		return "", err
	}
	out, err = p.look(ctx, "pool upgrade -v", subject{}, p.zpool("upgrade", "-v"))
	if err != nil {
		return "", err
	}
	_, version, ok := strings.Cut(out, "running ZFS pool version ")
	if !ok {
		return "of unknown version (zfs-fuse, or OpenZFS before 0.8)", nil
	}
	version, _, _ = strings.Cut(version, ".")
	return "pool version " + version + " (zfs-fuse, or OpenZFS before 0.8)", nil
}

// properties are those of one dataset or snapshot, as zfs get -p writes them.
type properties map[string]string

// unsigned reads a number. If it is none, *err says so, unless it says something already.
func (p properties) unsigned(name string, err *error) uint64 {
	n, e := strconv.ParseUint(p[name], 10, 64)
	if e != nil && *err == nil {
		*err = fmt.Errorf("property %s is %q", name, p[name])
	}
	return n
}

func (p properties) bytes(name string, err *error) int64 {
	n := p.unsigned(name, err)
	if n > 1<<63-1 && *err == nil {
		*err = fmt.Errorf("property %s is %q", name, p[name])
	}
	return int64(n)
}

func (p properties) time(name string, err *error) time.Time {
	return time.Unix(p.bytes(name, err), 0).UTC()
}
