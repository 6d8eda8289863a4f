package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"zfs2cloud/actions"
	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/remote"
	"zfs2cloud/state"
)

// lookRemote: what backups need of the place they go to, done once with something small.
func (c *checkup) lookRemote(ctx context.Context, f facts) (facts, []finding) {
	place, _ := actions.PlaceOf(c.settings)
	if place == "" {
		return f, nil
	}
	t := remoteTrial{checkup: c, place: place, facts: f}
	return f, t.run(ctx)
}

// remoteTrial writes, reads and removes one object. It lies in a folder of its own, of a random name: so do
// backups, and with the folder goes what an interrupted upload would leave beside it.
type remoteTrial struct {
	*checkup
	facts  facts
	place  string
	remote remote.Remote
	fresh  bool // nothing was at the place before
}

func (t *remoteTrial) run(ctx context.Context) []finding {
	var err error
	if t.remote, err = t.kit(t.facts).Remote(t.place); err != nil {
		return t.fault(err)
	}
	if _, err = t.remote.List(ctx, t.reading(), "", ""); errors.Is(err, remote.ErrNotThere) {
		t.fresh, err = true, nil
	}
	if err != nil {
		return t.fault(err)
	}
	if found := t.strangers(ctx); found != nil {
		return found
	}
	found := slices.Concat(t.mounted(), t.union(ctx))
	if t.app.DryRun {
		return append([]finding{fine("remote", t.place+": listed; nothing written, because of --dry-run")}, found...)
	}
	return append(t.roundTrip(ctx), found...)
}

// fault is an error of the store, with what to do where that is known.
func (t *remoteTrial) fault(err error) []finding {
	a := args{"place": t.place, "conf": rcloneConf(t.settings), "listremotes": listRemotes(t.settings), "err": err.Error()}
	switch {
	case errors.Is(err, remote.ErrNoRemote):
		return []finding{t.find(noticeRemoteUnknown, a)}
	case errors.Is(err, remote.ErrNoRoot):
		return []finding{t.find(noticeRemoteRoot, a)}
	case errors.Is(err, remote.ErrArchived):
		return []finding{t.find(noticeRemoteCold, a)}
	}
	return []finding{t.find(noticeRemote, a)}
}

// strangers looks for markers: another job's, and our own where we have been before. Where either is not as
// it must be nothing is written.
func (t *remoteTrial) strangers(ctx context.Context) []finding {
	id, mine := t.facts.job.ID, fmt.Sprintf("job %s of %s", t.facts.job.ID, t.settings.Dataset)
	if !t.facts.known {
		id, mine = state.NewJobID(), t.settings.Dataset+", which has no job yet"
	}
	p, err := remote.NewPlace(t.remote, id)
	if err != nil {
		return t.fault(err)
	}
	err = p.Check(ctx, t.reading())
	var stranger *remote.Stranger
	switch {
	case err == nil:
		return nil
	case errors.As(err, &stranger) && !t.facts.known && (t.facts.info.GUID == 0 || !t.facts.stateReads):
		return []finding{t.find(noticeRemoteUnsure, args{"place": t.place, "theirs": t.owner(stranger.Theirs)})}
	case errors.As(err, &stranger) && !(t.facts.known && t.facts.job.Used) && t.renamed(stranger.Theirs) != "":
		return []finding{t.find(noticeRemoteRenamed, args{"place": t.place, "was": t.renamed(stranger.Theirs)})}
	case errors.As(err, &stranger) && (!t.facts.known || t.facts.job.Fresh) && !slices.ContainsFunc(t.facts.jobs, func(j state.Job) bool { return j.ID == stranger.Theirs }):
		return []finding{t.find(noticeRemoteLost, args{"place": t.place, "theirs": t.owner(stranger.Theirs)})}
	case errors.As(err, &stranger):
		return []finding{t.find(noticeStranger, args{"place": t.place, "theirs": t.owner(stranger.Theirs), "mine": mine})}
	case !errors.Is(err, remote.ErrMarkerGone):
		return t.fault(err)
	case t.facts.known && t.facts.job.Used:
		return []finding{t.find(noticeMarkerGone, args{"place": t.place, "marker": "zfs2cloud-job-" + id})}
	}
	return nil
}

// owner names a job, with its dataset if this database knows it.
func (t *remoteTrial) owner(id string) string {
	for _, j := range t.facts.jobs {
		switch {
		case j.ID == id && j.Dataset == t.settings.Dataset && t.facts.info.GUID != 0 && j.DatasetGUID != t.facts.info.GUID.String():
			return fmt.Sprintf("job %s of %s as it was before it was restored or made anew", id, j.Dataset)
		case j.ID == id:
			return fmt.Sprintf("job %s of %s", id, j.Dataset)
		}
	}
	return "job " + id
}

// renamed is the place of a job on record, of this config and dataset, that the place shows to be this one by another name; else "".
func (t *remoteTrial) renamed(id string) string {
	for _, j := range t.facts.jobs {
		if j.ID == id && j.DatasetGUID == t.facts.info.GUID.String() && j.Config == t.settings.Path {
			return j.Place
		}
	}
	return ""
}

