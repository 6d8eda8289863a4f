package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLineWriter(t *testing.T) {
	var got strings.Builder
	w := &lineWriter{to: &got, form: toJournal}
	for _, part := range []string{"a no", "tice\nlevel=ERROR msg=", "bad\n\nlevel=WARN w\nlevel=DEBUG d\nrest"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if want := "<5>a notice\n<3>msg=bad\n<5>\n<4>w\n<7>d\n"; got.String() != want {
		t.Errorf("got %q, want %q", got.String(), want)
	}
}

func TestInJournal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	for stream, want := range map[string]bool{"": false, "8:1": false, fmt.Sprintf("%d:%d", st.Dev, st.Ino): true} {
		if got := inJournal(f, stream); got != want {
			t.Errorf("%q: %t", stream, got)
		}
	}
}

func TestTypeThis(t *testing.T) {
	for text, want := range map[string]string{
		"nothing to type": "",
		"zfs2cloud: x: failed\nRemove the cause, then: zfs2cloud -c 'a b' resume x1\n  or give it up: zfs2cloud abort x1": "zfs2cloud -c 'a b' resume x1",
		"zfs2cloud: y\nNext: rclone listremotes": "rclone listremotes",
	} {
		got := ""
		if m := typeThis.FindStringSubmatch(text); m != nil {
			got = m[1]
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
