package zfs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"zfs2cloud/actions/zfs"
	"zfs2cloud/actions/zfs/zfstest"
)

// withBookmarks is what OpenZFS 2.1 says of bookmarks.
const withBookmarks = `#!/bin/sh
echo "$*" >>"${0%/*}/calls"
say() { printf '%s\n' "$2" >&2; exit "$1"; }
case "$*" in
'list -Hp -d 1 -t bookmark -o name,guid,createtxg tank/a') printf 'tank/a#one\t18446744073709551615\t7\ntank/a#of others\t2\t8\n' ;;
'bookmark tank/a@s tank/a#new') ;;
'bookmark tank/a@s tank/a#one') say 1 "cannot create bookmark 'tank/a#one': bookmark exists" ;;
'bookmark tank/a@s tank/a#old') say 1 "cannot create bookmark 'tank/a#old': bookmark feature not enabled" ;;
'bookmark tank/a@s tank/a#theirs') say 1 "cannot create bookmark 'tank/a#theirs': permission denied" ;;
'destroy tank/a#one') ;;
'destroy tank/a#gone') say 1 "bookmark 'tank/a#gone' does not exist." ;;
'send -nP -c -i tank/a#one tank/a@s') printf 'incremental\tone\ttank/a@s\t624\nsize\t624\n' ;;
'send -nP -p -i tank/a#one tank/a@s') say 1 'Error: Unsupported flag with filesystem or bookmark.' ;;
*) say 3 "unexpected: $*" ;;
esac
`

func bookmark(t *testing.T, name string) zfs.Bookmark {
	t.Helper()
	b, err := dataset(t, "tank/a").Bookmark(name)
	must(t, err)
	return b
}

func TestBookmarks(t *testing.T) {
	t.Parallel()
	p, _ := standIn(t, withBookmarks)
	ctx := t.Context()
	a := dataset(t, "tank/a")
	s := snapshot(t, a, "s")
	got, err := p.Bookmarks(ctx, a)
	must(t, err)
	if want := []zfs.BookmarkInfo{{bookmark(t, "one"), 18446744073709551615, 7}, {bookmark(t, "of others"), 2, 8}}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	must(t, p.TakeBookmark(ctx, s, bookmark(t, "new")))
	for name, kind := range map[string]error{"one": zfs.ErrExists, "old": zfs.ErrUnsupported, "theirs": zfs.ErrPermission} {
		wants(t, p.TakeBookmark(ctx, s, bookmark(t, name)), kind)
	}
	must(t, p.DestroyBookmark(ctx, bookmark(t, "one")))
	wants(t, p.DestroyBookmark(ctx, bookmark(t, "gone")), zfs.ErrNoBookmark)
	one := bookmark(t, "one")
	must(t, p.CanSend(ctx, zfs.SendArgs{Snapshot: s, Mark: &one, Flags: []string{"-c"}}))
	if p.CanSend(ctx, zfs.SendArgs{Snapshot: s, Mark: &one, Flags: []string{"-p"}}) == nil {
		t.Error("-p can be sent from a bookmark")
	}
	for _, name := range []string{"", "a#b", "a@b", "a,b", strings.Repeat("x", 249)} {
		if _, err := a.Bookmark(name); err == nil {
			t.Errorf("%q is a bookmark's name", name)
		}
	}
}

// Whether there are bookmarks says the pool, and of a pool that has no such property the program.
func TestHasBookmarks(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{
		`printf 'NAME  PROPERTY           VALUE    SOURCE\ntank  feature@bookmarks  enabled  local\n'`: true,
		`printf 'NAME  PROPERTY           VALUE    SOURCE\ntank  feature@bookmarks  active   local\n'`: true,
		`printf 'NAME  PROPERTY           VALUE    SOURCE\ntank  feature@bookmarks  disabled local\n'`: false,
		`echo "bad property list: invalid property 'feature@bookmarks'" >&2; exit 2`:                   false,
	} {
		p, _ := standIn(t, withBookmarks)
		zpool := filepath.Join(filepath.Dir(p.Words[len(p.Words)-1]), "zpool")
		must(t, os.WriteFile(zpool, []byte("#!/bin/sh\n"+answer+"\n"), 0o700))
		if has, err := p.HasBookmarks(t.Context(), dataset(t, "tank/a")); err != nil || has != want {
			t.Errorf("%s: %v, %v", answer, has, err)
		}
	}
}

// zfs-fuse has none, and says so in its own way.
func TestNoBookmarks(t *testing.T) {
	t.Parallel()
	pool := zfstest.Pool(t, 64)
	p, d := program(), dataset(t, pool)
	has, err := p.HasBookmarks(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if has {
		t.Skip("this ZFS has bookmarks")
	}
	if list, err := p.Bookmarks(t.Context(), d); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
	zfstest.Run(t, "zfs", "snapshot", pool+"@s")
	b, err := d.Bookmark("b")
	must(t, err)
	wants(t, p.TakeBookmark(t.Context(), snapshot(t, d, "s"), b), zfs.ErrUnsupported)
}
