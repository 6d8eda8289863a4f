package main

import (
	"errors"
	"testing"

	"zfs2cloud/cmd/sandbox/internal/events"
)

// Where no virtual machine can be made, as many tests have failed as would have run there.
func TestAllFailsWithoutMachine(t *testing.T) {
	var counts events.Counts
	fail(&counts, "virtual machine", 10, errors.New("apt-get: no network"))
	if got := counts.String(); got != "0 passed, 10 failed, 0 skipped" {
		t.Error(got)
	}
	if f := counts.Failed[9]; f.String() != "virtual machine 10" || f.Why(1)[0] != "apt-get: no network" {
		t.Errorf("%s: %q", f, f.Output)
	}
}
