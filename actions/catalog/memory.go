package catalog

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
)

// To open a manifest is a gpg, a tenth of a second. So what one said when it was opened is kept in the state database,
// where digests of plaintext may lie, and is taken from there when the same object is found again. What is believed of it:
//
// Only what is of the object that lies there now: that is fetched (many of them by one rclone), and its SHA-256 is
// computed here. The store's own hash of it would do without fetching, but that is MD5 or SHA-1 at best, for an object in
// parts it is metadata that whoever writes to the bucket chooses, and a store that lies says what it likes: then a manifest
// that is no longer there would be called whole. As it is, both have no more to choose from than without a memory: the
// genuine object, of which is known what is in it, or another, which has to open.
//
// And only what the passphrase at hand opens: who looks at a list wants to know what can be restored with what there is, and
// not what could be when somebody knew the passphrase. So the texts are in groups, each opened by one passphrase, whose
// name says nothing of it; and of each group one object, as it lies there now, is opened by gpg before the others are
// believed. If it does not open, neither do they, and none is tried.
//
// It is for those who show what lies there. Who deletes, restores or decrypts has it opened anew (Afresh): doubt stays
// doubt, whatever there once was.

const (
	// maxText is the longest text that is kept: some 800 chunks. Of the few that are longer, the gpg is the smaller part.
	maxText = 256 << 10
	// maxMemory bounds all texts of a job: each command looks through the whole database.
	maxMemory = 32 << 20
	// keptEach is after how many that were opened they are stored: who is interrupted has not opened them in vain.
	keptEach = 100
)

// memory is what the manifests at a job's place said.
type memory struct {
	job    string
	update func(func(*state.Tx) error) error // nil: nothing is stored any more
	log    *slog.Logger
	most   int

	mu     sync.Mutex
	known  map[string]state.Opened // by folder
	bytes  int                     // of their texts
	groups map[string]*group
	mine   string         // the group of what is opened now; empty: not known yet
	fresh  []state.Opened // to be stored
	gone   []string       // to be dropped
}

// group is of texts that one passphrase opened.
type group struct {
	mu     sync.Mutex
	proved bool
	why    error // nil: the passphrase at hand opens it, too
}

// Remember has manifests that were opened before, at the place of a job on record, not be opened again, and those that are
// opened now be kept by UPDATE, unless that is nil. A database that can't be read, or written to, costs time alone.
func (c *Catalog) Remember(view, update func(func(*state.Tx) error) error, job string) {
	if c.sealer.Kind() == settings.None { // nothing to spare
		return
	}
	r := &memory{job: job, update: update, log: c.means.Log, most: maxMemory, known: map[string]state.Opened{}, groups: map[string]*group{}}
	var all []state.Opened
	err := view(func(tx *state.Tx) (err error) {
		all, err = tx.Opened(job)
		return err
	})
	if err != nil {
		r.log.Warn("what was opened before can't be read from the database", "err", err)
		return
	}
	for _, o := range all {
		r.known[o.Name] = o
		r.bytes += len(o.Text)
	}
	c.memory = r
}

// Afresh has all that was only remembered be opened when it is looked at next, and nothing be remembered from now on.
func (c *Catalog) Afresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.memory = nil
	maps.DeleteFunc(c.entries, func(_ string, e *Entry) bool { return e.remembered })
}

// recall takes a manifest from the memory; false if it is not there, or not to be used. The error is that of a gpg that
// came to no verdict.
func (r *memory) recall(ctx context.Context, s chunk.Sealer, e *Entry, object []byte) (bool, error) {
	r.mu.Lock()
	o, ok := r.known[e.Name]
	if !ok || o.SHA256 != e.SHA256 {
		r.mu.Unlock()
		return false, nil
	}
	g := r.groups[o.By]
	if g == nil {
		g = &group{}
		r.groups[o.By] = g
	}
	r.mu.Unlock()
	first, why, err := g.prove(ctx, s, e, object)
	switch {
	case first && why == nil:
		r.opens(o.By)
		return true, nil
	case first || err != nil:
		return first, err
	case errors.Is(why, chunk.ErrPassphrase):
		e.Why, e.remembered = why, true
		return true, nil
	case why != nil:
		return false, nil
	}
	m, err := manifest.Read([]byte(o.Text), s.Kind(), e.Name)
	if err != nil {
		r.log.Warn("what was opened before can't be read any more", "backup", e.Name, "err", err)
		return false, nil
	}
	e.Manifest, e.remembered = m, true
	return true, nil
}

// prove opens the first entry of a group that comes, for all of them.
func (g *group) prove(ctx context.Context, s chunk.Sealer, e *Entry, object []byte) (first bool, why, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.proved {
		return false, g.why, nil
	}
	if err := e.open(ctx, s, object); err != nil {
		return false, nil, err
	}
	g.proved, g.why = true, e.Why
	return true, e.Why, nil
}

// opens notes a group that the passphrase at hand opens.
func (r *memory) opens(by string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mine == "" {
		r.mine = by
	}
}

// keep takes a manifest that was opened.
func (r *memory) keep(e *Entry) error {
	text, err := manifest.Encode(e.Manifest) // the very bytes: nothing else is a manifest
	if err != nil || len(text) > maxText {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	o := state.Opened{Job: r.job, Name: e.Name, SHA256: e.SHA256, Text: string(text)}
	if r.update == nil || !r.room(o) {
		return nil
	}
	r.bytes += len(o.Text) - len(r.known[o.Name].Text)
	r.known[o.Name] = o
	r.fresh = append(r.fresh, o)
	if len(r.fresh) >= keptEach {
		r.store()
	}
	return nil
}

// room makes room for one more, at the cost of older ones; false if there are none. With the lock held.
func (r *memory) room(o state.Opened) bool {
	for r.bytes+len(o.Text)-len(r.known[o.Name].Text) > r.most {
		names := slices.Sorted(maps.Keys(r.known))
		if len(names) == 0 || names[0] >= o.Name {
			return false
		}
		r.forget(names[0])
	}
	return true
}

// forget drops one. With the lock held.
func (r *memory) forget(name string) {
	r.bytes -= len(r.known[name].Text)
	delete(r.known, name)
	r.gone = append(r.gone, name)
	r.fresh = slices.DeleteFunc(r.fresh, func(o state.Opened) bool { return o.Name == name })
}

// settle stores what is not stored yet, and forgets what is THERE no longer: nil, and nothing is forgotten.
func (r *memory) settle(there map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, o := range r.known {
		g := r.groups[o.By]
		switch {
		case there != nil && !there[name]:
			r.forget(name)
		case o.By != "" && o.By != r.mine && g != nil && g.proved && g.why == nil:
			r.fresh = append(r.fresh, o) // two that looked at once made two groups of one
		}
	}
	r.store()
}

// store stores what was kept and dropped, in the group that the passphrase at hand opens. With the lock held.
func (r *memory) store() {
	if r.update == nil || len(r.fresh) == 0 && len(r.gone) == 0 {
		return
	}
	if r.mine == "" {
		r.mine = rand.Text()
		r.groups[r.mine] = &group{proved: true}
	}
	err := r.update(func(tx *state.Tx) error {
		for _, name := range r.gone {
			if err := tx.DropOpened(r.job, name); err != nil {
				return err
			}
		}
		for _, o := range r.fresh {
			o.By = r.mine
			if err := tx.PutOpened(o); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.log.Warn("what was opened can't be kept in the database", "err", err)
		r.update = nil
		return
	}
	for _, o := range r.fresh {
		o.By = r.mine
		r.known[o.Name] = o
	}
	r.fresh, r.gone = nil, nil
}
