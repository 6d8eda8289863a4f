package actions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"zfs2cloud/actions/remote"
	"zfs2cloud/state"
	"zfs2cloud/state/durable"
	"zfs2cloud/workflow"
)

// uploader brings chunks to their place, a few at once, while whoever offers them goes on. A chunk goes
// through two hands: a worker stores it, and a checker sees it there, asking for all that were stored
// meanwhile at once, since what is fixed per question is the enemy of small chunks. The chunk's record tells
// how far it is at any moment: sealed, uploading, uploaded, released.
type uploader struct {
	*uploading
	fx     workflow.Fx
	cancel context.CancelFunc
	taken  map[string]bool // names that a listing showed when it began
	reads  bool            // the place reads an object to tell its hash

	mu      sync.Mutex
	turn    *sync.Cond
	offered []offered     // waiting for a worker
	stored  []state.Chunk // waiting to be seen
	closed  bool          // nothing more is offered
	storing int           // workers that may still store something
	waiting int64         // bytes of chunk files that are offered and not yet seen
	total   int64         // bytes of all that were offered or are there already
	seen    int64         // bytes that are there
	moving  map[int]int64 // bytes that are under way, by number
	err     error         // the first: nothing more is begun
	over    sync.WaitGroup
}

// offered is what is kept of a chunk until it is its turn: then its record says how far it is.
type offered struct {
	n, gen int
	name   string
	size   int64
	seen   bool
}

func offering(c state.Chunk) offered {
	return offered{n: c.N, gen: c.Gen, name: c.Name, size: c.Size, seen: seen(c)}
}

// begin lists the folder and starts the workers. They end with finish or stop.
func (u *uploading) begin(ctx context.Context, fx workflow.Fx) (*uploader, error) {
	p := &uploader{uploading: u, fx: fx, moving: map[int]int64{}}
	p.turn = sync.NewCond(&p.mu)
	p.taken, u.shown = u.shown, nil // another round lists again what this one stored
	if !u.inPlace() && p.taken == nil {
		there, err := u.kit.listing(ctx, u.s.Look(), u.place, u.backup.Name)
		if err != nil {
			return nil, err
		}
		p.taken = namesOf(there)
	}
	if err := p.asksHow(ctx); err != nil {
		return nil, err
	}
	ctx, p.cancel = context.WithCancel(ctx)
	context.AfterFunc(ctx, p.wake)
	p.storing = u.kit.uploadJobs()
	for range p.storing {
		p.over.Go(func() { p.work(ctx) })
	}
	p.over.Go(func() { p.check(ctx) })
	return p, nil
}

// asksHow looks what it costs the place to tell a hash.
func (p *uploader) asksHow(ctx context.Context) error {
	if p.hash == "" {
		return nil
	}
	return p.kit.retry(ctx, func(ctx context.Context) error {
		kept, err := p.place.KeepsHash(ctx, p.s.Look())
		p.reads = !kept
		return err
	})
}

// uploadJobs is how many chunks are uploaded at once. A limit of bandwidth or of requests is each rclone's own, so that with one
// there is one.
func (k *Kit) uploadJobs() int {
	c := k.Settings
	limits := func(flag string) bool {
		name, _, _ := strings.Cut(flag, "=")
		return name == "--bwlimit" || name == "--tpslimit"
	}
	if c.RcloneBwlimit != "" || slices.ContainsFunc(slices.Concat(c.RcloneObjectGlobal, c.RcloneObjectArgs), limits) {
		return 1
	}
	return c.UploadJobs
}

func (p *uploader) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn.Broadcast()
}

// offer hands in a chunk of the backup. One that is there already only counts.
func (p *uploader) offer(c offered) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total += c.size
	if c.seen {
		p.seen += c.size
	} else {
		p.offered = append(p.offered, c)
		p.waiting += c.size
	}
	p.turn.Broadcast()
}

// room waits until so many more bytes of chunk files may lie here. NARROW says whether they may not, given how
// many wait for their upload. If nothing is uploaded any more, there is no use in waiting.
func (p *uploader) room(ctx context.Context, narrow func(waiting int64) bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.waiting > 0 && narrow(p.waiting) {
		if err := errors.Join(p.err, ctx.Err()); err != nil {
			return fmt.Errorf("no room for another chunk until those that are sealed are uploaded: %w", err)
		}
		p.turn.Wait()
	}
	return nil
}

// unseen is how many bytes of chunk files were offered and not yet seen at their place.
func (p *uploader) unseen() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting
}

