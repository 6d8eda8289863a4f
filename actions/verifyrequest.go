package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"zfs2cloud/actions/manifest"
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

// choose picks from committed backups, the oldest first. UNKNOWN are names that are asked for and not on record.
func (q VerifyRequest) choose(backups []state.Backup) (chosen []state.Backup, unknown []string) {
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
			unknown = append(unknown, name)
			continue
		}
		pick(b)
	}
	for _, b := range backups {
		if picked[b.Name] && committed(b) {
			chosen = append(chosen, b)
		}
	}
	return chosen, unknown
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

// CheckVerify is an error if what is asked for is neither on record nor, of the Python tool, where the backups are.
func (k *Kit) CheckVerify(ctx context.Context, look workflow.Look, view viewer, job string, args []string) error {
	q, err := ParseVerify(args)
	if err != nil {
		return err
	}
	_, backups, err := jobOf(view, job)
	if err != nil {
		return err
	}
	_, unknown := q.choose(backups)
	if len(unknown) > 0 {
		_, err = k.pythonsToVerify(ctx, look, view, Freeze(k.Settings), job, q, unknown)
	}
	return err
}
