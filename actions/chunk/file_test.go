package chunk

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
)

func root(t *testing.T, dir string) *os.Root {
	t.Helper()
	r, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestWriteFileAndOpenFile(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]Sealer{"gpg": gpg(t, "pass"), "none": Plain{}} {
		dir := root(t, t.TempDir())
		plain := random(300_000)
		w, err := WriteFile(t.Context(), dir, "chunk", bytes.NewReader(plain), s, []string{"md5", "sha1", "sha256"})
		if err != nil {
			t.Fatal(name, err)
		}
		b, _ := dir.ReadFile("chunk")
		md, s1, s2, p2 := md5.Sum(b), sha1.Sum(b), sha256.Sum256(b), sha256.Sum256(plain)
		if w.Cipher.Size != int64(len(b)) || w.Cipher.SHA256 != hex.EncodeToString(s2[:]) ||
			w.Cipher.Hashes["md5"] != hex.EncodeToString(md[:]) || w.Cipher.Hashes["sha1"] != hex.EncodeToString(s1[:]) {
			t.Errorf("%s: ciphertext %+v", name, w.Cipher)
		}
		if w.Plain.Size != 300_000 || w.Plain.SHA256 != hex.EncodeToString(p2[:]) || w.Plain.Hashes != nil {
			t.Errorf("%s: plaintext %+v", name, w.Plain)
		}

		f, _ := dir.Open("chunk")
		defer f.Close()
		var got bytes.Buffer
		if err := OpenFile(t.Context(), f, w.Cipher, w.Plain, s, &got); err != nil || !bytes.Equal(got.Bytes(), plain) {
			t.Errorf("%s: %d bytes, %v", name, got.Len(), err)
		}
		other := w.Plain
		other.SHA256 = strings.Repeat("0", 64)
		if err := OpenFile(t.Context(), f, w.Cipher, other, s, io.Discard); !errors.Is(err, ErrDiffers) {
			t.Errorf("%s: other plaintext: %v", name, err)
		}
	}
}

// A file that is not the one that was sealed does not reach gpg, nor its plaintext anyone.
func TestOpenFileProvesFirst(t *testing.T) {
	t.Parallel()
	g := gpg(t, "pass")
	one, two := sealed(t, g, []byte("one")), sealed(t, g, []byte("two"))
	h := newHasher()
	h.Write(one)
	w := g.World.(*world)
	started := len(w.specs)
	for _, b := range [][]byte{two, one[:len(one)-1], append(bytes.Clone(one), 0), {}} {
		err := OpenFile(t.Context(), bytes.NewReader(b), h.Digest(), Digest{Size: 3}, g, failing{errors.New("written to")})
		if !errors.Is(err, ErrDiffers) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
	if len(w.specs) != started {
		t.Error("gpg was started")
	}
}

func TestWriteFileLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := root(t, t.TempDir())
	dir.WriteFile("old", []byte("as it was"), 0o600)
	broken := errors.New("gone")
	for name, s := range map[string]Sealer{"gpg": gpg(t, "pass"), "none": Plain{}} {
		r := io.MultiReader(bytes.NewReader(random(200_000)), iotest.ErrReader(broken))
		if _, err := WriteFile(t.Context(), dir, "old", r, s, nil); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := WriteFile(t.Context(), dir, "new", strings.NewReader("x"), Plain{}, []string{"quickxor"}); err == nil {
		t.Error("a hash that is not there")
	}
	entries, _ := os.ReadDir(dir.Name())
	b, _ := dir.ReadFile("old")
	if len(entries) != 1 || string(b) != "as it was" {
		t.Errorf("%v, %q", entries, b)
	}
}

func TestWriteFileOnAFullDisk(t *testing.T) {
	t.Parallel()
	mnt := t.TempDir()
	if err := syscall.Mount("tmpfs", mnt, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("tmpfs can't be mounted: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(mnt, syscall.MNT_DETACH) })
	dir := root(t, mnt)
	for name, s := range map[string]Sealer{"gpg": gpg(t, "pass"), "none": Plain{}} {
		_, err := WriteFile(t.Context(), dir, "chunk", bytes.NewReader(random(1<<20)), s, nil)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(mnt); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

func TestProve(t *testing.T) {
	h := newHasher()
	h.Write([]byte("a piece"))
	for text, want := range map[string]bool{"a piece": true, "a piecf": false, "a piec": false, "a piece ": false, "": false} {
		r := strings.NewReader(text)
		if got, err := Prove(r, h.Digest()); got != want || err != nil || r.Len() != 0 {
			t.Errorf("%q: %v, %v, %d left", text, got, err, r.Len())
		}
	}
	broken := errors.New("broken")
	if same, err := Prove(iotest.ErrReader(broken), h.Digest()); same || !errors.Is(err, broken) {
		t.Errorf("%v, %v", same, err)
	}
}

// z3#25, borg#5654: that a key was wrong was noticed at the restore.
func TestCanary(t *testing.T) {
	t.Parallel()
	g := gpg(t, "pass")
	c, err := NewCanary(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	if err := OpenCanary(t.Context(), g, c); err != nil {
		t.Error(err)
	}
	if err := OpenCanary(t.Context(), gpg(t, "pass "), c); !errors.Is(err, ErrPassphrase) {
		t.Errorf("another passphrase: %v", err)
	}
	g.Words = []string{"gpg", "--textmode"} // as gpg.conf might say; our own --no-textmode wins
	if _, err := NewCanary(t.Context(), g); err != nil {
		t.Error(err)
	}
	if _, err := NewCanary(t.Context(), Plain{}); err != nil {
		t.Error(err)
	}
}

// A gpg that changes line endings is noticed before it spoils a backup.
func TestCanaryDies(t *testing.T) {
	t.Parallel()
	if _, err := NewCanary(t.Context(), textMode{Plain{}}); err == nil {
		t.Error("line endings were changed, and nobody said so")
	}
}

type textMode struct{ Plain }

func (s textMode) Seal(ctx context.Context, plain io.Reader, cipher io.Writer) error {
	b, err := io.ReadAll(plain)
	if err != nil {
		return err
	}
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n\n"))
	return s.Plain.Seal(ctx, bytes.NewReader(b), cipher)
}

func TestCheckPassphrase(t *testing.T) {
	for _, p := range []string{"x", " leading and trailing ", "üñ€🔑", "a'b\"c$d`e\\f#g;h%i", strings.Repeat("x", 200)} {
		if err := CheckPassphrase([]byte(p)); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
	for _, p := range []string{"", strings.Repeat("x", 201), "a\nb", "a\r", "a\x00b", "a\tb", "a\x7f", "\xff\xfe", "a\u0085b"} {
		err := CheckPassphrase([]byte(p))
		if err == nil {
			t.Errorf("%q passed", p)
		} else if len(p) > 1 && strings.Contains(err.Error(), p) {
			t.Errorf("the passphrase stands in %q", err)
		}
	}
}
