package chunk

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"zfs2cloud/workflow"
)

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func sealed(t testing.TB, s Sealer, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Seal(t.Context(), bytes.NewReader(plain), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGPGSealsAndOpens(t *testing.T) {
	t.Parallel()
	g := gpg(t, "grüße, pass word'\"$")
	for _, n := range []int{1, 191, 512, 8191, 8192, 8193, 3_000_000} {
		plain := random(n)
		c := sealed(t, g, plain)
		var b bytes.Buffer
		if err := g.Open(t.Context(), bytes.NewReader(c), &b, int64(n)); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
		if !bytes.Equal(b.Bytes(), plain) {
			t.Errorf("%d bytes came back otherwise", n)
		}
		if err := g.Open(t.Context(), bytes.NewReader(c), io.Discard, int64(n)+1); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%d bytes where %d were promised: %v", n, n+1, err)
		}
		if err := g.OpenAtMost(t.Context(), bytes.NewReader(c), io.Discard, int64(n)+1); err != nil {
			t.Errorf("%d bytes, at most %d: %v", n, n+1, err)
		}
	}
}

// Sealing zeros tells compression: they would shrink below the bounds.
func TestGPGDoesNotCompress(t *testing.T) {
	t.Parallel()
	c := sealed(t, gpg(t, "pass"), make([]byte, 1<<20))
	if least, most := sealedBounds(1 << 20); int64(len(c)) < least || int64(len(c)) > most {
		t.Errorf("%d bytes, not %d to %d", len(c), least, most)
	}
}

func TestGPGsWorld(t *testing.T) {
	t.Parallel()
	g := gpg(t, "pass-not-in-argv")
	w := g.World.(*world)
	sealed(t, g, []byte("x"))
	s := w.specs[0]
	if !s.Looks {
		t.Error("not marked as looking")
	}
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/nonexistent"}
	if !slices.Equal(s.Env, env) {
		t.Errorf("environment %q", s.Env)
	}
	argv := strings.Join(s.Argv, " ")
	if strings.Contains(argv, "pass-not-in-argv") {
		t.Errorf("the passphrase stands in %q", argv)
	}
	home := s.Argv[slices.Index(s.Argv, "--homedir")+1]
	want := "gpg --batch --no-tty --no-options --no-greeting --homedir " + home + " --no-autostart --no-keyring" +
		" --no-symkey-cache --pinentry-mode loopback --openpgp --cipher-algo AES256 --compress-algo none" +
		" --s2k-mode 3 --s2k-cipher-algo AES256 --s2k-digest-algo SHA256 --s2k-count 65011712" +
		" --no-armor --no-textmode --no-encrypt-to --passphrase-fd 3 --status-fd 4 --symmetric --output -"
	if argv != want {
		t.Errorf("argv\n%s\nnot\n%s", argv, want)
	}
	if left, _ := os.ReadDir(g.TempDir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Every message that is not exactly ours is refused, each as changed or under another passphrase: the table
// in the threat model, and more.
func TestGPGRefuses(t *testing.T) {
	t.Parallel()
	g := gpg(t, "pass")
	plain := random(5000)
	good := sealed(t, g, plain)
	inputs := map[string][]byte{
		"empty":                  {},
		"text":                   []byte("hello, hello\n"),
		"random":                 random(6000),
		"cut by one":             good[:len(good)-1],
		"cut in half":            good[:len(good)/2],
		"cut after the header":   good[:headLen],
		"trailing byte":          append(slices.Clone(good), 'x'),
		"trailing line":          append(slices.Clone(good), "hello\n"...),
		"two messages":           slices.Concat(good, good),
		"literal alone":          literal(plain),
		"literal before genuine": slices.Concat(literal(plain), good),
		"genuine before literal": slices.Concat(good, literal(plain)),
		"marker before literal":  slices.Concat(marker, literal(plain)),
		"other passphrase":       sealed(t, gpg(t, "Pass"), plain),
		"as of a manifest":       sealed(t, g.Derived(" zfs2cloud-manifest-1"), plain),
		// Of these, in a file, gpg says that all is well.
		"armored":                   armored(t, good),
		"marker before genuine":     slices.Concat(marker, good),
		"marker behind genuine":     slices.Concat(good, marker),
		"trust packet behind":       slices.Concat(good, []byte{0xec, 1, 'x'}),
		"private packet behind":     slices.Concat(good, []byte{0xfc, 4, 'a', 'b', 'c', 'd'}),
		"symmetric-key packet more": slices.Concat(good[:15], good),
	}
	for _, at := range []int{0, 1, 4, 6, 14, 15, 16, 40, 3000, len(good) - 10, len(good) - 1} {
		flipped := slices.Clone(good)
		flipped[at] ^= 1
		inputs[fmt.Sprint("flipped at ", at)] = flipped
	}
	for name, in := range inputs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, err := range []error{
				g.Open(t.Context(), bytes.NewReader(in), io.Discard, int64(len(plain))),
				g.OpenAtMost(t.Context(), bytes.NewReader(in), io.Discard, 1<<20),
			} {
				if !errors.Is(err, ErrPassphrase) {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

// A message without integrity packet, for which 1.4 says OKAY and exits 0.
func TestGPGRefusesNoIntegrity(t *testing.T) {
	t.Parallel()
	program(t, "gpg1")
	g := gpg(t, "pass")
	for _, args := range [][]string{{"--disable-mdc", "--cipher-algo", "AES256"}, {"--rfc1991"}} {
		in := gpg1(t, []byte("hello"), args...)
		if err := g.Open(t.Context(), bytes.NewReader(in), io.Discard, 5); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// 64 MiB of zeros in 64 KiB of message, made by who has the passphrase and begins it as we do: what was promised
// bounds what is written.
func TestGPGBoundsABomb(t *testing.T) {
	t.Parallel()
	g := gpg(t, "pass")
	in := bomb(t, 64<<20)
	out := &writer{w: io.Discard, left: 1000}
	if err := g.OpenAtMost(t.Context(), bytes.NewReader(in), out, 1000); !errors.Is(err, ErrPassphrase) {
		t.Error(err)
	}
	if out.n > 1000 || out.err != nil {
		t.Errorf("%d bytes written, %v", out.n, out.err)
	}
}

// What gpg itself is to blame for is no verdict on the message.
func TestGPGTroubleIsNoVerdict(t *testing.T) {
	t.Parallel()
	g := gpg(t, "pass")
	good := sealed(t, g, random(100_000))
	open := func(g GPG, r io.Reader, w io.Writer) error { return g.Open(t.Context(), r, w, 100_000) }

	full := errors.New("no space left on device")
	broken := errors.New("input/output error")
	option := g
	option.Words = []string{"gpg", "--no-such-option"}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct{ got, want error }{
		"write error":  {open(g, bytes.NewReader(good), failing{full}), full},
		"read error":   {open(g, io.MultiReader(bytes.NewReader(good[:50_000]), iotest.ErrReader(broken)), io.Discard), broken},
		"interruption": {g.Open(cancelled, bytes.NewReader(good), io.Discard, 100_000), context.Canceled},
	} {
		if !errors.Is(c.got, c.want) || errors.Is(c.got, ErrPassphrase) {
			t.Errorf("%s: %v", name, c.got)
		}
	}
	var ee *workflow.ExitError
	if err := open(option, bytes.NewReader(good), io.Discard); !errors.As(err, &ee) || errors.Is(err, ErrPassphrase) {
		t.Errorf("unknown option: %v", err)
	}
}

// A stream that breaks off would make a perfectly valid short message.
func TestSealNoticesABrokenStream(t *testing.T) {
	t.Parallel()
	broken := errors.New("zfs send: signal: killed")
	for name, s := range map[string]Sealer{"gpg": gpg(t, "pass"), "none": Plain{}} {
		r := io.MultiReader(strings.NewReader("half of it"), iotest.ErrReader(broken))
		if err := s.Seal(t.Context(), r, io.Discard); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What /etc/gnupg/gpg.conf can do to sealing, done by a leading word, since the file is the machine's.
func TestSealNoticesASpoiltGPG(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		`cat >/dev/null`:                     "END_ENCRYPTION 0 times", // dry-run: exit 0 and nothing
		`exec gpg "$@" --cipher-algo AES128`: "the message begins",
		`exec gpg "$@" --s2k-count 65536`:    "the message begins", // 992 times cheaper to guess
		`exec gpg "$@" --armor`:              "the message begins",
		`exec gpg "$@" --compress-algo zip`:  "4194304 bytes became", // text mode, too, changes the length
		`gpg "$@" 4>/dev/null`:               "END_ENCRYPTION 0 times",
		`gpg "$@"; exit 2`:                   "exit 2",
		`head -c 10 | gpg "$@"`:              "ended after", // more than the pipe holds
	} {
		g := gpg(t, "pass")
		path := filepath.Join(t.TempDir(), "gpg")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		g.Words = []string{path}
		err := g.Seal(t.Context(), bytes.NewReader(make([]byte, 4<<20)), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", script, err)
		}
	}
}

func TestGPGRefusesAPassphraseItCannotTake(t *testing.T) {
	g := gpg(t, "")
	if err := g.Seal(t.Context(), strings.NewReader("x"), io.Discard); err == nil {
		t.Error("sealed without a passphrase")
	}
}

// bomb is a message under "pass" that begins as ours do, and has so many zeros, compressed.
func bomb(t *testing.T, zeros int64) []byte {
	t.Helper()
	argv := words(common, []string{"--homedir", t.TempDir()}, alone, seal, []string{"--compress-algo", "zip", "--passphrase", "pass", "--symmetric"})
	c := exec.Command("gpg", argv...)
	c.Stdin = io.LimitReader(zero{}, zeros)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := checkHead(out[:headLen]); err != nil || len(out) > 1<<20 {
		t.Fatalf("no bomb: %d bytes, %v", len(out), err)
	}
	return out
}

type zero struct{}

func (zero) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// marker is a packet that means nothing: RFC 4880, 5.8.
var marker = []byte{0xca, 3, 'P', 'G', 'P'}

// armored is the same message as text, which needs no passphrase.
func armored(t *testing.T, message []byte) []byte {
	t.Helper()
	c := exec.Command("gpg", "--batch", "--no-options", "--homedir", t.TempDir(), "--enarmor")
	c.Stdin = bytes.NewReader(message)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(out, []byte("PGP ARMORED FILE"), []byte("PGP MESSAGE"))
}

// literal is an unencrypted message: RFC 4880, 5.9.
func literal(data []byte) []byte {
	body := slices.Concat([]byte{'b', 0, 0, 0, 0, 0}, data)
	n := len(body)
	return slices.Concat([]byte{0xcb, 0xff, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, body)
}

// gpg1 is a message of GnuPG 1.4's making, under "pass".
func gpg1(t *testing.T, plain []byte, args ...string) []byte {
	t.Helper()
	home := t.TempDir()
	argv := append([]string{"--batch", "--no-tty", "--no-options", "--homedir", home, "--passphrase", "pass"}, args...)
	c := exec.Command("gpg1", append(argv, "--symmetric", "--output", "-")...)
	c.Stdin = bytes.NewReader(plain)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
