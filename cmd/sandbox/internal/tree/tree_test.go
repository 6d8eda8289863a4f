package tree_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zfs2cloud/cmd/sandbox/internal/tree"
)

func made(t *testing.T) (root string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("not root: files can't be given to other owners")
	}
	root = t.TempDir()
	if err := tree.Make(root, 1); err != nil {
		t.Fatal(err)
	}
	return root
}

func scan(t *testing.T, root string) tree.Tree {
	t.Helper()
	s, err := tree.Scan(root)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMakeAndChange(t *testing.T) {
	t.Parallel()
	a, b := made(t), made(t)
	same := time.Unix(1, 0)
	for _, root := range []string{a, b} { // the root's own time is when it was filled
		if err := os.Chtimes(root, same, same); err != nil {
			t.Fatal(err)
		}
	}
	before := scan(t, a)
	if d := before.Diff(scan(t, b)); len(d) > 0 {
		t.Errorf("not the same each time, %d differences: %s", len(d), strings.Join(d, "\n"))
	}
	files, bytes := before.Files()
	if files != tree.Files || bytes < 170<<20 || bytes > 190<<20 {
		t.Errorf("%d files, %d MiB", files, bytes>>20)
	}

	if err := tree.Change(b, 1); err != nil {
		t.Fatal(err)
	}
	after := scan(t, b)
	changed, removed := 0, 0
	for path, e := range before {
		now, there := after[path]
		switch {
		case !there:
			removed++
		case now.Sum != e.Sum:
			changed++
		}
	}
	if changed != tree.Changed || removed != tree.Removed {
		t.Errorf("%d changed, %d removed", changed, removed)
	}
}

func TestDiffSeesEverything(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	file, link := filepath.Join(root, "file"), filepath.Join(root, "link")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	then := time.Unix(1e9, 5)
	reset := func() {
		write("content")
		os.Remove(link)
		check(t, os.Symlink("a", link), os.Chmod(file, 0o600), os.Lchown(file, os.Getuid(), os.Getgid()),
			os.Chtimes(file, then, then))
	}
	reset()
	before := scan(t, root)
	for _, c := range []struct {
		what   string
		change func()
	}{
		{"other content", func() { write("CONTENT"); check(t, os.Chtimes(file, then, then)) }},
		{"size", func() { write("longer content") }},
		{"mode", func() { check(t, os.Chmod(file, 0o640)) }},
		{"time", func() { check(t, os.Chtimes(file, then, then.Add(1))) }},
		{"leads to", func() { check(t, os.Remove(link), os.Symlink("b", link)) }},
		{"is missing", func() { check(t, os.Remove(file)) }},
		{"should not be there", func() { check(t, os.Mkdir(filepath.Join(root, "new"), 0o700)) }},
	} {
		c.change()
		if d := strings.Join(before.Diff(scan(t, root)), "\n"); !strings.Contains(d, c.what) {
			t.Errorf("%s not seen: %q", c.what, d)
		}
		reset()
	}
}

func TestDiffSeesOwners(t *testing.T) {
	t.Parallel()
	before, other := tree.Tree{"f": {UID: 1, GID: 2}}, tree.Tree{"f": {UID: 1, GID: 3}}
	if d := before.Diff(other); len(d) != 1 || !strings.Contains(d[0], "owner 1:3, was 1:2") {
		t.Error(d)
	}
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
