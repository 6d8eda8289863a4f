package catalog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/secret"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// Catalog is what lies at a remote, told by nothing but what lies there.
type Catalog struct {
	Remote remote.Remote
	// Look is the world that it is read with.
	Look workflow.Look
	// Jobs are those whose markers lie at the root, by id.
	Jobs []string
	// Folders have the form of a backup's name. The newest comes first.
	Folders []string
	// Older, if not nil, is asked for the passphrase of a folder of a chain that those which are known do not open: it
	// may be an older one. Nothing is none.
	Older func(ctx context.Context, folder string) (secret.Bytes, error)

	means  Means
	sealer chunk.Sealer

	there  map[string]bool // the folders
	memory *memory         // nil: each manifest is opened

	mu      sync.Mutex
	entries map[string]*Entry // of the folders that were looked into
	total   int               // folders that are being looked into, or were
	older   []secret.Bytes    // what Older has given
}

// Means is what a catalog is read with, beside the world.
type Means struct {
	// Retry tries something at the remote until it works or there is no use in it.
	Retry func(ctx context.Context, try func(context.Context) error) error
	// Sealer opens what is sealed in one way with today's passphrase, SealerBy what is with another.
	Sealer   func(w workflow.World, encryption string) (chunk.Sealer, error)
	SealerBy func(w workflow.World, encryption string, passphrase secret.Bytes) (chunk.Sealer, error)
	Log      *slog.Logger
}

// Entry is one folder.
type Entry struct {
	Name string
	// Manifest is nil if there is none, or none that opens; Why says so.
	Manifest *manifest.Manifest
	Why      error
	// Python says that it was made by the Python tool: one message in pieces, without a manifest.
	Python bool
	// SHA256 is that of the manifest's object, whether it opens or not; empty: it has none that may be read.
	SHA256 string
	// Objects are what lies in it, by name.
	Objects map[string]remote.Object

	passphrase secret.Bytes // that opened it, if it was an older one
	tried      int          // how many older ones were tried
	// remembered: what is in the manifest, or that it does not open, is as it was when the same object was opened before.
	remembered bool
}

var (
	// ErrNotCommitted is the error of a folder without manifest: an upload that is under way, or was given up.
	ErrNotCommitted = errors.New("not committed: it has no manifest")
	// ErrIncomplete is the error of a backup of which not every chunk is listed with its size.
	ErrIncomplete = errors.New("incomplete")
	// ErrOtherKind is the error of a manifest that was sealed with another kind of encryption than the catalog's.
	ErrOtherKind = errors.New("of another kind of encryption")
	// ErrPython is the error of a backup that the Python tool made.
	ErrPython = errors.New("made by the Python tool")
	// ErrGone is the error of a folder that is not there.
	ErrGone = errors.New("its folder is not there")
)

