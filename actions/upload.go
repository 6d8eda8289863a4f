package actions

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"zfs2cloud/actions/remote"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// hashKind is the best kind of hash that a run's place can be asked for; each place is asked once.
func (k *Kit) hashKind(ctx context.Context, s *workflow.Session) (string, error) {
	run := s.Run()
	return workflow.Once(ctx, s, workflow.Effect[string]{
		Name: "hash kind of " + run.Frozen.Remote,
		Do: func(ctx context.Context, _ workflow.Fx) (kind string, err error) {
			place, err := k.Place(run.Frozen, run.Job)
			if err != nil {
				return "", err
			}
			err = k.retry(ctx, func(ctx context.Context) (err error) {
				kind, err = place.HashKind(ctx, s.Look())
				return err
			})
			return kind, err
		},
	})
}

// upload brings a backup to the remote: every chunk, then the manifest, which is the commit.
func (k *Kit) upload(ctx context.Context, s *workflow.Session, args []string) error {
	if k.syncsFiles(s.Run()) {
		return k.syncFiles(ctx, s, true, false)
	}
	name, err := k.uploadTarget(ctx, s, args)
	if err != nil {
		return err
	}
	var b state.Backup
	err = s.View(func(tx *state.Tx) error {
		b, err = tx.MustBackup(s.Run().Job, name)
		return err
	})
	if err != nil {
		return err
	}
	switch {
	case workflow.BackupMachine.In(b.State, workflow.BackupCommitted) && b.Run != s.Run().ID:
	case workflow.BackupMachine.In(b.State, workflow.BackupExpired, workflow.BackupAbandoned):
		return &workflow.Hopeless{Err: fmt.Errorf("%s is %s", name, b.State)}
	default:
		if err := k.sealedAlike(ctx, s, b); err != nil {
			return err
		}
		err := k.uploadAndCommit(ctx, s, b)
		var back *workflow.Back
		if errors.As(err, &back) && !s.Behind(workflow.Export) {
			err = &workflow.Hopeless{Err: fmt.Errorf("%w; to export it again: %s", err, k.again(StepExport))}
		}
		if err != nil {
			return err
		}
	}
	return s.Detail("%s committed", name)
}

// sealedAlike makes sure that today's passphrase is that of a backup that another run exported: the manifest is yet to be
// sealed, and has to open as the chunks do.
func (k *Kit) sealedAlike(ctx context.Context, s *workflow.Session, b state.Backup) error {
	if b.Run == s.Run().ID {
		return nil // a run of its own is not gone on with under another passphrase
	}
	same, err := k.opensWith(ctx, s.Look(), b)
	if err == nil && !same {
		err = &workflow.Hopeless{Err: fmt.Errorf("%s was sealed with another passphrase than the config's: it can be uploaded once that is put back", b.Name)}
	}
	return err
}

// uploadTarget is the backup that this run made, or, for a typed upload, the one of the snapshot asked for,
// else the job's newest that was exported.
func (k *Kit) uploadTarget(ctx context.Context, s *workflow.Session, args []string) (string, error) {
	return workflow.Once(ctx, s, workflow.Effect[string]{
		Name: "target",
		Do: func(context.Context, workflow.Fx) (string, error) {
			run := s.Run()
			if run.Backup != "" {
				return run.Backup, nil
			}
			_, backups, err := jobOf(s.View, run.Job)
			if err != nil {
				return "", err
			}
			b, err := exported(backups, args)
			if err != nil {
				return "", &workflow.Hopeless{Err: err}
			}
			return b.Name, nil
		},
		Result: func(_ *state.Tx, r *state.Run, name string) error {
			r.Backup = name
			return nil
		},
	})
}

// exported is the backup that an upload with these arguments means.
func exported(backups []state.Backup, args []string) (state.Backup, error) {
	want := ""
	if i := slices.Index(args, "-s"); i >= 0 && i+1 < len(args) {
		want = args[i+1]
	}
	for _, b := range slices.Backward(backups) {
		there := b.Files == nil && workflow.BackupMachine.In(b.State, workflow.BackupExported, workflow.BackupCommitted)
		if there && (want == "" || want == b.Snapshot || want == b.Name || want == b.Dataset+"@"+b.Snapshot) {
			return b, nil
		}
	}
	if want != "" {
		return state.Backup{}, fmt.Errorf("snapshot %q was not exported by this job", want)
	}
	return state.Backup{}, errors.New("nothing was exported yet")
}

