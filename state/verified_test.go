package state

import "testing"

func TestVerified(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	zero, one := 0, 1
	whole := Verified{Job: "a", Backup: "20261125025200", Level: "hashed"}
	of := func(backup, level string, chunk *int) Verified {
		return Verified{Job: "a", Backup: backup, Level: level, Chunk: chunk}
	}
	// One backup's name is the beginning of another's.
	all := []Verified{whole, of(whole.Backup, "hashed", &zero), of(whole.Backup, "hashed", &one), of(whole.Backup, "listed", nil),
		of(whole.Backup+"-full", "hashed", &zero)}
	ok(t, s.Update(func(tx *Tx) error {
		for _, v := range all {
			ok(t, tx.PutVerified(v))
		}
		return nil
	}))
	count := func(backup, level string) (n int, known bool) {
		ok(t, s.View(func(tx *Tx) (err error) {
			if _, known, err = tx.VerifiedWhole("a", backup, level); err != nil {
				return err
			}
			return tx.VerifiedChunks("a", backup, level, func(v Verified) error {
				same(t, *v.Chunk, n)
				n++
				return nil
			})
		}))
		return n, known
	}
	is := func(backup, level string, chunks int, whole bool) {
		t.Helper()
		n, known := count(backup, level)
		same(t, n, chunks)
		same(t, known, whole)
	}
	is(whole.Backup, "hashed", 2, true)
	is(whole.Backup, "listed", 0, true)
	ok(t, s.Update(func(tx *Tx) error { return tx.DropVerifiedChunks("a", whole.Backup, "hashed") }))
	is(whole.Backup, "hashed", 0, true)
	ok(t, s.Update(func(tx *Tx) error { return tx.DropVerified("a", whole.Backup) }))
	is(whole.Backup, "hashed", 0, false)
	is(whole.Backup, "listed", 0, false)
	is(whole.Backup+"-full", "hashed", 1, false)
}
