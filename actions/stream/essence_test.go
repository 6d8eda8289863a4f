package stream_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs/zfstest"
)

func essence(b []byte, n int) (string, bool) {
	e := stream.NewEssence()
	for len(b) > 0 {
		n = min(n, len(b))
		e.Write(b[:n])
		b = b[n:]
	}
	return e.Sum()
}

// What was received, sent again, has the same essence, also where a file was larger once, so that the streams differ in
// more than a name.
func TestEssenceOfWhatWasReceived(t *testing.T) {
	t.Parallel()
	pool := zfstest.Pool(t, 96)
	zfstest.Run(t, "zfs", "create", pool+"/a")
	dir, mounts := zfstest.Mountpoint(t, pool+"/a")
	write := func(name string, size int) {
		if mounts {
			check(t, os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("contents"), size/8), 0o600))
		}
	}
	write("large", 12<<20)
	write("other", 5000)
	zfstest.Run(t, "zfs", "snapshot", pool+"/a@1")
	write("large", 1<<20)
	write("new", 300_000)
	zfstest.Run(t, "zfs", "snapshot", pool+"/a@2")
	// From the second on, which has a history that the received one has not.
	zfstest.Run(t, "sh", "-c", `zfs send "$0"@2 | zfs receive -u "$1"`, pool+"/a", pool+"/b")
	first, again := []byte(zfstest.Run(t, "zfs", "send", pool+"/a@2")), []byte(zfstest.Run(t, "zfs", "send", pool+"/b@2"))
	want, known := essence(first, len(first))
	if got, same := essence(again, len(again)); !known || !same || got != want {
		t.Errorf("%s %v and %s %v", want, known, got, same)
	}
	for _, n := range []int{1, 311, 313, 4096} {
		if got, _ := essence(first, n); got != want {
			t.Errorf("%d bytes at a time it is another", n)
		}
	}
	if _, known := essence(first[:len(first)-1], 4096); known {
		t.Error("of one that is cut off it is known")
	}
	if i := bytes.Index(first, []byte("contentscontents")); mounts {
		first[i] ^= 1
		if got, _ := essence(first, 4096); i < 0 || got == want {
			t.Errorf("with another byte at %d it is the same", i)
		}
	}
	for name, b := range map[string][]byte{"nothing": nil, "noise": bytes.Repeat([]byte{7}, 1000)} {
		if _, known := essence(b, 4096); known {
			t.Errorf("of %s it is known", name)
		}
	}
}
