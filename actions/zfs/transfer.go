package zfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"zfs2cloud/actions/proc"
	"zfs2cloud/workflow"
)

// sendFlags are the flags that a user may set. None changes what is sent beyond its form, but -p, which
// adds the dataset's properties.
var sendFlags = []string{"-c", "-L", "-e", "-w", "-p"}

// CheckSendFlag says whether a user may set this flag of zfs send.
func CheckSendFlag(flag string) error {
	if !slices.Contains(sendFlags, flag) {
		return fmt.Errorf("send flag %q: not one of %s", flag, strings.Join(sendFlags, " "))
	}
	return nil
}

// SendArgs says what to send.
type SendArgs struct {
	Snapshot Snapshot
	Base     *Snapshot // of an incremental; nil for a full
	Mark     *Bookmark // of an incremental whose base's snapshot is gone
	Flags    []string  // of those that CheckSendFlag lets pass
}

func (a SendArgs) String() string {
	switch {
	case a.Mark != nil:
		return "send " + a.Snapshot.String() + " from #" + a.Mark.name
	case a.Base != nil:
		return "send " + a.Snapshot.String() + " from @" + a.Base.name
	}
	return "send " + a.Snapshot.String()
}

// words are the arguments of zfs, checked.
func (a SendArgs) words(more ...string) ([]string, error) {
	words := append([]string{"send"}, more...)
	for _, flag := range a.Flags {
		if err := CheckSendFlag(flag); err != nil {
			return nil, err
		}
		words = append(words, flag)
	}
	switch {
	case a.Mark != nil:
		if a.Mark.dataset != a.Snapshot.dataset {
			return nil, fmt.Errorf("the bookmark %s is of another dataset", a.Mark)
		}
		words = append(words, "-i", a.Mark.String())
	case a.Base != nil:
		if a.Base.dataset != a.Snapshot.dataset {
			return nil, fmt.Errorf("the base %s is of another dataset", a.Base)
		}
		words = append(words, "-i", a.Base.String())
	}
	return append(words, a.Snapshot.String()), nil
}

// Send starts to send a snapshot to stdout. Wait's error is ErrNoSnapshot or ErrNoBase where zfs says so.
// Exit 0 is no proof that all of it came: look at the end of the stream too. And the child's end is not always
// the sender's: with zfs-fuse the daemon writes the stream, and goes on for as long as someone reads.
func (p Program) Send(ctx context.Context, a SendArgs, stdout io.Writer) (workflow.Child, error) {
	words, err := a.words()
	if err != nil {
		return nil, &Error{Doing: a.String(), Err: err}
	}
	return p.send(ctx, a.String(), a.Snapshot, words, stdout)
}

// sending is a child whose end is told as this package tells it.
type sending struct {
	workflow.Child
	failed func(error) error
}

func (s *sending) Wait() error { return s.failed(s.Child.Wait()) }

// Estimate guesses how long the stream will be. It asks zfs where it can (OpenZFS); for a full, what the
// snapshot references will do; else there is no telling. It is a guess, for a progress bar: an error in
// asking is no answer.
func (p Program) Estimate(ctx context.Context, a SendArgs) (int64, bool) {
	words, err := a.words("-nP")
	if err != nil {
		return 0, false
	}
	if out, err := p.look(ctx, a.String(), a.Snapshot.subject(), p.zfs(words...)); err == nil {
		return sizeLine(out)
	}
	if a.Base != nil || a.Mark != nil {
		return 0, false
	}
	info, err := p.Snapshot(ctx, a.Snapshot)
	return info.Referenced, err == nil
}

// sizeLine finds the last line of `zfs send -nP`, "size" and a number.
func sizeLine(out string) (int64, bool) {
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) != 2 || f[0] != "size" {
			continue
		}
		n, err := strconv.ParseInt(f[1], 10, 64)
		return n, err == nil
	}
	return 0, false
}

