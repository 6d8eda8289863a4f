package chunk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"zfs2cloud/actions/secret"
	"zfs2cloud/actions/settings"
	"zfs2cloud/workflow"
)

// GPG seals with the gpg program, a process a message, without agent and keyring.
type GPG struct {
	World      workflow.World
	Words      []string // the program and leading words: {"gpg"}
	Passphrase secret.Bytes
	// TempDir is where each gpg gets a home of its own, removed afterwards; the system's if empty.
	TempDir string

	label string
}

func (GPG) Kind() settings.Encryption { return settings.GPG }

func (g GPG) Derived(label string) Sealer {
	g.label += label
	return g
}

// The options pin everything that /etc/gnupg/gpg.conf, which --no-options does not keep away, could change
// and that can be pinned.
var (
	common = []string{"--batch", "--no-tty", "--no-options", "--no-greeting"}
	alone  = []string{"--no-autostart", "--no-keyring", "--no-symkey-cache", "--pinentry-mode", "loopback"}
	talk   = []string{"--passphrase-fd", "3", "--status-fd", "4"}
	seal   = []string{
		"--openpgp", "--cipher-algo", "AES256", "--compress-algo", "none",
		// Without an agent and without the count, gpg falls to 65,536, 992 times cheaper to guess.
		"--s2k-mode", "3", "--s2k-cipher-algo", "AES256", "--s2k-digest-algo", "SHA256", "--s2k-count", s2kCount,
		"--no-armor", "--no-textmode", "--no-encrypt-to",
	}
)

func (g GPG) Seal(ctx context.Context, plain io.Reader, cipher io.Writer) error {
	in := &reader{ctx: ctx, r: plain}
	out := &writer{w: cipher, left: math.MaxInt64}
	st, exit, err := g.run(ctx, words(seal, talk, []string{"--symmetric", "--output", "-"}), in, out)
	if err != nil {
		return err
	}
	return judgeSealed(exit, st, out.head, out.n, in.now().n)
}

func (g GPG) Open(ctx context.Context, cipher io.Reader, plain io.Writer, plainLen int64) error {
	n, err := g.open(ctx, cipher, plain, plainLen)
	if err == nil && n != plainLen {
		err = fmt.Errorf("%w (%d bytes instead of %d)", ErrPassphrase, n, plainLen)
	}
	return err
}

func (g GPG) OpenAtMost(ctx context.Context, cipher io.Reader, plain io.Writer, most int64) error {
	_, err := g.open(ctx, cipher, plain, most)
	return err
}

// OpenForeign opens one message that another program made by the same passphrase: its form and its length are not known. What
// was written before a nil error is anybody's. ErrPassphrase.
func (g GPG) OpenForeign(ctx context.Context, cipher io.Reader, plain io.Writer) error {
	in := &reader{ctx: ctx, r: cipher}
	out := &writer{w: plain, left: math.MaxInt64}
	st, exit, err := g.run(ctx, words(talk, []string{"--decrypt", "--output", "-"}), in, out)
	if err != nil {
		return err
	}
	return judgeOpened(exit, st)
}

func (g GPG) open(ctx context.Context, cipher io.Reader, plain io.Writer, most int64) (int64, error) {
	if most < 1 { // gpg takes --max-output 0 for no limit
		return 0, fmt.Errorf("a message of %d bytes is none of ours", most)
	}
	in := &reader{ctx: ctx, r: &framed{r: cipher}}
	out := &writer{w: plain, left: most}
	limit := []string{"--max-output", strconv.FormatInt(most, 10)}
	st, exit, err := g.run(ctx, words(limit, talk, []string{"--decrypt", "--output", "-"}), in, out)
	if errors.Is(err, ErrDiffers) {
		err = fmt.Errorf("%w (%w)", ErrPassphrase, err)
	}
	if err != nil {
		return out.n, err
	}
	return out.n, judgeOpened(exit, st)
}

// run runs gpg over IN. Its own ending is EXIT, to be judged by the caller; an error means that there is
// nothing to judge: it could not run, was ended, or could not read or write.
func (g GPG) run(ctx context.Context, args []string, in *reader, out *writer) (st status, exit, err error) {
	home, err := os.MkdirTemp(g.TempDir, "zfs2cloud-gpg-") // 0700
	if err != nil {
		return st, nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(home)) }()

	pass, err := g.passphrase()
	if err != nil {
		return st, nil, err
	}
	defer pass.Close()
	said, say, err := os.Pipe()
	if err != nil {
		return st, nil, err
	}
	defer said.Close()
	defer say.Close()

	child, err := g.World.Start(ctx, workflow.Spec{
		Argv:   words(g.Words, common, []string{"--homedir", home}, alone, args),
		Looks:  true, // it reads and writes our descriptors; what becomes of them is the caller's doing
		Env:    []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/nonexistent"},
		Stdin:  in,
		Stdout: out,
		Extra:  []*os.File{pass, say},
	})
	if err != nil {
		return st, nil, err
	}
	say.Close() // the child has its own; with ours open there would be no end of file
	type answer struct {
		st  status
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		st, err := readStatus(said)
		answers <- answer{st, err}
	}()
	exit = child.Wait()
	a := <-answers
	return a.st, exit, ended(ctx, a.st, exit, in.now(), out, a.err)
}

// ended tells whether gpg came to an end of its own with a message that can be judged.
func ended(ctx context.Context, st status, exit error, in readState, out *writer, statusErr error) error {
	var ee *workflow.ExitError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("gpg: %w", context.Cause(ctx))
	case in.err != nil:
		return in.err
	case out.err != nil:
		return out.err
	case statusErr != nil:
		return fmt.Errorf("gpg's status: %w", statusErr)
	case exit != nil && (!errors.As(exit, &ee) || ee.Code < 0 || !st.looked):
		return exit
	case exit == nil && !in.eof:
		return fmt.Errorf("gpg ended after %d bytes of its input, and there is more", in.n)
	}
	return nil
}

// passphrase is a pipe with the passphrase in it and no writer left, or gpg would wait for more. A pipe holds
// 64 KiB, so writing does not wait for a reader.
func (g GPG) passphrase() (*os.File, error) {
	if err := CheckPassphrase(g.Passphrase); err != nil {
		return nil, err
	}
	line := make([]byte, 0, len(g.Passphrase)+len(g.label)+1)
	line = append(append(append(line, g.Passphrase...), g.label...), '\n')
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	_, err = w.Write(line)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// words joins lists without ever writing into one of them.
func words(lists ...[]string) []string {
	var all []string
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}
