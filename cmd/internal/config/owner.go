package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// What root runs or obeys must be root's: whoever can write a config, a hook, rclone's config (it may
// name a command to run) or a folder above one of them is root. So each, and every folder on the way to
// it, belongs to root or to who runs this program, and nobody else can write it.
//
// The way is walked by descriptors from / on, a name at a time, and the file is opened through the
// descriptor that was checked: what is read is what was looked at.

// OwnerError says why a file may not be obeyed.
type OwnerError struct {
	Path   string
	Reason string
	Fix    string // a command by which who runs this program sets it right; empty: there is none
	NoFile bool   // it is something else than a file
}

func (e *OwnerError) Error() string { return e.Path + " " + e.Reason }

const mostLinks = 40 // as the kernel: path_resolution(7)

// CheckOwned says whether the file at path, which is absolute, may be obeyed by the user uid. A file that
// is not there is fs.ErrNotExist, one that is a stranger's an *OwnerError.
func CheckOwned(path string, uid int) error {
	fd, _, err := findOwned(path, uid)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// openOwned opens what CheckOwned accepts.
func openOwned(path string, uid int) (*os.File, unix.Stat_t, error) {
	fd, st, err := findOwned(path, uid)
	if err != nil {
		return nil, st, err
	}
	defer unix.Close(fd)
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil, st, &fs.PathError{Op: "open", Path: path, Err: errors.Unwrap(err)}
	}
	return f, st, nil
}

// readOwned reads what CheckOwned accepts, if it has at most limit bytes.
func readOwned(path string, uid int, limit int64) ([]byte, unix.Stat_t, error) {
	f, st, err := openOwned(path, uid)
	if err != nil {
		return nil, st, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return data, st, err
}

// findOwned walks to the file and returns a descriptor (O_PATH) on it.
func findOwned(path string, uid int) (int, unix.Stat_t, error) {
	if !filepath.IsAbs(path) {
		return -1, unix.Stat_t{}, fmt.Errorf("%s is not absolute", path)
	}
	w := &walk{path: path, uid: uid, fd: -1, rest: names(path)}
	defer func() { w.leave() }()
	if err := w.root(); err != nil {
		return -1, w.st, err
	}
	for len(w.rest) > 0 {
		if err := w.step(); err != nil {
			return -1, w.st, err
		}
	}
	if err := checkFile(path, w.st); err != nil {
		return -1, w.st, err
	}
	fd := w.fd
	w.fd = -1
	return fd, w.st, nil
}

// walk is how far the way has been checked.
type walk struct {
	path  string
	uid   int
	fd    int
	st    unix.Stat_t
	at    string // the name of fd
	rest  []string
	links int
}

func names(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

func (w *walk) leave() {
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
}

// enter makes fd the place where the walk stands.
func (w *walk) enter(fd int, at string, st unix.Stat_t) {
	w.leave()
	w.fd, w.at, w.st = fd, at, st
}

func (w *walk) root() error {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return w.fail(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return w.fail(err)
	}
	w.enter(fd, "/", st)
	return checkOwner("/", st, w.uid)
}

// step goes to the next name, or puts a symbolic link's target in its place.
func (w *walk) step() error {
	name := w.rest[0]
	w.rest = w.rest[1:]
	fd, err := unix.Openat(w.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return w.fail(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return w.fail(err)
	}
	at := filepath.Join(w.at, name)
	if len(w.rest) == 0 && st.Mode&unix.S_IFMT != unix.S_IFLNK { // else a device would be told to be closed to others
		if err := checkFile(w.path, st); err != nil {
			unix.Close(fd)
			return err
		}
	}
	if err := checkOwner(at, st, w.uid); err != nil {
		unix.Close(fd)
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		w.enter(fd, at, st)
		return nil
	}
	defer unix.Close(fd)
	return w.follow(fd)
}

func (w *walk) follow(link int) error {
	if w.links++; w.links > mostLinks {
		return w.fail(syscall.ELOOP)
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(link, "", buf)
	if err != nil {
		return w.fail(err)
	}
	target := string(buf[:n])
	w.rest = append(names(target), w.rest...)
	if strings.HasPrefix(target, "/") {
		return w.root()
	}
	return nil
}

func (w *walk) fail(err error) error { return &fs.PathError{Op: "open", Path: w.path, Err: err} }

// checkFile demands that the end of the way is a file.
func checkFile(path string, st unix.Stat_t) error {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return nil
	case unix.S_IFDIR:
		return &OwnerError{Path: path, Reason: "is a folder, not a file", NoFile: true}
	}
	return &OwnerError{Path: path, Reason: "is not a file", NoFile: true}
}

// checkOwner looks at one file, folder or link on the way. A folder such as /tmp, which all may write but
// where each can only remove his own, passes if it is root's: what comes next is checked as well.
func checkOwner(at string, st unix.Stat_t, uid int) error {
	kind := st.Mode & unix.S_IFMT
	if st.Uid != 0 && int(st.Uid) != uid {
		owner := userName(uid)
		argv := []string{"chown", owner, at}
		if kind == unix.S_IFLNK { // chown(1): else it is what the link points to that changes hands
			argv = []string{"chown", "-h", owner, at}
		}
		return &OwnerError{Path: at, Reason: fmt.Sprintf("belongs to %s, not to %s", userName(int(st.Uid)), owner), Fix: fix(st, uid, argv...)}
	}
	sticky := kind == unix.S_IFDIR && st.Mode&unix.S_ISVTX != 0 && st.Uid == 0
	if kind == unix.S_IFLNK || sticky || st.Mode&0o022 == 0 {
		return nil
	}
	who := "others"
	if st.Mode&0o002 == 0 {
		who = "its group"
	}
	return &OwnerError{Path: at, Reason: "can be written by " + who, Fix: fix(st, uid, "chmod", "go-w", at)}
}

// fix is the command line that sets right what a stranger could do to a file, for who may: root, and its owner.
func fix(st unix.Stat_t, uid int, argv ...string) string {
	if uid != 0 && int(st.Uid) != uid {
		return ""
	}
	return printable(quoteWords(argv))
}

// checkPrivate demands that nobody but the owner reads a file with a secret in it. Who is in a group of
// root's file, was put there by root.
func checkPrivate(path string, st unix.Stat_t, uid int) error {
	forbidden := uint32(0o077)
	if st.Uid == 0 {
		forbidden = 0o007
	}
	if st.Mode&forbidden == 0 {
		return nil
	}
	return &OwnerError{Path: path, Reason: "has the passphrase and can be read by others", Fix: fix(st, uid, "chmod", "600", path)}
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}
