// Package mounts tells what is mounted where, and proves that a folder shows one certain file system.
//
// A sync from a folder on which nothing is mounted makes its destination empty, and succeeds. That the folder is not
// empty proves little: yesterday's snapshot may still be mounted there, or a disk. So what is proved is the mount
// itself, as the kernel sees it through a descriptor of the folder: its source, its root, its options, and what tells
// it from any other mount, which must be the same before the sync and after it.
package mounts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Mount is a line of /proc/self/mountinfo: proc(5).
type Mount struct {
	ID      int
	Device  string   // "0:46"
	Root    string   // what of the file system is mounted: "/" is all of it
	Dir     string   // where, absolute, without links
	Options []string // of this mount: ro, nosuid, …
	Type    string   // zfs, fuse.zfs, ext4, …
	Source  string   // "tank/data@20261125035200"
}

// Proof is what tells a mount from any other that is, was or will be there. It is of one boot.
type Proof struct {
	Mount  int    `json:"mount"`
	Device string `json:"device"`
	FSID   string `json:"fsid"` // of statfs(2); the same for all mounts of a file system
}

// ErrNotMounted is the error of a folder on which nothing is mounted, or that is not there.
var ErrNotMounted = errors.New("nothing is mounted there")

// Other is the error of a folder on which something else is mounted.
type Other struct {
	Dir, Want string
	Is        Mount
}

func (e *Other) Error() string {
	if e.Is.Source == e.Want && e.Is.Root == "/" {
		return fmt.Sprintf("%s is mounted at %s as %s, and has to be ro,nosuid,nodev", e.Want, e.Dir, strings.Join(e.Is.Options, ","))
	}
	is := e.Is.Source
	if e.Is.Root != "/" {
		is = e.Is.Root + " of " + is
	}
	return fmt.Sprintf("not %s is mounted at %s, but %q (%s)", e.Want, e.Dir, is, e.Is.Type)
}

// options are those that a snapshot is mounted with. Whoever owns files in it may have chosen their modes.
var options = []string{"ro", "nosuid", "nodev"}

// Options is what mount(8) is told.
var Options = strings.Join(options, ",")

// All lists what is mounted, in the order in which it was.
func All() ([]Mount, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parse(string(text))
}

func parse(text string) (all []Mount, err error) {
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		f, g := strings.Split(before, " "), strings.Split(after, " ")
		if !ok || len(f) < 6 || len(g) < 2 {
			return nil, fmt.Errorf("mountinfo: %q", line)
		}
		id, err := strconv.Atoi(f[0])
		if err != nil {
			return nil, fmt.Errorf("mountinfo: %q: %w", line, err)
		}
		all = append(all, Mount{ID: id, Device: f[2], Root: unescape(f[3]), Dir: unescape(f[4]), Options: strings.Split(f[5], ","),
			Type: unescape(g[0]), Source: unescape(g[1])})
	}
	return all, nil
}

var octal = regexp.MustCompile(`\\[0-7]{3}`)

// unescape: blank, tab, newline and backslash are written in octal.
func unescape(s string) string {
	return octal.ReplaceAllStringFunc(s, func(code string) string {
		n, err := strconv.ParseUint(code[1:], 8, 8)
		if err != nil {
			return code
		}
		return string([]byte{byte(n)})
	})
}

// At is what is mounted on a folder, the uppermost if there are several. ErrNotMounted if nothing is, also if the
// folder lies on a mount and is none itself.
func At(dir string) (Mount, error) {
	m, _, err := look(dir)
	return m, err
}

// Prove proves that all of SOURCE is mounted on a folder, and as Options says. ErrNotMounted, *Other.
func Prove(dir, source string) (Proof, error) {
	m, p, err := look(dir)
	if err != nil {
		return p, err
	}
	safe := !slices.ContainsFunc(options, func(o string) bool { return !slices.Contains(m.Options, o) })
	if m.Source != source || m.Root != "/" || !safe {
		return Proof{}, &Other{Dir: dir, Want: source, Is: m}
	}
	return p, nil
}

// look asks by a descriptor, so that all the answers are of one and the same mount.
func look(dir string) (m Mount, p Proof, err error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return m, p, fmt.Errorf("%s: %w", dir, ErrNotMounted)
	}
	if err != nil {
		return m, p, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)) // without links on the way, as mountinfo has it
	if err != nil {
		return m, p, err
	}
	id, err := mountOf(fd)
	if err != nil {
		return m, p, err
	}
	all, err := All()
	if err != nil {
		return m, p, err
	}
	i := slices.IndexFunc(all, func(m Mount) bool { return m.ID == id })
	if i < 0 || all[i].Dir != path {
		return m, p, fmt.Errorf("%s: %w", dir, ErrNotMounted)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return m, p, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return all[i], Proof{Mount: id, Device: all[i].Device, FSID: fmt.Sprintf("%08x%08x", uint32(st.Fsid.Val[0]), uint32(st.Fsid.Val[1]))}, nil
}

// mountOf is the number of the mount that a descriptor is of: proc(5), fdinfo.
func mountOf(fd int) (int, error) {
	file := "/proc/self/fdinfo/" + strconv.Itoa(fd)
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strconv.Atoi(strings.TrimSpace(id))
		}
	}
	return 0, fmt.Errorf("%s: no mnt_id", file)
}

// Snapshots tells whether this kernel mounts snapshots: OpenZFS's module does. zfs-fuse has no way to.
func Snapshots() (bool, error) {
	text, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(text)) {
		if _, name, _ := strings.Cut(strings.TrimSpace(line), "\t"); strings.TrimSpace(line) == "zfs" || name == "zfs" {
			return true, nil
		}
	}
	return false, nil
}

// Users names processes that keep a mount busy, "PID NAME", a few of them: those that have something of it open, or
// stand in it.
func Users(dir string) (users []string) {
	const most = 3
	m, err := At(dir)
	if err != nil {
		return nil
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		links, _ := filepath.Glob(p + "/fd/*")
		for _, link := range append(links, p+"/cwd", p+"/root") {
			to, err := os.Readlink(link)
			if err != nil || to != m.Dir && !strings.HasPrefix(to, m.Dir+"/") {
				continue
			}
			name, _ := os.ReadFile(p + "/comm")
			users = append(users, filepath.Base(p)+" "+strings.TrimSpace(string(name)))
			break
		}
		if len(users) == most {
			break
		}
	}
	return users
}

// Sheltered is an error if others than root and the user UID could put something else in the place of a folder, or of one
// above it: what is mounted would be mounted elsewhere. A folder that all may write to and that is sticky, such as /tmp,
// is fine if what lies in it is not others'.
func Sheltered(dir string, uid int) error {
	last, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	for at := last; ; at = filepath.Dir(at) {
		var st unix.Stat_t
		if err := unix.Stat(at, &st); err != nil {
			return &os.PathError{Op: "stat", Path: at, Err: err}
		}
		switch {
		case st.Uid != 0 && int(st.Uid) != uid:
			return fmt.Errorf("%s belongs to user %d, who could put another folder in its place", at, st.Uid)
		case st.Mode&0o022 != 0 && (st.Mode&unix.S_ISVTX == 0 || at == last):
			return fmt.Errorf("%s can be written by others (mode %04o): chmod 700 %s", at, st.Mode&0o7777, at)
		}
		if at == "/" {
			return nil
		}
	}
}
