package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/units"
)

// Problem is why a backup can't be restored, in one word or two.
type Problem string

const (
	// NoProblem is that of a backup that can be restored, as far as a listing tells.
	NoProblem Problem = ""
	// Uncommitted: it has no manifest. An upload is under way, or was given up.
	Uncommitted Problem = "not committed"
	// Unopened: its manifest does not open with this passphrase, or is none.
	Unopened Problem = "not opened"
	// Incomplete: a chunk of it is not there, or has another size.
	Incomplete Problem = "incomplete"
	// BaseMissing: what it is based on is not there, or was never committed.
	BaseMissing Problem = "base missing"
	// BaseIncomplete: a chunk of what it is based on is not there, or has another size.
	BaseIncomplete Problem = "base incomplete"
	// Orphaned: what lies under the name of its base is another backup, or does not open.
	Orphaned Problem = "orphaned"
	// Archived: its manifest, or that of what it is based on, is listed, and the store has to be asked for it before it can be read.
	Archived Problem = "in cold storage"
	// Python: the Python tool made it. Whether it can be restored is not known before it was.
	Python Problem = "made by the Python tool"
)

// Judged is what an entry is worth.
type Judged struct {
	// Chain is what would be restored, the full first; nil if it can't be.
	Chain   []*manifest.Manifest
	Problem Problem
	// Why says it to people; empty without a problem.
	Why string
}

// Judge says what an entry is worth, when all folders have been looked into: whatever keeps a chain from being whole is
// then known, and not a failure to look.
func (c *Catalog) Judge(ctx context.Context, e *Entry) (j Judged) {
	var err error
	if e.Python {
		if j.Chain, err = c.PythonChain(ctx, e.Name); err != nil {
			return Judged{Problem: Incomplete, Why: fmt.Sprintf("%s, %s: %v", Python, Incomplete, err)}
		}
		j.Problem, j.Why = Python, string(Python)
		return j
	}
	if j.Chain, err = c.Chain(ctx, e.Name); err == nil {
		return j
	}
	j = Judged{Problem: problem(e, err), Why: units.ShortDigests(err.Error())}
	if !strings.Contains(j.Why, string(j.Problem)) && e.Manifest != nil {
		j.Why = string(j.Problem) + ": " + j.Why
	}
	return j
}

func problem(e *Entry, err error) Problem {
	switch {
	case errors.Is(e.Why, ErrNotCommitted):
		return Uncommitted
	case errors.Is(err, remote.ErrArchived):
		return Archived
	case e.Manifest == nil:
		return Unopened
	case errors.Is(err, ErrIncomplete) && e.Whole() != nil:
		return Incomplete
	case errors.Is(err, ErrIncomplete):
		return BaseIncomplete
	case errors.Is(err, ErrGone), errors.Is(err, ErrNotCommitted):
		return BaseMissing
	}
	return Orphaned
}
