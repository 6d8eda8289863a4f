package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"zfs2cloud/actions/zfs/zfstest"
)

// fixture is what a script works with. In the script's environment:
//
//	POOL, DATASET   a pool, and a dataset in it with some MB of data
//	DATA            where that is mounted, if it is
//	CONF            a config; commands take it without being told
//	PASS            the passphrase's file
//	SPOOL, REMOTE   intermediate_basedir, and the folder behind the rclone remote "box:"
//	FOLDER          the fixed folder that says who is alive
//
// In $WORK lie the scripts stop-app and start-app, which write a line to app.log each; what lies there as
// stop-app.then is sourced by it afterwards. A file named "sequence" in the script, a step a line, replaces
// the usual one. What the recorders of rclone, zfs and gpg wrote lies in the folders of these names.
type fixture struct {
	t       testing.TB
	work    string
	pool    string
	dataset string
	data    string          // empty if nothing can be mounted here
	changes int             // of the data
	allowed map[string]bool // what the script said the audit is not to mind
	box     string          // the folder that the remote box: shows
	server  *server         // what serves it, or nil
}

type fixtureKey struct{}

func fixtureOf(ts *testscript.TestScript) *fixture { return ts.Value(fixtureKey{}).(*fixture) }

func (f *fixture) at(name string) string { return filepath.Join(f.work, name) }

// canMount is whether ZFS can mount here; it is the same for all scripts.
var canMount atomic.Bool

func condition(name string) (bool, error) {
	switch name {
	case "mount":
		return canMount.Load(), nil
	case "world": // a second ZFS can run beside the first, with mounts and a host name of its own
		return canMount.Load() && exec.Command("unshare", "-m", "--uts", "--propagation", "private", "true").Run() == nil, nil
	case "loop": // a file can be mounted as a disk
		_, err := os.Stat("/dev/loop-control")
		return canMount.Load() && err == nil, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

// setUp makes a script's world, and has it audited at the end.
func setUp(env *testscript.Env) error {
	t, ok := env.T().(testing.TB)
	if !ok {
		return errors.New("not run by go test")
	}
	f := &fixture{t: t, work: env.WorkDir, pool: zfstest.Pool(t, 96), allowed: map[string]bool{}, box: "/"}
	f.dataset = f.pool + "/data"
	env.Values[fixtureKey{}] = f
	if err := errors.Join(f.makeFolders(), f.fill(), f.makeHooks(), f.makeConfig()); err != nil {
		return err
	}
	vars := map[string]string{
		"POOL": f.pool, "DATASET": f.dataset, "DATA": f.data, "CONF": f.at("config.ini"), "PASS": f.at("pass"),
		"SPOOL": f.at("spool"), "REMOTE": f.at("remote"), "FOLDER": f.at("alive"),
		"ZFS2CLOUD_CONFIG": f.at("config.ini"), folderVar: f.at("alive"), clockVar: f.at("clock"),
		pauseVar: f.at("pauses"), hasteVar: f.at("haste"),
		"ZFS_PATH": "recorder " + f.at("zfs"), "GPG_PATH": "recorder " + f.at("gpg"), "RCLONE_PATH": "recorder " + f.at("rclone"),
	}
	for name, value := range vars {
		env.Setenv(name, value)
	}
	env.Defer(f.audit)
	return nil
}

func (f *fixture) makeFolders() error {
	var errs []error
	for _, name := range []string{"state", "spool", "remote", "zfs", "zpool", "gpg", "rclone"} {
		errs = append(errs, os.Mkdir(f.at(name), 0o700))
	}
	errs = append(errs, os.WriteFile(f.at("zfs/alone"), []byte(zfstest.LockFile()), 0o600))
	return errors.Join(errs...)
}

// filler is a stream of a dataset with 3 MB in a few files, for where nothing can be mounted: data comes
// into a dataset there only by zfs receive. It was made on zfs-fuse from files of one repeated block.
var filler = filepath.Join("..", "..", "testdata", "filler.zfs.gz")

// fill makes the dataset.
func (f *fixture) fill() error {
	zfstest.Run(f.t, "zfs", "create", f.dataset)
	dir, ok := zfstest.Mountpoint(f.t, f.dataset)
	canMount.Store(ok)
	if !ok {
		zfstest.Run(f.t, "zfs", "destroy", f.dataset)
		return receiveFiller(f.dataset)
	}
	f.data = dir
	errs := []error{os.MkdirAll(filepath.Join(dir, "a folder", "deeper"), 0o750), os.Symlink("a folder", filepath.Join(dir, "link"))}
	for i := range 3 {
		errs = append(errs, writeNoise(filepath.Join(dir, fmt.Sprintf("big-%d", i)), 1<<20))
	}
	for i := range 20 {
		errs = append(errs, writeNoise(filepath.Join(dir, "a folder", "deeper", fmt.Sprintf("small %d", i)), 100*i))
	}
	return errors.Join(errs...)
}

func receiveFiller(dataset string) error {
	receive := exec.Command("sh", "-c", `gzip -dc "$0" | zfs receive -u "$1" && zfs destroy "$1"@filler`, filler, dataset)
	if out, err := receive.CombinedOutput(); err != nil {
		return fmt.Errorf("receive filler: %w: %s", err, out)
	}
	return nil
}

func writeNoise(name string, size int) error {
	noise := make([]byte, size)
	rand.Read(noise)
	return os.WriteFile(name, noise, 0o640)
}

const hookText = `#!/bin/sh
echo %s >>%s
if [ -e "$0.then" ]; then . "$0.then"; fi
`

func (f *fixture) makeHooks() error {
	return errors.Join(
		os.WriteFile(f.at("stop-app"), fmt.Appendf(nil, hookText, "stop", f.at("app.log")), 0o700),
		os.WriteFile(f.at("start-app"), fmt.Appendf(nil, hookText, "start", f.at("app.log")), 0o700))
}

const usualSequence = `lock
./stop-app
snapshot
./start-app
export-intermediate
prune-intermediates -y
prune-snapshots -y
upload-intermediate-to-remote
unlock
`

func (f *fixture) makeConfig() error {
	steps, err := os.ReadFile(f.at("sequence"))
	if os.IsNotExist(err) {
		steps, err = []byte(usualSequence), nil
	}
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[main]\nzfs_fs = %s\nremote = box:%s\nintermediate_basedir = %s\nstate_db = %s\nencryption_passphrase_file = %s\nrclone_conf = %s\nsplit_size = 1M\n\n[backup-sequences]\n",
		f.dataset, f.at("remote"), f.at("spool"), f.at("state/state.db"), f.at("pass"), f.at("rclone.conf"))
	for i, step := range strings.Split(strings.TrimSpace(string(steps)), "\n") {
		fmt.Fprintf(&b, "%03d = %s\n", i, step)
	}
	return errors.Join(
		os.WriteFile(f.at("config.ini"), []byte(b.String()), 0o600),
		os.WriteFile(f.at("pass"), []byte("correct horse battery staple\n"), 0o600),
		os.WriteFile(f.at("rclone.conf"), []byte("[box]\ntype = local\n"), 0o600))
}
