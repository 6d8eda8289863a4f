package main

import (
	"testing"

	"zfs2cloud/cmd/sandbox/internal/outage"
)

// What the guest says is counted over its lives: an upload that is begun again is repeated, one of a chunk that was
// uploaded is an error.
func TestWhatTheGuestSays(t *testing.T) {
	t.Parallel()
	l := life{repeated: newRepeated()}
	hear := func(lines ...string) {
		for _, text := range lines {
			l.hear("half a line of a program" + outage.Says + text)
		}
	}
	hear("call seal 0 -", "call upload 100 a.zfs.000000.gpg", "call upload 70 a.zfs.000001.gpg", "moment")
	if !l.cut || l.seals != 1 || l.again != 0 {
		t.Errorf("%+v", l)
	}
	hear("kept a.zfs.000000.gpg", "call seal 0 -", "call upload 70 a.zfs.000001.gpg")
	if l.undue != "" || l.over("2") != "70 B sent again, 2 calls to seal for 2 chunks" || l.over("2") != "0 B sent again, 0 calls to seal for 2 chunks" {
		t.Errorf("%+v", l)
	}
	hear("call upload 100 a.zfs.000000.gpg")
	if l.undue != "a.zfs.000000.gpg" {
		t.Errorf("%+v", l)
	}
}
