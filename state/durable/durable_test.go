package durable

import (
	"path/filepath"
	"testing"
)

// What lay in a folder that is gone, too, needs no fsync.
func TestSyncParent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"gone", "gone/file"} {
		if err := SyncParent(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
