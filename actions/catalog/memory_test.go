package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
)

// worth says of each what it is worth, the newest first.
func worth(t testing.TB, c *Catalog, all []*Entry) string {
	t.Helper()
	var b strings.Builder
	for _, e := range all {
		j := c.Judge(t.Context(), e)
		chunks, bytes := e.Size()
		fmt.Fprintf(&b, "%s %d %d %d %q\n", e.Name, chunks, bytes, len(j.Chain), j.Why)
	}
	return b.String()
}

// What was opened is not opened again: one of all is, for the passphrase's sake. It tells the same.
func TestRemembered(t *testing.T) {
	t.Parallel()
	s := newShelf(t, settings.GPG)
	s.fill(t, 2, 4)
	c, all, opened := s.look(t)
	told := worth(t, c, all)
	if opened != 10 || strings.Contains(told, "not") {
		t.Errorf("%d opened:\n%s", opened, told)
	}
	for range 2 {
		c, all, opened := s.look(t)
		if again := worth(t, c, all); opened != 1 || again != told {
			t.Errorf("%d opened:\n%s", opened, again)
		}
	}
	// One more is opened, and then known as well; one that is gone is forgotten.
	s.add(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), s.names[0], 1)
	if err := os.RemoveAll(filepath.Join(s.dir, s.names[3])); err != nil {
		t.Fatal(err)
	}
	if _, _, opened := s.look(t); opened != 2 {
		t.Errorf("one more: %d opened", opened)
	}
	if _, _, opened := s.look(t); opened != 1 {
		t.Errorf("known: %d opened", opened)
	}
	known := s.remembered(t)
	by := map[string]bool{}
	for _, o := range known {
		by[o.By] = true
	}
	if len(known) != 10 || len(by) != 1 || slices.ContainsFunc(known, func(o state.Opened) bool { return o.Name == s.names[3] }) {
		t.Errorf("remembered: %d in %d groups", len(known), len(by))
	}
}

