package zfstest

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Whoever asks is interrupted all the time, and asks about one file system and another in turns.
func TestUnstick(t *testing.T) {
	pool := Pool(t, 64)
	NeedMount(t, pool)
	Run(t, "zfs", "create", pool+"/data")
	file := filepath.Join(NeedMount(t, pool+"/data"), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	thread, ended := make(chan int), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		thread <- unix.Gettid()
		for range 5000 {
			unix.Llistxattr(file, nil)
		}
	}()
	for id := <-thread; ; {
		select {
		case <-ended:
			return
		default:
			unix.Tgkill(os.Getpid(), id, unix.SIGURG)
		}
	}
}
