package remote

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"zfs2cloud/state/durable"
)

func TestTempNamesAreKnown(t *testing.T) {
	t.Parallel()
	if name := tempName(aName); !durable.IsTemp(name) || filepath.Dir(name) != aFolder {
		t.Errorf("%q", name)
	}
}

// What others planted in the folder is no way out of it, and nothing waits for a pipe.
func TestPlantedInFolder(t *testing.T) {
	t.Parallel()
	dir, outside, w := t.TempDir(), t.TempDir(), &recorder{}
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink(secret, filepath.Join(dir, "link")), os.Symlink(outside, filepath.Join(dir, "way")),
		os.Symlink("gone", filepath.Join(dir, "dangling")), syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	r, ctx := openFolder(t, dir), t.Context()
	lists(t, r, w, "", "[]")
	from, _ := newSource(t, 10)
	for _, name := range []string{"link", "way/secret", "dangling", "pipe"} {
		var out bytes.Buffer
		_, statErr := r.Stat(ctx, w, name, "sha256")
		for _, err := range []error{statErr, r.Get(ctx, w, name, 100, &out), r.Put(ctx, w, name, from, nil)} {
			if err == nil || errors.Is(err, ErrNotThere) || out.Len() > 0 {
				t.Errorf("%s: %v, %q", name, err, out.String())
			}
		}
	}
	if err := r.Put(ctx, w, "way/new", from, nil); err == nil {
		t.Error("Put behind a link: no error")
	}
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) != 1 {
		t.Errorf("outside: %v, %v", entries, err)
	}
}

func TestFolderPutIsInterrupted(t *testing.T) {
	t.Parallel()
	dir, w := t.TempDir(), &recorder{}
	ctx, cancel := context.WithCancel(t.Context())
	from, _ := newSource(t, 4<<20)
	var first int64
	err := openFolder(t, dir).Put(ctx, w, aName, from, func(done int64) {
		first = done
		cancel()
	})
	if !errors.Is(err, context.Canceled) || first <= 0 || first >= from.Size {
		t.Fatalf("at %d bytes: %v", first, err)
	}
	entries, err := os.ReadDir(filepath.Join(dir, aFolder))
	if err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestFolderProgress(t *testing.T) {
	t.Parallel()
	w := &recorder{}
	from, _ := newSource(t, 4<<20)
	var told []int64
	err := openFolder(t, t.TempDir()).Put(t.Context(), w, aName, from, func(done int64) {
		told = append(told, done)
		w.advance(time.Second)
	})
	if err != nil || len(told) < 4 || told[len(told)-1] != from.Size {
		t.Errorf("%v, %v", told, err)
	}
}
