package outage

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"zfs2cloud/cmd/sandbox/internal/tree"
)

//go:embed at.sh
var at string

const chunkConfig = `[main]
zfs_fs = ` + dataset + `
intermediate_basedir = ` + spool + `
remote = store:` + remote + `/tank
rclone_conf = /data/rclone.conf
encryption_passphrase_file = /data/passphrase
incremental_strategy = since_last_incremental
full_every_x_days = 30
oldest_snapshot_days = 31
split_size = 1M
[backup-sequences]
01 = lock
02 = ` + stopHook + `
03 = snapshot
04 = ` + startHook + `
05 = export-intermediate
05a = MARK
06 = prune-intermediates -y
07 = prune-snapshots -y
08 = upload-intermediate-to-remote
09 = unlock
`

const filesConfig = `[main]
mode = file
zfs_fs = ` + dataset + `
intermediate_basedir = ` + spool + `
remote = store:` + remote + `/tank
rclone_conf = /data/rclone.conf
rclone_args = --links
[backup-sequences]
01 = lock
02 = ` + stopHook + `
03 = snapshot
04 = ` + startHook + `
05 = mount-snapshot
06 = upload-snapshot-files-to-remote
07 = umount-snapshot
07a = MARK
08 = prune-snapshots -y
09 = unlock
`

// config is the guest's.
func (g *guest) config() string {
	text := chunkConfig
	if g.Files {
		text = filesConfig
	}
	if g.Plain {
		text = strings.Replace(text, "encryption_passphrase_file = /data/passphrase", "encryption = none", 1)
	}
	if g.End.Call == mark {
		return strings.Replace(text, "MARK", markHook, 1)
	}
	return strings.NewReplacer("05a = MARK\n", "", "07a = MARK\n", "").Replace(text)
}

// A chunk is 1 MiB; with the file system's own records small data fits one, and big data does not.
const (
	small = 300 << 10
	big   = 1300 << 10
)

// disks mounts what the life before left; the first life makes it.
func (g *guest) disks(ctx context.Context) error {
	first := g.Number == 0
	if first {
		for _, disk := range []string{"/dev/vdc", "/dev/vde"} {
			if _, err := g.Run(ctx, "mkfs.ext4", "-q", disk); err != nil {
				return err
			}
		}
	}
	for _, m := range [][]string{{"/data", "/dev/vdc"}, {remote, "-o", "sync,dirsync", "/dev/vde"}} {
		if err := os.Mkdir(m[0], 0o755); err != nil {
			return err
		}
		if _, err := g.Run(ctx, append(append([]string{"mount"}, m[1:]...), m[0])...); err != nil {
			return err
		}
	}
	if err := os.MkdirAll("/data/state", 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	if _, err := g.Run(ctx, "mount", "--bind", "/data/state", state); err != nil {
		return err
	}
	if first {
		return g.settle(ctx)
	}
	_, err := g.Run(ctx, "zpool", "import", "-d", "/dev", "tank")
	return err
}

// settle puts pool, programs and config there, and flushes them.
func (g *guest) settle(ctx context.Context) error {
	for _, dir := range []string{bin, spool, remote + "/tank"} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	files := map[string]string{
		"config.ini":  g.config(),
		"passphrase":  "a passphrase for a guest of the sandbox\n",
		"rclone.conf": "[store]\ntype = local\n",
		"bin/at":      at,
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join("/data", name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if err := os.Chmod(bin+"/at", 0o700); err != nil {
		return err
	}
	for _, name := range []string{"zfs", "zpool", "gpg", "rclone", "mount", "umount", "stop", "start", "mark"} {
		if err := os.Link(bin+"/at", filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	for _, argv := range [][]string{
		{"cp", "-p", "/guest/zfs2cloud", program},
		{"zpool", "create", "-m", "none", "tank", "/dev/vdd"},
		{"zfs", "create", "-o", "mountpoint=" + live, dataset},
		{"mkdir", "-m", "700", live + "/a folder"},
		{"ln", "-s", "nowhere", live + "/link"},
		{"touch", live + "/empty"},
	} {
		if _, err := g.Run(ctx, argv...); err != nil {
			return err
		}
	}
	return nil
}

// change writes a file anew, and one more, and flushes all: what is lost is to be zfs2cloud's.
func (g *guest) change(ctx context.Context) error {
	size := int64(small)
	if g.End.Big {
		size = big
	}
	noise := tree.Source(uint64(g.Number))
	files := map[string]int64{"noise": size, fmt.Sprintf("a folder/%04d", g.Number): 3000}
	if g.Files {
		for n := range 40 {
			files[fmt.Sprintf("a folder/many %02d", n)] = 20 << 10
		}
		if err := os.RemoveAll(filepath.Join(live, fmt.Sprintf("a folder/%04d", g.Number-1))); err != nil {
			return err
		}
	}
	for name, size := range files {
		f, err := os.Create(filepath.Join(live, name))
		if err != nil {
			return err
		}
		if _, err := io.CopyN(f, noise, size); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	_, err := g.Run(ctx, "sync")
	return err
}
