package zfs

import (
	"slices"
	"testing"
)

func TestContinueWords(t *testing.T) {
	d, err := ParseDataset("tank/data")
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Snapshot("a")
	if err != nil {
		t.Fatal(err)
	}
	a := ContinueArgs{Snapshot: s, Token: "1-9baebea70-b8-789c", Flags: []string{"-p", "-c", "-w", "-L"}}
	words, err := a.words("-nvP")
	if want := []string{"send", "-nvP", "-c", "-L", "-t", a.Token}; err != nil || !slices.Equal(words, want) {
		t.Errorf("%q, %v, want %q", words, err, want)
	}
	for _, bad := range []string{"", "-R", "1-2-3", "1-2-3-x", "1-2-3-4 tank@a", "2-2-3-4"} {
		if words, err := (ContinueArgs{Snapshot: s, Token: bad}).words(); err == nil {
			t.Errorf("token %q: %q", bad, words)
		}
	}
	a.Flags = []string{"-R"}
	if words, err := a.words(); err == nil {
		t.Errorf("-R: %q", words)
	}
}
