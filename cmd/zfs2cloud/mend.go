package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"zfs2cloud/cmd/internal/config"
	"zfs2cloud/state"
)

// mend is the command line that sets right what an error is about, or empty where none is known.
func mend(err error) string {
	if unsafe, ok := errors.AsType[*state.UnsafeError](err); ok {
		return mendFolder(unsafe)
	}
	if owner, ok := errors.AsType[*config.OwnerError](err); ok {
		return owner.Fix
	}
	return ""
}

// mendFolder makes a folder ours alone to write. One with the sticky bit, such as /tmp, is meant for all: it stays.
func mendFolder(e *state.UnsafeError) string {
	dir := shellQuote(e.Dir)
	var commands []string
	switch {
	case e.Mode&fs.ModeSticky != 0, e.Foreign() && os.Geteuid() != 0:
		return ""
	case e.Foreign():
		commands = append(commands, "chown "+shellQuote(userName(os.Geteuid()))+" "+dir)
	}
	if e.Mode&0o022 != 0 {
		commands = append(commands, "chmod 700 "+dir)
	}
	return strings.Join(commands, " && ")
}
