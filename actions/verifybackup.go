package actions

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// verifying is a verification at work. It only looks: what it fetches goes into files without a name.
type verifying struct {
	kit     *Kit
	look    workflow.Look
	remote  remote.Remote
	catalog *catalog.Catalog
	sealer  chunk.Sealer
	level   Level
	scratch *scratch
	fetcher *fetcher
	drill   *drill // of level received
	// only, if not nil, has the chunks that are looked at, by backup.
	only map[string][]int
	// messages are what those of the Python tool were that this process has proved, by backup.
	messages map[string]message
	// progress, if not nil, is told how many bytes of a backup's chunks are proved.
	progress func(done, total int64, estimated bool)
}

func (k *Kit) verifying(ctx context.Context, look workflow.Look, r remote.Remote, level Level) (*verifying, error) {
	c, err := k.OpenCatalog(ctx, look, r)
	if err != nil {
		return nil, err
	}
	if err := c.Unlock(k.Settings.Encryption); err != nil {
		return nil, err
	}
	return k.verifyingIn(c, level), nil
}

func (k *Kit) verifyingIn(c *catalog.Catalog, level Level) *verifying {
	return &verifying{kit: k, look: c.Look, remote: c.Remote, catalog: c, sealer: c.Sealer(), level: level}
}

// clearSpools removes from a folder what a verification left there when it was killed: folders whose names begin with
// the prefix, in which nothing is but files that were made and had not yet lost their names.
func clearSpools(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			err = errors.Join(err, clearScratch(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// openSpool makes the folder in which chunks lie until they are proved, two at a time.
func (v *verifying) openSpool(dir, prefix string) (err error) {
	if err := clearSpools(dir, prefix); err != nil {
		v.kit.Log.Warn("left by a verification that was killed", "err", err)
	}
	if v.scratch, err = openScratch(dir, prefix); err != nil {
		return fmt.Errorf("spool folder: %w", err)
	}
	v.fetcher = &fetcher{kit: v.kit, world: v.look, remote: v.remote, scratch: v.scratch, full: "a verification needs room there for two chunks"}
	return nil
}

func (v *verifying) close() error { return v.scratch.close() }

// backup verifies one. RECORD is what this host knows of it, or nil; L is where it stands what is proved already.
// What is wrong is in the verdict; an error means that it could not be looked at. Of what is in cold storage nothing is known,
// nor, where that would be kept, of what a union does not show.
func (v *verifying) backup(ctx context.Context, name string, record *state.Backup, l *ledgerOf) (Verdict, error) {
	verdict, err := v.judge(ctx, name, record, l)
	if errors.Is(err, remote.ErrArchived) {
		if len(verdict.Bad) == 0 {
			verdict.Skipped = remote.ErrArchived.Error()
		}
		err = nil
	}
	if err != nil || l == nil || len(verdict.Bad) == 0 || verdict.present > 0 {
		return verdict, err
	}
	part, err := v.kit.showsPart(ctx, v.look, v.remote)
	if part {
		verdict.Bad, verdict.More = nil, 0
		verdict.Skipped = fmt.Sprintf("not shown as a whole by %s, a union, of which a remote may be away", v.remote)
	}
	return verdict, err
}

func (v *verifying) judge(ctx context.Context, name string, record *state.Backup, l *ledgerOf) (Verdict, error) {
	verdict := Verdict{Backup: name, Level: v.level}
	e, err := v.catalog.Entry(ctx, name)
	if err != nil {
		return verdict, err
	}
	file, kind := manifest.FileName(v.sealer.Kind()), v.sealer.Kind()
	if record != nil {
		file, kind = manifestName(*record), settings.Encryption(record.Encryption)
	}
	switch {
	case errors.Is(e.Why, catalog.ErrPython):
		return v.python(ctx, name, l)
	case record == nil && errors.Is(e.Why, catalog.ErrNotCommitted):
		verdict.Skipped = e.Why.Error()
		return verdict, nil
	case record != nil && workflow.BackupMachine.In(record.State, workflow.BackupExpired):
		verdict.Skipped, verdict.Gone = "no backup on record any more: it was pruned, or was seen to be gone, since this was begun", true
		return verdict, nil
	case record != nil && record.Going && (errors.Is(e.Why, catalog.ErrGone) || errors.Is(e.Why, catalog.ErrNotCommitted)):
		verdict.Skipped, verdict.Gone = "a prune-remote that was cut off has begun to delete it", true
		return verdict, nil
	case errors.Is(e.Why, catalog.ErrGone):
		verdict.found("", "%v", e.Why)
		return verdict, nil
	case errors.Is(e.Why, catalog.ErrNotCommitted):
		verdict.found(file, catalog.Absent)
		return verdict, nil
	case record != nil && e.SHA256 != "" && e.SHA256 != record.ManifestSHA256:
		verdict.found(file, "is another than was stored: SHA-256 is %s instead of %s", e.SHA256, record.ManifestSHA256)
		return verdict, nil
	case e.Manifest == nil && record != nil && e.SHA256 != "":
		verdict.Skipped = "sealed with another passphrase, so that nothing of it can be proved with this one"
		return verdict, nil
	case errors.Is(e.Why, remote.ErrArchived):
		return verdict, e.Why
	case kind != v.sealer.Kind() && errors.Is(e.Why, catalog.ErrOtherKind):
		verdict.Skipped = fmt.Sprintf("stored with encryption %s, so that nothing of it can be proved where the config says %s", kind, v.sealer.Kind())
		return verdict, nil
	case e.Manifest == nil:
		verdict.found(file, "%v", e.Why)
		return verdict, nil
	}
	if record == nil {
		if _, err := v.catalog.Manifests(ctx, name); err != nil {
			if ctx.Err() != nil || errors.Is(err, remote.ErrArchived) {
				return verdict, err
			}
			verdict.found("", "%v", err)
		}
	}
	m := e.Manifest
	verdict.Of = len(m.Chunks)
	absent := map[int]bool{}
	for c, lacks := range e.Lacking() {
		absent[c.N] = true
		verdict.found(c.Name, "%s", lacks)
	}
	if verdict.Index, err = v.index(ctx, e); err != nil {
		return verdict, err
	}
	if v.level == Listed {
		verdict.Chunks, verdict.Bytes = len(m.Chunks)-len(absent), present(m, absent)
		return verdict, nil
	}
	if v.level == Received && len(absent) == 0 {
		err := v.drill.backup(ctx, m, &verdict)
		return verdict, err
	}
	return v.chunks(ctx, m, absent, verdict, l)
}

// index says what is wrong with a backup's index, as far as the level asks, or nothing. A sample has none of it but its size.
func (v *verifying) index(ctx context.Context, e *catalog.Entry) (wrong string, err error) {
	x := e.Manifest.Index
	if x == nil {
		return "", nil
	}
	have, ok := e.Objects[x.Name]
	switch {
	case !ok:
		return catalog.Absent, nil
	case have.Size >= 0 && have.Size != x.Size:
		return fmt.Sprintf("has %d bytes instead of %d", have.Size, x.Size), nil
	case v.level == Listed || v.only != nil:
		return "", nil
	}
	sealer := v.sealer
	if v.level == Hashed {
		sealer = nil
	}
	return checkIndex(ctx, v.fetcher, e.Manifest, sealer)
}

func present(m *manifest.Manifest, absent map[int]bool) (bytes int64) {
	for _, c := range m.Chunks {
		if !absent[c.N] {
			bytes += c.Size
		}
	}
	return bytes
}

// bytes is how much is looked at.
func (v *verifying) bytes(m *manifest.Manifest, absent map[int]bool) (bytes int64) {
	if v.only == nil {
		return present(m, absent)
	}
	for _, n := range v.only[m.Name] {
		if n < len(m.Chunks) && !absent[n] {
			bytes += m.Chunks[n].Size
		}
	}
	return bytes
}

// chunks proves those that are listed.
func (v *verifying) chunks(ctx context.Context, m *manifest.Manifest, absent map[int]bool, verdict Verdict, l *ledgerOf) (Verdict, error) {
	p := &proving{verifying: v, manifest: m, verdict: &verdict, ledger: l, total: v.bytes(m, absent), stream: newStreamCheck(m)}
	done, err := p.takeUp()
	if err != nil {
		return verdict, err
	}
	var todo []manifest.Chunk
	for _, c := range m.Chunks {
		if !absent[c.N] && !done[c.N] && (v.only == nil || slices.Contains(v.only[m.Name], c.N)) {
			todo = append(todo, c)
		}
	}
	if v.level == Hashed {
		if todo, err = p.askStore(ctx, todo); err != nil {
			return verdict, err
		}
	}
	if err := p.fetchAll(ctx, todo); err != nil {
		return verdict, err
	}
	if p.follows() && len(verdict.Bad) == 0 {
		if err := p.stream.judge(m); err != nil {
			verdict.found("", "its stream: %v", err)
		}
	}
	return verdict, nil
}

// proving is the proof of one backup's chunks.
type proving struct {
	*verifying
	manifest *manifest.Manifest
	verdict  *Verdict
	ledger   *ledgerOf
	total    int64 // bytes of all chunks that are listed
	stream   *streamCheck
}

// follows tells whether all of the stream goes by.
func (p *proving) follows() bool { return p.level != Hashed && p.only == nil }

// takeUp reads what an earlier process of this verification has proved.
func (p *proving) takeUp() (done map[int]bool, err error) {
	done = map[int]bool{}
	var flown []byte
	err = p.ledger.each(func(r state.Verified) {
		n := *r.Chunk
		if n >= len(p.manifest.Chunks) {
			return
		}
		c := p.manifest.Chunks[n]
		done[n], flown = true, r.Stream
		if r.Bad != "" {
			p.verdict.found(c.Name, "%s", r.Bad)
		} else {
			p.verdict.Chunks, p.verdict.Bytes = p.verdict.Chunks+1, p.verdict.Bytes+c.Size
		}
	})
	if err != nil || len(done) == 0 || !p.follows() || len(p.verdict.Bad) > 0 {
		return done, err
	}
	if err := p.stream.UnmarshalBinary(flown); err != nil { // another version of this program kept it
		p.kit.Log.Info("the backup is looked at from its beginning again", "backup", p.manifest.Name, "err", err)
		p.stream, p.verdict.Chunks, p.verdict.Bytes = newStreamCheck(p.manifest), 0, 0
		return map[int]bool{}, nil
	}
	return done, nil
}

// proved puts a chunk on record.
func (p *proving) proved(c manifest.Chunk, bad string) error {
	if bad != "" {
		p.verdict.found(c.Name, "%s", bad)
	} else {
		p.verdict.Chunks, p.verdict.Bytes = p.verdict.Chunks+1, p.verdict.Bytes+c.Size
	}
	if p.progress != nil {
		p.progress(p.verdict.Bytes, p.total, false)
	}
	var flown []byte
	if p.follows() && len(p.verdict.Bad) == 0 {
		var err error
		if flown, err = p.stream.MarshalBinary(); err != nil {
			return err
		}
	}
	return p.ledger.put(c.N, bad, flown)
}

// fetchAll fetches chunks and proves each. One that is not what it should be is fetched once more: what was disturbed on
// its way is not bad.
func (p *proving) fetchAll(ctx context.Context, todo []manifest.Chunk) error {
	fetching, stop := context.WithCancel(ctx)
	chunks := p.fetcher.ahead(fetching, p.wanted(todo), isVerdict)
	defer drain(chunks)
	defer stop() // runs first
	for _, c := range todo {
		var got fetched
		select {
		case got = <-chunks:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if got.file == nil && got.err == nil {
			return errNoMore
		}
		err := p.prove(ctx, c, got)
		if isVerdict(err) {
			p.kit.Log.Info("fetched once more", "backup", p.manifest.Name, "chunk", c.N, "err", err)
			file, gerr := p.fetcher.get(ctx, wanted{p.manifest.Name, c})
			err = p.prove(ctx, c, fetched{file, gerr})
		}
		bad := ""
		if isVerdict(err) {
			bad = err.Error()
		} else if err != nil {
			return fmt.Errorf("chunk %d of %s, %s: %w", c.N, p.manifest.Name, c.Name, err)
		}
		if err := p.proved(c, bad); err != nil {
			return err
		}
	}
	return nil
}

func (p *proving) wanted(todo []manifest.Chunk) iter.Seq[wanted] {
	return func(yield func(wanted) bool) {
		for _, c := range todo {
			if !yield(wanted{p.manifest.Name, c}) {
				return
			}
		}
	}
}

// isVerdict tells what says something about a chunk from what only says that it could not be looked at.
func isVerdict(err error) bool {
	if err == nil || chunk.CouldNotRun(err) {
		return false
	}
	for _, verdict := range []error{chunk.ErrDiffers, chunk.ErrPassphrase, remote.ErrNotThere, remote.ErrTooBig, remote.ErrDamaged} {
		if errors.Is(err, verdict) {
			return true
		}
	}
	return false
}

// prove proves a chunk as the level demands. What comes out of it flows on only where the file was proved.
func (p *proving) prove(ctx context.Context, c manifest.Chunk, got fetched) error {
	if got.err != nil {
		return got.err
	}
	defer got.file.Close()
	cipher := chunk.Digest{Size: c.Size, SHA256: c.SHA256}
	if p.level == Hashed {
		return chunk.CheckFile(ctx, got.file, cipher)
	}
	before, err := p.stream.MarshalBinary()
	if err != nil {
		return err
	}
	err = chunk.OpenFile(ctx, got.file, cipher, chunk.Digest{Size: c.Plain, SHA256: c.PlainSHA256}, p.sealer, p.stream)
	if err != nil {
		err = errors.Join(err, p.stream.UnmarshalBinary(before))
	}
	return err
}
