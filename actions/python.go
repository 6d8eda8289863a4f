package actions

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/stream"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// A backup of the Python tool is one OpenPGP message, cut into pieces by split, with nothing beside it that would say what
// they are: the message proves itself, and only at its end. So it is read twice. First it is opened into nothing, and each
// piece's SHA-256 is kept; then each has to be the same again before it is opened into zfs receive.

// pythonPiece is a name such as tank-data@20240101000000.zfs.gpg.0000: the dataset, the snapshot, the number.
var pythonPiece = regexp.MustCompile(`^(.+)@(.+)\.zfs\.gpg\.([0-9]{4,})$`)

// pythonChain is what has to be restored for a backup of the Python tool, the full first. It made incrementals since the
// last full alone. What is not in the names, such as GUIDs, is left empty.
func (c *Catalog) pythonChain(ctx context.Context, name string) ([]*manifest.Manifest, error) {
	m, err := c.pythonBackup(ctx, name)
	if err != nil || m.Kind == manifest.Full {
		return []*manifest.Manifest{m}, err
	}
	for _, older := range c.Folders { // the newest first
		if _, full, _ := manifest.ParseFolder(older); !full || older >= name {
			continue
		}
		e, err := c.Entry(ctx, older)
		if err != nil {
			return nil, err
		}
		if !e.Python {
			continue
		}
		base, err := c.pythonBackup(ctx, older)
		if err != nil {
			return nil, fmt.Errorf("base %s: %w", older, err)
		}
		return []*manifest.Manifest{base, m}, nil
	}
	return nil, refuse("%s is an incremental of the Python tool, and %s has no full of it that is older", name, c.Remote)
}

// pythonBackup tells what a folder's names and sizes tell.
func (c *Catalog) pythonBackup(ctx context.Context, name string) (*manifest.Manifest, error) {
	e, err := c.Entry(ctx, name)
	if err != nil {
		return nil, err
	}
	stamp, full, _ := manifest.ParseFolder(name)
	m := &manifest.Manifest{Name: name, Kind: manifest.Incremental, Tool: "the Python tool"}
	if full {
		m.Kind = manifest.Full
	}
	if at, err := time.ParseInLocation(stampLayout, stamp, time.Local); err == nil { // its stamps are local time
		m.Created = at.UTC()
	}
	for file, o := range e.objects {
		parts := pythonPiece.FindStringSubmatch(file)
		if parts == nil {
			continue
		}
		if m.Snapshot != "" && (m.Snapshot != parts[2] || m.Dataset != parts[1]) {
			return nil, refuse("%s has pieces of %s@%s and of %s@%s", name, m.Dataset, m.Snapshot, parts[1], parts[2])
		}
		m.Dataset, m.Snapshot = parts[1], parts[2]
		n, err := strconv.Atoi(parts[3])
		if err != nil {
			return nil, refuse("%s: %w", file, err)
		}
		m.Chunks = append(m.Chunks, manifest.Chunk{N: n, Name: file, Size: o.Size})
	}
	if !e.Python || len(m.Chunks) == 0 {
		return nil, refuse("%s is no backup of the Python tool", name)
	}
	slices.SortFunc(m.Chunks, func(a, b manifest.Chunk) int { return cmp.Compare(a.N, b.N) })
	for i, piece := range m.Chunks {
		if piece.N != i {
			return nil, refuse("%s: piece %04d is not there", name, i)
		}
		if piece.Size < 0 {
			return nil, refuse("%s: the store does not tell the size of %s", name, piece.Name)
		}
	}
	return m, nil
}

// WrittenOver says that a backup of the Python tool has pieces that are not all of one size but for the last: an older,
// longer export lies behind its end, written over.
func WrittenOver(m *manifest.Manifest) bool {
	if len(m.Chunks) == 0 || m.Job != "" { // a manifest knows its sizes
		return false
	}
	for _, piece := range m.Chunks[:len(m.Chunks)-1] {
		if piece.Size != m.Chunks[0].Size {
			return true
		}
	}
	return m.Chunks[len(m.Chunks)-1].Size > m.Chunks[0].Size
}

// message is what opening one to its end has proved.
type message struct {
	Pieces   []string `json:"pieces"` // SHA-256 of each
	To, From string   // GUIDs
	Bytes    int64    `json:"bytes"` // of the stream
}

