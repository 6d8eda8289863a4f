package actions

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// An export that was cut off goes on in one of two ways. Where the pool and its program can, what is sent begins behind
// the last sealed chunk: what there is before it is neither read nor sent again, but for the last of its records, which
// proves that both parts are of one stream; if that record is another now, what was sealed from it on is cut again
// (recut.go). Else all of it is sent again, and what was sealed of it is proved. Which it is, is found out by asking zfs,
// and by looking at what it then sends; nothing that goes wrong with the first way is more than a reason for the second.

// begin starts to send. N is the number of the chunk with which what comes begins: the first that is not sealed, or that
// is cut again, or 0.
func (x *streamExport) begin(ctx context.Context) (in *sending, n int, err error) {
	sealed, last, err := x.sealedBefore()
	if err != nil {
		return nil, 0, err
	}
	if sealed == 0 {
		in, err = x.start(ctx)
		return in, 0, err
	}
	n = sealed
	if err = x.notOn; err == nil {
		in, err = x.continued(ctx, last)
		if differs, ok := errors.AsType[*stream.RecutError](err); ok {
			in, n, err = x.cutAgain(ctx, last, differs)
		}
	}
	switch {
	case err == nil:
		x.on = true
		x.s.Log().Info("the send is continued", "chunk", n, "byte", in.parser.Size())
		how := "continued behind " + plural(sealed, "sealed chunk", "sealed chunks")
		if n < sealed {
			how = fmt.Sprintf("continued within chunk %d, which was cut again, since the snapshot gives another stream now", n)
		}
		if err := x.tell(how); err != nil {
			return nil, 0, errors.Join(err, in.Close())
		}
		return in, n, nil
	case ctx.Err() != nil:
		return nil, 0, err
	}
	why := whyNot(err)
	x.s.Log().Info("all is sent again, and what was sealed is proved", "chunks", sealed, "why", why)
	if err := x.tell(fmt.Sprintf("sent again, %s proved: %s", plural(sealed, "sealed chunk", "sealed chunks"), why)); err != nil {
		return nil, 0, err
	}
	in, err = x.start(ctx)
	return in, 0, err
}

// onIsUseless tells whether the error of a send that was continued is a reason to send all again at once: what is sent is none, or
// zfs gave it up before a chunk more was sealed. BEFORE is how many were. Whoever fails later, or was killed, goes on there.
func (x *streamExport) onIsUseless(ctx context.Context, err error, before int) (bool, error) {
	switch {
	case !x.on || ctx.Err() != nil:
		return false, nil
	case errors.Is(err, stream.ErrDamaged), errors.Is(err, stream.ErrCut), errors.Is(err, stream.ErrMore):
		return true, nil
	}
	if _, ofZFS := errors.AsType[*zfs.Error](err); !ofZFS || !refused(err) {
		return false, nil
	}
	now, _, err := x.sealedBefore()
	return now <= before, err
}

// whyNot says in a line why a send is not continued.
func whyNot(err error) string {
	if errors.Is(err, zfs.ErrUnsupported) {
		return "this zfs can't continue a send"
	}
	if asked, ok := errors.AsType[*zfs.Error](err); ok {
		err = asked.Err // what was asked is clear
	}
	why, _, _ := strings.Cut(err.Error(), "\n")
	return why
}

// tell stores how the export goes on, for who asks.
func (x *streamExport) tell(how string) error {
	x.how = how
	return x.s.Detail("%s", how)
}

// sealedBefore counts the chunks from the first on that are sealed, up to a gap, and gives the last of them.
func (x *streamExport) sealedBefore() (n int, last state.Chunk, err error) {
	for block := 0; ; block++ {
		all, err := chunksIn(x.s.View, x.backup.Job, x.backup.Name, block)
		if err != nil || len(all) == 0 {
			return n, last, err
		}
		for _, c := range current(all) {
			if c.N != n || workflow.ChunkMachine.In(c.State, workflow.ChunkSealing) {
				return n, last, nil
			}
			n, last = n+1, c
		}
	}
}

// continued starts a send behind a chunk, and proves that it goes on from there.
func (x *streamExport) continued(ctx context.Context, last state.Chunk) (*sending, error) {
	at, err := x.behind(last)
	if err != nil {
		return nil, err
	}
	in, err := x.goOn(ctx, at.mark, at.trail)
	if err != nil {
		return nil, err
	}
	in.hash = at.hash
	return in, nil
}

// behind is how to go on behind a chunk.
func (x *streamExport) behind(c state.Chunk) (at behind, err error) {
	if len(c.Resume) == 0 {
		return at, errors.New("how to go on behind it is not on record")
	}
	if at, err = parseBehind(c.Resume); err != nil {
		return at, fmt.Errorf("how to go on behind it: %w", err)
	}
	if want := int64(c.N)*x.backup.SplitSize + c.Plain; int64(at.mark.At) != want {
		return at, fmt.Errorf("what is on record goes on at byte %d, not %d", at.mark.At, want)
	}
	return at, nil
}

// goOn starts a send for a mark's token, and proves that it joins what there is up to the mark. What is read of it goes
// on from there. TRAIL is what is known of the stream at the mark, or behind it.
func (x *streamExport) goOn(ctx context.Context, mark stream.Mark, trail []byte) (*sending, error) {
	snap, err := snapshotOf(x.run)
	if err != nil {
		return nil, err
	}
	args := zfs.ContinueArgs{Snapshot: snap, Token: mark.Token(snap.String()).String(), Flags: x.backup.SendFlags}
	program := x.kit.zfs(x.fx)
	if err := program.CanContinue(ctx, args); err != nil {
		return nil, err
	}
	in, err := pipeOf(func(w io.Writer) (workflow.Child, error) { return program.Continue(ctx, args, w) })
	if err != nil {
		return nil, err
	}
	splice := stream.Continue(mark, readerFunc(in.pass))
	if err := splice.Follow(trail); err != nil {
		x.s.Log().Info("what was known of the stream is not readable, so that the index has no more than is to come", "err", err)
	}
	if in.parser, err = splice.Join(); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	in.from = splice
	return in, nil
}

// start starts a send from the beginning.
func (x *streamExport) start(ctx context.Context) (*sending, error) {
	args, err := x.kit.sendArgs(ctx, x.s.Look(), x.run, x.backup.Base, x.backup.SendFlags)
	if err != nil {
		return nil, err
	}
	in, err := pipeOf(func(w io.Writer) (workflow.Child, error) { return x.kit.zfs(x.fx).Send(ctx, args, w) })
	if err != nil {
		return nil, err
	}
	var base uint64
	if x.backup.Base != nil {
		base = guid(x.backup.Base.SnapshotGUID)
	}
	in.parser, in.hash = stream.Of(guid(x.backup.SnapshotGUID), base), sha256.New()
	in.parser.Follow()
	in.from = readerFunc(in.pass)
	return in, nil
}

// pipeOf starts a program that writes into a pipe.
func pipeOf(start func(io.Writer) (workflow.Child, error)) (*sending, error) {
	r, w, err := proc.Pipe()
	if err != nil {
		return nil, err
	}
	child, err := start(w)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &sending{pipe: r, child: child}, nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
