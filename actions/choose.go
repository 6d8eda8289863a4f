package actions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"time"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// choice says what the next export is to be, and why.
type choice struct {
	Full   bool        `json:"full"`
	Reason string      `json:"reason"`
	Base   *state.Base `json:"base,omitempty"`
	// Flags of zfs send: those of a chain are those of its full.
	Flags []string `json:"flags"`
	// Stamp is the first that the backup's name may have; empty: the snapshot's.
	Stamp string `json:"stamp,omitempty"`
	// Expired are backups that were found to be no longer whole where they were committed.
	Expired []string `json:"expired,omitempty"`
	// Bad is the backup that it would have been based on, or hung on, if that had not been found bad.
	Bad string `json:"bad,omitempty"`
}

// question is what a choice is made from.
type question struct {
	job        state.Job
	backups    []state.Backup
	snapshots  []zfs.SnapshotInfo
	bookmarks  func() ([]zfs.BookmarkInfo, error) // asked for only where a base's snapshot is gone
	canSend    func(zfs.SendArgs) error           // asks zfs, without sending
	target     zfs.SnapshotInfo
	now        time.Time
	full, incr bool // the step's flags
	flags      []string
	encryption string // the run's, which seals
}

// choose decides between full and incremental. WHOLE tells whether a committed backup is still whole where
// it was committed; its error is a "don't know", and then nothing is decided.
func (k *Kit) choose(q question, whole func(state.Backup) (bool, error), opens func(state.Backup) (bool, error)) (choice, error) {
	c := choice{Full: true, Flags: q.flags}
	full := func(format string, args ...any) (choice, error) {
		c.Reason = fmt.Sprintf(format, args...)
		return c, nil
	}
	if q.full {
		return full("it was asked for")
	}
	if k.Settings.Strategy == settings.NeverIncremental {
		return full("incremental_strategy is never_incremental")
	}
	fullBackup, base, ok := newestChain(q.backups, k.Settings.Strategy)
	if !ok {
		return full("there is no committed full yet")
	}
	born := bornAt(fullBackup, q.now)
	if made := fullBackup.Created; made.After(q.now) {
		return full("the last full, %s, is from the future", fullBackup.Name)
	}
	// As the Python tool: older than that many times 86,400 seconds.
	if age := q.now.Sub(born); age > time.Duration(k.Settings.FullEveryDays)*24*time.Hour && !q.incr {
		return full("the last full, %s, is older than %d days", fullBackup.Name, k.Settings.FullEveryDays)
	}
	if fullBackup.Encryption != q.encryption {
		return full("encryption was %s, is %s", fullBackup.Encryption, q.encryption)
	}
	from, txg, mark, err := q.byGUID(base.SnapshotGUID)
	switch {
	case err != nil:
		return c, err
	case from == "" && mark == nil:
		return full("the snapshot of %s is gone", base.Name)
	case txg >= q.target.CreateTXG:
		return full("%s is not older than the snapshot to be sent", base.Name)
	case mark != nil:
		if err := q.canSend(zfs.SendArgs{Snapshot: q.target.Snapshot, Mark: mark, Flags: fullBackup.SendFlags}); err != nil {
			if !refused(err) {
				return c, err
			}
			return full("the snapshot of %s is gone, and %s does not stand for it: %v", base.Name, mark, err)
		}
		from = base.Snapshot
	}
	if bad, is := badLink(q.backups, base); is {
		c.Bad = bad.Name
		return full("%s was found bad by verify", bad.Name)
	}
	if same, err := opens(base); err != nil {
		return c, err
	} else if !same {
		return full("the passphrase has changed since %s", base.Name)
	}
	for b, ok := base, true; ok; b, ok = baseOf(q.backups, b) {
		is, err := whole(b)
		if err != nil {
			return c, fmt.Errorf("look whether %s is still whole: %w", b.Name, err)
		}
		if !is {
			c.Expired = append(c.Expired, b.Name)
			return full("%s is no longer whole at %s", b.Name, b.Place)
		}
	}
	c.Full, c.Flags = false, fullBackup.SendFlags
	c.Base = &state.Base{Name: base.Name, Snapshot: from, SnapshotGUID: base.SnapshotGUID, ManifestSHA256: base.ManifestSHA256}
	c.Reason = "since " + base.Name
	return c, nil
}

// bornAt is when a backup was made: the time in its name, unless that is yet to come. Names are pushed ahead while the
// dataset has one from a day when the clock was wrong; then its record tells.
func bornAt(b state.Backup, now time.Time) time.Time {
	if stamp, ok := manifest.StampOf(b.Name); ok && !stamp.After(now) {
		return stamp
	}
	return b.Created
}

// newestChain finds the newest committed full, and what the next incremental is based on by a strategy:
// the full itself, or the newest incremental of its chain.
func newestChain(backups []state.Backup, s settings.Strategy) (full, base state.Backup, ok bool) {
	for _, b := range backups { // the oldest first
		if b.Full && workflow.BackupMachine.In(b.State, workflow.BackupCommitted) {
			full, base, ok = b, b, true
		}
	}
	if !ok || s != settings.SinceLastIncremental {
		return full, base, ok
	}
	for _, b := range backups {
		if root, whole := chainOf(backups, b); whole && b.Name > base.Name && root.Name == full.Name {
			base = b
		}
	}
	return full, base, ok
}

// ChainFlags are the flags of zfs send of which the next incremental would have one set, if it is one: those of the newest chain, if any.
func ChainFlags(backups []state.Backup) (flags [][]string) {
	if full, _, ok := newestChain(backups, settings.SinceLastFull); ok {
		flags = [][]string{full.SendFlags}
	}
	return flags
}