// uploadAndCommit brings a backup to its place. It may be called again at any time: of one that is committed nothing is made
// again, since others depend on the very bytes of its manifest.
func (k *Kit) uploadAndCommit(ctx context.Context, s *workflow.Session, b state.Backup) error {
	if workflow.BackupMachine.In(b.State, workflow.BackupCommitted) {
		return (&uploading{kit: k, s: s, backup: b}).afterCommit(ctx)
	}
	u, err := k.openUpload(ctx, s, b)
	if err != nil {
		return err
	}
	for range maxRounds {
		err = u.bring(ctx)
		if err == nil {
			err = u.commit(ctx)
		}
		if !errors.Is(err, errLost) {
			return err
		}
		s.Log().Warn("what was stored is not there; it is sent again", "err", err)
	}
	return err
}

// bring brings the chunks to their place. Meanwhile the texts for people go there and the manifest is sealed, so that there is
// little left to do behind the last chunk; if that fails, the commit does it again.
func (u *uploading) bring(ctx context.Context) error {
	early, cancel := context.WithCancel(ctx)
	defer cancel()
	sealed := make(chan error, 1)
	once := *u
	once.once = true
	if ahead := u.kit.ahead; ahead != nil && ahead.backup.Name == u.backup.Name {
		once.shown = ahead.taken
	}
	go func() {
		var err error
		if once.exported() == nil {
			_, err = once.seal(early)
		}
		sealed <- err
	}()
	_, err := workflow.Once(ctx, u.s, workflow.Effect[workflow.Nothing]{
		Name: "objects", Afresh: true,
		Do: func(ctx context.Context, fx workflow.Fx) (workflow.Nothing, error) {
			return workflow.Nothing{}, u.objects(ctx, fx)
		},
	})
	if err != nil {
		cancel()
	}
	if serr := <-sealed; serr != nil && err == nil {
		u.s.Log().Warn("what is there for people, and the manifest, are made again", "err", serr)
	}
	return err
}