// What lies there now counts: not the name, not the size.
func TestRememberedAnother(t *testing.T) {
	t.Parallel()
	s := newShelf(t, settings.GPG)
	s.fill(t, 1, 5)
	c, all, _ := s.look(t)
	told := worth(t, c, all)
	of := func(i int) *Entry { return all[len(all)-1-i] }

	// The same, sealed again, is another object, which opens. But it is not the base that the others name.
	object, err := os.ReadFile(s.manifest(s.names[0]))
	if err != nil {
		t.Fatal(err)
	}
	s.seal(t, of(0).Manifest)
	c, all, opened := s.look(t)
	if opened != 2 || of(0).Manifest == nil || !strings.Contains(worth(t, c, all), "orphaned: the chain is broken") {
		t.Errorf("sealed again: %d opened\n%s", opened, worth(t, c, all))
	}
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(s.manifest(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(s.names[0], object)

	// Of the same size, and a genuine one of another backup.
	other, err := os.ReadFile(s.manifest(s.names[1]))
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(other)
	flipped[len(flipped)/2] ^= 1
	write(s.names[1], flipped)
	write(s.names[2], other)
	_, all, opened = s.look(t)
	if opened != 4 || !errors.Is(of(1).Why, chunk.ErrPassphrase) || of(2).Manifest != nil || !strings.Contains(of(2).Why.Error(), "it is that of") {
		t.Errorf("%d opened, %v, %v", opened, of(1).Why, of(2).Why)
	}
	write(s.names[1], other)
	write(s.names[2], nil)
	if _, all, _ = s.look(t); of(1).Manifest == nil || of(2).Manifest != nil {
		t.Errorf("%v, %v", of(1).Why, of(2).Why)
	}
	s.seal(t, mustRead(t, s, s.names[2]))
	if c, all, _ = s.look(t); worth(t, c, all) != told {
		t.Errorf("all back: %s", worth(t, c, all))
	}
}

// mustRead is the manifest that is remembered.
func mustRead(t *testing.T, s *shelf, name string) *manifest.Manifest {
	t.Helper()
	for _, o := range s.remembered(t) {
		if o.Name == name {
			m, err := manifest.Read([]byte(o.Text), settings.GPG, name)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
	}
	t.Fatalf("%s is not remembered", name)
	return nil
}

// A passphrase that opens nothing shows nothing, whatever was opened by another; and one is tried for all of them.
func TestRememberedPassphrases(t *testing.T) {
	t.Parallel()
	s := newShelf(t, settings.GPG)
	s.fill(t, 1, 5)
	s.look(t)
	const right = "a passphrase"
	s.passphrase = "another passphrase"
	_, all, opened := s.look(t)
	for _, e := range all {
		if e.Manifest != nil || !errors.Is(e.Why, chunk.ErrPassphrase) {
			t.Errorf("%s opens: %v", e.Name, e.Why)
		}
	}
	if opened != 1 || len(s.remembered(t)) != 6 {
		t.Errorf("%d opened, %d remembered", opened, len(s.remembered(t)))
	}

	// A new passphrase, and a new full: what the old one opened stays shut, and is not forgotten.
	s.add(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), "", 1)
	for _, want := range []int64{2, 2} {
		_, all, opened = s.look(t)
		if opened != want || all[0].Manifest == nil || all[1].Manifest != nil {
			t.Errorf("%d opened, %v, %v", opened, all[0].Why, all[1].Why)
		}
	}
	s.passphrase = right
	if _, all, opened = s.look(t); opened != 2 || all[0].Manifest != nil || all[1].Manifest == nil {
		t.Errorf("%d opened, %v, %v", opened, all[0].Why, all[1].Why)
	}

	// No gpg is no answer, though all is known.
	s.gpg = filepath.Join(s.dir, "no-gpg")
	c := s.catalog(t)
	c.Remember(s.store.View, s.store.Update, oneJob)
	if all, err := c.ReadAll(t.Context()); err == nil {
		t.Errorf("without gpg it says %v", all[0].Why)
	}
}

// Who acts on what lies there has it opened, whatever is remembered.
func TestRememberedAfresh(t *testing.T) {
	t.Parallel()
	s := newShelf(t, settings.GPG)
	s.fill(t, 1, 4)
	s.look(t)
	c, _, _ := s.look(t)
	c.Afresh()
	before := s.world.opened.Load()
	if chain, err := c.Chain(t.Context(), s.names[4]); err != nil || len(chain) != 2 {
		t.Fatal(err)
	}
	// One of all was opened by the look itself.
	if opened := s.world.opened.Load() - before; opened < 1 {
		t.Errorf("%d opened", opened)
	}
	for _, name := range []string{s.names[0], s.names[4]} {
		if c.entries[name].remembered {
			t.Errorf("%s is remembered", name)
		}
	}
}

// Two who look at once, and nobody has looked before: both tell all, and afterwards there is one group.
func TestRememberedByTwo(t *testing.T) {
	t.Parallel()
	s := newShelf(t, settings.GPG)
	s.fill(t, 2, 5)
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			c, all, _ := s.look(t)
			if told := worth(t, c, all); strings.Contains(told, "not") {
				t.Error(told)
			}
		})
	}
	both.Wait()
	s.look(t)
	if _, _, opened := s.look(t); opened != 1 {
		t.Errorf("%d opened", opened)
	}
	known := s.remembered(t)
	err := s.store.Update(func(tx *state.Tx) error {
		known[3].By = "another group"
		return tx.PutOpened(known[3])
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{2, 1} {
		if _, _, opened := s.look(t); opened != want {
			t.Errorf("%d opened, not %d", opened, want)
		}
	}
}

// A database that can't be read, or written to, costs time, and no answer.
func TestRememberedNowhere(t *testing.T) {
	t.Parallel()
	s := newShelf(t, settings.GPG)
	s.fill(t, 1, 4)
	fails := func(func(*state.Tx) error) error {
		return &state.DamagedError{Path: "state.db", Cause: errors.New("test")}
	}
	for _, r := range []struct {
		view, update func(func(*state.Tx) error) error
	}{{fails, fails}, {s.store.View, fails}, {s.store.View, nil}} {
		for range 2 {
			c := s.catalog(t)
			c.Remember(r.view, r.update, oneJob)
			all, err := c.ReadAll(t.Context())
			if err != nil || strings.Contains(worth(t, c, all), "not") {
				t.Errorf("%v\n%s", err, worth(t, c, all))
			}
		}
	}
	// What is there, but is no manifest, or another's, is not used.
	s.look(t)
	known := s.remembered(t)
	err := s.store.Update(func(tx *state.Tx) error {
		for i, o := range known {
			if o.Text = "{}"; i%2 == 0 {
				o.Text = known[1].Text
			}
			if err := tx.PutOpened(o); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if c, all, _ := s.look(t); strings.Contains(worth(t, c, all), "not") {
		t.Error(worth(t, c, all))
	}
}

// There is an end to what is kept: the newest stay, but for one that is too long.
func TestRememberedBounded(t *testing.T) {
	t.Parallel()
	s := newShelf(t, settings.GPG)
	s.fill(t, 1, 5)
	s.add(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), "", 1200)
	c := s.catalog(t)
	c.Remember(s.store.View, s.store.Update, oneJob)
	c.memory.most = 3000
	if _, err := c.ReadAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	check := func(most int, newestFirst ...string) {
		t.Helper()
		known, bytes := s.remembered(t), 0
		for i, o := range slices.Backward(known) {
			bytes += len(o.Text)
			if want := newestFirst[len(known)-1-i]; o.Name != want {
				t.Errorf("kept is %s, and not %s", o.Name, want)
			}
		}
		if len(known) < 2 || bytes > most {
			t.Errorf("%d bytes of %d", bytes, len(known))
		}
	}
	check(3000, s.names[5], s.names[4], s.names[3])
	newer := s.add(t, time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), s.names[0], 1)
	c = s.catalog(t)
	c.Remember(s.store.View, s.store.Update, oneJob)
	c.memory.most = 3000
	if _, err := c.ReadAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(3000, newer, s.names[5], s.names[4])
}

// Without encryption nothing is spared by it, and so nothing kept.
func TestRememberedUnencrypted(t *testing.T) {
	t.Parallel()
	s := newShelf(t, settings.None)
	s.fill(t, 1, 5)
	c, all, _ := s.look(t)
	if told := worth(t, c, all); strings.Contains(told, "not") || len(s.remembered(t)) > 0 {
		t.Errorf("%d remembered\n%s", len(s.remembered(t)), told)
	}
}
