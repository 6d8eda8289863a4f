package actions

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/remote"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// A cloned host has its original's database, its pool and its cron line. In the night after, both make a backup of one
// name for one job, in the same second, or go on with one run, and would store different chunks under the same names;
// neither sees the other's before its own are on their way. So each process claims the backup's folder at a remote before it
// stores anything else there: by an object of its own, beside which there must be none but those on record. Of two who do
// that, at least the later sees both. A run that is not alone is given up, and takes nothing away but its claim.

// claimPrefix begins the names of these objects.
const claimPrefix = "zfs2cloud-run-"

const claimText = "The run that this object is named by stores its backup in this folder. It was stored first, so that no two hosts ever write here.\n"

// claimFolder claims the backup's folder at its remote for this process.
func (u *uploading) claimFolder(ctx context.Context) error {
	run := u.s.Run()
	mine := claimPrefix + run.ID + "-" + run.Owner.Nonce[:8]
	if u.inPlace() {
		return u.notCommitted()
	}
	if u.backup.Claimed == mine {
		return nil
	}
	_, err := workflow.Once(ctx, u.s, workflow.Effect[workflow.Nothing]{
		Name:   mine,
		Afresh: true, // the backup's record tells whether it is claimed
		Intent: func(tx *state.Tx, _ *state.Run) error {
			return u.record(tx, func(b *state.Backup) { b.Claims = append(b.Claims, mine) })
		},
		Do: func(ctx context.Context, fx workflow.Fx) (none workflow.Nothing, err error) {
			return none, u.kit.retry(ctx, func(ctx context.Context) error { return u.storeClaim(ctx, fx, mine) })
		},
		Result: func(tx *state.Tx, _ *state.Run, _ workflow.Nothing) error {
			return u.record(tx, func(b *state.Backup) { b.Claimed = mine })
		},
	})
	return err
}

// notCommitted is an error if the folder, which is the place, holds a backup that is on record as not yet sealed: the record is older.
func (u *uploading) notCommitted() error {
	if len(u.backup.Manifest) > 0 {
		return nil
	}
	root, err := openDir(u.backup.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return holdsNoBackup(root, u.backup.Dir, u.backup.Name)
}

func (u *uploading) storeClaim(ctx context.Context, fx workflow.Fx, mine string) error {
	if err := u.place.Touch(ctx, fx, path.Join(u.backup.Name, mine), []byte(claimText)); err != nil {
		return err
	}
	there, err := listing(ctx, fx, u.place, u.backup.Name, "")
	if err != nil {
		return err
	}
	if _, ok := there[mine]; !ok {
		return fmt.Errorf("%s was stored at %s and is not there", path.Join(u.backup.Name, mine), u.place)
	}
	if isCommitted(there) && len(u.backup.Manifest) == 0 {
		return u.contested(fx, fmt.Errorf("%s is committed at %s already, and not by this run as it is on record: was the state database put back from an older copy, or does a clone of this host back up to the same place? In the first case: %s",
			u.backup.Name, u.place, u.kit.again("rebuild-state")))
	}
	for name := range there {
		if strings.HasPrefix(name, claimPrefix) && !slices.Contains(u.backup.Claims, name) {
			return u.contested(fx, fmt.Errorf("another host stores a backup of this name at %s (%s): does a clone of this host back up to the same place? Give each host a path of its own",
				u.place, path.Join(u.backup.Name, name)))
		}
	}
	u.shown = namesOf(there)
	return nil
}

// isCommitted tells whether a folder has a manifest.
func isCommitted(there map[string]remote.Object) bool {
	return slices.ContainsFunc(manifestNames, func(name string) bool { _, is := there[name]; return is })
}

// contested gives the run up, because of what another has stored, or this one when that was not yet forgotten again.
func (u *uploading) contested(fx workflow.Fx, why error) error {
	err := fx.Note(func(tx *state.Tx, _ *state.Run) error {
		return u.record(tx, func(b *state.Backup) { b.Contested = true })
	})
	if err != nil {
		return err
	}
	return &workflow.Hopeless{Err: why}
}

// record changes the backup's record, here and in the database.
func (u *uploading) record(tx *state.Tx, change func(*state.Backup)) error {
	b, err := tx.MustBackup(u.backup.Job, u.backup.Name)
	if err != nil {
		return err
	}
	change(&b)
	u.backup.Claims, u.backup.Claimed, u.backup.Contested = b.Claims, b.Claimed, b.Contested
	return tx.PutBackup(b)
}

// claimsIn are the claims that lie in a backup's folder.
func claimsIn(e *catalog.Entry) (claims []string) {
	for name := range e.Objects {
		if strings.HasPrefix(name, claimPrefix) {
			claims = append(claims, name)
		}
	}
	slices.Sort(claims)
	return claims
}

// ofOneRun tells whether all claims are by processes of one run.
func ofOneRun(claims []string) bool {
	runOf := func(claim string) string { return claim[:max(0, strings.LastIndexByte(claim, '-'))] }
	return !slices.ContainsFunc(claims, func(claim string) bool { return runOf(claim) != runOf(claims[0]) })
}

// ownObjects are the names that a backup that was never committed may have at its remote, and that are its own alone. The claims
// go last.
func ownObjects(b state.Backup, chunks []state.Chunk) (names, claims []string) {
	if b.Contested {
		return nil, b.Claims[len(b.Claims)-1:] // the last process found that the others may be another host's as well
	}
	names = append(names, beside(b)...)
	for _, c := range chunks {
		names = append(names, c.Name)
	}
	if len(b.Manifest) > 0 { // what lies under its name was seen to be none
		names = append(names, manifestName(b))
	}
	return names, b.Claims
}
