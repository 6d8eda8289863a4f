package manifest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// links is a chain of three, the newest first, and the hashes of their objects.
func links() map[string]*Manifest {
	a, b, c := full(), incremental(), incremental()
	b.Base.ManifestSHA256 = shaOf(a.Name)
	c.Name, c.Snapshot, c.SnapshotGUID = "20261127035200", "20261127035200", "43"
	c.Base = &Base{b.Name, b.SnapshotGUID, shaOf(b.Name)}
	return map[string]*Manifest{a.Name: a, b.Name: b, c.Name: c}
}

func shaOf(name string) string { return hashOf([]byte(name)) }

func fetchFrom(all map[string]*Manifest) Fetch {
	return func(_ context.Context, name string) (*Manifest, string, error) {
		m, ok := all[name]
		if !ok {
			return nil, "", fmt.Errorf("%w: %q", errAway, name)
		}
		return m, shaOf(name), nil
	}
}

var errAway = errors.New("not there")

func TestChain(t *testing.T) {
	for newest, want := range map[string]string{
		"20261125035200-full": "20261125035200-full",
		"20261126035200":      "20261125035200-full 20261126035200",
		"20261127035200":      "20261125035200-full 20261126035200 20261127035200",
	} {
		chain, err := Chain(t.Context(), fetchFrom(links()), newest)
		var names []string
		for _, m := range chain {
			names = append(names, m.Name)
		}
		if got := strings.Join(names, " "); got != want || err != nil {
			t.Errorf("%s: %s, %v", newest, got, err)
		}
	}
}

func TestChainRefuses(t *testing.T) {
	const middle, first = "20261126035200", "20261125035200-full"
	for name, spoil := range map[string]func(map[string]*Manifest){
		"hash":          func(l map[string]*Manifest) { l[middle].Base.ManifestSHA256 = hexA },
		"snapshot GUID": func(l map[string]*Manifest) { l[first].SnapshotGUID = "7" },
		"dataset GUID":  func(l map[string]*Manifest) { l[first].DatasetGUID = "7" },
		"job":           func(l map[string]*Manifest) { l[first].Job = strings.Repeat("0", 32) },
		"encryption":    func(l map[string]*Manifest) { l[first] = unencrypted() },
		"other folder":  func(l map[string]*Manifest) { l[first].Name = "20261124035200-full" },
		"loop":          func(l map[string]*Manifest) { l[middle].Base.Name = "20261127035200" },
		"itself":        func(l map[string]*Manifest) { l[middle].Base.Name = middle },
	} {
		all := links()
		spoil(all)
		if _, err := Chain(t.Context(), fetchFrom(all), "20261127035200"); !errors.Is(err, ErrChain) {
			t.Errorf("%s: %v", name, err)
		}
	}
	all := links()
	delete(all, first)
	if _, err := Chain(t.Context(), fetchFrom(all), middle); !errors.Is(err, errAway) || errors.Is(err, ErrChain) {
		t.Errorf("base away: %v", err)
	}
	all[middle] = links()["20261127035200"]
	if _, err := Chain(t.Context(), fetchFrom(all), middle); !errors.Is(err, ErrChain) {
		t.Errorf("another under the newest's name: %v", err)
	}
}

// A renamed dataset, and a pool with a new GUID, are still the same.
func TestChainAcrossARename(t *testing.T) {
	all := links()
	all["20261125035200-full"].Dataset = "tank/old"
	all["20261125035200-full"].PoolGUID = "7"
	if _, err := Chain(t.Context(), fetchFrom(all), "20261127035200"); err != nil {
		t.Error(err)
	}
}
