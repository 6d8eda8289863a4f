package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"zfs2cloud/actions/manifest"
)

// A backup of the Python tool is one OpenPGP message, cut into pieces by split, with nothing beside it that would say what
// they are: the message proves itself, and only at its end. What its names and sizes tell is here.

// PythonChain is what has to be restored for a backup of the Python tool, the full first. It made incrementals since the
// last full alone. What is not in the names, such as GUIDs, is left empty.
func (c *Catalog) PythonChain(ctx context.Context, name string) ([]*manifest.Manifest, error) {
	m, err := c.PythonBackup(ctx, name)
	if err != nil || m.Kind == manifest.Full {
		return []*manifest.Manifest{m}, err
	}
	full, err := c.PythonFull(ctx, name)
	if err != nil {
		return nil, err
	}
	if full == "" {
		return nil, Refuse("%s is an incremental of the Python tool, and %s has no full of it that is older", name, c.Remote)
	}
	base, err := c.PythonBackup(ctx, full)
	if err != nil {
		return nil, fmt.Errorf("base %s: %w", full, err)
	}
	return []*manifest.Manifest{base, m}, nil
}

// PythonFull is the newest full of the Python tool that is older than a backup, and of its dataset: what its incrementals are
// based on. Empty if there is none, or the backup is a full itself.
func (c *Catalog) PythonFull(ctx context.Context, name string) (string, error) {
	if _, full, _ := manifest.ParseFolder(name); full {
		return "", nil
	}
	of, err := c.Entry(ctx, name)
	if err != nil {
		return "", err
	}
	for _, older := range c.Folders { // the newest first
		if _, full, _ := manifest.ParseFolder(older); !full || older >= name {
			continue
		}
		if e, err := c.Entry(ctx, older); err != nil || e.Python && e.sharesDataset(of) {
			return older, err
		}
	}
	return "", nil
}

// sharesDataset tells whether pieces in two folders are of the same dataset: several may have been backed up to one place.
func (e *Entry) sharesDataset(o *Entry) bool {
	datasets := map[string]bool{}
	for name := range o.Objects {
		if isPiece(name) {
			datasets[DatasetOf(name)] = true
		}
	}
	for name := range e.Objects {
		if isPiece(name) && datasets[DatasetOf(name)] {
			return true
		}
	}
	return false
}

// PythonBackup tells what a folder's names and sizes tell. Where that is no backup, the error is a Refusal, of pieces that are not
// those of one message a PieceError.
func (c *Catalog) PythonBackup(ctx context.Context, name string) (*manifest.Manifest, error) {
	e, err := c.Entry(ctx, name)
	if err != nil {
		return nil, err
	}
	stamp, full, _ := manifest.ParseFolder(name)
	m := &manifest.Manifest{Name: name, Kind: manifest.Incremental, Tool: "the Python tool"}
	if full {
		m.Kind = manifest.Full
	}
	if at, err := time.ParseInLocation(manifest.StampLayout, stamp, time.Local); err == nil { // its stamps are local time
		m.Created = at.UTC()
	}
	for file, o := range e.Objects {
		p, ok := ParsePiece(file)
		if !ok {
			continue
		}
		if m.Snapshot != "" && (m.Snapshot != p.Snapshot || m.Dataset != p.Dataset) {
			return nil, Refuse("%s: %w", name, &PieceError{"", fmt.Sprintf("it has pieces of %s@%s and of %s@%s", m.Dataset, m.Snapshot, p.Dataset, p.Snapshot)})
		}
		m.Dataset, m.Snapshot = p.Dataset, p.Snapshot
		n, err := strconv.Atoi(p.Number)
		if err != nil {
			return nil, Refuse("%s: %w", file, err)
		}
		m.Chunks = append(m.Chunks, manifest.Chunk{N: n, Name: file, Size: o.Size})
	}
	if !e.Python || len(m.Chunks) == 0 {
		return nil, Refuse("%s is no backup of the Python tool", name)
	}
	slices.SortFunc(m.Chunks, func(a, b manifest.Chunk) int { return cmp.Compare(a.N, b.N) })
	for i, piece := range m.Chunks {
		if piece.N != i {
			return nil, Refuse("%s: %w", name, &PieceError{pieceName(m, i), fmt.Sprintf("piece %04d is not there", i)})
		}
		if piece.Size < 0 {
			return nil, Refuse("%s: the store does not tell the size of %s", name, piece.Name)
		}
	}
	return m, nil
}
