package actions

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// verify looks at backups of the job where they were committed, and keeps what it finds in the ledger. That one is bad is
// no failure of the step: it is its answer, which the command makes an exit status of.
func (k *Kit) verify(ctx context.Context, s *workflow.Session, args []string) error {
	q, err := ParseVerify(args)
	if err != nil {
		return &workflow.Hopeless{Err: err}
	}
	run := s.Run()
	place, own, err := k.placeToVerify(s.View, run.Frozen, run.Job)
	if err != nil {
		return err
	}
	names, err := k.whichToVerify(ctx, s, q)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return s.Detail("nothing to verify: no backup is committed yet")
	}
	if own != nil {
		if err := k.onlyOurs(ctx, s, own); err != nil {
			return err
		}
	}
	v, err := k.verifying(ctx, s.Look(), place, q.Level)
	if err != nil {
		return err
	}
	if q.Level.remembers() {
		v.catalog.Remember(s.View, nil, run.Job)
	}
	v.progress = s.Progress
	if err := v.openSpool(run.Frozen.IntermediateDir, spoolPrefix(run.Job)); err != nil {
		return err
	}
	if q.Level == Received {
		if v.drill, err = k.newDrill(v, run); err != nil {
			return errors.Join(err, v.close())
		}
	}
	if q.limited() {
		if v.only, err = k.sample(ctx, s, v, q, names); err != nil {
			return errors.Join(err, v.close())
		}
	}
	verdicts, err := k.verifyEach(ctx, s, v, names)
	if q.Level == Received && errors.Is(err, zfs.ErrNoSpace) { // what it has received so far is what others lack
		err = errors.Join(err, k.dropScratch(ctx, s))
	}
	if err := errors.Join(err, v.close()); err != nil {
		return err
	}
	if q.Level == Received {
		if err := k.dropScratch(ctx, s); err != nil {
			return err
		}
	}
	if skipped := skippedOf(verdicts); len(skipped) > 0 {
		text := fmt.Sprintf("not verified: %s", strings.Join(skipped, "; "))
		found := slices.ContainsFunc(verdicts, func(v Verdict) bool { return len(v.Bad) > 0 })
		if run.Typed != "" && !found { // who asked is told that the answer is none
			return &workflow.Hopeless{Err: errors.New(text)}
		}
		k.tell(text)
		if err := k.note(s, "%s", text); err != nil {
			return err
		}
	}
	for _, v := range verdicts {
		if v.Differs {
			text := v.Backup + " was received as another stream than it is: zfs made something else of it"
			k.tell(text)
			if err := k.note(s, "%s", text); err != nil {
				return err
			}
		}
	}
	return s.Detail("%s", sumUp(q.Level, verdicts))
}

// spoolPrefix is how the spool folders of a job's verifications begin: what a killed one left is found by it.
func spoolPrefix(job string) string { return "zfs2cloud-verify-" + job[:min(8, len(job))] + "-" }

// whichToVerify decides once: what is committed later is not what was asked for.
func (k *Kit) whichToVerify(ctx context.Context, s *workflow.Session, q VerifyRequest) ([]string, error) {
	return workflow.Once(ctx, s, workflow.Effect[[]string]{
		Name: whichEffect,
		Do: func(ctx context.Context, _ workflow.Fx) ([]string, error) {
			names, err := k.namesToVerify(ctx, s.Look(), s.View, s.Run(), q)
			if _, refused := errors.AsType[*catalog.Refusal](err); refused {
				err = &workflow.Hopeless{Err: err}
			}
			return names, err
		},
	})
}

const whichEffect = "which"

// namesToVerify are the backups that are meant now.
func (k *Kit) namesToVerify(ctx context.Context, look workflow.Look, view viewer, r state.Run, q VerifyRequest) ([]string, error) {
	_, backups, err := jobOf(view, r.Job)
	if err != nil {
		return nil, err
	}
	chosen, unknown := q.choose(backups)
	names, err := k.pythonsToVerify(ctx, look, view, r.Frozen, r.Job, q, unknown)
	for _, b := range chosen {
		names = append(names, b.Name)
	}
	slices.Sort(names)
	return append([]string{}, names...), err
}

