package manifest

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrChain is the error of a manifest that is genuine, but not the base that the next one names.
var ErrChain = errors.New("the chain is broken")

// Fetch gives the opened manifest of a folder and the SHA-256 of its object: what Open gives.
type Fetch func(ctx context.Context, folder string) (*Manifest, string, error)

// Chain opens a backup's manifest and those of its bases, and gives them in the order in which they are
// restored: the full first. That each link is the right one is proved by hash and GUID. Stamps fall from
// link to link, so there is an end.
func Chain(ctx context.Context, fetch Fetch, newest string) ([]*Manifest, error) {
	m, _, err := fetch(ctx, newest)
	if err != nil {
		return nil, err
	}
	if m.Name != newest {
		return nil, fmt.Errorf("%w: asked for %q, got %q", ErrChain, newest, m.Name)
	}
	chain := []*Manifest{m}
	for m.Base != nil {
		base, sha, err := fetch(ctx, m.Base.Name)
		if err != nil {
			return nil, fmt.Errorf("%s, the base of %s: %w", m.Base.Name, m.Name, err)
		}
		if err := m.follows(base, sha); err != nil {
			return nil, fmt.Errorf("%w: %s, the base of %s: %w", ErrChain, m.Base.Name, m.Name, err)
		}
		chain = append(chain, base)
		m = base
	}
	slices.Reverse(chain)
	return chain, nil
}

// follows tells whether BASE, whose object has the hash SHA, is what M was made from. The pool's GUID is not
// compared, for zpool reguid changes it, nor the dataset's name, for zfs rename does.
func (m *Manifest) follows(base *Manifest, sha string) error {
	switch {
	case base.Name != m.Base.Name || base.Name >= m.Name:
		return fmt.Errorf("it is named %q instead of %q", base.Name, m.Base.Name)
	case sha != m.Base.ManifestSHA256:
		return fmt.Errorf("SHA-256 of its manifest is %s instead of %s", sha, m.Base.ManifestSHA256)
	case base.SnapshotGUID != m.Base.SnapshotGUID:
		return fmt.Errorf("its snapshot has GUID %s instead of %s", base.SnapshotGUID, m.Base.SnapshotGUID)
	case base.DatasetGUID != m.DatasetGUID:
		return fmt.Errorf("its dataset has GUID %s instead of %s", base.DatasetGUID, m.DatasetGUID)
	case base.Job != m.Job:
		return fmt.Errorf("it is of job %s instead of %s", base.Job, m.Job)
	case base.Encryption() != m.Encryption():
		return fmt.Errorf("it is of encryption %q instead of %q", base.Encryption(), m.Encryption())
	}
	return nil
}
