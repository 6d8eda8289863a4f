package actions

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/units"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// Level says how closely a backup is looked at. Each level finds what those before it find.
type Level string

const (
	// Listed finds what is not there or has another size, and a manifest that is another.
	Listed Level = "listed"
	// Hashed finds a chunk with another content: by the store's own hash, where that is computed over what is
	// stored, else by fetching it.
	Hashed Level = "hashed"
	// Decrypted fetches every chunk and opens it, whatever the store says, and follows the stream from its BEGIN to its END.
	Decrypted Level = "decrypted"
	// Received restores into a scratch dataset and reads what comes of it.
	Received Level = "received"
)

// Levels are all there are, the least first.
var Levels = []Level{Listed, Hashed, Decrypted, Received}

// DefaultLevel is what is meant where none is named.
const DefaultLevel = Decrypted

// Finding is something that is wrong with a backup.
type Finding struct {
	File string `json:"file"` // in the backup's folder; empty: the folder, or all of it
	What string `json:"what"`
}

func (f Finding) String() string {
	if f.File == "" {
		return f.What
	}
	return f.File + ": " + f.What
}

// maxFindings bounds what is kept of a backup of which nothing is right.
const maxFindings = 100

// Verdict is what a verification came to, of one backup.
type Verdict struct {
	Backup string `json:"backup"`
	Level  Level  `json:"level"`
	// Chunks were looked at as the level demands, and Bytes is what their files have; Of is how many there are.
	Chunks int   `json:"chunks"`
	Of     int   `json:"of"`
	Bytes  int64 `json:"bytes"`
	// Bad is empty if nothing is wrong; More findings are not listed.
	Bad  []Finding `json:"bad,omitempty"`
	More int       `json:"more,omitempty"`
	// Of a restore drill: how many files were read, and whether what was received, sent again, was what came, or was
	// not; neither, where that can't be told.
	Files   int  `json:"files,omitempty"`
	Again   bool `json:"again,omitempty"`
	Differs bool `json:"differs,omitempty"`
	// Index says what is wrong with the backup's index, without which it can be restored all the same.
	Index string `json:"index,omitempty"`
	// Skipped says why nothing was looked at; then nothing is known.
	Skipped string `json:"skipped,omitempty"`
}

func (v *Verdict) found(file, format string, args ...any) {
	if len(v.Bad) == maxFindings {
		v.More++
		return
	}
	what := digest.ReplaceAllString(fmt.Sprintf(format, args...), "$1…")
	v.Bad = append(v.Bad, Finding{File: file, What: what})
}

// digest is a SHA-256, of which its beginning is enough for people.
var digest = regexp.MustCompile(`\b([0-9a-f]{12})[0-9a-f]{52}\b`)