// baseOf is the backup that an incremental is based on.
func baseOf(backups []state.Backup, b state.Backup) (state.Backup, bool) {
	if b.Base == nil {
		return state.Backup{}, false
	}
	i := slices.IndexFunc(backups, func(o state.Backup) bool { return o.Name == b.Base.Name })
	if i < 0 {
		return state.Backup{}, false
	}
	return backups[i], true
}

// chainOf is the full that a backup hangs on, and whether all from there on are committed: only then is the backup
// worth something. One link that expired, and all that was based on it is worth nothing, whatever its own record says.
func chainOf(backups []state.Backup, b state.Backup) (root state.Backup, whole bool) {
	for range backups { // no chain is longer
		if !workflow.BackupMachine.In(b.State, workflow.BackupCommitted) {
			return state.Backup{}, false
		}
		if b.Full || b.Files != nil {
			return b, true
		}
		next, ok := baseOf(backups, b)
		if !ok {
			return state.Backup{}, false
		}
		b = next
	}
	return state.Backup{}, false
}

// badLink is the first of a backup and those it is based on that was found bad.
func badLink(backups []state.Backup, b state.Backup) (state.Backup, bool) {
	ok := true
	for range backups { // no chain is longer
		if !ok || b.Bad != nil {
			break
		}
		b, ok = baseOf(backups, b)
	}
	return b, ok && b.Bad != nil
}

// BadBase is what keeps the next backup from being an incremental: the first of the newest chain that was found bad.
func BadBase(backups []state.Backup, strategy settings.Strategy) (state.Backup, bool) {
	_, base, ok := newestChain(backups, strategy)
	if !ok {
		return state.Backup{}, false
	}
	return badLink(backups, base)
}

// sound tells whether a backup can be restored: all from its full on are committed, and none was found bad.
func sound(backups []state.Backup, b state.Backup) bool {
	_, whole := chainOf(backups, b)
	_, bad := badLink(backups, b)
	return whole && !bad
}

// opensWith tells whether today's passphrase opens a backup.
func (k *Kit) opensWith(ctx context.Context, w workflow.World, b state.Backup) (bool, error) {
	if len(b.Canary) == 0 {
		return true, nil // not known, or not encrypted
	}
	if len(k.Passphrase) == 0 {
		return false, nil
	}
	sealer, err := k.sealer(w, b.Encryption)
	if err != nil {
		return false, err
	}
	err = chunk.OpenCanary(ctx, sealer, b.Canary)
	if errors.Is(err, chunk.ErrPassphrase) {
		return false, nil
	}
	return err == nil, err
}

// opensAt is choose's question whether today's passphrase opens a backup. Of one whose record was made again from its manifest
// nothing else is left to try it on.
func (k *Kit) opensAt(ctx context.Context, w workflow.World, place remote.Remote) func(state.Backup) (bool, error) {
	return func(b state.Backup) (bool, error) {
		if len(b.Canary) > 0 || len(k.Passphrase) == 0 || settings.Encryption(b.Encryption) == settings.None {
			return k.opensWith(ctx, w, b)
		}
		var object bytes.Buffer
		err := k.retry(ctx, func(ctx context.Context) error {
			object.Reset()
			return place.Get(ctx, w, path.Join(b.Name, manifestName(b)), manifest.MaxSize, &object)
		})
		if errors.Is(err, remote.ErrNotThere) || errors.Is(err, remote.ErrTooBig) || errors.Is(err, remote.ErrArchived) {
			return true, nil // who asks whether it is whole will see
		}
		if errors.Is(err, remote.ErrDamaged) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		sealer, err := k.sealer(w, b.Encryption)
		if err != nil {
			return false, err
		}
		_, _, err = manifest.Open(ctx, sealer, object.Bytes(), b.Name)
		if errors.Is(err, chunk.ErrPassphrase) {
			return false, nil
		}
		return err == nil, err
	}
}

// isWhole lists a committed backup's folder where it was committed: the manifest and every chunk, with their
// sizes. Listing, not reading, so that archived objects count.
func (k *Kit) isWhole(ctx context.Context, w workflow.World, place remote.Remote, b state.Backup, chunks []state.Chunk) (bool, error) {
	there, err := k.listing(ctx, w, place, b.Name)
	if err != nil {
		return false, err
	}
	if o, ok := there[manifestName(b)]; !ok || b.ManifestSize != 0 && o.Size != b.ManifestSize {
		return false, nil
	}
	for _, c := range current(chunks) {
		if o, ok := there[c.Name]; !ok || o.Size != c.Size {
			return false, nil
		}
	}
	return true, nil
}

// listing is listing without hashes, tried again where that may help.
func (k *Kit) listing(ctx context.Context, w workflow.World, place remote.Remote, folder string) (there map[string]remote.Object, err error) {
	err = k.retry(ctx, func(ctx context.Context) error {
		there, err = listing(ctx, w, place, folder, "")
		return err
	})
	return there, err
}

// listing is a folder's objects by name; a folder that is not there has none.
func listing(ctx context.Context, w workflow.World, place remote.Remote, folder, hash string) (map[string]remote.Object, error) {
	list, err := place.List(ctx, w, folder, hash)
	if errors.Is(err, remote.ErrNotThere) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	there := make(map[string]remote.Object, len(list))
	for _, o := range list {
		if !o.IsDir {
			there[o.Name] = o
		}
	}
	return there, nil
}

// namesOf is what is kept of a listing where only the names are asked for: nil for nil.
func namesOf(there map[string]remote.Object) map[string]bool {
	if there == nil {
		return nil
	}
	names := make(map[string]bool, len(there))
	for name := range there {
		names[name] = true
	}
	return names
}

func guid(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64) // it was made by zfs.GUID's String
	return n
}