// finish waits until all that was offered is there.
func (p *uploader) finish() error {
	p.mu.Lock()
	p.closed = true
	p.turn.Broadcast()
	p.mu.Unlock()
	p.over.Wait()
	p.cancel()
	return p.err
}

// stop ends the uploads under way. What was not seen to be there is uploaded again.
func (p *uploader) stop() {
	p.cancel()
	p.over.Wait()
}

// fail keeps the first error. Nothing more is begun then; what is under way comes to its end, and is seen.
func (p *uploader) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
	p.turn.Broadcast()
}

// work stores chunks until there are no more.
func (p *uploader) work(ctx context.Context) {
	defer func() {
		p.mu.Lock()
		p.storing--
		p.turn.Broadcast()
		p.mu.Unlock()
	}()
	for {
		o, ok := p.next(ctx)
		if !ok {
			return
		}
		c, err := p.onRecord(o)
		if err == nil {
			c, err = p.store(ctx, c)
		}
		if err != nil {
			p.fail(fmt.Errorf("chunk %d: %w", o.n, err))
			return
		}
		p.mu.Lock()
		p.stored = append(p.stored, c)
		p.turn.Broadcast()
		p.mu.Unlock()
	}
}

// onRecord reads a chunk that was offered.
func (p *uploader) onRecord(o offered) (c state.Chunk, err error) {
	err = p.s.View(func(tx *state.Tx) error {
		var ok bool
		c, ok, err = tx.Chunk(p.backup.Job, p.backup.Name, o.n, o.gen)
		if err == nil && !(ok && stands(c)) {
			err = fmt.Errorf("%s is not on record any more", o.name)
		}
		return err
	})
	return c, err
}

func (p *uploader) next(ctx context.Context) (offered, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.offered) == 0 && !p.closed && p.err == nil && ctx.Err() == nil {
		p.turn.Wait()
	}
	if p.err == nil {
		p.err = ctx.Err()
	}
	if len(p.offered) == 0 || p.err != nil {
		return offered{}, false
	}
	c := p.offered[0]
	p.offered = p.offered[1:]
	return c, true
}

// store brings a chunk from sealed to uploading, and stores it. One that is found uploading, after a crash, goes
// on there: its file is looked at as that of a sealed one is, and Put looks before it sends.
func (p *uploader) store(ctx context.Context, c state.Chunk) (state.Chunk, error) {
	fresh, unread := false, p.hash == ""
	if workflow.ChunkMachine.In(c.State, workflow.ChunkSealed) {
		if !p.inPlace() {
			if err := p.haveFile(ctx, p.fx, &c); err != nil {
				return c, err
			}
		}
		unread = false
		err := p.fx.Note(func(tx *state.Tx, _ *state.Run) error {
			_, err := moveChunk(tx, &c, workflow.ChunkUpload)
			return err
		})
		if err != nil {
			return c, err
		}
		fresh = !p.taken[c.Name]
	}
	if p.inPlace() {
		return c, nil
	}
	if there, err := p.went(ctx, c, unread); there || err != nil {
		return c, err
	}
	err := p.kit.retry(ctx, firstFresh(fresh, func(ctx context.Context, fresh bool) error {
		return p.put(ctx, p.fx, c, fresh, func(n int64) { p.progress(c.N, n) })
	}))
	if errors.Is(err, errStays) {
		err = p.sealAgain(p.fx, err, c) // which gives it another name
	}
	return c, err
}

// went tells whether a chunk went up before its file was lost, or changed: then that can't be sent again, and need not
// be. A file is changed that has another size, or, WHOLLY, any other byte.
func (p *uploader) went(ctx context.Context, c state.Chunk, wholly bool) (bool, error) {
	if whole, err := p.kit.fileIs(ctx, p.backup, c, wholly); err != nil || whole {
		return false, err
	}
	o, there, err := p.stat(ctx, c)
	if err != nil {
		return false, err
	}
	if same, _ := o.Matches(c.Size, hashesOf(c)); there && same {
		return true, nil
	}
	return false, p.lost(ctx, p.fx, goneOrChanged(p.backup, c), c)
}

func (p *uploader) progress(n int, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moving[n] = bytes
	p.report()
}

// report tells whoever watches, with the lock held.
func (p *uploader) report() {
	done := p.seen
	for _, n := range p.moving {
		done += n
	}
	total, estimated := p.total, false
	if !p.closed {
		total, estimated = max(total, p.backup.Estimate), true
	}
	p.s.Progress(done, total, estimated)
}

