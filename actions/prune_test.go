package actions

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// What was given up while the disk of its place was away may be whole: a prune there leaves what has a manifest.
func TestNotWhole(t *testing.T) {
	t.Parallel()
	b := backupIn(t, state.Backup{Name: fullName, Dir: t.TempDir(), Encryption: "gpg"}, workflow.BackupAbandon)
	if err := notWhole(b); err != nil {
		t.Errorf("no folder: %v", err)
	}
	manifest := inDir(b, "manifest.json.gpg")
	if err := errors.Join(os.Mkdir(filepath.Dir(manifest), 0o700), os.WriteFile(manifest, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := notWhole(b); err == nil || !strings.Contains(err.Error(), "was given up, and has a manifest all the same") {
		t.Error(err)
	}
}