// namesVerified are the backups that a typed verification decided for.
func namesVerified(view viewer, r state.Run) (names []string, known bool, err error) {
	var entry state.Entry
	err = view(func(tx *state.Tx) (err error) {
		entry, known, err = tx.Entry(state.EffectKey(r.ID, 0, r.Steps[0].Attempt, whichEffect))
		return err
	})
	if err != nil || !known || entry.Done == nil {
		return nil, false, err
	}
	return names, true, json.Unmarshal(entry.Result, &names)
}

// onlyOurs is an error if another host works at the place.
func (k *Kit) onlyOurs(ctx context.Context, s *workflow.Session, place *remote.Place) error {
	job, backups, err := jobOf(s.View, s.Run().Job)
	if err != nil {
		return err
	}
	var there []string
	err = k.retry(ctx, func(ctx context.Context) (err error) {
		there, err = place.Backups(ctx, s.Look())
		return err
	})
	if err != nil {
		return err
	}
	return k.noStranger(ctx, s, place, job, backups, there)
}

func (k *Kit) verifyEach(ctx context.Context, s *workflow.Session, v *verifying, names []string) (verdicts []Verdict, err error) {
	for _, name := range names {
		verdict, err := k.verifyOne(ctx, s, v, name)
		if err != nil {
			return verdicts, err
		}
		if s.Run().Typed != "" {
			for _, line := range verdict.Lines() {
				k.say("%s", line)
			}
		}
		if verdict.Index != "" {
			if err := k.note(s, "the index of %s %s: %s", name, verdict.Index, withoutIndex); err != nil {
				return verdicts, err
			}
		}
		verdicts = append(verdicts, verdict)
	}
	return verdicts, nil
}

// verifyOne verifies a backup. Each chunk that was proved is on record at once, so that a resume goes on behind it; a message of
// the Python tool is proved as a whole.
func (k *Kit) verifyOne(ctx context.Context, s *workflow.Session, v *verifying, name string) (Verdict, error) {
	run := s.Run()
	by := state.EffectKey(run.ID, s.Position(), s.Step().Attempt, "")
	var record *state.Backup // nil of one that the Python tool made
	err := s.View(func(tx *state.Tx) error {
		b, ok, err := tx.Backup(run.Job, name)
		if ok {
			record = &b
		}
		return err
	})
	if err != nil {
		return Verdict{}, err
	}
	return workflow.Once(ctx, s, workflow.Effect[Verdict]{
		Name: "verify " + name,
		Do: func(ctx context.Context, fx workflow.Fx) (Verdict, error) {
			l := &ledgerOf{fx: fx, view: s.View, now: s.Now, of: state.Verified{Job: run.Job, Backup: name, Level: string(v.level), Run: run.ID, By: by}}
			if v.drill != nil {
				v.drill.fx = fx
			}
			return v.backup(ctx, name, record, l)
		},
		Result: func(tx *state.Tx, r *state.Run, verdict Verdict) error {
			if v.level == Received || verdict.Message {
				r.High.Raise(state.Progress{Verified: r.High.Verified + verdict.Chunks})
			}
			if verdict.Skipped != "" {
				return nil
			}
			whole := state.Verified{Job: run.Job, Backup: name, Level: string(v.level), At: s.Now().UTC(), Run: run.ID, By: by,
				Bad: verdict.Summary(), Chunks: verdict.Chunks, Bytes: verdict.Bytes}
			if record == nil {
				return v.foreignVerdict(tx, whole, verdict)
			}
			if v.only != nil {
				return verifiedSample(tx, whole, verdict)
			}
			return verified(tx, whole)
		},
	})
}

// verified stores what a verification of a whole backup came to. The single chunks are forgotten: the whole tells of them.
func verified(tx *state.Tx, whole state.Verified) error {
	return errors.Join(storeVerdict(tx, whole), takeBackBad(tx, whole), tx.DropVerifiedChunks(whole.Job, whole.Backup, whole.Level))
}

