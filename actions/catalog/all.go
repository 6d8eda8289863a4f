package catalog

import (
	"context"
	"fmt"
	"path"

	"golang.org/x/sync/errgroup"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
)

const (
	// readers look into so many folders at once: each costs a few processes, and waits for the remote.
	readers = 4
	// fewFolders are looked into one by one: to list, and to get, a few at once takes as many processes.
	fewFolders = 3
	// Manifests are fetched so many at once: a few at first, so that the newest are soon known.
	firstBatch, largestBatch = 32, 1024
	// batchBytes bounds what they have together, which lies in a folder of ours meanwhile.
	batchBytes = 64 << 20
)

// ReadAll looks into every folder.
func (c *Catalog) ReadAll(ctx context.Context) ([]*Entry, error) {
	if err := c.ReadSome(ctx, c.Folders); err != nil {
		return nil, err
	}
	if c.memory != nil {
		c.memory.settle(c.there)
	}
	all := make([]*Entry, len(c.Folders))
	for i, name := range c.Folders {
		var err error
		if all[i], err = c.Entry(ctx, name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// ReadSome looks into folders, so that Entry has them at hand: one question after what lies in all of them, and a few
// after their manifests, which are opened in the order of NAMES. What could not be had in that way is looked for folder by
// folder, which tells why. What was opened is kept also if not all could be.
func (c *Catalog) ReadSome(ctx context.Context, names []string) error {
	names = c.toRead(names)
	if c.memory != nil {
		defer c.memory.settle(nil)
	}
	if len(names) > fewFolders {
		if err := c.readAtOnce(ctx, names); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for _, name := range names {
		g.Go(func() error {
			_, err := c.Entry(ctx, name)
			return err
		})
	}
	return g.Wait()
}

// toRead leaves out what was looked into already, and begins to count.
func (c *Catalog) toRead(names []string) (left []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		if c.entries[name] == nil {
			left = append(left, name)
		}
	}
	c.total = len(c.entries) + len(left)
	return left
}

// Progress is how many folders were looked into, of how many that were asked for.
func (c *Catalog) Progress() (done, total int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries), max(c.total, len(c.entries))
}

// Settled tells whether a folder was looked into, and those that it hangs on: then it is known what it is worth.
func (c *Catalog) Settled(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[name]
	if e != nil && e.Python {
		return c.settledPython(name)
	}
	for e != nil && e.Manifest != nil && e.Manifest.Base != nil {
		base := e.Manifest.Base.Name
		if !c.there[base] {
			return true
		}
		e = c.entries[base]
	}
	return e != nil
}

// settledPython is Settled where names alone tell what a backup hangs on: all fulls that are older may be it.
func (c *Catalog) settledPython(name string) bool {
	if _, full, _ := manifest.ParseFolder(name); full {
		return true
	}
	for _, older := range c.Folders {
		if _, full, _ := manifest.ParseFolder(older); !full || older >= name {
			continue
		}
		e := c.entries[older]
		if e == nil || e.Python && e.sharesDataset(c.entries[name]) {
			return e != nil
		}
	}
	return true
}

func (c *Catalog) put(e *Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[e.Name] = e
}

// readAtOnce looks into all that can be looked into in one go.
func (c *Catalog) readAtOnce(ctx context.Context, names []string) error {
	var lists map[string][]remote.Object
	err := c.means.Retry(ctx, func(ctx context.Context) (err error) {
		lists, err = c.Remote.ListBackups(ctx, c.Look)
		return err
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		c.means.Log.Info("folders are listed one by one", "err", err)
		return nil
	}
	var sealed []*Entry
	for _, name := range names {
		list, ok := lists[name]
		if !ok {
			continue
		}
		e := &Entry{Name: name, Objects: objectsOf(list)}
		if e.Why = c.hasManifest(e); e.Why != nil {
			c.put(e)
			continue
		}
		if size := e.Objects[c.manifestFile()].Size; size >= 0 && size <= manifest.MaxSize {
			sealed = append(sealed, e)
		}
	}
	type fetched struct {
		entry  *Entry
		object []byte
	}
	objects := make(chan fetched)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(objects)
		return c.fetchAll(ctx, sealed, func(e *Entry, object []byte) error {
			select {
			case objects <- fetched{e, object}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	for range readers {
		g.Go(func() error {
			for f := range objects {
				if err := c.open(ctx, f.entry, f.object); err != nil {
					return fmt.Errorf("look at %s: %w", f.entry.Name, err)
				}
				c.put(f.entry)
			}
			return nil
		})
	}
	return g.Wait()
}

// fetchAll fetches manifests, and hands over those that came.
func (c *Catalog) fetchAll(ctx context.Context, sealed []*Entry, got func(*Entry, []byte) error) error {
	for most := firstBatch; len(sealed) > 0; most = min(4*most, largestBatch) {
		var batch []*Entry
		for bytes := int64(0); len(sealed) > 0 && len(batch) < most; sealed = sealed[1:] {
			bytes += sealed[0].Objects[c.manifestFile()].Size
			if len(batch) > 0 && bytes > batchBytes {
				break
			}
			batch = append(batch, sealed[0])
		}
		err := c.fetchBatch(ctx, batch, got)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			c.means.Log.Info("manifests are fetched one by one", "err", err)
		}
	}
	return nil
}

func (c *Catalog) fetchBatch(ctx context.Context, batch []*Entry, got func(*Entry, []byte) error) error {
	handed := map[string]bool{}
	return c.means.Retry(ctx, func(ctx context.Context) error {
		of := map[string]*Entry{}
		var want []remote.Sized
		for _, e := range batch {
			if !handed[e.Name] {
				object := path.Join(e.Name, c.manifestFile())
				of[object] = e
				want = append(want, remote.Sized{Name: object, Size: e.Objects[c.manifestFile()].Size})
			}
		}
		return c.Remote.GetSome(ctx, c.Look, want, func(name string, object []byte) error {
			handed[of[name].Name] = true
			return got(of[name], object)
		})
	})
}

// manifestFile is the name of the manifests that may be read.
func (c *Catalog) manifestFile() string { return manifest.FileName(c.sealer.Kind()) }