// check sees that what was stored is there.
func (p *uploader) check(ctx context.Context) {
	for {
		batch := p.batch(ctx)
		if len(batch) == 0 {
			return
		}
		if err := p.see(ctx, batch); err != nil {
			p.fail(err)
			return
		}
	}
}

// batch is what was stored meanwhile, or nothing at the end: all of it, or, where it is read for the answer, so much that the
// answer comes before the silence is taken for a hang.
func (p *uploader) batch(ctx context.Context) []state.Chunk {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.stored) == 0 && p.storing > 0 && ctx.Err() == nil {
		p.turn.Wait()
	}
	if ctx.Err() != nil {
		return nil
	}
	n, bytes := len(p.stored), int64(0)
	if p.reads {
		n = 0
		for n < len(p.stored) && (n == 0 || bytes+p.stored[n].Size <= askBytes) {
			bytes, n = bytes+p.stored[n].Size, n+1
		}
	}
	batch := p.stored[:n:n]
	p.stored = p.stored[n:]
	return batch
}

// see asks for some chunks at once, and stores that they are there. One that is not goes back.
func (p *uploader) see(ctx context.Context, batch []state.Chunk) error {
	names := make([]string, len(batch))
	for i, c := range batch {
		names[i] = c.Name
	}
	var there map[string]remote.Object
	err := p.kit.retry(ctx, func(ctx context.Context) (err error) {
		there, err = p.place.StatSome(ctx, p.s.Look(), p.backup.Name, names, p.hash)
		return err
	})
	if err != nil {
		return err
	}
	for _, c := range batch {
		o, ok := there[c.Name]
		if !ok {
			// Not there, or not looked for: only asking for it by itself tells.
			if o, ok, err = p.stat(ctx, c); err != nil {
				return err
			}
		}
		if ok {
			if ok, err = p.arrived(ctx, o, c); err != nil {
				return err
			}
		}
		if !ok {
			return p.lost(ctx, p.fx, fmt.Errorf("%s at %s: %w", path.Join(p.backup.Name, c.Name), p.place, errLost), c)
		}
	}
	if err := p.noteSeen(batch); err != nil {
		return err
	}
	if p.kit.Settings.KeepIntermediates {
		for _, c := range batch {
			uncache(p.backup, c.Name)
		}
	}
	return p.release(p.fx, batch)
}

// arrived tells whether an object is a chunk as it was sealed. A store that has hashes may have none of this one (of what
// came in parts, say): then nobody has compared what was sent, and its file is read as a whole.
func (p *uploader) arrived(ctx context.Context, o remote.Object, c state.Chunk) (bool, error) {
	same, hashed := o.Matches(c.Size, hashesOf(c))
	if !same || hashed || p.hash == "" {
		return same, nil
	}
	return p.kit.fileIs(ctx, p.backup, c, true)
}

func (p *uploader) noteSeen(batch []state.Chunk) error {
	err := p.fx.Note(func(tx *state.Tx, r *state.Run) error {
		for i := range batch {
			b, err := moveChunk(tx, &batch[i], workflow.ChunkSeen)
			if err != nil {
				return err
			}
			r.High.Raise(state.Progress{Uploaded: b.Sums.Uploaded})
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range batch {
		delete(p.moving, c.N)
		p.seen += c.Size
		p.waiting -= c.Size
	}
	p.report()
	p.turn.Broadcast()
	return nil
}

// uncache lets the application's data have the memory that a chunk file has.
func uncache(b state.Backup, name string) {
	if f, err := os.Open(inDir(b, name)); err == nil {
		durable.Uncache(f)
		_ = f.Close() // of a file that was only read
	}
}

// release removes the files of chunks that are uploaded, where they are not to be kept.
func (u *uploading) release(fx workflow.Fx, chunks []state.Chunk) error {
	if u.keepsFiles() || len(chunks) == 0 {
		return nil
	}
	there, err := removeFiles(u.backup, func(yield func(string) bool) {
		for _, c := range chunks {
			if !yield(c.Name) {
				return
			}
		}
	})
	if err != nil || !there {
		return err
	}
	return fx.Note(func(tx *state.Tx, _ *state.Run) error {
		for _, c := range chunks {
			if _, err := moveChunk(tx, &c, workflow.ChunkRelease); err != nil {
				return err
			}
		}
		return nil
	})
}
