package actions

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/state/crash"
	"zfs2cloud/state/durable"
	"zfs2cloud/workflow"
)

// sealed is what is known of a stream that was sealed to its end.
type sealed struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	How    string `json:"how,omitempty"` // it went on after it had been cut off
}

// errPrefix: the stream's beginning is not what was sealed.
var errPrefix = errors.New("the stream differs from what was sealed of it")

// sealStream is the export's long effect: one zfs send, many chunks. Each chunk has its own record, so a
// stored result of the whole is not asked for: what is left to do, the chunks tell. HOW it went on after it had been cut
// off, if it had, is for people.
func (k *Kit) sealStream(ctx context.Context, s *workflow.Session) (how string, err error) {
	if b, err := k.backupOf(s); err != nil || !workflow.BackupMachine.In(b.State, workflow.BackupExporting) {
		return "", err
	}
	done, err := workflow.Once(ctx, s, workflow.Effect[sealed]{
		Name: "send", Afresh: true,
		Do: func(ctx context.Context, fx workflow.Fx) (sealed, error) { return k.continueStream(ctx, s, fx) },
		Result: func(tx *state.Tx, r *state.Run, done sealed) error {
			b, err := tx.MustBackup(r.Job, r.Backup)
			if err != nil {
				return err
			}
			b.StreamBytes, b.StreamSHA256 = done.Bytes, done.SHA256
			if b.Sums.PlainSealed != done.Bytes {
				return tx.PutBackup(b) // a chunk was lost this very moment; the upload reopens the export
			}
			if err := workflow.BackupMachine.Fire(tx, &b.State, workflow.BackupExport); err != nil {
				return err
			}
			return tx.PutBackup(b)
		},
	})
	return done.How, err
}

// continueStream is the one place where it is decided how an export goes on after it was cut off: the send is
// continued behind what was sealed, or all of it is sent again, and what was sealed of it is proved to be its beginning
// (begin). If it differs, the chunks before the first difference stay and the rest is sealed anew, in a new generation; a
// second time, a person has to look.
func (k *Kit) continueStream(ctx context.Context, s *workflow.Session, fx workflow.Fx) (sealed, error) {
	var notOn error // why the send can't be continued, once that was tried
	for {
		k.stopAhead() // else it might discard a chunk that has just been read here as sealed
		x, err := k.newExport(s, fx)
		if err != nil {
			return sealed{}, err
		}
		x.notOn = notOn
		before, _, err := x.sealedBefore()
		if err != nil {
			return sealed{}, err
		}
		done, err := x.send(ctx)
		if err == nil {
			holes, err := x.holes()
			if err == nil && holes {
				k.finishAhead(s)
				err = &workflow.Back{To: workflow.Export, Err: fmt.Errorf("a sealed chunk of %s was lost while the export went on", x.backup.Name)}
			}
			return done, err
		}
		k.stopAhead()
		useless, uerr := x.onIsUseless(ctx, err, before)
		if uerr != nil {
			return done, errors.Join(err, uerr)
		}
		if useless {
			s.Log().Warn("the send could be continued, and then failed", "err", err)
			notOn = err
			continue
		}
		if !errors.Is(err, errPrefix) {
			return done, err
		}
		s.Log().Warn("the snapshot does not give the same stream again; what differs is sealed anew", "err", err)
		if s.Run().StartOvers >= maxStartOvers {
			return sealed{}, &workflow.Jammed{Err: err}
		}
		if err := x.startOver(); err != nil {
			return sealed{}, err
		}
	}
}

const maxStartOvers = 1

// holes tells whether a chunk was discarded behind the export's back: its file was gone when it was to be
// uploaded.
func (x *streamExport) holes() (bool, error) {
	sealed := 0
	err := x.s.View(func(tx *state.Tx) error {
		b, err := tx.MustBackup(x.backup.Job, x.backup.Name)
		sealed = b.Sums.Sealed
		return err
	})
	return sealed < x.pieces, err
}

