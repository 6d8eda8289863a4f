package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
)

// read looks into a folder. What it holds is an answer; an error is none.
func (c *Catalog) read(ctx context.Context, name string) (*Entry, error) {
	e := &Entry{Name: name}
	if !c.there[name] {
		e.Why = ErrGone
		return e, nil
	}
	// Not there is no answer here: a moment ago the root had it. More likely a disk was unmounted.
	err := c.means.Retry(ctx, func(ctx context.Context) error {
		list, err := c.Remote.List(ctx, c.Look, name, "")
		e.Objects = objectsOf(list)
		return err
	})
	if err != nil {
		return nil, err
	}
	if e.Why = c.hasManifest(e); e.Why != nil {
		return e, nil
	}
	object, err := c.object(ctx, path.Join(name, c.manifestFile()))
	switch {
	case errors.Is(err, remote.ErrArchived):
		e.Why = remote.ErrArchived
		return e, nil
	case errors.Is(err, remote.ErrDamaged):
		e.Why = remote.ErrDamaged
		return e, nil
	case errors.Is(err, remote.ErrTooBig):
		e.Why = err
		return e, nil
	case err != nil:
		return nil, err
	}
	return e, c.open(ctx, e, object)
}

// open opens the manifest of a folder, or takes it from the memory. That it is none is an answer; an error is none.
func (c *Catalog) open(ctx context.Context, e *Entry, object []byte) error {
	sum := sha256.Sum256(object)
	e.SHA256 = hex.EncodeToString(sum[:])
	known := false
	if c.memory != nil {
		var err error
		if known, err = c.memory.recall(ctx, c.sealer, e, object); err != nil {
			return err
		}
	}
	if !known {
		if err := e.open(ctx, c.sealer, object); err != nil {
			return err
		}
		if e.Manifest != nil && c.memory != nil {
			return c.memory.keep(e)
		}
	}
	return c.openByOlder(ctx, e, object)
}

// openByOlder tries the older passphrases that are known on a manifest that today's does not open.
func (c *Catalog) openByOlder(ctx context.Context, e *Entry, object []byte) error {
	c.mu.Lock()
	older := slices.Clone(c.older)
	c.mu.Unlock()
	for e.tried = 0; e.tried < len(older) && errors.Is(e.Why, chunk.ErrPassphrase); e.tried++ {
		sealer, err := c.means.SealerBy(c.Look, string(c.sealer.Kind()), older[e.tried])
		if err != nil {
			return err
		}
		if err := e.open(ctx, sealer, object); err != nil {
			return err
		}
		e.passphrase = older[e.tried]
	}
	return nil
}

// open opens the manifest, or says why not. An error is neither.
func (e *Entry) open(ctx context.Context, s chunk.Sealer, object []byte) error {
	m, _, err := manifest.Open(ctx, s, object, e.Name)
	if err != nil && (ctx.Err() != nil || chunk.CouldNotRun(err)) {
		return err
	}
	e.Manifest, e.Why = m, err
	return nil
}

// objectsOf is a listing by name, without folders.
func objectsOf(list []remote.Object) map[string]remote.Object {
	objects := map[string]remote.Object{}
	for _, o := range list {
		if !o.IsDir {
			objects[o.Name] = o
		}
	}
	return objects
}

// otherKind is an ErrOtherKind, in words.
type otherKind struct{ text string }

func (e *otherKind) Error() string { return e.text }
func (e *otherKind) Unwrap() error { return ErrOtherKind }

// hasManifest says what keeps a folder from having the one manifest that may be read.
func (c *Catalog) hasManifest(e *Entry) error {
	mine, other := manifest.FileName(settings.GPG), manifest.FileName(settings.None)
	if c.sealer.Kind() == settings.None {
		mine, other = other, mine
	}
	_, has := e.Objects[mine]
	_, hasOther := e.Objects[other]
	switch {
	case has && hasOther:
		return fmt.Errorf("it has both %s and %s, which nobody's honest work has", mine, other)
	case has:
		return nil
	case hasOther && c.sealer.Kind() == settings.None:
		return &otherKind{fmt.Sprintf("it has %s, which encryption none does not open", other)}
	case hasOther:
		return &otherKind{fmt.Sprintf("it has %s, which is opened only if encryption none is asked for", other)}
	}
	for name := range e.Objects {
		if isPiece(name) {
			e.Python = true
			return ErrPython
		}
	}
	return ErrNotCommitted
}

func (c *Catalog) object(ctx context.Context, name string) ([]byte, error) {
	var b bytes.Buffer
	err := c.means.Retry(ctx, func(ctx context.Context) error {
		b.Reset()
		return c.Remote.Get(ctx, c.Look, name, manifest.MaxSize, &b)
	})
	return b.Bytes(), err
}
