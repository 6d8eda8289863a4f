package main

import (
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, file string, size int64) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
}

func TestWhatLiesOnTheRemote(t *testing.T) {
	t.Parallel()
	spool, remote := t.TempDir(), t.TempDir()
	name := func(n string) string { return "20261125035200-full/p-data@20261125035200.zfs." + n }
	for _, n := range []string{"000000.gpg", "000001.gpg", "000002.gpg"} {
		write(t, filepath.Join(spool, name(n)), split+100)
	}
	write(t, filepath.Join(remote, name("000000.gpg")), split+100)
	write(t, filepath.Join(remote, name("000001.gpg.1a2b3c4d.partial")), 5)
	write(t, filepath.Join(remote, name("000002.gpg")), 7) // begun under its own name, as rclone 1.60 does
	s, err := look(spool)
	if err != nil {
		t.Fatal(err)
	}
	r, err := look(remote)
	if err != nil {
		t.Fatal(err)
	}
	if s.chunks() != 3 {
		t.Errorf("%d chunks", s.chunks())
	}
	whole := r.whole(s)
	if _, ok := whole["p-data@20261125035200.zfs.000000.gpg"]; !ok || len(whole) != 1 {
		t.Errorf("whole: %v", whole)
	}
	for n, want := range map[string]bool{"000000": false, "000001": true, "000002": true, "000003": false} {
		if r.arriving(n, split) != want {
			t.Errorf("arriving %s: %v", n, !want)
		}
	}

	// The same content, put there again, is not the same file.
	write(t, filepath.Join(remote, "new"), split+100)
	if err := os.Rename(filepath.Join(remote, "new"), filepath.Join(remote, name("000000.gpg"))); err != nil {
		t.Fatal(err)
	}
	if r, err = look(remote); err != nil {
		t.Fatal(err)
	}
	for chunk, was := range whole {
		if r.whole(s)[chunk] == was {
			t.Error("not seen that it was written again")
		}
	}
}

func TestUploads(t *testing.T) {
	t.Parallel()
	calls := filepath.Join(t.TempDir(), "calls")
	if names, total, err := uploads(calls, 0); len(names) > 0 || total != 0 || err != nil {
		t.Errorf("before any call: %v, %d, %v", names, total, err)
	}
	const text = `lsjson store:/r/20261125035200-full/d@1.zfs.000000.gpg --stat
copyto --config c /s/d@1.zfs.000000.gpg store:/r/d@1.zfs.000000.gpg
rcat store:/r/manifest.json.gpg
copyto --config c /s/d@1.zfs.000001.gpg store:/r/d@1.zfs.000001.gpg
`
	if err := os.WriteFile(calls, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	names, total, err := uploads(calls, 2)
	if err != nil || total != 4 || len(names) != 1 || !names["d@1.zfs.000001.gpg"] {
		t.Errorf("%v, %d, %v", names, total, err)
	}
}
