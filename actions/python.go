package actions

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"zfs2cloud/actions/manifest"
)

// A backup of the Python tool is one OpenPGP message, cut into pieces by split, with nothing beside it that would say what
// they are: the message proves itself, and only at its end (pythonmessage.go). What its names and sizes tell is here.

// pythonPiece is a name such as tank-data@20240101000000.zfs.gpg.0000: the dataset, the snapshot, the number.
var pythonPiece = regexp.MustCompile(`^(.+)@(.+)\.zfs\.gpg\.([0-9]{4,})$`)

// PythonChain is what has to be restored for a backup of the Python tool, the full first. It made incrementals since the
// last full alone. What is not in the names, such as GUIDs, is left empty.
func (c *Catalog) PythonChain(ctx context.Context, name string) ([]*manifest.Manifest, error) {
	m, err := c.pythonBackup(ctx, name)
	if err != nil || m.Kind == manifest.Full {
		return []*manifest.Manifest{m}, err
	}
	full, err := c.pythonFull(ctx, name)
	if err != nil {
		return nil, err
	}
	if full == "" {
		return nil, refuse("%s is an incremental of the Python tool, and %s has no full of it that is older", name, c.Remote)
	}
	base, err := c.pythonBackup(ctx, full)
	if err != nil {
		return nil, fmt.Errorf("base %s: %w", full, err)
	}
	return []*manifest.Manifest{base, m}, nil
}

// pythonFull is the newest full of the Python tool that is older than a backup: what its incrementals are based on. Empty if
// there is none, or the backup is a full itself.
func (c *Catalog) pythonFull(ctx context.Context, name string) (string, error) {
	if _, full, _ := manifest.ParseFolder(name); full {
		return "", nil
	}
	for _, older := range c.Folders { // the newest first
		if _, full, _ := manifest.ParseFolder(older); !full || older >= name {
			continue
		}
		if e, err := c.Entry(ctx, older); err != nil || e.Python {
			return older, err
		}
	}
	return "", nil
}

// pythonBackup tells what a folder's names and sizes tell.
func (c *Catalog) pythonBackup(ctx context.Context, name string) (*manifest.Manifest, error) {
	e, err := c.Entry(ctx, name)
	if err != nil {
		return nil, err
	}
	stamp, full, _ := manifest.ParseFolder(name)
	m := &manifest.Manifest{Name: name, Kind: manifest.Incremental, Tool: "the Python tool"}
	if full {
		m.Kind = manifest.Full
	}
	if at, err := time.ParseInLocation(stampLayout, stamp, time.Local); err == nil { // its stamps are local time
		m.Created = at.UTC()
	}
	for file, o := range e.objects {
		parts := pythonPiece.FindStringSubmatch(file)
		if parts == nil {
			continue
		}
		if m.Snapshot != "" && (m.Snapshot != parts[2] || m.Dataset != parts[1]) {
			return nil, refuse("%s: %w", name, &pieceError{"", fmt.Sprintf("it has pieces of %s@%s and of %s@%s", m.Dataset, m.Snapshot, parts[1], parts[2])})
		}
		m.Dataset, m.Snapshot = parts[1], parts[2]
		n, err := strconv.Atoi(parts[3])
		if err != nil {
			return nil, refuse("%s: %w", file, err)
		}
		m.Chunks = append(m.Chunks, manifest.Chunk{N: n, Name: file, Size: o.Size})
	}
	if !e.Python || len(m.Chunks) == 0 {
		return nil, refuse("%s is no backup of the Python tool", name)
	}
	slices.SortFunc(m.Chunks, func(a, b manifest.Chunk) int { return cmp.Compare(a.N, b.N) })
	for i, piece := range m.Chunks {
		if piece.N != i {
			return nil, refuse("%s: %w", name, &pieceError{pieceName(m, i), fmt.Sprintf("piece %04d is not there", i)})
		}
		if piece.Size < 0 {
			return nil, refuse("%s: the store does not tell the size of %s", name, piece.Name)
		}
	}
	return m, nil
}

func pieceName(m *manifest.Manifest, n int) string {
	return fmt.Sprintf("%s@%s.zfs.gpg.%04d", m.Dataset, m.Snapshot, n)
}

// pieceError is the error of pieces that are not those of one message, as names and sizes tell.
type pieceError struct{ file, what string }

func (e *pieceError) Error() string { return e.what }

// WrittenOver says that a backup of the Python tool has pieces that are not all of one size but for the last: an older,
// longer export lies behind its end, written over.
func WrittenOver(m *manifest.Manifest) bool {
	if m.Job != "" { // a manifest knows its sizes
		return false
	}
	sizes := make([]int64, len(m.Chunks))
	for i, piece := range m.Chunks {
		sizes[i] = piece.Size
	}
	return oddPiece(sizes) >= 0
}

// oddPiece is the first of some pieces behind which, as their sizes tell, there should be none, or which is larger than those
// before it; -1 if there is none such.
func oddPiece(sizes []int64) int {
	for i, size := range sizes {
		if size > sizes[0] || size < sizes[0] && i < len(sizes)-1 {
			return i
		}
	}
	return -1
}
