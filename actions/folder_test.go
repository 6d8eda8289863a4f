package actions

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zfs2cloud/state"
)

// A removal that was cut off, wherever, is finished by the next; what is not ours stays.
func TestRemoveFolder(t *testing.T) {
	t.Parallel()
	b := state.Backup{Job: "0123456789abcdef", Name: "20261129000000-full"}
	chunks := []state.Chunk{{Name: "a.zfs.000000.gpg"}, {Name: "a.zfs.000001.gpg"}}
	claim := ownerPrefix + b.Job
	for name, c := range map[string]struct {
		files string // that are left
		stays bool
	}{
		"whole":          {files: "a.zfs.000000.gpg a.zfs.000001.gpg " + claim},
		"one chunk left": {files: "a.zfs.000001.gpg " + claim},
		"the claim left": {files: claim},
		"nothing left":   {},
		"no claim":       {files: "a.zfs.000000.gpg", stays: true},
		"foreign file":   {files: "letter " + claim, stays: true},
	} {
		b.Dir = t.TempDir()
		if err := os.Mkdir(filepath.Join(b.Dir, b.Name), 0o700); err != nil {
			t.Fatal(err)
		}
		for file := range strings.FieldsSeq(c.files) {
			if err := os.WriteFile(filepath.Join(b.Dir, b.Name, file), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		foreign, err := removeFolder(b, chunks)
		if stays := err != nil || len(foreign) > 0; stays != c.stays {
			t.Errorf("%s: foreign %q, error %v", name, foreign, err)
		}
		if _, err := os.Stat(filepath.Join(b.Dir, b.Name)); os.IsNotExist(err) == c.stays {
			t.Errorf("%s: the folder: %v", name, err)
		}
	}
	b.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(b.Dir, b.Name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := removeFolder(b, chunks); err == nil {
		t.Error("a file in its place is taken for an empty folder")
	}
}
