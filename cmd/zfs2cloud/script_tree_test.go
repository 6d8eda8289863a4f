package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"zfs2cloud/actions/zfs/zfstest"
)

var smallFiles = flag.Int("smallfiles", 2000, "how many small files the command rich makes")

// rich DIR: makes files of all kinds in a folder: many small ones, holes, links of both kinds, a pipe, owners, modes, times,
// extended attributes, and names that are no UTF-8, or that a shell, a terminal or a list would take for something else.
func cmdRich(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 1, "rich dir")
	dir := ts.MkAbs(args[0])
	at := func(name string) string { return filepath.Join(dir, name) }
	ts.Check(os.MkdirAll(at("many"), 0o755))
	for i := range *smallFiles {
		ts.Check(os.WriteFile(at(fmt.Sprintf("many/%d", i)), fmt.Appendf(nil, "small file %d\n", i), 0o644))
	}
	for _, name := range []string{"latin-\xe9\xff", "utf8-é", "utf8-e\u0301", "日本語", "new\nline", "tab\tbell\a", "-rf", "a b ", " c", `back\slash`, "q'u\"o`te$(id)", "*", "\x01", strings.Repeat("n", 255)} {
		ts.Check(os.WriteFile(at(name), []byte(name), 0o600))
	}
	sparse, err := os.Create(at("sparse"))
	ts.Check(err)
	_, err = sparse.WriteAt([]byte("end"), 8<<20)
	ts.Check(errors.Join(err, sparse.Close()))
	for i, mode := range []uint32{0, 0o4755, 0o2711, 0o1777, 0o444} {
		name := at(fmt.Sprintf("mode-%o", mode))
		ts.Check(os.WriteFile(name, []byte(name), 0o600))
		ts.Check(os.Chown(name, 1000+i, 2000+i)) // before the mode, of which it takes bits away
		ts.Check(unix.Chmod(name, mode))
	}
	ts.Check(errors.Join(
		os.Link(at("sparse"), at("many/hard link")), os.Symlink("nowhere/../\xff", at("dangling")), os.Symlink("/etc", at("absolute")),
		unix.Mkfifo(at("pipe"), 0o640), os.Lchown(at("dangling"), 12, 34), os.Mkdir(at("empty"), 0o711),
		os.Chtimes(at("many"), time.Unix(1, 2), time.Unix(981158400, 123456789)), os.Chtimes(at("*"), time.Unix(3, 4), time.Unix(-86400, 5))))
	if err := unix.Setxattr(at("utf8-é"), "user.zfs2cloud", []byte("kept\x00too"), 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
		ts.Check(err)
	}
}

// alike DIR DIR: both have the same files: names, kinds, content, owners, modes, times, links, extended attributes, and no
// more room taken in the second but for what another file system rounds up.
func cmdAlike(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 2, "alike dir dir")
	a, b := ts.MkAbs(args[0]), ts.MkAbs(args[1])
	one, other := treeOf(ts, a), treeOf(ts, b)
	for name, want := range one {
		if got, ok := other[name]; !ok {
			ts.Fatalf("%q is only in %s", name, a)
		} else if got != want {
			ts.Fatalf("%q is\n%s\nand\n%s", name, want, got)
		}
		delete(other, name)
	}
	for name := range other {
		ts.Fatalf("%q is only in %s", name, b)
	}
	ts.Logf("%d files", len(one))
}

// treeOf describes all that is below a folder.
func treeOf(ts *testscript.TestScript, root string) map[string]string {
	tree := map[string]string{}
	inodes := map[uint64]string{} // the first name of each
	ts.Check(filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		short, err := filepath.Rel(root, name)
		if err != nil || short == "." {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			return err
		}
		size, content := st.Size, ""
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			size = 0
		case unix.S_IFLNK:
			content, err = os.Readlink(name)
		case unix.S_IFREG:
			var data []byte
			data, err = os.ReadFile(name)
			content = fmt.Sprintf("%x %t", sha256.Sum256(data), st.Blocks*512 < st.Size/2) // whether it has holes
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
			if inodes[st.Ino] == "" {
				inodes[st.Ino] = short
			}
			content += " links as " + inodes[st.Ino] + " " + strconv.FormatUint(uint64(st.Nlink), 10)
		}
		attrs, aerr := xattrsOf(name)
		tree[short] = fmt.Sprintf("%o %d:%d %d %d.%09d %q %s", st.Mode, st.Uid, st.Gid, size, st.Mtim.Sec, st.Mtim.Nsec, content, attrs)
		return errors.Join(err, aerr)
	}))
	return tree
}

