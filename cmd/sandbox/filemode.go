package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/cmd/sandbox/internal/apt"
	"zfs2cloud/cmd/sandbox/internal/pool"
)

// FilesCmd tries file mode, for which ZFS has to be able to mount snapshots: OpenZFS can. A sync is killed, and the snapshot
// unmounted, as a reboot does; the next goes on; and an emptied dataset does not empty the remote unasked.
type FilesCmd struct{ Program }

// Run is the whole of it.
func (c *FilesCmd) Run(ctx context.Context) error {
	began := time.Now()
	g, err := lay(ctx, pool.Options{Base: pool.Base, Size: demoDisk}, apt.ZFS, apt.Rclone)
	if err != nil {
		return err
	}
	err = c.show(ctx, g)
	if clearing := g.clear(ctx); clearing != nil {
		err = errors.Join(err, clearing)
	}
	if err != nil {
		fmt.Printf("file mode failed after %s\n", took(time.Since(began)))
		return g.failed(err)
	}
	fmt.Printf("file mode passed in %s\n", took(time.Since(began)))
	return g.passed()
}

// fileMode is the state between the scenes.
type fileMode struct {
	*product
	data files
}

func (c *FilesCmd) show(ctx context.Context, g *ground) error {
	m := &fileMode{data: files{ground: g, share: sixteenth.share}}
	var err error
	if m.product, err = c.install(ctx, g, split); err != nil {
		return err
	}
	return playAll(ctx, []act{
		{"data", m.data.fill},
		{"run", m.killed},
		{"resume", m.resumed},
		{"run", m.changed},
		{"run", m.emptied},
		{"unmount", m.typed},
	})
}

// sync writes the config, with a limit or none.
func (m *fileMode) sync(bwlimit string) error {
	text := fmt.Sprintf(`[main]
mode = file
zfs_fs = %s
intermediate_basedir = %s
remote = store:%s
rclone_conf = %s
rclone_args = --links
rclone_bwlimit = %s
state_db = %s

[backup-sequences]
step1 = lock
step2 = snapshot
step3 = mount-snapshot
step4 = upload-snapshot-files-to-remote
step5 = umount-snapshot
step6 = unlock
`, m.dataset(), m.spool, m.remote, filepath.Join(m.Dir, "rclone.conf"), bwlimit, filepath.Join(m.Dir, "state.db"))
	return os.WriteFile(m.config, []byte(text), 0o600)
}

// mounts are the lines of mountinfo that are of snapshots of the dataset.
func (m *fileMode) mounts() (lines []string, err error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	for l := range strings.Lines(string(text)) {
		if strings.Contains(l, " "+m.dataset()+"@") {
			lines = append(lines, strings.TrimSpace(l))
		}
	}
	return lines, err
}

// killed kills a sync in its middle. What it leaves is mounted so that nobody else comes near it.
func (m *fileMode) killed(ctx context.Context) (string, error) {
	if err := m.sync("1M"); err != nil {
		return "", err
	}
	child, err := m.start(ctx, "-v", "run")
	if err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		select {
		case err := <-ended:
			return "", fmt.Errorf("the run ended before its sync had sent a file: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		if sent, err := filepath.Glob(filepath.Join(m.remote, "*", "*")); err != nil || len(sent) > 0 {
			break
		}
	}
	if err := unix.Kill(child.Process.Pid, unix.SIGKILL); err != nil {
		return "", err
	}
	<-ended
	left, err := m.mounts()
	if err != nil {
		return "", err
	}
	if len(left) != 1 || !strings.Contains(left[0], " ro,nosuid,nodev") || !strings.Contains(left[0], " - zfs ") {
		return "", fmt.Errorf("mounted is %q", left)
	}
	dir := strings.Fields(left[0])[4]
	if info, err := os.Stat(filepath.Dir(dir)); err != nil || info.Mode().Perm() != 0o700 {
		return "", fmt.Errorf("the folder of the mount: %v, %v", info, err)
	}
	s, err := m.status(ctx)
	for try := 0; err != nil && try < 10; try++ { // status gives up within a second, which an emulated guest may need to read a file
		time.Sleep(time.Second)
		s, err = m.status(ctx)
	}
	if err != nil {
		return "", err
	}
	if r := s.Runs[0]; r.State != "interrupted" || r.Step != "upload-snapshot-files-to-remote" {
		return "", fmt.Errorf("run %s is %s in %s", r.ID, r.State, r.Step)
	}
	_, err = m.host.Run(ctx, "umount", dir)
	return "SIGKILL in the sync; the snapshot was mounted ro,nosuid,nodev; unmounted", err
}

