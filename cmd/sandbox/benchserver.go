package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"syscall"
	"time"

	"zfs2cloud/actions/remote/remotetest"
	"zfs2cloud/cmd/sandbox/internal/host"
)

// webdav is a server on the loopback, behind which limited links end. rclone serves it. It keeps no hashes, and
// shows an object before it is whole: S3 is its opposite in both.
type webdav struct {
	addr string
	dir  string
	cmd  *exec.Cmd
}

func serve(ctx context.Context, g *ground) (*webdav, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := g.sub("served")
	if err != nil {
		return nil, err
	}
	cmd, err := g.host.Start(ctx, host.Command{Argv: []string{"rclone", "serve", "webdav", "--addr", addr, dir}})
	if err != nil {
		return nil, err
	}
	s := &webdav{addr, dir, cmd}
	if err := s.answers(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// serveS3 serves a folder in this very process: rclone 1.60 has no S3 server.
func serveS3(g *ground) (*remotetest.S3, error) {
	dir, err := g.sub("s3")
	if err != nil {
		return nil, err
	}
	return remotetest.ServeS3(dir)
}

// answers waits until it listens.
func (s *webdav) answers(ctx context.Context) error {
	for range 100 {
		if c, err := net.Dial("tcp", s.addr); err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("rclone serve webdav does not listen on %s", s.addr)
}

func (s *webdav) stop() {
	syscall.Kill(s.cmd.Process.Pid, syscall.SIGTERM)
	s.cmd.Wait()
}

// freePort is an address that nobody listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