// openUpload makes sure of a backup's place.
func (k *Kit) openUpload(ctx context.Context, s *workflow.Session, b state.Backup) (*uploading, error) {
	place, err := k.Place(s.Run().Frozen, b.Job)
	if err != nil {
		return nil, err
	}
	hash, err := k.hashKind(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := k.claimPlace(ctx, s, place); err != nil {
		return nil, err
	}
	u := &uploading{kit: k, s: s, place: place, backup: b, hash: hash}
	return u, u.claimFolder(ctx)
}

// maxRounds bounds how often one process sends what the place loses.
const maxRounds = 3

// uploading is a backup on its way to its place.
type uploading struct {
	kit    *Kit
	s      *workflow.Session
	place  *remote.Place
	backup state.Backup
	hash   string // the kind that the place is asked for
	once   bool   // what fails is not tried again by itself
	// shown are the names that a listing showed in the backup's folder, and nobody has acted on yet; nil if there was none.
	shown map[string]bool
}

func (u *uploading) retry(ctx context.Context, try func(context.Context) error) error {
	if u.once {
		return try(ctx)
	}
	return u.kit.retry(ctx, try)
}

// firstFresh is a try of which FRESH holds the first time alone: after one that failed something may be there.
func firstFresh(fresh bool, try func(ctx context.Context, fresh bool) error) func(context.Context) error {
	return func(ctx context.Context) error {
		first := fresh
		fresh = false
		return try(ctx, first)
	}
}

// inPlace tells whether the place is the folder where the chunk files are already.
func (u *uploading) inPlace() bool { return !uploads(u.s.Run()) }

// objects uploads what is not there yet.
func (u *uploading) objects(ctx context.Context, fx workflow.Fx) error {
	u.kit.finishAhead(u.s)
	if err := u.exported(); err != nil {
		return err
	}
	var chunks []offered
	var lost []state.Chunk // a folder that was lost is sealed again at once, before any is sent, and not a chunk at a time
	left := false
	err := u.eachBlock(func(block []state.Chunk) error {
		for _, c := range block {
			chunks = append(chunks, offering(c))
			left = left || !seen(c)
		}
		more, err := u.kit.lostFiles(ctx, u.backup, block)
		lost = append(lost, more...)
		return err
	})
	if err != nil {
		return err
	}
	if len(lost) > 0 {
		return u.sealAgain(fx, goneOrChanged(u.backup, lost[0]), lost...)
	}
	if left {
		p, err := u.begin(ctx, fx)
		if err != nil {
			return err
		}
		for _, c := range chunks {
			p.offer(c)
		}
		if err := p.finish(); err != nil {
			return err
		}
	}
	return u.releaseAll(fx)
}

// releaseAll removes the files of chunks that were kept until now, and are not to be kept any more.
func (u *uploading) releaseAll(fx workflow.Fx) error {
	if u.keepsFiles() {
		return nil
	}
	return u.eachBlock(func(block []state.Chunk) error {
		return u.release(fx, slices.DeleteFunc(block, func(c state.Chunk) bool { return !workflow.ChunkMachine.In(c.State, workflow.ChunkUploaded) }))
	})
}

// keepsFiles tells whether the files stay when their chunks are uploaded.
func (u *uploading) keepsFiles() bool { return u.kit.Settings.KeepIntermediates || u.inPlace() }

func (u *uploading) eachBlock(fn func([]state.Chunk) error) error {
	return eachBlock(u.s.View, u.backup.Job, u.backup.Name, fn)
}

// exported is an error unless all of the backup is sealed. A chunk may have been discarded since the export was over:
// its file was gone when it was to be uploaded ahead, and whoever saw that had nobody to tell but the record.
func (u *uploading) exported() error {
	return u.s.View(func(tx *state.Tx) error {
		b, err := tx.MustBackup(u.backup.Job, u.backup.Name)
		if err == nil && workflow.BackupMachine.In(b.State, workflow.BackupExporting) {
			err = &workflow.Back{To: workflow.Export, Err: fmt.Errorf("a chunk of %s is not sealed any more", b.Name)}
		}
		return err
	})
}

// chunks are all of them, without what only the export and the index ask for: there may be a hundred thousand.
func (u *uploading) chunks() (chunks []state.Chunk, err error) {
	err = u.eachBlock(func(block []state.Chunk) error {
		for _, c := range block {
			c.Resume, c.Entry = nil, nil
			chunks = append(chunks, c)
		}
		return nil
	})
	return chunks, err
}

// put stores a chunk file. Something else under the chunk's own name in this backup's folder is what a
// killed upload, or a fault of the store, left there: it was never seen whole, and makes way.
func (u *uploading) put(ctx context.Context, fx workflow.Fx, c state.Chunk, fresh bool, progress func(int64)) error {
	name := path.Join(u.backup.Name, c.Name)
	from := remote.Source{Path: inDir(u.backup, c.Name), Size: c.Size, Hashes: hashesOf(c), Fresh: fresh}
	err := u.place.Put(ctx, fx, name, from, progress)
	var conflict *remote.Conflict
	if !errors.As(err, &conflict) {
		return err
	}
	u.s.Log().Warn("something else lies under the name of a chunk, and is replaced", "name", name, "err", err)
	if err := u.clear(ctx, fx, name); err != nil {
		return err
	}
	return u.place.Put(ctx, fx, name, from, progress)
}

// clear deletes what lies under a name of this backup's and is not what belongs there. The error is errStays (wrapped) where nothing
// may be deleted.
func (u *uploading) clear(ctx context.Context, fx workflow.Fx, name string) error {
	err := u.place.Delete(ctx, fx, name)
	if errors.Is(err, remote.ErrDenied) {
		err = fmt.Errorf("%w: %w", errStays, err)
	}
	return err
}

// errStays is the error of an object that is in the way at a store that lets nothing be deleted.
var errStays = errors.New("something else lies under its name, and stays there")

// stat looks for one chunk by itself.
func (u *uploading) stat(ctx context.Context, c state.Chunk) (o remote.Object, there bool, err error) {
	err = u.kit.retry(ctx, func(ctx context.Context) (err error) {
		o, err = u.place.Stat(ctx, u.s.Look(), path.Join(u.backup.Name, c.Name), u.hash)
		there = err == nil
		if errors.Is(err, remote.ErrNotThere) {
			err = nil
		}
		return err
	})
	return o, there, err
}