func (m *fileMode) resumed(ctx context.Context) (string, error) {
	if err := m.sync("off"); err != nil {
		return "", err
	}
	if err := m.do(ctx, "-v", "resume"); err != nil {
		return "", err
	}
	return "mounted again, synced, unmounted; brought back, all is equal", m.equal(ctx, "first")
}

// equal brings the files back, by rclone alone, and compares them; and nothing is left mounted.
func (m *fileMode) equal(ctx context.Context, name string) error {
	back := filepath.Join(m.Dir, "back-"+name)
	_, err := m.host.Run(ctx, "rclone", "--config", filepath.Join(m.Dir, "rclone.conf"), "copy", "--links", "store:"+m.remote, back)
	if err != nil {
		return err
	}
	const ours, beat = "zfs2cloud-job-*", "__zfs2cloud_last_updated__"
	if _, err := m.host.Run(ctx, "diff", "-r", "--no-dereference", "-x", ours, "-x", beat, m.data.root(), back); err != nil {
		return err
	}
	return m.nothingLeft()
}

func (m *fileMode) nothingLeft() error {
	left, err := m.mounts()
	if err != nil {
		return err
	}
	folders, err := os.ReadDir(m.spool)
	if err == nil && len(left)+len(folders) > 0 {
		err = fmt.Errorf("left: %q, %v", left, folders)
	}
	return err
}

func (m *fileMode) changed(ctx context.Context) (string, error) {
	text, err := m.data.change(ctx, "")
	if err != nil {
		return "", err
	}
	if err := m.do(ctx, "-v", "run"); err != nil {
		return "", err
	}
	return text + "; equal", m.equal(ctx, "second")
}

// emptied loses all files, and has them on the remote until a person says that they may go.
func (m *fileMode) emptied(ctx context.Context) (string, error) {
	entries, err := os.ReadDir(m.data.root())
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(m.data.root(), e.Name())); err != nil {
			return "", err
		}
	}
	if err := m.do(ctx, "-v", "run"); err == nil || !strings.Contains(err.Error(), "--delete-most") {
		return "", fmt.Errorf("an empty dataset was synced: %w", err)
	}
	if there, err := os.ReadDir(m.remote); err != nil || len(there) < 3 {
		return "", fmt.Errorf("the remote has %d entries: %w", len(there), err)
	}
	if err := m.do(ctx, "-v", "resume", "--delete-most"); err != nil {
		return "", err
	}
	if there, err := os.ReadDir(m.remote); err != nil || len(there) != 2 {
		return "", fmt.Errorf("the remote has %d entries: %w", len(there), err)
	}
	return "an emptied dataset, refused; with --delete-most the remote is empty", m.nothingLeft()
}

// typed mounts by a command: that stays, is held, and can't be destroyed.
func (m *fileMode) typed(ctx context.Context) (string, error) {
	for _, step := range []string{"snapshot", "mount-snapshot"} {
		if err := m.do(ctx, "-v", step); err != nil {
			return "", err
		}
	}
	left, err := m.mounts()
	if err != nil || len(left) != 1 {
		return "", fmt.Errorf("mounted is %q: %w", left, err)
	}
	fields := strings.Fields(left[0])
	snapshot := fields[len(fields)-2]
	if _, err := m.host.Run(ctx, "zfs", "destroy", snapshot); err == nil {
		return "", fmt.Errorf("%s was destroyed while it was mounted", snapshot)
	}
	if err := m.do(ctx, "-v", "umount-snapshot"); err != nil {
		return "", err
	}
	return "a typed mount is held until umount-snapshot", m.nothingLeft()
}
