package catalog

import (
	"context"
	"fmt"
	"path"
	"slices"
	"time"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/settings"
)

// Sheet is what a recovery sheet vouches for: what somebody who has it on paper can hold against what lies at the remote.
type Sheet struct {
	Chain []*manifest.Manifest // of the newest backup, the full first
	// ManifestSHA256 is that of the newest's manifest, as it is stored.
	ManifestSHA256 string
	// Script is the SHA-256 of the script, opened, and ScriptIn the folder that it lies in: that of the newest, or, if it is not
	// there, of one that it is based on, since all have the same. "" if none has it.
	Script, ScriptIn string
}

// Newest is the newest backup.
func (s *Sheet) Newest() *manifest.Manifest { return s.Chain[len(s.Chain)-1] }

// Bytes is the size of all files of the chain, StreamBytes that of what comes out, Piece that of the largest of them in clear.
func (s *Sheet) Bytes() (files, stream, piece int64) {
	for _, m := range s.Chain {
		files += m.Bytes()
		stream += m.StreamBytes
		piece = max(piece, min(m.SplitSize, m.StreamBytes))
	}
	return files, stream, piece
}

// Sheet looks at the newest backup: all its manifests open, all its chunks are listed, and its script opens. A
// Refusal says that there is nothing that a sheet could tell of.
func (c *Catalog) Sheet(ctx context.Context) (*Sheet, error) {
	if len(c.Folders) == 0 {
		return nil, Refuse("%s has no backup yet: a sheet can be printed after the first run", c.Remote)
	}
	name, _, err := c.latest(ctx, time.Time{})
	if err != nil {
		return nil, err
	}
	e, err := c.Entry(ctx, name)
	if err != nil {
		return nil, err
	}
	if e.Python {
		return nil, Refuse("%s, the newest at %s, was made by the Python tool: a sheet can be printed after the first run", name, c.Remote)
	}
	s := &Sheet{ManifestSHA256: e.SHA256}
	if s.Chain, err = c.Chain(ctx, name); err != nil {
		return nil, fmt.Errorf("backup %s at %s: %w", name, c.Remote, err)
	}
	if c.sealer.Kind() == settings.None {
		return s, nil
	}
	for _, m := range slices.Backward(s.Chain) {
		if e, err = c.Entry(ctx, m.Name); err != nil {
			return nil, err
		}
		if _, there := e.Objects[manifest.ScriptFile]; !there {
			continue
		}
		object, err := c.object(ctx, path.Join(m.Name, manifest.ScriptFile))
		if err != nil {
			return nil, err
		}
		if s.Script, err = manifest.OpenScript(ctx, c.sealer, object); err != nil {
			return nil, fmt.Errorf("backup %s at %s: its %w", m.Name, c.Remote, err)
		}
		s.ScriptIn = m.Name
		break
	}
	return s, nil
}