// Summary is the first finding, and how many more there are; empty if nothing is wrong.
func (v *Verdict) Summary() string {
	if len(v.Bad) == 0 {
		return ""
	}
	text := v.Bad[0].String()
	if more := len(v.Bad) - 1 + v.More; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// Lines says it to people.
func (v *Verdict) Lines() (lines []string) {
	switch {
	case v.Skipped != "":
		return []string{fmt.Sprintf("?    %-19s  %s", v.Backup, v.Skipped)}
	case len(v.Bad) == 0:
		return []string{fmt.Sprintf("ok   %-19s  %s", v.Backup, v.proved())}
	}
	for _, f := range v.Bad {
		lines = append(lines, fmt.Sprintf("BAD  %-19s  %s: %s", v.Backup, v.Level, f))
	}
	if v.More > 0 {
		lines = append(lines, fmt.Sprintf("BAD  %-19s  %s: and %d more", v.Backup, v.Level, v.More))
	}
	return lines
}

func (v *Verdict) proved() string {
	chunks := plural(v.Chunks, "chunk", "chunks")
	if v.Chunks < v.Of {
		chunks = fmt.Sprintf("%d of %s", v.Chunks, plural(v.Of, "chunk", "chunks"))
	}
	text := fmt.Sprintf("%s: manifest, %s, %s", v.Level, chunks, units.Size(v.Bytes))
	if v.Again {
		text += ", the same when sent again"
	}
	if v.Differs {
		text += ", but ANOTHER STREAM when sent again: zfs made something else of it"
	}
	if v.Files > 0 {
		text += ", " + plural(v.Files, "file", "files") + " read"
	}
	if v.Index != "" {
		text += "; ITS INDEX " + v.Index + ": it can be restored, but a restore that is cut off reads again"
	}
	return text
}

// VerifyRequest is what a step verify, or who types it, asks for.
type VerifyRequest struct {
	Level   Level
	All     bool     // every committed backup
	Backups []string // these, and what they are based on; without, and without All: the newest chain
	// Sample is how many chunks of a hundred are looked at, and MaxBytes how much of chunk files; 0: all. Those go first
	// that were not looked at for longest.
	Sample   int
	MaxBytes int64
}

// ParseVerify reads the arguments of the step: [LEVEL] [-a] [-s N%] [-m SIZE] [BACKUP...].
func ParseVerify(args []string) (q VerifyRequest, err error) {
	q.Level = DefaultLevel
	if len(args) > 0 && slices.Contains(Levels, Level(args[0])) {
		q.Level, args = Level(args[0]), args[1:]
	}
	for len(args) > 0 {
		arg, value := args[0], ""
		args = args[1:]
		if (arg == "-s" || arg == "-m") && len(args) > 0 {
			value, args = args[0], args[1:]
		}
		_, _, folder := manifest.ParseFolder(arg)
		switch {
		case arg == "-a":
			q.All = true
		case arg == "-s":
			if q.Sample, err = units.ParsePercent(value); err != nil {
				return q, fmt.Errorf("sample %q: %w", value, err)
			}
		case arg == "-m":
			if q.MaxBytes, err = units.ParseSize(value); err != nil {
				return q, fmt.Errorf("at most %q: %w", value, err)
			}
		case folder:
			q.Backups = append(q.Backups, arg)
		default:
			return q, fmt.Errorf("backup %q: neither a stamp such as 20261125035200 nor 20261125035200-full", arg)
		}
	}
	switch {
	case q.All && len(q.Backups) > 0:
		return q, errors.New("all backups are asked for, and some by name: one of the two")
	case q.limited() && q.Level != Hashed && q.Level != Decrypted:
		return q, fmt.Errorf("a part of the chunks can be %s or %s, and not %s", Hashed, Decrypted, q.Level)
	}
	return q, nil
}

// limited tells whether not all chunks are to be looked at.
func (q VerifyRequest) limited() bool { return q.Sample > 0 || q.MaxBytes > 0 }

// Args is what ParseVerify reads.
func (q VerifyRequest) Args() []string {
	args := []string{string(q.Level)}
	if q.All {
		args = append(args, "-a")
	}
	if q.Sample > 0 {
		args = append(args, "-s", fmt.Sprintf("%d%%", q.Sample))
	}
	if q.MaxBytes > 0 {
		args = append(args, "-m", strconv.FormatInt(q.MaxBytes, 10))
	}
	return append(args, q.Backups...)
}

// choose picks from committed backups, the oldest first.
func (q VerifyRequest) choose(backups []state.Backup) (chosen []state.Backup, err error) {
	picked := map[string]bool{}
	pick := func(b state.Backup) {
		for ok := true; ok && !picked[b.Name]; b, ok = baseOf(backups, b) {
			picked[b.Name] = true
		}
	}
	committed := func(b state.Backup) bool {
		return b.Files == nil && workflow.BackupMachine.In(b.State, workflow.BackupCommitted)
	}
	newest := state.Backup{}
	for _, b := range backups {
		if committed(b) {
			newest = b
			if q.All {
				pick(b)
			}
		}
	}
	if !q.All && len(q.Backups) == 0 && newest.Name != "" {
		pick(newest)
	}
	for _, name := range q.Backups {
		b, ok := namedBackup(backups, name)
		if !ok || !committed(b) {
			return nil, fmt.Errorf("no committed backup %s is on record", name)
		}
		pick(b)
	}
	for _, b := range backups {
		if picked[b.Name] && committed(b) {
			chosen = append(chosen, b)
		}
	}
	return chosen, nil
}

// namedBackup finds a backup by its folder, or by its stamp alone.
func namedBackup(backups []state.Backup, name string) (state.Backup, bool) {
	stamp, full, _ := manifest.ParseFolder(name)
	i := slices.IndexFunc(backups, func(b state.Backup) bool {
		return b.Name == name || !full && b.Name == manifest.Folder(stamp, true)
	})
	if i < 0 {
		return state.Backup{}, false
	}
	return backups[i], true
}

// CheckVerify is an error if what is asked for is not on record.
func (k *Kit) CheckVerify(view viewer, job string, args []string) error {
	q, err := ParseVerify(args)
	if err != nil {
		return err
	}
	_, backups, err := jobOf(view, job)
	if err == nil {
		_, err = q.choose(backups)
	}
	return err
}

// verify looks at backups of the job where they were committed, and keeps what it finds in the ledger. That one is bad is
// no failure of the step: it is its answer, which the command makes an exit status of.
func (k *Kit) verify(ctx context.Context, s *workflow.Session, args []string) error {
	q, err := ParseVerify(args)
	if err != nil {
		return &workflow.Hopeless{Err: err}
	}
	run := s.Run()
	place, err := k.Place(run.Frozen, run.Job)
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
	if err := k.onlyOurs(ctx, s, place); err != nil {
		return err
	}
	v, err := k.verifying(ctx, s.Look(), place, q.Level)
	if err != nil {
		return err
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

func skippedOf(verdicts []Verdict) (skipped []string) {
	for _, v := range verdicts {
		if v.Skipped != "" {
			skipped = append(skipped, v.Backup+", "+v.Skipped)
		}
	}
	return skipped
}

// spoolPrefix is how the spool folders of a job's verifications begin: what a killed one left is found by it.
func spoolPrefix(job string) string { return "zfs2cloud-verify-" + job[:min(8, len(job))] + "-" }

// whichToVerify decides once: what is committed later is not what was asked for.
func (k *Kit) whichToVerify(ctx context.Context, s *workflow.Session, q VerifyRequest) ([]string, error) {
	return workflow.Once(ctx, s, workflow.Effect[[]string]{
		Name: "which",
		Do: func(context.Context, workflow.Fx) ([]string, error) {
			_, backups, err := jobOf(s.View, s.Run().Job)
			if err != nil {
				return nil, err
			}
			chosen, err := q.choose(backups)
			if err != nil {
				return nil, &workflow.Hopeless{Err: err}
			}
			names := []string{}
			for _, b := range chosen {
				names = append(names, b.Name)
			}
			return names, nil
		},
	})
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
			if err := k.note(s, "the index of %s %s: it can be restored, but a restore that is cut off reads again", name, verdict.Index); err != nil {
				return verdicts, err
			}
		}
		verdicts = append(verdicts, verdict)
	}
	return verdicts, nil
}

// verifyOne verifies a backup. Each chunk that was proved is on record at once, so that a resume goes on behind it.
func (k *Kit) verifyOne(ctx context.Context, s *workflow.Session, v *verifying, name string) (Verdict, error) {
	run := s.Run()
	by := state.EffectKey(run.ID, s.Position(), s.Step().Attempt, "")
	var record state.Backup
	err := s.View(func(tx *state.Tx) (err error) {
		record, err = tx.MustBackup(run.Job, name)
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
			return v.backup(ctx, name, &record, l)
		},
		Result: func(tx *state.Tx, r *state.Run, verdict Verdict) error {
			if v.level == Received {
				r.High.Raise(state.Progress{Verified: r.High.Verified + verdict.Chunks})
			}
			if verdict.Skipped != "" {
				return nil
			}
			whole := state.Verified{Job: run.Job, Backup: name, Level: string(v.level), At: s.Now().UTC(), Run: run.ID, By: by,
				Bad: verdict.Summary(), Chunks: verdict.Chunks, Bytes: verdict.Bytes}
			if v.only != nil {
				return verifiedSample(tx, whole, verdict)
			}
			return verified(tx, whole)
		},
	})
}

