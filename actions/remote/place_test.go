package remote

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zfs2cloud/workflow"
)

const (
	mine   = "5f0c0123456789abcdef0123456789ab"
	theirs = "0123456789abcdef0123456789abcdef"
)

// counting counts looks at the root, and can be made blind.
type counting struct {
	Remote
	roots int
	blind error
}

func (c *counting) List(ctx context.Context, w workflow.World, folder, hash string) ([]Object, error) {
	if folder == "" {
		c.roots++
		if c.blind != nil {
			return nil, c.blind
		}
	}
	return c.Remote.List(ctx, w, folder, hash)
}

func newPlace(t *testing.T, r Remote, job string) *Place {
	t.Helper()
	p, err := NewPlace(r, job)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlaceIsClaimedOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, w := openFolder(t, dir), &recorder{}
	p := newPlace(t, r, mine)
	if err := p.Check(t.Context(), w); !errors.Is(err, ErrMarkerGone) {
		t.Fatalf("before: %v", err)
	}
	if err := p.Claim(t.Context(), workflow.Look{World: w}); err == nil || errors.Is(err, ErrMarkerGone) {
		t.Fatalf("Claim with a Look: %v", err)
	}
	for range 2 {
		if err := p.Claim(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "zfs2cloud-job-"+mine)); err != nil || len(text) == 0 {
		t.Fatalf("marker: %q, %v", text, err)
	}

	// A second job is told so, and leaves nothing.
	err := newPlace(t, r, theirs).Claim(t.Context(), w)
	var stranger *Stranger
	if !errors.As(err, &stranger) || stranger.Mine != theirs || stranger.Theirs != mine {
		t.Fatalf("second job: %v", err)
	}
	for _, part := range []string{mine, theirs, "path of its own"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
	lists(t, r, w, "", "[zfs2cloud-job-"+mine+"]")
}

// Two first uses at once: a marker that turns up beside ours is an error for both.
func TestPlaceOfTwoJobs(t *testing.T) {
	t.Parallel()
	r, w := openFolder(t, t.TempDir()), &recorder{}
	p := newPlace(t, r, mine)
	if err := p.Claim(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if err := r.PutBytes(t.Context(), w, "zfs2cloud-job-"+theirs, []byte("x"), false); err != nil {
		t.Fatal(err)
	}
	var stranger *Stranger
	if err := p.Claim(t.Context(), w); !errors.As(err, &stranger) {
		t.Errorf("Claim: %v", err)
	}
	if _, err := p.Backups(t.Context(), w); !errors.As(err, &stranger) {
		t.Errorf("Backups: %v", err)
	}
}

func TestPlaceListsBackups(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"20261126035200", "20261125035200-full", "lost+found", "2026", "20261127035200-old"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "20261128035200"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p, w := newPlace(t, openFolder(t, dir), mine), &recorder{}
	if err := p.Claim(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	got, err := p.Backups(t.Context(), w)
	if err != nil || !slices.Equal(got, []string{"20261125035200-full", "20261126035200"}) {
		t.Errorf("Backups: %v, %v", got, err)
	}
}

func TestNotThereIsFirm(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, w := &counting{Remote: openFolder(t, dir)}, &recorder{}
	p, ctx := newPlace(t, r, mine), t.Context()
	if err := p.Claim(ctx, w); err != nil {
		t.Fatal(err)
	}
	from, _ := newSource(t, 10)
	if err := p.Put(ctx, w, aName, from, nil); err != nil {
		t.Fatal(err)
	}
	looks := func(want int, what string) {
		t.Helper()
		if r.roots != want {
			t.Errorf("%s: the root was listed %d times, not %d", what, r.roots, want)
		}
		r.roots = 0
	}
	r.roots = 0

	if _, err := p.Stat(ctx, w, aName, ""); err != nil {
		t.Fatal(err)
	}
	looks(0, "there, within the minute")
	if _, err := p.Stat(ctx, w, "none", ""); !errors.Is(err, ErrNotThere) {
		t.Fatalf("not there: %v", err)
	}
	looks(1, "not there")
	w.advance(61 * time.Second)
	if _, err := p.List(ctx, w, aFolder, ""); err != nil {
		t.Fatal(err)
	}
	looks(1, "there, a minute later")
	w.advance(-time.Hour)
	if _, err := p.List(ctx, w, aFolder, ""); err != nil {
		t.Fatal(err)
	}
	looks(1, "there, the clock set back")

	// Could not look: no answer, and one that may pass.
	r.blind = &Error{Op: "list", Remote: dir, Err: errors.New("503"), passes: true}
	_, err := p.Stat(ctx, w, "none", "")
	if !errors.Is(err, ErrUnsure) || errors.Is(err, ErrNotThere) || !Temporary(err) {
		t.Errorf("blind: %v", err)
	}
	r.blind = nil

	// The disk is unmounted: the mount point is an empty folder.
	if err := os.Rename(dir, dir+"-unmounted"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir + "-unmounted") })
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, statErr := p.Stat(ctx, w, aName, "")
	_, listErr := p.List(ctx, w, aFolder, "")
	_, rootErr := p.List(ctx, w, "", "")
	_, backupsErr := p.Backups(ctx, w)
	for what, err := range map[string]error{
		"Stat": statErr, "List": listErr, "List of the root": rootErr, "Backups": backupsErr,
		"Get":          p.Get(ctx, w, aName, 10, new(bytes.Buffer)),
		"Put":          p.Put(ctx, w, "other", from, nil),
		"PutBytes":     p.PutBytes(ctx, w, "other", nil, false),
		"Touch":        p.Touch(ctx, w, "other", nil),
		"Delete":       p.Delete(ctx, w, aName),
		"Tidy":         p.Tidy(ctx, w, aFolder),
		"RemoveFolder": p.RemoveFolder(ctx, w, aFolder),
	} {
		if !errors.Is(err, ErrMarkerGone) || errors.Is(err, ErrNotThere) {
			t.Errorf("%s, unmounted: %v", what, err)
		}
	}
	lists(t, r, w, "", "[]")
}

func TestMarkerStays(t *testing.T) {
	t.Parallel()
	p, w := newPlace(t, openFolder(t, t.TempDir()), mine), &recorder{}
	if err := p.Claim(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if err := p.Delete(t.Context(), w, "zfs2cloud-job-"+mine); err == nil {
		t.Error("Delete of the marker: no error")
	}
	if _, err := NewPlace(openFolder(t, t.TempDir()), "../x"); err == nil {
		t.Error("a job that is no hex: no error")
	}
}

// A copy by rclone makes a vanished root anew; behind a Place it doesn't come to that.
func TestRcloneRootVanishes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "by-rclone")
	r, w := rcloneOver(t, localConf, "", "x:"+dir), &recorder{}
	p, ctx := newPlace(t, r, mine), t.Context()
	if err := p.Claim(ctx, w); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Stat(ctx, w, aName, ""); !errors.Is(err, ErrMarkerGone) || errors.Is(err, ErrNotThere) {
		t.Errorf("Stat: %v", err)
	}
	from, _ := newSource(t, 10)
	if err := p.Put(ctx, w, aName, from, nil); !errors.Is(err, ErrMarkerGone) {
		t.Errorf("Put: %v", err)
	}
	if _, err := os.Stat(filepath.Dir(dir)); !os.IsNotExist(err) {
		t.Errorf("the root was made anew: %v", err)
	}
}
