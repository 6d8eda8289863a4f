package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
)

// lookBasedir: the folder for chunk files is there, and ours to write.
func (c *checkup) lookBasedir(_ context.Context, f facts) (facts, []finding) {
	dir := c.settings.IntermediateDir
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = errors.New("not a folder")
	}
	if err != nil {
		return f, []finding{c.find(noticeBasedir, args{"dir": dir, "err": reason(err)})}
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return f, []finding{c.find(noticeBasedirReadonly, args{"dir": dir, "err": err.Error()})}
	}
	if why := c.strangersOwn(info); why != "" {
		return f, []finding{c.find(noticeBasedirOwner, args{"dir": shellQuote(dir), "why": why, "user": userName(c.app.Env.UID)})}
	}
	return f, nil
}

// strangersOwn says how others could put files into a folder, or "".
func (c *checkup) strangersOwn(info os.FileInfo) string {
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	switch {
	case owner != 0 && owner != c.app.Env.UID:
		return "belongs to user " + userName(owner)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Sprintf("is writable by others (mode %04o)", info.Mode().Perm())
	}
	return ""
}

func userName(uid int) string {
	id := fmt.Sprint(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// lookSpace: a full lies in the folder for chunk files before it is uploaded.
func (c *checkup) lookSpace(_ context.Context, f facts) (facts, []finding) {
	dir := c.settings.IntermediateDir
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || c.settings.Mode == settings.File || f.info.GUID == 0 {
		return f, nil // its own row says that the folder, or the dataset, is not there; and files need none
	}
	free, need := int64(st.Bavail)*st.Bsize, f.info.Referenced
	if free >= need {
		return f, []finding{fine("space", fmt.Sprintf("%s free in %s, a full needs ~%s", size(free), dir, size(need)))}
	}
	return f, []finding{c.find(noticeSpace, args{"free": size(free), "dir": dir, "need": size(need), "missing": size(need - free)})}
}

// lookState: the database is on a local disk, ours, and can be read.
func (c *checkup) lookState(_ context.Context, f facts) (facts, []finding) {
	path := c.store.Path()
	dir := filepath.Dir(path)
	if err := state.OnLocalDisk(path); err != nil {
		return f, []finding{c.find(noticeStateNotLocal, args{"err": err.Error()})}
	}
	if _, err := os.Stat(filepath.Dir(dir)); errors.Is(err, fs.ErrNotExist) {
		return f, []finding{c.find(noticeStateParent, args{"dir": filepath.Dir(dir)})}
	}
	err := c.store.View(func(tx *state.Tx) (err error) {
		if f.jobs, err = tx.Jobs(); err == nil && f.info.GUID != 0 {
			f.job, f.known, err = actions.KnownJob(tx, f.info.GUID.String(), c.settings)
		}
		return err
	})
	if err == nil && f.info.GUID != 0 {
		_, _, err = c.app.Folder.Alive(f.info.GUID.String())
	}
	if err == nil {
		err = writable(dir)
	}
	unsafe, ok := errors.AsType[*state.UnsafeError](err)
	switch {
	case ok && mendFolder(unsafe) == "":
		return f, []finding{c.find(noticeStateShared, args{"err": err.Error()})}
	case ok:
		return f, []finding{c.find(noticeStateUnsafe, args{"err": err.Error(), "mend": mendFolder(unsafe)})}
	case err != nil:
		found := c.find(noticeState, args{"err": err.Error()})
		if _, damaged := errors.AsType[*state.DamagedError](err); damaged {
			found.Do = c.app.again("run") + " begins a new one, and makes the record again from the backups"
		}
		return f, []finding{found}
	}
	f.stateReads = true
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		path += "; not there yet"
	}
	return f, []finding{fine("state_db", path)}
}

// writable asks for a folder, or, if it is yet to be made, for the one it would be made in.
func writable(dir string) error {
	err := unix.Access(dir, unix.W_OK|unix.X_OK)
	if errors.Is(err, fs.ErrNotExist) {
		dir = filepath.Dir(dir)
		err = unix.Access(dir, unix.W_OK|unix.X_OK)
	}
	if err != nil {
		return fmt.Errorf("%s can't be written to: %w", dir, err)
	}
	return nil
}

// reason is an error without the path that stands beside it already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