// takeBackBad takes back that a backup is bad, once all of it was looked at as closely as when that was found, or closer, nothing was
// wrong, and nothing that was found since stands against it.
func takeBackBad(tx *state.Tx, whole state.Verified) error {
	b, ok, err := tx.Backup(whole.Job, whole.Backup)
	if err != nil || !ok || b.Bad == nil || slices.Index(Levels, Level(whole.Level)) < slices.Index(Levels, Level(b.Bad.Level)) {
		return err
	}
	if last, _ := LastVerifiedOf(b.Verified, whole.At); last.Bad != "" {
		return nil
	}
	b.Bad = nil
	return tx.PutBackup(b)
}

// Verify verifies backups by what lies there alone, the oldest first, and tells of each. Nothing is kept. DIR, absolute,
// is where chunks lie until they are proved.
func (k *Kit) Verify(ctx context.Context, c *catalog.Catalog, q VerifyRequest, dir string, tell func(Verdict)) error {
	if q.Level == Received {
		return refuse("a restore drill needs the config, whose pool it restores into; restore does the same by hand")
	}
	names, err := whichAt(ctx, c, q)
	if err != nil {
		return err
	}
	if !q.Level.remembers() {
		c.Afresh()
	}
	v := k.verifyingIn(c, q.Level)
	if err := v.openSpool(dir, "zfs2cloud-verify-"+rand.Text()[:8]+"-"); err != nil {
		return err
	}
	if q.limited() {
		if v.only, err = v.pick(ctx, q, names, func(string) (proofs, error) { return proofs{}, nil }); err != nil {
			return errors.Join(err, v.close())
		}
	}
	for _, name := range names {
		verdict, err := v.backup(ctx, name, nil, nil)
		if (err != nil || len(verdict.Bad) > 0) && v.goneMeanwhile(ctx, name) {
			verdict = Verdict{Backup: name, Level: v.level, Skipped: "no backup any more: its manifest has gone since this was begun", Gone: true}
			err = nil
		}
		if err != nil {
			return errors.Join(err, v.close())
		}
		tell(verdict)
	}
	return v.close()
}

// goneMeanwhile tells whether a backup has lost its manifest since the place was listed, which shows others of what it had: a prune
// of the host whose backups these are takes that first. Doubt, also a place that can't be looked at, is no.
func (v *verifying) goneMeanwhile(ctx context.Context, name string) bool {
	file := manifest.FileName(v.sealer.Kind())
	e, err := v.catalog.Entry(ctx, name)
	if err != nil {
		return false
	}
	if _, had := e.Objects[file]; !had { // made by the Python tool, say
		return false
	}
	err = v.kit.retry(ctx, func(ctx context.Context) error {
		_, err := v.remote.Stat(ctx, v.look, path.Join(name, file), "")
		return err
	})
	if !errors.Is(err, remote.ErrNotThere) {
		return false
	}
	now, err := v.kit.OpenCatalog(ctx, v.look, v.remote)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(now.Jobs, func(job string) bool { return slices.Contains(v.catalog.Jobs, job) }) ||
		slices.ContainsFunc(now.Folders, func(f string) bool { return f != name && slices.Contains(v.catalog.Folders, f) })
}

// whichAt is VerifyRequest.choose where no record tells.
func whichAt(ctx context.Context, c *catalog.Catalog, q VerifyRequest) ([]string, error) {
	asked := q.Backups
	switch {
	case q.All:
		asked = c.Folders
	case len(asked) == 0:
		asked = []string{catalog.Latest}
	}
	picked := map[string]bool{}
	for _, backup := range asked {
		name, _, err := c.Find(ctx, backup, time.Time{})
		if err != nil {
			return nil, err
		}
		for name != "" && !picked[name] {
			picked[name] = true
			e, err := c.Entry(ctx, name)
			if err != nil {
				return nil, err
			}
			m := e.Manifest
			switch {
			case e.Python && q.limited() && q.All:
				delete(picked, name) // of one message no part can be looked at
				name = ""
			case e.Python && q.limited():
				return nil, refuse("%s is one message of the Python tool, of which no part can be looked at", name)
			case e.Python:
				if name, err = c.PythonFull(ctx, name); err != nil {
					return nil, err
				}
			case m != nil && m.Base != nil && slices.Contains(c.Folders, m.Base.Name):
				name = m.Base.Name
			default:
				name = ""
			}
		}
	}
	return slices.Sorted(maps.Keys(picked)), nil
}