// verified stores what a verification of a whole backup came to. The single chunks are forgotten: the whole tells of them.
func verified(tx *state.Tx, whole state.Verified) error {
	return errors.Join(storeVerdict(tx, whole), tx.DropVerifiedChunks(whole.Job, whole.Backup, whole.Level))
}

// Verify verifies backups by what lies there alone, the oldest first, and tells of each. Nothing is kept. DIR, absolute,
// is where chunks lie until they are proved.
func (c *Catalog) Verify(ctx context.Context, q VerifyRequest, dir string, tell func(Verdict)) error {
	if q.Level == Received {
		return refuse("a restore drill needs the config, whose pool it restores into; zfs2cloud restore does the same by hand")
	}
	names, err := c.whichToVerify(ctx, q)
	if err != nil {
		return err
	}
	v := c.kit.verifyingIn(c, q.Level)
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
		if err != nil {
			return errors.Join(err, v.close())
		}
		tell(verdict)
	}
	return v.close()
}

// whichToVerify is VerifyRequest.choose where no record tells.
func (c *Catalog) whichToVerify(ctx context.Context, q VerifyRequest) ([]string, error) {
	asked := q.Backups
	switch {
	case q.All:
		asked = c.Folders
	case len(asked) == 0:
		asked = []string{Latest}
	}
	picked := map[string]bool{}
	for _, backup := range asked {
		name, err := c.choose(ctx, RestoreRequest{Backup: backup}, &RestorePlan{})
		if err != nil {
			return nil, err
		}
		for name != "" && !picked[name] {
			picked[name] = true
			e, err := c.Entry(ctx, name)
			if err != nil {
				return nil, err
			}
			name = ""
			if m := e.Manifest; m != nil && m.Base != nil && slices.Contains(c.Folders, m.Base.Name) {
				name = m.Base.Name
			}
		}
	}
	return slices.Sorted(maps.Keys(picked)), nil
}

