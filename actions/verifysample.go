package actions

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// Where not all is to be fetched, those chunks are that were not proved for longest at the level, in an order by chance
// among equals. So a sample a day comes round, and nobody can tell beforehand which chunks it has.

// candidate is a chunk that may be of the sample.
type candidate struct {
	backup string
	n      int
	size   int64
	proved time.Time // when it last was; zero: never, or it was found bad since
}

// proofs is when the chunks of a backup were last proved at a level. What was proved while the clock was ahead of NOW nobody knows the
// time of: it counts as never.
type proofs struct {
	now    time.Time
	whole  state.Verified // zero: never
	chunks map[int]state.Verified
}

func proofsOf(tx *state.Tx, job, backup string, level Level, now time.Time) (p proofs, err error) {
	p.now = now
	if p.whole, _, err = tx.VerifiedWhole(job, backup, string(level)); err != nil {
		return p, err
	}
	p.chunks = map[int]state.Verified{}
	err = tx.VerifiedChunks(job, backup, string(level), func(v state.Verified) error {
		v.Stream = nil
		p.chunks[*v.Chunk] = v
		return nil
	})
	return p, err
}

// of is when a chunk was last proved.
func (p proofs) of(n int) time.Time {
	v, ok := p.chunks[n]
	if ok && v.Bad != "" {
		return time.Time{}
	}
	at := p.notAhead(v)
	if whole := p.notAhead(p.whole); p.whole.Bad == "" && whole.After(at) {
		return whole
	}
	return at
}

// notAhead is when something was proved; zero if that lies ahead.
func (p proofs) notAhead(v state.Verified) time.Time {
	if v.At.After(p.now) {
		return time.Time{}
	}
	return v.At
}

// wholeSince is what all chunks must have been proved after for the backup to be better proved than it is: if it was found bad, since
// then, whatever the clock said.
func (p proofs) wholeSince() time.Time {
	if p.whole.Bad != "" {
		return p.whole.At
	}
	return p.notAhead(p.whole)
}

// all is since when all of N chunks are proved: the longest ago of them; zero if one is not.
func (p proofs) all(n int) (oldest time.Time) {
	for i := range n {
		at := p.of(i)
		if at.IsZero() {
			return at
		}
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	return oldest
}

// sample decides once which chunks are looked at.
func (k *Kit) sample(ctx context.Context, s *workflow.Session, v *verifying, q VerifyRequest, names []string) (map[string][]int, error) {
	return workflow.Once(ctx, s, workflow.Effect[map[string][]int]{
		Name: "sample",
		Do: func(ctx context.Context, _ workflow.Fx) (map[string][]int, error) {
			return v.pick(ctx, q, names, func(name string) (p proofs, err error) {
				err = s.View(func(tx *state.Tx) error {
					p, err = proofsOf(tx, s.Run().Job, name, q.Level, s.Now())
					return err
				})
				return p, err
			})
		},
	})
}

// pick picks chunks of backups, by number. Each backup has an entry, if only of none.
func (v *verifying) pick(ctx context.Context, q VerifyRequest, names []string, proofs func(string) (proofs, error)) (map[string][]int, error) {
	picked := map[string][]int{}
	var all []candidate
	for _, name := range names {
		picked[name] = []int{}
		e, err := v.catalog.Entry(ctx, name)
		if err != nil {
			return nil, err
		}
		if e.Manifest == nil {
			continue
		}
		p, err := proofs(name)
		if err != nil {
			return nil, err
		}
		for _, c := range e.Manifest.Chunks {
			all = append(all, candidate{backup: name, n: c.N, size: c.Size, proved: p.of(c.N)})
		}
	}
	for _, c := range q.among(all) {
		picked[c.backup] = append(picked[c.backup], c.n)
	}
	for _, numbers := range picked {
		slices.Sort(numbers)
	}
	return picked, nil
}

// among picks from candidates.
func (q VerifyRequest) among(all []candidate) (chosen []candidate) {
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	slices.SortStableFunc(all, func(a, b candidate) int { return a.proved.Compare(b.proved) })
	most := len(all)
	if q.Sample > 0 {
		most = (len(all)*q.Sample + 99) / 100 // one at least
	}
	left := cmp.Or(q.MaxBytes, 1<<63-1)
	for _, c := range all {
		if len(chosen) == most {
			break
		}
		if c.size <= left {
			chosen, left = append(chosen, c), left-c.size
		}
	}
	return chosen
}

// verifiedSample stores what a look at some chunks came to. The backup as a whole is as well proved as the chunk that was
// not for longest.
func verifiedSample(tx *state.Tx, whole state.Verified, verdict Verdict) error {
	if whole.Bad != "" {
		return storeVerdict(tx, whole)
	}
	p, err := proofsOf(tx, whole.Job, whole.Backup, Level(whole.Level), whole.At)
	if err != nil {
		return err
	}
	if oldest := p.all(verdict.Of); oldest.After(p.wholeSince()) {
		whole.At = oldest
		return storeVerdict(tx, whole)
	}
	b, ok, err := tx.Backup(whole.Job, whole.Backup)
	if err != nil || !ok {
		return err
	}
	b.Seen = &whole.At
	return tx.PutBackup(b)
}

// storeVerdict stores what was found of a backup as a whole, in the ledger and in its record.
func storeVerdict(tx *state.Tx, whole state.Verified) error {
	b, ok, err := tx.Backup(whole.Job, whole.Backup)
	if err != nil || !ok {
		return err
	}
	at := whole.At
	b.Verified = maps.Clone(b.Verified)
	if b.Verified == nil {
		b.Verified = map[string]state.Finding{}
	}
	b.Verified[whole.Level] = state.Finding{At: at, Bad: whole.Bad}
	if whole.Bad == "" {
		b.Seen = &at
	} else if b.Bad == nil {
		b.Bad = &state.Bad{At: at, Level: whole.Level, What: whole.Bad}
	}
	return errors.Join(tx.PutBackup(b), tx.PutVerified(whole))
}