// proveMessage opens a backup of the Python tool into nothing, unless that was done, and returns what is known of it then.
func (r *restoring) proveMessage(ctx context.Context, s *workflow.Session, i int, m *manifest.Manifest) (*manifest.Manifest, error) {
	got, err := workflow.Once(ctx, s, workflow.Effect[message]{
		Name: "prove",
		Do: func(ctx context.Context, fx workflow.Fx) (message, error) {
			defer r.close()
			if err := r.begin(ctx, fx, s.Run(), []*manifest.Manifest{m}); err != nil {
				return message{}, err
			}
			p := &passing{restoring: r, session: s, fx: fx, of: m}
			got, err := p.prove(ctx)
			if err == nil && i > 0 && got.From != s.Run().Restore.Chain[i-1].SnapshotGUID {
				err = fmt.Errorf("%w: %s is not based on %s", stream.ErrOther, m.Name, r.plan.Chain[i-1].Name)
			}
			return got, r.judged(ctx, fx, err)
		},
		Result: func(_ *state.Tx, run *state.Run, got message) error {
			l := &run.Restore.Chain[i]
			l.SnapshotGUID, l.StreamBytes = got.To, got.Bytes
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	known := *m
	known.SnapshotGUID, known.StreamBytes = got.To, got.Bytes
	if i > 0 {
		known.Base = &manifest.Base{Name: r.plan.Chain[i-1].Name, SnapshotGUID: got.From}
	}
	known.Chunks = slices.Clone(m.Chunks)
	for n := range known.Chunks {
		known.Chunks[n].SHA256 = got.Pieces[n]
	}
	return &known, nil
}

// prove opens the message into nothing.
func (p *passing) prove(ctx context.Context) (message, error) {
	var parser stream.Parser
	pieces := p.pieces(ctx, false)
	defer pieces.close()
	if err := p.gpg().OpenForeign(ctx, pieces, p.counting(&parser)); err != nil {
		return message{}, fmt.Errorf("%s: %w", p.of.Name, err)
	}
	if err := parser.Close(); err != nil {
		return message{}, fmt.Errorf("%s: %w", p.of.Name, err)
	}
	begin, ok := parser.Begin()
	_, name, _ := strings.Cut(begin.Name, "@")
	if !ok || parser.Streams() != 1 || name != p.of.Snapshot || (begin.From == 0) != (p.of.Kind == manifest.Full) {
		return message{}, fmt.Errorf("%s: %w: that of %q", p.of.Name, stream.ErrOther, begin.Name)
	}
	decimal := func(n uint64) string { return strconv.FormatUint(n, 10) }
	return message{Pieces: pieces.sums, To: decimal(begin.To), From: decimal(begin.From), Bytes: p.done.Load()}, nil
}

// openMessage opens the message again, each of whose pieces has to be the one that was proved.
func (p *passing) openMessage(ctx context.Context, to io.Writer) error {
	pieces := p.pieces(ctx, true)
	defer pieces.close()
	err := p.gpg().OpenForeign(ctx, pieces, p.counting(to))
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if done := p.done.Load(); err == nil && done != p.of.StreamBytes {
		err = fmt.Errorf("%w: %d bytes instead of %d", chunk.ErrDiffers, done, p.of.StreamBytes)
	}
	return err
}

func (p *passing) gpg() chunk.GPG {
	return chunk.GPG{World: p.fx, Words: p.kit.Settings.Gpg, Passphrase: p.kit.Passphrase, TempDir: p.kit.TempDir}
}

// pieces reads the pieces of a message as they are fetched, one after the other. Those that were PROVED are read only once
// they were found the same.
type pieces struct {
	*passing
	ctx    context.Context // of the reading
	stop   context.CancelFunc
	proved bool

	mu   sync.Mutex // who copies into a gpg that has ended may still be reading
	next int        // the piece that follows
	file *os.File   // the one that is read, or nil
	sum  io.Writer
	hash interface{ Sum([]byte) []byte }
	sums []string
}

func (p *passing) pieces(ctx context.Context, proved bool) *pieces {
	ctx, stop := context.WithCancel(ctx)
	return &pieces{passing: p, ctx: ctx, stop: stop, proved: proved}
}

func (r *pieces) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	for {
		if r.file == nil {
			if r.next == len(r.of.Chunks) {
				return 0, io.EOF
			}
			if err := r.open(r.of.Chunks[r.next]); err != nil {
				return 0, err
			}
		}
		n, err := r.file.Read(b)
		if r.hash != nil {
			r.sum.Write(b[:n])
		}
		if err == io.EOF {
			err = r.over(r.of.Chunks[r.next])
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// open takes the next piece from who fetches.
func (r *pieces) open(c manifest.Chunk) error {
	got, err := r.arrival(r.ctx, c)
	if err != nil {
		return err
	}
	f, err := r.spool.root.Open(got.name)
	if err != nil {
		return fmt.Errorf("spool folder: %w", err)
	}
	if r.proved {
		err = chunk.CheckFile(r.ctx, f, chunk.Digest{Size: c.Size, SHA256: c.SHA256})
		if err == nil {
			err = rewind(f)
		}
	} else if info, serr := f.Stat(); serr != nil || info.Size() != c.Size {
		err = errors.Join(serr, fmt.Errorf("%w: not %d bytes", chunk.ErrDiffers, c.Size))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", c.Name, err), f.Close())
	}
	if !r.proved {
		h := sha256.New()
		r.sum, r.hash = h, h
	}
	r.file = f
	return nil
}

// over ends a piece that was read.
func (r *pieces) over(c manifest.Chunk) error {
	r.next++
	err := r.file.Close()
	r.file = nil
	if r.hash != nil {
		r.sums = append(r.sums, hex.EncodeToString(r.hash.Sum(nil)))
	}
	if err == nil {
		err = r.spool.received(spooled(r.of, c), c.Size)
	}
	if err == nil && r.proved {
		err = r.passed(r.ctx)
	}
	return err
}

func (r *pieces) close() {
	r.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file != nil {
		r.file.Close()
	}
}