// Open lists the root of a remote. The world is only looked at. Before Unlock no folder can be looked into.
func Open(ctx context.Context, w workflow.World, r remote.Remote, by Means) (*Catalog, error) {
	look := workflow.Look{World: w}
	c := &Catalog{Remote: r, Look: look, means: by, there: map[string]bool{}, entries: map[string]*Entry{}}
	var root []remote.Object
	err := by.Retry(ctx, func(ctx context.Context) (err error) {
		root, err = r.List(ctx, look, "", "")
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, o := range root {
		if job, ok := remote.MarkedJob(o.Name); ok && !o.IsDir {
			c.Jobs = append(c.Jobs, job)
		}
		if _, _, ok := manifest.ParseFolder(o.Name); ok && o.IsDir {
			c.Folders = append(c.Folders, o.Name)
			c.there[o.Name] = true
		}
	}
	slices.Sort(c.Jobs)
	slices.SortFunc(c.Folders, func(a, b string) int { return strings.Compare(b, a) })
	return c, nil
}

// Unlock has manifests opened as ENCRYPTION says, never as it happens to lie there, and with today's passphrase.
// It comes second, so that who is asked for a passphrase is not told afterwards that the remote is another.
func (c *Catalog) Unlock(encryption settings.Encryption) (err error) {
	c.sealer, err = c.means.Sealer(c.Look, string(encryption))
	return err
}

// Sealer opens what lies there with today's passphrase, once Unlock has said how it is sealed.
func (c *Catalog) Sealer() chunk.Sealer { return c.sealer }

// Entry looks into a folder, once. The error means that it could not be looked at.
func (c *Catalog) Entry(ctx context.Context, name string) (*Entry, error) {
	c.mu.Lock()
	e := c.entries[name]
	c.mu.Unlock()
	if e != nil {
		return e, nil
	}
	e, err := c.read(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", name, err)
	}
	c.put(e)
	return e, nil
}

// Chain is what has to be restored for a backup, the full first: every manifest opened, every chunk listed with
// its size.
func (c *Catalog) Chain(ctx context.Context, name string) ([]*manifest.Manifest, error) {
	chain, err := c.Manifests(ctx, name)
	if err != nil {
		return nil, err
	}
	for _, m := range chain {
		e, err := c.Entry(ctx, m.Name)
		if err != nil {
			return nil, err
		}
		if err := e.Whole(); err != nil {
			if m.Name != name {
				err = fmt.Errorf("base %s: %w", m.Name, err)
			}
			return nil, err
		}
	}
	return chain, nil
}

// Manifests is Chain without a look for the chunks.
func (c *Catalog) Manifests(ctx context.Context, name string) ([]*manifest.Manifest, error) {
	return manifest.Chain(ctx, c.fetching(), name)
}

// fetching gives the manifests of a chain, the newest first. For an object that is another than the one before names as its
// base no passphrase is asked for, which could not help.
func (c *Catalog) fetching() manifest.Fetch {
	named := ""
	return func(ctx context.Context, folder string) (*manifest.Manifest, string, error) {
		m, sha, err := c.fetch(ctx, folder, named)
		if m != nil && m.Base != nil {
			named = m.Base.ManifestSHA256
		}
		return m, sha, err
	}
}

// fetch gives the manifest of a folder, whose object has the hash NAMED, unless that is empty.
func (c *Catalog) fetch(ctx context.Context, folder, named string) (*manifest.Manifest, string, error) {
	e, err := c.Entry(ctx, folder)
	if err == nil && errors.Is(e.Why, chunk.ErrPassphrase) {
		if named != "" && e.SHA256 != named {
			return nil, "", fmt.Errorf("%w: its manifest does not open, and is another than it was", manifest.ErrChain)
		}
		e, err = c.byOlder(ctx, e)
	}
	if err != nil {
		return nil, "", err
	}
	if e.Manifest == nil {
		return nil, "", e.Why
	}
	return e.Manifest, e.SHA256, nil
}

// byOlder looks again into a folder whose manifest does not open, with each passphrase that Older gives.
func (c *Catalog) byOlder(ctx context.Context, e *Entry) (*Entry, error) {
	for errors.Is(e.Why, chunk.ErrPassphrase) && c.Older != nil {
		c.mu.Lock()
		known := len(c.older)
		c.mu.Unlock()
		if e.tried == known {
			pass, err := c.Older(ctx, e.Name)
			if err != nil || len(pass) == 0 {
				return e, err
			}
			c.mu.Lock()
			c.older = append(c.older, pass)
			c.mu.Unlock()
		}
		c.mu.Lock()
		delete(c.entries, e.Name)
		c.mu.Unlock()
		var err error
		if e, err = c.Entry(ctx, e.Name); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// SealerOf opens what a backup consists of, by the passphrase that opened its manifest.
func (c *Catalog) SealerOf(w workflow.World, m *manifest.Manifest) (chunk.Sealer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[m.Name]; e != nil && len(e.passphrase) > 0 {
		return c.means.SealerBy(w, string(m.Encryption()), e.passphrase)
	}
	return c.means.Sealer(w, string(c.sealer.Kind()))
}

// Whole compares the listing with the manifest. What is in the objects is proved when they are fetched. A size that
// the store does not know is no answer, and so no objection.
func (e *Entry) Whole() error {
	for c, lacks := range e.Lacking() {
		return &incomplete{fmt.Sprintf("chunk %d, %s, %s", c.N, c.Name, lacks)}
	}
	return nil
}

// incomplete is an ErrIncomplete that says which chunk.
type incomplete struct{ lacks string }

func (e *incomplete) Error() string        { return e.lacks }
func (e *incomplete) Is(target error) bool { return target == ErrIncomplete }

// Absent is what Lacking says of a chunk that is not listed.
const Absent = "is not there"

// Lacking gives the chunks that are not listed as the manifest has them, and says in words what is.
func (e *Entry) Lacking() iter.Seq2[manifest.Chunk, string] {
	return func(yield func(manifest.Chunk, string) bool) {
		for _, want := range e.Manifest.Chunks {
			have, ok := e.Objects[want.Name]
			lacks := ""
			switch {
			case !ok:
				lacks = Absent
			case have.Size >= 0 && have.Size != want.Size:
				lacks = fmt.Sprintf("has %d bytes instead of %d", have.Size, want.Size)
			}
			if lacks != "" && !yield(want, lacks) {
				return
			}
		}
	}
}

// ManifestSHA256 is the hash of the manifest's object of a folder that was looked into.
func (c *Catalog) ManifestSHA256(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[name]; e != nil {
		return e.SHA256
	}
	return ""
}

// Misses says in words how a remote fails to show a backup that was committed there, or nothing: it may have been rolled
// back to an older state, which by itself it does not show.
func (c *Catalog) Misses(ctx context.Context, commit state.Commit) (string, error) {
	e, err := c.Entry(ctx, commit.Name)
	switch {
	case err != nil:
		return "", err
	case e.Manifest == nil:
		return e.Why.Error(), nil
	case e.SHA256 != commit.ManifestSHA256:
		return "its manifest is another than was stored", nil
	}
	return "", nil
}

// Size is the number of a backup's chunks and their bytes: the manifest's, else what lies there.
func (e *Entry) Size() (chunks int, bytes int64) {
	if e.Manifest != nil {
		return len(e.Manifest.Chunks), e.Manifest.Bytes()
	}
	for name, o := range e.Objects {
		if isPiece(name) || chunk.IsName(name) {
			chunks++
			bytes += max(o.Size, 0)
		}
	}
	return chunks, bytes
}
