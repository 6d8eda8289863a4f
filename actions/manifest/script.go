package manifest

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/settings"
)

//go:embed restore.sh
var script []byte

// ScriptFile is the name of the sealed script in the backup's folder. A backup whose chunks are not encrypted has none:
// nothing would tell ours from one that somebody else put there for root to run.
const ScriptFile = "restore.sh.gpg"

// scriptLabel makes, put behind the passphrase, the one that the script is sealed under.
const scriptLabel = " zfs2cloud-restore-1"

// maxScript is the most that a script of any version may have, sealed or not, in bytes.
const maxScript = 1 << 20

// Texts are the names of what lies in a backup's folder for people, beside chunks and manifest.
func Texts(enc settings.Encryption) []string {
	if enc == settings.None {
		return []string{RestoreFile}
	}
	return []string{RestoreFile, ScriptFile}
}

// Script is the SHA-256 of this version's script, in lower-case hex.
func Script() string { return hashOf(script) }

// ScriptLen is the least that this version's script, sealed, can have, in bytes.
func ScriptLen() int64 { return int64(len(script)) }

// SealScript makes the object that is stored. S is the job's sealer, as for chunks. Sealing again makes another object
// of the same script.
func SealScript(ctx context.Context, s chunk.Sealer) ([]byte, error) {
	var b bytes.Buffer
	if err := s.Derived(scriptLabel).Seal(ctx, bytes.NewReader(script), &b); err != nil {
		return nil, fmt.Errorf("%s: %w", ScriptFile, err)
	}
	return b.Bytes(), nil
}

// OpenScript gives the SHA-256 of the script in such an object, of whichever version. chunk.ErrPassphrase (wrapped) says that it
// is not genuine.
func OpenScript(ctx context.Context, s chunk.Sealer, object []byte) (sha string, err error) {
	var b bytes.Buffer
	err = s.Derived(scriptLabel).OpenAtMost(ctx, bytes.NewReader(object), &b, maxScript)
	if errors.Is(err, chunk.ErrPassphrase) {
		return "", fmt.Errorf("%s %w", ScriptFile, err) // which goes on "does not open"
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", ScriptFile, err)
	}
	return hashOf(b.Bytes()), nil
}
