package actions

import (
	"time"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// ledgerOf keeps what one verification proves of one backup. Nil knows of nothing and keeps nothing, as where there is no
// database.
type ledgerOf struct {
	fx   workflow.Fx
	view viewer
	now  func() time.Time
	of   state.Verified // without chunk

	last *state.Verified // the one that says how far the stream has flown
}

// each gives the chunks that this verification has put on record, by number.
func (l *ledgerOf) each(fn func(state.Verified)) error {
	if l == nil {
		return nil
	}
	return l.view(func(tx *state.Tx) error {
		return tx.VerifiedChunks(l.of.Job, l.of.Backup, l.of.Level, func(v state.Verified) error {
			if v.By == l.of.By {
				l.last = &v
				fn(v)
			}
			return nil
		})
	})
}

// put stores a chunk. How far the stream has flown is kept with the last alone: each would make the database large.
func (l *ledgerOf) put(n int, bad string, flown []byte) error {
	if l == nil {
		return nil
	}
	v := l.of
	v.Chunk, v.At, v.Bad, v.Stream = &n, l.now().UTC(), bad, flown
	before := l.last
	l.last = &v
	return l.fx.Note(func(tx *state.Tx, r *state.Run) error {
		r.High.Raise(state.Progress{Verified: r.High.Verified + 1})
		if before != nil && before.Stream != nil {
			less := *before
			less.Stream = nil
			if err := tx.PutVerified(less); err != nil {
				return err
			}
		}
		return tx.PutVerified(v)
	})
}
