package actions

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/workflow"
)

// read looks into a folder. What it holds is an answer; an error is none.
func (c *Catalog) read(ctx context.Context, name string) (*Entry, error) {
	e := &Entry{Name: name}
	if !slices.Contains(c.Folders, name) {
		e.Why = errGone
		return e, nil
	}
	// Not there is no answer here: a moment ago the root had it. More likely a disk was unmounted.
	err := c.kit.retry(ctx, func(ctx context.Context) error {
		list, err := c.Remote.List(ctx, c.look, name, "")
		e.objects = objectsOf(list)
		return err
	})
	if err != nil {
		return nil, err
	}
	if e.Why = c.hasManifest(e); e.Why != nil {
		return e, nil
	}
	object, err := c.object(ctx, path.Join(name, manifest.FileName(c.sealer.Kind())))
	if errors.Is(err, remote.ErrTooBig) {
		e.Why = err
		return e, nil
	}
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(object)
	e.sha = hex.EncodeToString(sum[:])
	if err := c.open(ctx, e, object); err != nil && (ctx.Err() != nil || couldNotRun(err)) {
		return nil, err
	}
	return e, nil
}

// open opens a folder's manifest with each passphrase that is known. What keeps it shut is Why, too.
func (c *Catalog) open(ctx context.Context, e *Entry, object []byte) error {
	c.mu.Lock()
	older := slices.Clone(c.older)
	c.mu.Unlock()
	e.Manifest, _, e.Why = manifest.Open(ctx, c.sealer, object, e.Name)
	for e.tried = 0; e.tried < len(older) && errors.Is(e.Why, chunk.ErrPassphrase); e.tried++ {
		sealer, err := c.kit.sealerBy(c.look, string(c.sealer.Kind()), older[e.tried])
		if err != nil {
			return err
		}
		e.Manifest, _, e.Why = manifest.Open(ctx, sealer, object, e.Name)
		e.passphrase = older[e.tried]
	}
	return e.Why
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

// hasManifest says what keeps a folder from having the one manifest that may be read.
func (c *Catalog) hasManifest(e *Entry) error {
	mine, other := manifest.FileName(settings.GPG), manifest.FileName(settings.None)
	if c.sealer.Kind() == settings.None {
		mine, other = other, mine
	}
	_, has := e.objects[mine]
	_, hasOther := e.objects[other]
	switch {
	case has && hasOther:
		return fmt.Errorf("it has both %s and %s, which nobody's honest work has", mine, other)
	case has:
		return nil
	case hasOther && c.sealer.Kind() == settings.None:
		return fmt.Errorf("it has %s, which encryption none does not open", other)
	case hasOther:
		return fmt.Errorf("it has %s, which is opened only if encryption none is asked for", other)
	}
	for name := range e.objects {
		if pythonPiece.MatchString(name) {
			e.Python = true
			return ErrPython
		}
	}
	return ErrNotCommitted
}

func (c *Catalog) object(ctx context.Context, name string) ([]byte, error) {
	var b bytes.Buffer
	err := c.kit.retry(ctx, func(ctx context.Context) error {
		b.Reset()
		return c.Remote.Get(ctx, c.look, name, manifest.MaxSize, &b)
	})
	return b.Bytes(), err
}

// couldNotRun tells a gpg that did not come to a verdict from one that did.
func couldNotRun(err error) bool {
	var exit *workflow.ExitError
	var file *fs.PathError
	return errors.Is(err, workflow.ErrNoProgram) || errors.As(err, &exit) || errors.As(err, &file)
}