// SendLacks asks zfs for the usage of send, and returns those of the flags that it does not have: zfs-fuse knows
// only -p, OpenZFS -w since it encrypts.
func (p Program) SendLacks(ctx context.Context, flags []string) ([]string, error) {
	if len(flags) == 0 {
		return nil, nil
	}
	usage, err := p.usage(ctx, "send")
	if err != nil {
		return nil, err
	}
	// The first form is that of a snapshot; others follow, of bookmarks, tokens and the like.
	_, form, _ := strings.Cut(usage, "send [-")
	has, _, _ := strings.Cut(form, "]")
	return slices.DeleteFunc(slices.Clone(flags), func(flag string) bool { return strings.Contains(has, strings.TrimPrefix(flag, "-")) }), nil
}

// usage is what zfs writes to stderr, with exit 2, if a command has no argument.
func (p Program) usage(ctx context.Context, command string) (string, error) {
	var usage beginning
	spec := p.zfs(command)
	spec.Looks, spec.Stderr = true, &usage
	err := proc.Run(ctx, p.World, spec)
	var exit *workflow.ExitError
	if errors.As(err, &exit) && exit.Code == 2 && strings.Contains(usage.String(), command+" [") {
		return usage.String(), nil
	}
	if err == nil {
		err = errors.New("exit 0 without arguments")
	}
	return "", p.failed(ctx, command+" (to see its usage)", subject{}, usage.String(), err)
}

// ContinueArgs says from where on to send the rest of a stream.
type ContinueArgs struct {
	Snapshot Snapshot
	Token    string   // as zfs has it: stream.Token
	Flags    []string // with which the stream was begun
}

func (a ContinueArgs) String() string { return "send -t …, which continues " + a.Snapshot.String() }

// continueFlags are those that a token does not stand for. (-w is in it, and -p is of the wrapper, which does not come
// again.)
var continueFlags = []string{"-L", "-e", "-c"}

var tokenForm = regexp.MustCompile(`^1-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+$`)

func (a ContinueArgs) words(more ...string) ([]string, error) {
	if !tokenForm.MatchString(a.Token) {
		return nil, errors.New("the token is none")
	}
	words := append([]string{"send"}, more...)
	for _, flag := range a.Flags {
		if err := CheckSendFlag(flag); err != nil {
			return nil, err
		}
		if slices.Contains(continueFlags, flag) {
			words = append(words, flag)
		}
	}
	return append(words, "-t", a.Token), nil
}

// CanContinue asks zfs whether it would send the rest of a stream, without sending any of it. ErrUnsupported where the
// program knows nothing of that (zfs-fuse, and OpenZFS before 0.7).
func (p Program) CanContinue(ctx context.Context, a ContinueArgs) error {
	words, err := a.words("-nvP")
	if err != nil {
		return &Error{Doing: a.String(), Err: err}
	}
	_, err = p.look(ctx, a.String(), a.Snapshot.subject(), p.zfs(words...))
	return err
}

// Continue starts to send the rest of a stream to stdout. See Send.
func (p Program) Continue(ctx context.Context, a ContinueArgs, stdout io.Writer) (workflow.Child, error) {
	words, err := a.words()
	if err != nil {
		return nil, &Error{Doing: a.String(), Err: err}
	}
	return p.send(ctx, a.String(), a.Snapshot, words, stdout)
}

// send starts a zfs send.
func (p Program) send(ctx context.Context, doing string, s Snapshot, words []string, stdout io.Writer) (workflow.Child, error) {
	var said beginning
	spec := p.zfs(words...)
	spec.Looks, spec.Stdout, spec.Stderr = true, stdout, &said
	child, err := p.World.Start(ctx, spec)
	if err != nil {
		return nil, &Error{Doing: doing, Err: err}
	}
	return &sending{Child: child, failed: func(err error) error {
		return p.failed(ctx, doing, s.subject(), said.String(), err)
	}}, nil
}
