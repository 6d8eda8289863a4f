package main

import (
	"errors"
	"testing"

	"zfs2cloud/cmd/sandbox/internal/events"
)

// Where no virtual machine can be made, as many tests have failed as would have run there.
func TestAllFailsWithoutMachine(t *testing.T) {
	var counts events.Counts
	fail(&counts, "virtual machine", 9, errors.New("apt-get: no network"))
	if got := counts.String(); got != "0 passed, 9 failed, 0 skipped" {
		t.Error(got)
	}
	for i, why := range []string{0: "apt-get: no network", 8: "not come to"} {
		if f := counts.Failed[i]; why != "" && f.Why(1)[0] != why {
			t.Errorf("%s: %q", f, f.Output)
		}
	}
}
