package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// A backup of the Python tool has no manifest that would say what should be there. Names and sizes tell of pieces that are
// missing and of an older export behind the end; the message itself tells, once it is opened to its end, whether all of it is
// what was sealed, and the stream in it by its own sums. Once that was proved, each piece's SHA-256 is kept: from then on
// `hashed` tells of each piece, and what is found wrong is named to the piece.

// python verifies a backup of the Python tool. See verifying.backup.
func (v *verifying) python(ctx context.Context, name string, l *ledgerOf) (Verdict, error) {
	verdict := Verdict{Backup: name, Level: v.level, Message: true}
	m, err := v.catalog.PythonBackup(ctx, name)
	if odd, is := errors.AsType[*catalog.PieceError](err); is {
		verdict.found(odd.File, "%s", odd.What)
		return verdict, nil
	}
	if _, refused := errors.AsType[*catalog.Refusal](err); refused {
		verdict.Skipped = err.Error()
		return verdict, nil
	}
	if err != nil {
		return verdict, err
	}
	verdict.Of = len(m.Chunks)
	if odd, what := catalog.WrittenOver(m); what != "" {
		verdict.found(odd.Name, "%s", what)
		return verdict, nil
	}
	switch {
	case v.level == Listed:
		verdict.Chunks, verdict.Bytes = len(m.Chunks), m.Bytes()
		return verdict, nil
	case v.level == Received:
		verdict.Skipped = "made by the Python tool, of which no restore drills are made: --level decrypted, or restore it"
		return verdict, nil
	}
	sums, err := l.sums(m)
	if err != nil {
		return verdict, err
	}
	switch {
	case v.level == Hashed && sums == nil:
		verdict.Skipped = "made by the Python tool, and nothing tells yet what its pieces should be: --level decrypted finds out"
		return verdict, nil
	case v.level == Hashed:
		found, err := v.chunks(ctx, withPieces(m, sums), nil, verdict, l)
		found.Message = true
		return found, err
	case v.sealer.Kind() == settings.None:
		verdict.Skipped = "made by the Python tool, which encrypts, and encryption is none here: there is no passphrase for it"
		return verdict, nil
	}
	return v.opened(ctx, m, sums, verdict, l)
}

// opened opens the message into nothing. If it is not as it should be, it is fetched once more: what was disturbed on its way
// is not bad. Where SUMS says what the pieces should be, they are compared then, which names what is wrong.
func (v *verifying) opened(ctx context.Context, m *manifest.Manifest, sums []string, verdict Verdict, l *ledgerOf) (Verdict, error) {
	got, at, err := v.openMessage(ctx, m)
	if isVerdict(err) || isStreamVerdict(err) {
		v.kit.Log.Info("fetched once more", "backup", m.Name, "piece", at, "err", err)
		if sums != nil {
			closer := *v
			closer.level = Hashed
			found, herr := closer.chunks(ctx, withPieces(m, sums), nil, verdict, nil)
			if herr != nil || len(found.Bad) > 0 {
				found.Message = true
				return found, herr
			}
		}
		got, at, err = v.openMessage(ctx, m)
	}
	switch {
	case sums != nil && errors.Is(err, chunk.ErrPassphrase):
		verdict.Skipped = "its pieces are those that were proved before, and do not open: the passphrase is another now"
		return verdict, nil
	case isVerdict(err), isStreamVerdict(err):
		verdict.found(at, "%v", err)
		return verdict, nil
	case err != nil:
		return verdict, fmt.Errorf("%s: %w", m.Name, err)
	}
	verdict.Chunks, verdict.Bytes = len(m.Chunks), m.Bytes()
	if m.Kind == manifest.Incremental {
		base, to, err := v.pythonBase(ctx, m.Name, l)
		switch {
		case err != nil:
			return verdict, err
		case base == "":
			verdict.found("", "it is an incremental, and %s has no full that is older", v.remote)
			return verdict, nil
		case to != "" && to != got.From:
			verdict.found("", "its base has GUID %s, which is not %s: that has %s", got.From, base, to)
			return verdict, nil
		}
	}
	if v.messages == nil {
		v.messages = map[string]message{}
	}
	v.messages[m.Name] = got
	return verdict, nil
}