// mounted warns of a local place on the disk of /, where a disk of its own is perhaps not mounted.
func (t *remoteTrial) mounted() []finding {
	if !filepath.IsAbs(t.place) {
		return nil
	}
	here, err := os.Stat(t.place)
	root, rerr := os.Stat("/")
	if err != nil || rerr != nil || deviceOf(here) != deviceOf(root) {
		return nil
	}
	return []finding{t.find(noticeRemoteOnRoot, args{"place": t.place})}
}

// union warns of a place that may show a part of what is there.
func (t *remoteTrial) union(ctx context.Context) []finding {
	part, err := t.remote.ShowsPart(ctx, t.reading())
	switch {
	case err != nil:
		return t.fault(err)
	case part:
		return []finding{t.find(noticeRemoteUnion, args{"place": t.place})}
	}
	return nil
}

func deviceOf(info os.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Dev }

func (t *remoteTrial) roundTrip(ctx context.Context) []finding {
	folder := "zfs2cloud-check-" + nonce()
	// A remote that encrypts names makes them longer: one of theirs must fit, too.
	name := folder + "/" + chunk.LongestName(t.settings.Dataset)
	began := t.app.World.Now()
	hash, err := t.writeAndRead(ctx, name)
	// Also after an error something may be there, and also a check that was stopped takes its things away.
	rerr := t.remove(context.WithoutCancel(ctx), folder, name)
	var found []finding
	var differs errDiffers
	switch {
	case errors.As(err, &differs):
		found = append(found, t.find(noticeRemoteDiffers, args{"place": t.place, "how": string(differs)}))
	case err != nil:
		found = append(found, t.fault(err)...)
	case rerr == nil:
		took := duration(t.app.World.Now().Sub(began))
		return []finding{fine("remote", fmt.Sprintf("%s: wrote, read, removed 1 object in %s; %s", t.place, took, hash))}
	}
	if rerr != nil {
		found = append(found, t.find(noticeRemoteLeft, args{"place": t.place, "object": name, "err": rerr.Error()}))
	}
	return found
}

// errDiffers: what was read is not what was written.
type errDiffers string

func (e errDiffers) Error() string { return "differs" + string(e) }

// writeAndRead says by which hash the store's copy can be told.
func (t *remoteTrial) writeAndRead(ctx context.Context, name string) (hash string, err error) {
	data := []byte("zfs2cloud check: may be deleted\n" + name + "\n")
	if err := t.remote.PutBytes(ctx, t.app.World, name, data, false); err != nil {
		return "", err
	}
	var back bytes.Buffer
	if err := t.remote.Get(ctx, t.reading(), name, int64(len(data)), &back); err != nil {
		return "", err
	}
	if !bytes.Equal(back.Bytes(), data) {
		return "", errDiffers("")
	}
	kind, err := t.remote.HashKind(ctx, t.reading())
	if err != nil {
		return "", err
	}
	if kind == "" {
		return "no hash: chunks are told by their size", nil
	}
	object, err := t.remote.Stat(ctx, t.reading(), name, kind)
	if err != nil {
		return "", err
	}
	same, hashed := object.Matches(int64(len(data)), hashesOf(data))
	switch {
	case !same:
		return "", errDiffers(", says its " + kind)
	case !hashed:
		return "no hash: chunks are told by their size", nil
	}
	return kind, nil
}

// hashesOf is every kind of hash that a remote may be asked for.
func hashesOf(data []byte) map[string]string {
	return map[string]string{
		"sha256": fmt.Sprintf("%x", sha256.Sum256(data)),
		"sha1":   fmt.Sprintf("%x", sha1.Sum(data)),
		"md5":    fmt.Sprintf("%x", md5.Sum(data)),
	}
}

// tidyTime is how long removing the trial's object may take when time has run out otherwise.
const tidyTime = 10 * time.Second

func (t *remoteTrial) remove(ctx context.Context, folder, name string) error {
	ctx, cancel := context.WithTimeout(ctx, tidyTime)
	defer cancel()
	if err := t.remote.Delete(ctx, t.app.World, name); err != nil {
		return err
	}
	if err := t.remote.RemoveFolder(ctx, t.app.World, folder); err != nil {
		return err
	}
	if t.fresh {
		return t.removeRoot(ctx)
	}
	return nil
}

// removeRoot takes away the folder that rclone made for the object, if the place is one in a folder and was
// not there before. A bucket stays: some stores do not give its name back for hours.
func (t *remoteTrial) removeRoot(ctx context.Context) error {
	above, base, ok := cutLast(t.place)
	if !ok || remote.ValidName(base) != nil {
		return nil
	}
	r, err := t.kit(t.facts).Remote(above)
	if err != nil {
		return err
	}
	if err := r.RemoveFolder(ctx, t.app.World, base); err != nil && !errors.Is(err, remote.ErrNotEmpty) {
		return err
	}
	return nil
}

// cutLast cuts name:path/base before its base.
func cutLast(place string) (above, base string, ok bool) {
	place = strings.TrimRight(place, "/")
	slash, colon := strings.LastIndex(place, "/"), strings.LastIndex(place, ":")
	if slash < 0 || slash < colon {
		return "", "", false
	}
	above, base = place[:slash], place[slash+1:]
	if slash == colon+1 {
		above += "/" // name:/ is not name:
	}
	return above, base, base != ""
}
