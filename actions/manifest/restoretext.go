package manifest

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"

	"zfs2cloud/actions/settings"
)

//go:embed restore.txt.tmpl
var restoreTemplate string

var restoreText = template.Must(template.New("RESTORE.txt").Parse(restoreTemplate))

// RestoreFile is the name of the text in the backup's folder.
const RestoreFile = "RESTORE.txt"

// RestoreText tells a person who never saw this program how to restore a backup with gpg and zfs alone. BASES
// are the folders of its chain, the full first; none for a full.
//
// The text is in clear, so no digest and no GUID stands in it. Its commands are for any sh: without pipefail,
// the failure of one gpg shows in that the stream ends too early for zfs receive. Nothing in a command comes
// from elsewhere than the computed names of files and folders: the dataset's and the host's stand in prose
// only. No command has a "!" or a comment, which interactive shells take otherwise than scripts.
func RestoreText(m *Manifest, bases []string) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", RestoreFile, err)
	}
	if err := m.checkBases(bases); err != nil {
		return nil, fmt.Errorf("%s: %w", RestoreFile, err)
	}
	flags := strings.Join(m.SendFlags, "")
	stamp, _, _ := ParseFolder(m.Name)
	taken, err := time.Parse("20060102150405", stamp)
	if err != nil {
		return nil, fmt.Errorf("%s: name: %w", RestoreFile, err)
	}
	var b bytes.Buffer
	err = restoreText.Execute(&b, struct {
		*Manifest
		Bases                               []string
		Taken                               string
		File, Script                        string
		Files                               int
		Size, Piece                         int64
		Encrypted, RawEncrypted, Properties bool
	}{
		Manifest:     m,
		Bases:        bases,
		Taken:        taken.Format(time.DateTime),
		File:         FileName(m.Encryption()),
		Script:       ScriptFile,
		Files:        len(m.Chunks),
		Size:         m.Bytes(),
		Piece:        min(m.SplitSize, m.StreamBytes),
		Encrypted:    m.Encryption() != settings.None,
		RawEncrypted: strings.Contains(flags, "w"),
		Properties:   strings.Contains(flags, "p"),
	})
	return b.Bytes(), err
}

// checkBases holds the list against what the manifest says.
func (m *Manifest) checkBases(bases []string) error {
	if m.Base == nil {
		if len(bases) > 0 {
			return fmt.Errorf("a full with bases %q", bases)
		}
		return nil
	}
	if len(bases) == 0 || bases[len(bases)-1] != m.Base.Name || !slices.IsSorted(bases) {
		return fmt.Errorf("bases %q do not lead to %q", bases, m.Base.Name)
	}
	for i, b := range bases {
		if _, full, ok := ParseFolder(b); !ok || full != (i == 0) {
			return fmt.Errorf("bases %q are no chain", bases)
		}
	}
	return nil
}
