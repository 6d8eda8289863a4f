package actions

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"sync"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// Catalog is what lies at a remote, told by nothing but what lies there: no database is asked, so it can be
// read on a machine that was born today.
//
// Whoever can write there chooses what lies there. So only what an opened manifest says is believed, and names
// count only if they have the form of ours. What was genuine once stays genuine: that a newer backup was taken
// away, a catalog can't see.
type Catalog struct {
	Remote remote.Remote
	// Jobs are those whose markers lie at the root, by id.
	Jobs []string
	// Folders have the form of a backup's name. The newest comes first.
	Folders []string

	kit    *Kit
	look   workflow.World
	sealer chunk.Sealer

	there  map[string]bool // the folders
	memory *memory         // nil: each manifest is opened

	mu      sync.Mutex
	entries map[string]*Entry // of the folders that were looked into
	total   int               // folders that are being looked into, or were
}

// Entry is one folder.
type Entry struct {
	Name string
	// Manifest is nil if there is none, or none that opens; Why says so.
	Manifest *manifest.Manifest
	Why      error
	// Python says that it was made by the Python tool: one message in pieces, without a manifest.
	Python bool

	sha     string // of the manifest's object, whether it opens or not
	objects map[string]remote.Object
	// remembered: what is in the manifest, or that it does not open, is as it was when the same object was opened before.
	remembered bool
}

var (
	// ErrNotCommitted is the error of a folder without manifest: an upload that is under way, or was given up.
	ErrNotCommitted = errors.New("not committed: it has no manifest")
	// ErrIncomplete is the error of a backup of which not every chunk is listed with its size.
	ErrIncomplete = errors.New("incomplete")
	// ErrPython is the error of a backup that the Python tool made.
	ErrPython = errors.New("made by the Python tool")

	errGone = errors.New("its folder is not there")
)

var jobMarker = regexp.MustCompile(`^` + ownerPrefix + `([0-9a-f]+)$`)

// OpenCatalog lists the root of a remote. The world is only looked at. Before Unlock no folder can be looked into.
func (k *Kit) OpenCatalog(ctx context.Context, w workflow.World, r remote.Remote) (*Catalog, error) {
	look := workflow.Look{World: w}
	c := &Catalog{Remote: r, kit: k, look: look, there: map[string]bool{}, entries: map[string]*Entry{}}
	var root []remote.Object
	err := k.retry(ctx, func(ctx context.Context) (err error) {
		root, err = r.List(ctx, look, "", "")
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, o := range root {
		if m := jobMarker.FindStringSubmatch(o.Name); m != nil && !o.IsDir {
			c.Jobs = append(c.Jobs, m[1])
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

// Unlock has manifests opened as ENCRYPTION says, never as it happens to lie there, and with the kit's passphrase.
// It comes second, so that who is asked for a passphrase is not told afterwards that the remote is another.
func (c *Catalog) Unlock(encryption settings.Encryption) (err error) {
	c.sealer, err = c.kit.sealer(c.look, string(encryption))
	return err
}

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
	chain, err := manifest.Chain(ctx, c.fetch, name)
	if err != nil {
		return nil, err
	}
	for _, m := range chain {
		e, err := c.Entry(ctx, m.Name)
		if err != nil {
			return nil, err
		}
		if err := e.whole(); err != nil {
			if m.Name != name {
				err = fmt.Errorf("base %s: %w", m.Name, err)
			}
			return nil, err
		}
	}
	return chain, nil
}

func (c *Catalog) fetch(ctx context.Context, folder string) (*manifest.Manifest, string, error) {
	e, err := c.Entry(ctx, folder)
	if err != nil {
		return nil, "", err
	}
	if e.Manifest == nil {
		return nil, "", e.Why
	}
	return e.Manifest, e.sha, nil
}

// whole compares the listing with the manifest. What is in the objects is proved when they are fetched. A size that
// the store does not know is no answer, and so no objection.
func (e *Entry) whole() error {
	for c, lacks := range e.lacking() {
		return &incomplete{fmt.Sprintf("chunk %d, %s, %s", c.N, c.Name, lacks)}
	}
	return nil
}

// incomplete is an ErrIncomplete that says which chunk.
type incomplete struct{ lacks string }

func (e *incomplete) Error() string        { return e.lacks }
func (e *incomplete) Is(target error) bool { return target == ErrIncomplete }

// lacking gives the chunks that are not listed as the manifest has them, and says in words what is.
func (e *Entry) lacking() iter.Seq2[manifest.Chunk, string] {
	return func(yield func(manifest.Chunk, string) bool) {
		for _, want := range e.Manifest.Chunks {
			have, ok := e.objects[want.Name]
			lacks := ""
			switch {
			case !ok:
				lacks = "is not there"
			case have.Size >= 0 && have.Size != want.Size:
				lacks = fmt.Sprintf("has %d bytes instead of %d", have.Size, want.Size)
			}
			if lacks != "" && !yield(want, lacks) {
				return
			}
		}
	}
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
	case e.sha != commit.ManifestSHA256:
		return "its manifest is another than was stored", nil
	}
	return "", nil
}

// Size is the number of a backup's chunks and their bytes: the manifest's, else what lies there.
func (e *Entry) Size() (chunks int, bytes int64) {
	if e.Manifest != nil {
		return len(e.Manifest.Chunks), e.Manifest.Bytes()
	}
	for name, o := range e.objects {
		if pythonPiece.MatchString(name) || chunkFile.MatchString(name) {
			chunks++
			bytes += max(o.Size, 0)
		}
	}
	return chunks, bytes
}

// chunkFile is the form of chunk.Name.
var chunkFile = regexp.MustCompile(`@[0-9]{14}\.zfs\.[0-9]{6,}(\.g[0-9]+)?(\.gpg)?$`)
