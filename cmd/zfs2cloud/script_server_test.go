package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"zfs2cloud/actions/remote/remotetest"
)

// server is a real server behind a link that can fail: what a script has as the remote "box:" after `serve`.
type server struct {
	link *remotetest.Link
	s3   *remotetest.S3 // nil if it is another
	mood remotetest.Mood
}

// serve s3|webdav: from now on "box:" is a server, $REMOTE the folder where it keeps the backups, and $CONF says so.
func cmdServe(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 1 && (args[0] == "s3" || args[0] == "webdav"), "serve s3|webdav")
	f := fixtureOf(ts)
	ts.Check(os.Mkdir(f.at("served"), 0o700))
	s := &server{}
	f.server = s
	path, addr := "backups", ""
	if args[0] == "s3" {
		addr, path = s.serveS3(ts, f), remotetest.Bucket+"/backups"
	} else {
		addr = serveWebdav(ts, f)
	}
	var err error
	s.link, err = remotetest.NewLink(addr)
	ts.Check(err)
	ts.Defer(s.link.Close)
	conf := remotetest.S3Conf("box", s.link.Addr())
	if s.s3 == nil {
		conf = fmt.Sprintf("[box]\ntype = webdav\nvendor = other\nurl = http://%s\n", s.link.Addr())
	}
	ts.Check(os.WriteFile(f.at("rclone.conf"), []byte(conf), 0o600))
	cmdConfig(ts, []string{"config.ini", "remote=box:" + path})
	ts.Setenv("REMOTE", filepath.Join(f.box, path))
}

func (s *server) serveS3(ts *testscript.TestScript, f *fixture) string {
	var err error
	s.s3, err = remotetest.ServeS3(f.at("served"), s.mood.Wrap)
	ts.Check(err)
	ts.Defer(func() { s.s3.Close() })
	f.box = filepath.Dir(s.s3.Folder(remotetest.Bucket))
	return s.s3.Addr()
}

// serveWebdav is rclone's.
func serveWebdav(ts *testscript.TestScript, f *fixture) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	addr := l.Addr().String()
	ts.Check(l.Close())
	cmd := exec.Command("rclone", "serve", "webdav", "--config", "/dev/null", "--dir-cache-time", "0s", "--addr", addr, f.at("served"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + f.work}
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	ts.Check(cmd.Start())
	ts.Defer(func() { cmd.Process.Kill(); cmd.Wait() })
	f.box = f.at("served")
	for until := time.Now().Add(awaitMost); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			ts.Check(c.Close())
			return addr
		}
	}
	ts.Fatalf("rclone serve webdav does not listen")
	return ""
}

// link FAULT [BYTES [always]]: see remotetest.Fault. BYTES is a rate for slow.
func cmdLink(ts *testscript.TestScript, args []string) {
	const usage = "link fine|down, link cut|reset|truncate|stall|slow bytes [always]"
	f := fixtureOf(ts)
	need(ts, f.server != nil && len(args) > 0, usage+", after serve")
	fault, known := remotetest.Faults[args[0]]
	bytes, always := int64(0), false
	if len(args) > 1 {
		n, err := strconv.ParseInt(args[1], 10, 64)
		ts.Check(err)
		bytes, always = n, len(args) > 2 && args[2] == "always"
	}
	need(ts, known && (bytes > 0 || fault == remotetest.Fine || fault == remotetest.Down || fault == remotetest.Stall), usage)
	ts.Check(f.server.link.Set(fault, bytes, always))
}

// server deny STATUS CODE [writes|deletes]: an S3 server answers all, or all that changes or deletes something, with an error.
// server lose|shorten|alter|late N|manifest: it spoils the N-th chunk from now, or the next manifest, once it has said that it has it.
// server archive WORD|oldest: it lists objects with that in their keys, or those of the oldest backup, and gives none of them.
// server better: it is honest again.
func cmdServer(ts *testscript.TestScript, args []string) {
	const usage = "server deny status code [writes|deletes], server lose|shorten|alter|late n|manifest, server archive word|oldest, server better"
	f := fixtureOf(ts)
	need(ts, f.server != nil && f.server.s3 != nil && len(args) > 0, usage+", after serve s3")
	switch {
	case args[0] == "better" && len(args) == 1:
		f.server.mood.Better()
	case args[0] == "deny" && len(args) >= 3:
		status, err := strconv.Atoi(args[1])
		ts.Check(err)
		f.server.mood.Deny(status, args[2], strings.Join(args[3:], ""))
	case len(args) == 2 && args[0] == "archive":
		f.server.mood.Archive(archived(ts, args[1]))
	case len(args) == 2 && args[1] == "manifest":
		f.server.mood.Spoil(f.server.s3, args[0], "manifest.json", 1)
	case len(args) == 2:
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		f.server.mood.Spoil(f.server.s3, args[0], ".zfs.", n)
	default:
		ts.Fatalf("usage: %s", usage)
	}
}

func archived(ts *testscript.TestScript, word string) string {
	if word != "oldest" {
		return word
	}
	backups, err := filepath.Glob(filepath.Join(ts.Getenv("REMOTE"), "2*"))
	ts.Check(err)
	need(ts, len(backups) > 0, "server archive oldest, where there is a backup")
	return filepath.Base(backups[0]) + "/"
}
