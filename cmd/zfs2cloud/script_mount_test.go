package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"zfs2cloud/actions/mounts"
)

// zfs-fuse can't mount snapshots. In its place a copy of the dataset, as it is then, is mounted: a tmpfs that is called as
// the snapshot is, which is all that the kernel tells of a snapshot. What lies in $WORK as mount.then is sourced before,
// and may choose another $source, or another folder $from, or no copy at all, with from=. What lies there as
// mount.after is sourced afterwards.
const mountText = `#!/bin/sh
[ "$1 $2 $3 $4 $5" = "-t zfs -o ro,nosuid,nodev --" ] || { echo "mount: $*" >&2; exit 1; }
source=$6 dir=$7 from=%[2]q
cd %[1]q
if [ -e mount.then ]; then . ./mount.then; fi
set -e
/bin/mount -t tmpfs "$source" "$dir"
if [ -n "$from" ]; then cp -a "$from/." "$dir/"; fi
/bin/mount -o remount,ro,nosuid,nodev "$dir"
if [ -e mount.after ]; then . ./mount.after; fi
`

// standin: from now on mount and umount are recorders, and mount mounts what stands in for a snapshot.
func cmdStandIn(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 0, "standin")
	f := fixtureOf(ts)
	bin := f.at("bin")
	write := func(name, text string) error { return os.WriteFile(filepath.Join(bin, name), []byte(text), 0o700) }
	recorded := "#!/bin/sh\nexec recorder %s \"$@\"\n"
	ts.Check(errors.Join(
		os.Mkdir(bin, 0o700), os.Mkdir(f.at("mounting"), 0o700), os.Mkdir(f.at("unmounting"), 0o700),
		write("mount", fmt.Sprintf(recorded, f.at("mounting"))), write("umount", fmt.Sprintf(recorded, f.at("unmounting"))),
		write("mounting", fmt.Sprintf(mountText, f.work, f.data)), write("unmounting", "#!/bin/sh\nexec /bin/umount \"$@\"\n"),
		write("mount.zfs", "#!/bin/sh\nexit 1\n")))
	ts.Setenv("PATH", bin+string(os.PathListSeparator)+ts.Getenv("PATH"))
}

// auditMounts: nothing is left mounted of what a run mounted. It is taken away, so that the script's folder can go.
func (f *fixture) auditMounts() {
	all, err := mounts.All()
	if err != nil {
		f.t.Error(err)
	}
	for _, m := range all {
		if !strings.HasPrefix(m.Dir, f.work+"/") || !strings.Contains(m.Source, "@") {
			continue
		}
		if err := unix.Unmount(m.Dir, unix.MNT_DETACH); err != nil {
			f.t.Error(err)
		}
		if !f.allowed["mounted"] && !f.t.Failed() {
			f.t.Errorf("audit: %s is left mounted at %s", m.Source, m.Dir)
		}
	}
}