// xattrsOf describes the extended attributes of a file. Where there are none at all, there are none.
func xattrsOf(name string) (string, error) {
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(name, names)
	if errors.Is(err, unix.ENOTSUP) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var all []string
	for attr := range bytes.SplitSeq(names[:n], []byte{0}) {
		if len(attr) == 0 {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(name, string(attr), value)
		if err != nil {
			return "", err
		}
		all = append(all, fmt.Sprintf("%s=%q", attr, value[:n]))
	}
	slices.Sort(all)
	return strings.Join(all, " "), nil
}

var endures = flag.Int("endures", 4, "how often the command endures has a restore killed")

// endures WANT COMMAND...: a restore that is killed at moments by chance, and gone on with by the same command or by resume in
// turns, comes to its end, and what it restored, its last argument, is what WANT is. One that ends before it was killed as often
// as -endures says is taken away and begun again. The moments are those at which some child of it starts or has ended, and now
// and then any, unless it mounts: zfs-fuse goes on with a mount whose program was killed, and wedges for ever if another begins
// beside it.
func cmdEndures(ts *testscript.TestScript, args []string) {
	need(ts, len(args) >= 3, "endures want program args...")
	want, command := args[0], args[1:]
	target, into := command[len(command)-1], slices.Contains(command, "--into")
	killed, restores := 0, 0
	for {
		killed += enduresOne(ts, command, *endures-killed)
		restores++
		if into {
			cmdAlike(ts, []string{want, target})
		} else {
			cmdRestored(ts, []string{target, want})
		}
		if killed == *endures {
			break
		}
		if into {
			ts.Check(os.RemoveAll(ts.MkAbs(target)))
		} else {
			zfstest.RunWhenFree(fixtureOf(ts).t, "zfs", "destroy", "-r", target)
		}
	}
	ts.Logf("killed %d times in %d restores", killed, restores)
}

// enduresOne has one restore be killed so many times at most, and go on to its end. It tells how many times it was.
func enduresOne(ts *testscript.TestScript, command []string, most int) (killed int) {
	mounts, forced := slices.Contains(command, "--path"), false
	for {
		words := command
		if id := unfinished(ts); id != "" && (killed%2 == 1 || forced) {
			words = []string{"zfs2cloud", "resume", id, "--force"}
		}
		shown := strings.Join(words, " ")
		switch {
		case killed == most:
		case !mounts && rand.IntN(4) == 0:
			after := strconv.FormatFloat(0.3+rand.Float64(), 'f', 3, 64)
			words = append([]string{"timeout", "--foreground", "-s", "KILL", after}, words...)
		default:
			cmdMishap(ts, []string{"4"})
		}
		err := ts.Exec(words[0], words[1:]...)
		for _, program := range []string{"zfs", "gpg", "rclone"} {
			ts.Check(os.RemoveAll(fixtureOf(ts).at(program + "/fault")))
		}
		if err == nil {
			return killed
		}
		exit := (*exec.ExitError)(nil)
		// Five kills in a row between two checkpoints, and a person has to say that it is to go on.
		if forced = errors.As(err, &exit) && exit.ExitCode() == stuck; forced {
			continue
		}
		// One that was killed before its last words has done all: its target is there.
		if killed > 0 && exit != nil && exit.ExitCode() == there && strings.Contains(ts.ReadFile("stderr"), " exists: ") {
			return killed
		}
		// 137 is what timeout says of a child that it killed.
		if killed++; killed > most || exit == nil || exit.ExitCode() >= 0 && exit.ExitCode() != 137 {
			ts.Fatalf("%s: %v", shown, err)
		}
		ts.Logf("killed: %s", shown)
	}
}

// unfinished is the id of the run that status says to resume, or empty.
func unfinished(ts *testscript.TestScript) string {
	ts.Check(ts.Exec("zfs2cloud", "status"))
	if said := saysResume.FindStringSubmatch(ts.ReadFile("stdout")); said != nil {
		return said[1]
	}
	return ""
}

var saysResume = regexp.MustCompile(`zfs2cloud (?:-c \S+ )?resume (?:--force )?([a-z0-9]+)`)