// sumUp is one line of what came of all.
func sumUp(level Level, verdicts []Verdict) string {
	var bad []string
	var chunks int
	var bytes int64
	for _, v := range verdicts {
		chunks, bytes = chunks+v.Chunks, bytes+v.Bytes
		if len(v.Bad) > 0 {
			bad = append(bad, v.Backup)
		}
	}
	text := fmt.Sprintf("%s: %s, %s, %s", level, plural(len(verdicts), "backup", "backups"), plural(chunks, "chunk", "chunks"), units.Size(bytes))
	if len(bad) > 0 {
		text += "; BAD: " + strings.Join(bad, ", ")
	}
	return text
}

// LastVerified is what a backup's verifications came to in the end.
type LastVerified struct {
	Level Level
	At    time.Time
	Bad   string // what is wrong, in words; empty if nothing is
}

// LastVerifiedOf a backup is the closest look that found nothing wrong, unless another found something that no such look has
// overcome since: then that one. The bool is false if there was none.
func LastVerifiedOf(b state.Backup) (last LastVerified, known bool) {
	for _, level := range slices.Backward(Levels) {
		v, ok := b.Verified[string(level)]
		if !ok || known && (v.Bad == "" || v.At.Before(last.At)) {
			continue
		}
		last, known = LastVerified{Level: level, At: v.At, Bad: v.Bad}, true
	}
	return last, known
}

// Found is what a run's verifications found to be bad, by what is on record.
type Found struct {
	Backup, Level, What string
}

// FoundBad lists what a run found bad.
func FoundBad(tx *state.Tx, run state.Run) (found []Found, err error) {
	backups, err := tx.Backups(run.Job)
	if err != nil {
		return nil, err
	}
	for _, b := range backups {
		for _, level := range Levels {
			v, ok, err := tx.VerifiedWhole(b.Job, b.Name, string(level))
			if err != nil {
				return nil, err
			}
			if ok && v.Run == run.ID && v.Bad != "" {
				found = append(found, Found{Backup: b.Name, Level: v.Level, What: v.Bad})
			}
		}
	}
	return found, nil
}