// streamExport is one pass of zfs send over the chunks of a backup.
type streamExport struct {
	kit     *Kit
	s       *workflow.Session
	fx      workflow.Fx
	run     state.Run
	backup  state.Backup
	ledger  ledger // of its chunks
	pieces  int    // of the stream, once all went by
	sealer  chunk.Sealer
	kinds   []string    // of hashes that the remote can be asked for
	on      bool        // the send is continued
	notOn   error       // why it must not be
	how     string      // it goes on behind what was sealed before
	differs int         // the first chunk that is not what the stream has
	last    *coming     // whose piece went by last, until it is on record
	next    *coming     // the chunk after it
	ahead   *uploader   // uploads what is sealed meanwhile; nil where that has to wait
	opening chan opened // has it in a moment
	held    []offered   // sealed in that moment
	foreign error       // the place is another job's
}

func (k *Kit) newExport(s *workflow.Session, fx workflow.Fx) (*streamExport, error) {
	x := &streamExport{kit: k, s: s, fx: fx, run: s.Run()}
	var err error
	if x.backup, err = k.backupOf(s); err != nil {
		return nil, err
	}
	x.ledger = ledger{view: s.View, job: x.backup.Job, backup: x.backup.Name}
	x.sealer, err = k.sealer(fx, x.backup.Encryption)
	return x, err
}

// send sends the snapshot once and takes each piece of the stream in turn: proved, if it was sealed
// before, sealed otherwise.
func (x *streamExport) send(ctx context.Context) (done sealed, err error) {
	kind, err := x.kit.hashKind(ctx, x.s)
	if err != nil {
		return done, err
	}
	if kind != "" && kind != "sha256" {
		x.kinds = []string{kind}
	}
	folder, err := x.openFolder(ctx)
	if err != nil {
		return done, fmt.Errorf("folder of the backup in %s: %w", x.backup.Dir, err)
	}
	defer folder.Close()
	if err := removeTemps(folder); err != nil {
		return done, err
	}
	if err := x.discardLost(ctx); err != nil {
		return done, err
	}
	if err := x.removeDiscarded(folder); err != nil {
		return done, err
	}

	x.uploadAhead(ctx)
	defer x.meet(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in, n, err := x.begin(ctx)
	if err != nil {
		return done, err
	}
	defer in.Close()
	defer func() {
		cancel()
		x.last.drop()
		x.next.drop()
	}()
	cutter, err := chunk.NewCutter(&metered{r: in, n: int64(n) * x.backup.SplitSize, report: x.report}, x.backup.SplitSize)
	if err != nil {
		return done, err
	}
	if err := x.offerBefore(ctx, n); err != nil {
		return done, err
	}
	for ; ; n++ {
		piece, err := cutter.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = cmp.Or(x.fits(n), x.foreign)
		}
		if err == nil {
			err = x.take(ctx, folder, n, in.piece(piece, x.backup.SplitSize))
		}
		if err != nil {
			x.keep(ctx)
			return done, x.hopeless(err)
		}
	}
	if err := in.parser.Close(); err != nil {
		return done, x.hopeless(err)
	}
	if err := x.settle(ctx); err != nil {
		return done, err
	}
	x.next.drop()
	x.next = nil
	// What was begun for it is gone, and nobody looks for that once the export is done: it must not come back after a power cut.
	if err := durable.SyncDir(folder, "."); err != nil {
		return done, err
	}
	x.pieces = n
	return sealed{Bytes: int64(in.parser.Size()), SHA256: hex.EncodeToString(in.hash.Sum(nil)), How: x.how}, x.discard(n, func(*state.Run) {})
}

// fits is an error if a backup can't have a chunk of this number: it would be found out when all the others are uploaded.
func (x *streamExport) fits(n int) error {
	if most := mostChunks(x.backup.Dataset); int64(n) >= most {
		return &workflow.Hopeless{Err: fmt.Errorf("%s has more than %d chunks of %d bytes, which no backup can have: use a larger split_size", x.backup.Name, most, x.backup.SplitSize)}
	}
	return nil
}

// take proves or seals the piece with number n.
func (x *streamExport) take(ctx context.Context, folder *os.Root, n int, piece *checked) error {
	c, err := x.ledger.at(n)
	if err != nil {
		return err
	}
	if !stands(c) || workflow.ChunkMachine.In(c.State, workflow.ChunkSealing) {
		return x.seal(ctx, folder, n, piece)
	}
	if err := x.settle(ctx); err != nil {
		return err
	}
	same, err := chunk.Prove(piece, chunk.Digest{Size: c.Plain, SHA256: c.PlainSHA256})
	if err != nil {
		return err
	}
	if !same {
		x.differs = n
		return fmt.Errorf("%w: chunk %d", errPrefix, n)
	}
	x.offer(ctx, c)
	return nil
}