// openMessage fetches a message and opens it into nothing. AT is the piece at which something showed, if that is not the end.
func (v *verifying) openMessage(ctx context.Context, m *manifest.Manifest) (got message, at string, err error) {
	fetching, stop := context.WithCancel(ctx)
	files := v.fetcher.ahead(fetching, wantedOf(m), func(error) bool { return false })
	defer drain(files)
	defer stop() // runs first
	var done int64
	from := &pieces{of: m, hashes: true}
	from.take = func(ctx context.Context, c manifest.Chunk) (*os.File, error) {
		var got fetched
		select {
		case got = <-files:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		switch {
		case got.err != nil:
			return nil, got.err
		case got.file == nil:
			return nil, errNoMore
		}
		if err := rewind(got.file); err != nil {
			return nil, errors.Join(err, got.file.Close())
		}
		return got.file, nil
	}
	from.done = func(_ context.Context, c manifest.Chunk) error {
		if done += c.Size; v.progress != nil {
			v.progress(done, m.Bytes(), false)
		}
		return nil
	}
	from.read(ctx)
	defer from.close()
	got, err = proveMessage(ctx, v.kit.foreignGPG(v.look), from, func(w io.Writer) io.Writer { return w })
	if err == nil {
		return got, "", nil
	}
	if ctx.Err() != nil {
		return got, "", context.Cause(ctx)
	}
	switch c, all := from.at(); {
	case all && len(m.Chunks) > 1:
		err = fmt.Errorf("%w; it showed at the end: what is wrong may be in any piece", err)
	case c.N > 0:
		at, err = c.Name, fmt.Errorf("%w; it showed while this piece was read: what is wrong is in it, or before it", err)
	default:
		at = c.Name
	}
	return got, at, err
}

// pythonBase is the full that an incremental of the Python tool is based on, and its GUID, if it was proved. Without one the
// name is empty.
func (v *verifying) pythonBase(ctx context.Context, name string, l *ledgerOf) (base, guid string, err error) {
	base, err = v.catalog.PythonFull(ctx, name)
	if err != nil || base == "" {
		return base, "", err
	}
	if got, ok := v.messages[base]; ok || l == nil {
		return base, got.To, nil
	}
	err = l.view(func(tx *state.Tx) error {
		f, _, err := tx.Foreign(l.of.Job, base)
		guid = f.SnapshotGUID
		return err
	})
	return base, guid, err
}

// sums are the SHA-256 of a backup's pieces as they were proved, or nil where they were not, or of other pieces.
func (l *ledgerOf) sums(m *manifest.Manifest) (sums []string, err error) {
	if l == nil {
		return nil, nil
	}
	err = l.view(func(tx *state.Tx) error {
		f, known, err := tx.Foreign(l.of.Job, m.Name)
		if err != nil || !known || f.Pieces != len(m.Chunks) {
			return err
		}
		return tx.VerifiedChunks(l.of.Job, m.Name, string(Decrypted), func(v state.Verified) error {
			if v.SHA256 != "" && *v.Chunk == len(sums) {
				sums = append(sums, v.SHA256)
			}
			return nil
		})
	})
	if len(sums) != len(m.Chunks) {
		sums = nil
	}
	return sums, err
}

// verifiedForeign stores what a verification of a backup of the Python tool came to. GOT is what its message was, if it was
// proved; what was known of it before stays, since it tells what the pieces should be.
func verifiedForeign(tx *state.Tx, whole state.Verified, got *message) error {
	f, _, err := tx.Foreign(whole.Job, whole.Backup)
	if err != nil {
		return err
	}
	f.Job, f.Name = whole.Job, whole.Backup
	f.Verified = maps.Clone(f.Verified)
	if f.Verified == nil {
		f.Verified = map[string]state.Finding{}
	}
	f.Verified[whole.Level] = state.Finding{At: whole.At, Bad: whole.Bad}
	if whole.Level != string(Decrypted) || got != nil {
		if err := tx.DropVerifiedChunks(whole.Job, whole.Backup, whole.Level); err != nil {
			return err
		}
	}
	if got != nil {
		f.Pieces, f.Bytes, f.SnapshotGUID, f.BaseGUID = len(got.Pieces), whole.Bytes, got.To, got.From
		for n, sum := range got.Pieces {
			piece := whole
			piece.Chunk, piece.SHA256, piece.Chunks, piece.Bytes = &n, sum, 0, 0
			if err := tx.PutVerified(piece); err != nil {
				return err
			}
		}
	}
	return errors.Join(tx.PutVerified(whole), tx.PutForeign(f))
}

// pythonsToVerify are the Python tool's backups that are meant, the oldest first: those that are NAMED, by folder or stamp, which
// no record knows, and what they are based on; or, where all are meant, all that no record knows. The error is a refusal where
// a name is none. In a part of the chunks, and in a restore drill, there is none unless it is named.
func (k *Kit) pythonsToVerify(ctx context.Context, look workflow.Look, view viewer, f state.Frozen, job string, q VerifyRequest, named []string) ([]string, error) {
	all := q.All && !q.limited() && q.Level != Received
	if len(named) == 0 && !all {
		return nil, nil
	}
	place, _, err := k.placeToVerify(view, f, job)
	if err != nil {
		return nil, err
	}
	v, err := k.verifying(ctx, look, place, q.Level)
	if errors.Is(err, remote.ErrNotThere) && all {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	picked := map[string]bool{}
	for _, name := range named {
		folder, err := pythonNamed(ctx, v.catalog, q, name)
		if err != nil {
			return nil, err
		}
		base, err := v.catalog.PythonFull(ctx, folder)
		if err != nil {
			return nil, err
		}
		picked[folder] = true
		if base != "" {
			picked[base] = true
		}
	}
	if all {
		_, backups, err := jobOf(view, job)
		if err != nil {
			return nil, err
		}
		for _, name := range v.catalog.Folders {
			if slices.ContainsFunc(backups, func(b state.Backup) bool { return b.Name == name }) {
				continue
			}
			e, err := v.catalog.Entry(ctx, name)
			if err != nil {
				return nil, err
			}
			if e.Python {
				picked[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(picked)), nil
}

// pythonNamed is the folder of the Python tool that is named, by its stamp or as a whole.
func pythonNamed(ctx context.Context, c *catalog.Catalog, q VerifyRequest, name string) (string, error) {
	folder, ok := c.Folder(name)
	python := false
	if ok {
		e, err := c.Entry(ctx, folder)
		if err != nil {
			return "", err
		}
		python = e.Python
	}
	switch {
	case !python:
		return "", refuse("no committed backup %s is on record, and %s has none of the Python tool by that name", name, c.Remote)
	case q.limited():
		return "", refuse("%s is one message of the Python tool, of which no part can be looked at", folder)
	}
	return folder, nil
}

// placeToVerify is where a job's backups are. Before the job has stored anything there, its marker is not there either, but what
// the Python tool left may be: then OWN is nil.
func (k *Kit) placeToVerify(view viewer, f state.Frozen, job string) (r remote.Remote, own *remote.Place, err error) {
	j, _, err := jobOf(view, job)
	if err != nil {
		return nil, nil, err
	}
	if !j.Used {
		r, err = k.Remote(placeName(f))
		return r, nil, err
	}
	own, err = k.Place(f, job)
	return own, own, err
}

// foreignVerdict is what is stored of what the Python tool made, of which nothing else is on record.
func (v *verifying) foreignVerdict(tx *state.Tx, whole state.Verified, verdict Verdict) error {
	if got, ok := v.messages[whole.Backup]; ok && v.level == Decrypted && len(verdict.Bad) == 0 {
		return verifiedForeign(tx, whole, &got)
	}
	return verifiedForeign(tx, whole, nil)
}
