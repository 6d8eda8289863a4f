package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"zfs2cloud/actions/zfs"
	"zfs2cloud/cmd/internal/config"
)

func (c *checkup) zfs() zfs.Program { return zfs.Program{World: c.reading(), Words: c.settings.ZFS} }

// lookZFS: the program, the dataset, and what this user may do with it.
func (c *checkup) lookZFS(ctx context.Context, f facts) (facts, []finding) {
	fault := func(err error) (facts, []finding) {
		return f, []finding{c.find(noticeZFS, args{"err": err.Error()})}
	}
	dataset, err := zfs.ParseDataset(c.settings.Dataset)
	if err != nil {
		return fault(err)
	}
	version, err := c.zfs().Version(ctx)
	if err != nil {
		return fault(err)
	}
	info, err := c.zfs().Info(ctx, dataset)
	if missing, ok := errors.AsType[*config.Errors](c.app.noDataset(ctx, c.zfs(), dataset, err)); ok {
		var found []finding
		for _, p := range missing.Problems {
			found = append(found, c.problem(noticeDataset, p))
		}
		return f, found
	}
	if err != nil {
		return fault(err)
	}
	f.info = info
	var found []finding
	for _, err := range c.app.exportFaults(ctx, c.zfs(), c.settings, info.Referenced) {
		if bad, ok := errors.AsType[*config.Errors](err); ok {
			found = append(found, c.problem(noticeConfigError, bad.Problems[0]))
		} else if err != nil {
			return fault(err)
		}
	}
	may := ""
	denied := c.permissions(ctx, dataset)
	if !slices.ContainsFunc(denied, func(f finding) bool { return f.Code != noticeBookmark.code }) {
		may = "may snapshot, send and hold "
	}
	text := fmt.Sprintf("%s; %s%s (%s)", strings.TrimPrefix(version, "zfs-"), may, dataset, size(info.Referenced))
	return f, slices.Concat([]finding{fine("zfs", text)}, denied, found)
}

// lookChildren: a snapshot is of one dataset, never of those below it.
func (c *checkup) lookChildren(ctx context.Context, f facts) (facts, []finding) {
	dataset, err := zfs.ParseDataset(c.settings.Dataset)
	if f.info.GUID == 0 || err != nil {
		return f, nil
	}
	names, err := c.zfs().Children(ctx, dataset)
	if err != nil {
		return f, []finding{c.find(noticeZFS, args{"err": err.Error()}).named("children")}
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		for _, j := range f.jobs {
			if j.Dataset == name {
				return true
			}
		}
		return false
	})
	if len(names) == 0 {
		return f, nil
	}
	return f, []finding{c.find(noticeChildren, args{"n": counted(len(names), "dataset"), "dataset": dataset.String(), "names": someOf(names)})}
}

// someOf names the first few of many.
func someOf(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %s more", strings.Join(names[:most], ", "), count(len(names)-most))
}