// offerBefore has those chunks uploaded that do not go by.
func (x *streamExport) offerBefore(ctx context.Context, n int) error {
	if n == 0 {
		return nil
	}
	return eachBlock(x.s.View, x.backup.Job, x.backup.Name, func(block []state.Chunk) error {
		for _, c := range block {
			if c.N < n {
				x.offer(ctx, c)
			}
		}
		return ctx.Err()
	})
}

// discardLost discards what was sealed and whose file is gone: all of it at once, so that one pass seals it again.
func (x *streamExport) discardLost(ctx context.Context) error {
	var lost []state.Chunk
	err := eachBlock(x.s.View, x.backup.Job, x.backup.Name, func(block []state.Chunk) error {
		more, err := x.kit.lostFiles(ctx, x.backup, block)
		lost = append(lost, more...)
		return err
	})
	if err != nil || len(lost) == 0 {
		return err
	}
	x.s.Log().Warn("files of sealed chunks are gone or changed; they are sealed again", "chunks", len(lost), "folder", inDir(x.backup, ""))
	return x.fx.Note(func(tx *state.Tx, _ *state.Run) error { return discardChunks(tx, lost) })
}

// discardChunks takes chunks out of their backup. Their numbers are sealed anew in a new generation.
func discardChunks(tx *state.Tx, chunks []state.Chunk) error {
	for _, c := range chunks {
		if _, err := moveChunk(tx, &c, workflow.ChunkDiscard); err != nil {
			return err
		}
	}
	return nil
}

// startOver discards what differs, and stores that it came to this.
func (x *streamExport) startOver() error {
	return x.discard(x.differs, func(r *state.Run) { r.StartOvers++ })
}

// discard discards the chunks from a number on: those that differ, or what a shorter stream no longer needs.
func (x *streamExport) discard(from int, also func(*state.Run)) error {
	return x.fx.Note(func(tx *state.Tx, r *state.Run) error {
		for block := from / state.ChunkBlock; ; block++ {
			chunks, err := tx.ChunksIn(x.backup.Job, x.backup.Name, block)
			if err != nil {
				return err
			}
			if len(chunks) == 0 {
				also(r)
				return nil
			}
			chunks = slices.DeleteFunc(current(chunks), func(c state.Chunk) bool { return c.N < from })
			if err := discardChunks(tx, chunks); err != nil {
				return err
			}
		}
	})
}

// removeDiscarded removes the files of the chunks that an earlier pass discarded: nothing else makes room for those sealed anew.
func (x *streamExport) removeDiscarded(folder *os.Root) error {
	for block := 0; ; block++ {
		chunks, err := chunksIn(x.s.View, x.backup.Job, x.backup.Name, block)
		if err != nil || len(chunks) == 0 {
			return err
		}
		for _, c := range chunks {
			if c.Name == "" || !workflow.ChunkMachine.In(c.State, workflow.ChunkDiscarded) {
				continue
			}
			if info, err := folder.Lstat(c.Name); err != nil || !info.Mode().IsRegular() {
				continue // gone, or what somebody has put there
			}
			if err := folder.Remove(c.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return durable.Whole(folder, err)
			}
			crash.Point("unlink.after")
		}
	}
}

// hopeless tells the errors of zfs send that no trying again will mend, and says what can be done about the others.
func (x *streamExport) hopeless(err error) error {
	switch {
	case errors.Is(err, zfs.ErrNoSnapshot), errors.Is(err, zfs.ErrNoBase), errors.Is(err, stream.ErrOther), errors.Is(err, stream.ErrBigEndian):
		return &workflow.Hopeless{Err: err}
	case errors.Is(err, stream.ErrDamaged):
		pool, _, _ := strings.Cut(x.backup.Dataset, "/")
		return fmt.Errorf("%w. It is sent again, and what was sealed is held against it. If this comes again: zpool scrub %s, and a test of the memory", err, word(pool))
	}
	return err
}

func (x *streamExport) report(done int64) {
	total := x.backup.Estimate
	x.s.Progress(done, total, total > 0)
}
