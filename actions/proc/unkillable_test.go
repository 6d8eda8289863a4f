package proc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/workflow"
)

// As zfs on a pool that is suspended, or rclone on a server that is gone: it is killed, and stays.
func TestWhoCannotBeKilledIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	dir, asked, letGo := hangs(t)
	r, w := pipe(t)
	s := workflow.Spec{Argv: []string{"/bin/sh", "-c", `echo $$ >&3; exec cat "$0"`, filepath.Join(dir, "x")}, Extra: []*os.File{w}}
	ctx, cancel := context.WithCancel(t.Context())
	c, err := new(World).Start(ctx, s)
	must(t, err)
	pid := pidFrom(t, r)
	<-asked
	cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	select {
	case err := <-ended:
		if !errors.Is(err, ErrUnkillable) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("it is waited for")
	}
	if alive, err := Alive(pid); err != nil || !alive {
		t.Errorf("it was to be one that can't be killed: alive %v, %v", alive, err)
	}
	letGo()
	wantGone(t, pid)
}

// hangs is a folder on a file system whose server takes each request and never answers: fuse(4). Who looks into it
// waits, and once its request is taken no signal reaches it. The channel is closed then; letGo has all of them fail.
func hangs(t *testing.T) (dir string, asked <-chan struct{}, letGo func()) {
	dir = t.TempDir()
	server, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no file system of our own: /dev/fuse: %v", err)
	}
	t.Cleanup(func() { unix.Close(server) })
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", server)
	if err := unix.Mount("hangs", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		t.Skipf("no file system of our own: mount: %v", err)
	}
	letGo = func() { unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH) }
	t.Cleanup(letGo)
	must(t, greet(server))
	taken := make(chan struct{})
	go func() {
		defer close(taken)
		request := make([]byte, 1<<17)
		unix.Read(server, request)
	}()
	return dir, taken, letGo
}

// greet answers the kernel's first request, FUSE_INIT: struct fuse_init_out of linux/fuse.h, version 7.31.
func greet(server int) error {
	request := make([]byte, 1<<17)
	if _, err := unix.Read(server, request); err != nil {
		return err
	}
	answer := make([]byte, 16+64)
	binary.NativeEndian.PutUint32(answer, uint32(len(answer)))
	copy(answer[8:16], request[8:16]) // which request it answers
	binary.NativeEndian.PutUint32(answer[16:], 7)
	binary.NativeEndian.PutUint32(answer[20:], 31)
	binary.NativeEndian.PutUint32(answer[16+20:], 4096) // max_write
	_, err := unix.Write(server, answer)
	return err
}
