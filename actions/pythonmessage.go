package actions

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/stream"
	"zfs2cloud/workflow"
)

// A message of the Python tool is read twice where something is made of it. First it is opened into nothing, and each
// piece's SHA-256 is kept; then each has to be the same again before it is opened into zfs receive.

// message is what opening one to its end has proved.
type message struct {
	Pieces   []string `json:"pieces"` // SHA-256 of each
	To, From string   // GUIDs
	Bytes    int64    `json:"bytes"` // of the stream
}

// known is what is known of a backup of the Python tool once its message was proved; BASE is the name of the full that it is
// based on, or empty.
func (g message) known(m *manifest.Manifest, base string) *manifest.Manifest {
	known := withPieces(m, g.Pieces)
	known.SnapshotGUID, known.StreamBytes = g.To, g.Bytes
	if base != "" {
		known.Base = &manifest.Base{Name: base, SnapshotGUID: g.From}
	}
	return known
}

// withPieces is a backup of the Python tool with what its pieces' SHA-256 should be.
func withPieces(m *manifest.Manifest, sums []string) *manifest.Manifest {
	known := *m
	known.Chunks = make([]manifest.Chunk, len(m.Chunks))
	for n, c := range m.Chunks {
		c.SHA256 = sums[n]
		known.Chunks[n] = c
	}
	return &known
}

// foreignGPG opens what the Python tool has sealed: with today's passphrase, whatever the backups of our own are sealed with.
func (k *Kit) foreignGPG(w workflow.World) chunk.GPG {
	return chunk.GPG{World: w, Words: k.Settings.Gpg, Passphrase: k.Passphrase, TempDir: k.TempDir}
}

// proveMessage opens a message into nothing. The error is one of the message where isVerdict or isStreamVerdict says so.
func proveMessage(ctx context.Context, gpg chunk.GPG, from *pieces, through func(io.Writer) io.Writer) (message, error) {
	m := from.of
	var parser stream.Parser
	if err := gpg.OpenForeign(ctx, from, through(&parser)); err != nil {
		switch _, began := parser.Begin(); {
		case errors.Is(err, chunk.ErrPassphrase) && began:
			// The passphrase is right. Where a changed byte falls decides who is first to see it: gpg, mostly by what it
			// decompresses, or the parser.
			err = fmt.Errorf("%w: its message does not open to the end; %d bytes came out", stream.ErrDamaged, parser.Size())
		case errors.Is(err, chunk.ErrPassphrase) && parser.Size() == 0:
			err = fmt.Errorf("%w (nothing came out of it)", err)
		}
		return message{}, err
	}
	if err := parser.Close(); err != nil {
		return message{}, err
	}
	begin, ok := parser.Begin()
	_, name, _ := strings.Cut(begin.Name, "@")
	if !ok || parser.Streams() != 1 || name != m.Snapshot || (begin.From == 0) != (m.Kind == manifest.Full) {
		return message{}, fmt.Errorf("%w: that of %q", stream.ErrOther, begin.Name)
	}
	decimal := func(n uint64) string { return strconv.FormatUint(n, 10) }
	return message{Pieces: from.sums, To: decimal(begin.To), From: decimal(begin.From), Bytes: int64(parser.Size())}, nil
}

// pieces reads the pieces of a message as they are fetched, one after the other.
type pieces struct {
	of *manifest.Manifest
	// take gives the file of the next piece, which is the one that C describes, from its beginning.
	take func(ctx context.Context, c manifest.Chunk) (*os.File, error)
	// hashes: the SHA-256 of each is wanted.
	hashes bool
	// done, if not nil, is told that a piece was read to its end.
	done func(ctx context.Context, c manifest.Chunk) error

	ctx  context.Context // of the reading
	stop context.CancelFunc

	mu   sync.Mutex // who copies into a gpg that has ended may still be reading
	next int        // the piece that is read, or follows
	file *os.File   // the one that is read, or nil
	sum  hash.Hash
	sums []string // SHA-256 of those that were read
}

// read begins to read the pieces.
func (r *pieces) read(ctx context.Context) *pieces {
	r.ctx, r.stop = context.WithCancel(ctx)
	return r
}

// Read reads what is in the pieces.
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
		if r.hashes {
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

// open takes the next piece.
func (r *pieces) open(c manifest.Chunk) error {
	f, err := r.take(r.ctx, c)
	if err != nil {
		return err
	}
	if info, serr := f.Stat(); serr != nil || info.Size() != c.Size {
		err = errors.Join(serr, fmt.Errorf("%w: not %d bytes", chunk.ErrDiffers, c.Size))
		return errors.Join(fmt.Errorf("%s: %w", c.Name, err), f.Close())
	}
	r.file, r.sum = f, sha256.New()
	return nil
}

// over ends a piece that was read.
func (r *pieces) over(c manifest.Chunk) error {
	r.next++
	err := r.file.Close()
	r.file = nil
	if r.hashes {
		r.sums = append(r.sums, hex.EncodeToString(r.sum.Sum(nil)))
	}
	if err == nil && r.done != nil {
		err = r.done(r.ctx, c)
	}
	return err
}

// at ends the reading, and is the piece that was being read, and whether all were.
func (r *pieces) at() (c manifest.Chunk, all bool) {
	r.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == len(r.of.Chunks) {
		return r.of.Chunks[r.next-1], true
	}
	return r.of.Chunks[r.next], false
}

func (r *pieces) close() {
	r.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}
