package actions

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs/zfstest"
	"zfs2cloud/workflow"
)

// nothing demands of what is done that it leaves all datasets and snapshots of the pool as they are.
func (b *backups) nothing(t *testing.T, do func()) {
	t.Helper()
	all := func() string { return zfstest.Run(t, "zfs", "list", "-H", "-t", "all", "-o", "name", "-r", b.pool) }
	before := all()
	do()
	if after := all(); after != before {
		t.Errorf("was\n%s\nis\n%s", before, after)
	}
}

// unsized is a remote that does not know how large its objects are, as some stores do not. Then a listing shows nothing
// of what was done to them.
type unsized struct{ remote.Remote }

func (u unsized) List(ctx context.Context, w workflow.World, folder, hash string) ([]remote.Object, error) {
	all, err := u.Remote.List(ctx, w, folder, hash)
	for i := range all {
		all[i].Size = -1
	}
	return all, err
}

// forgeries are what can be made of a sealed object without the passphrase, and of its plaintext with it.
func forgeries(t *testing.T, good []byte, passphrase string) map[string][]byte {
	t.Helper()
	gpg := func(program string, in []byte, args ...string) []byte {
		args = append([]string{"--batch", "--no-tty", "--no-options", "--homedir", t.TempDir()}, args...)
		c := exec.Command(program, args...)
		c.Stdin = bytes.NewReader(in)
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	text := []byte("what a stranger would have us read\n")
	literal := gpg("gpg", text, "-z", "0", "--store", "--output", "-")
	flipped := slices.Clone(good)
	flipped[len(flipped)/2] ^= 1
	all := map[string][]byte{
		"unencrypted literal":           literal,
		"literal before a genuine one":  slices.Concat(literal, good),
		"literal behind a genuine one":  slices.Concat(good, literal),
		"two messages joined":           slices.Concat(good, good),
		"armored":                       bytes.ReplaceAll(gpg("gpg", good, "--enarmor"), []byte("PGP ARMORED FILE"), []byte("PGP MESSAGE")),
		"a byte flipped":                flipped,
		"cut":                           good[:len(good)-1],
		"appended":                      append(slices.Clone(good), 0),
		"an empty file":                 {},
		"a bomb, with our passphrase":   gpg("gpg", make([]byte, manifest.MaxSize+1), "--no-autostart", "--pinentry-mode", "loopback", "--s2k-count", "65011712", "--passphrase", passphrase, "--symmetric", "--compress-algo", "zip", "--output", "-"),
		"a marker before a genuine one": slices.Concat([]byte{0xca, 3, 'P', 'G', 'P'}, good),
	}
	if _, err := exec.LookPath("gpg1"); err == nil {
		all["no integrity packet"] = gpg("gpg1", text, "--passphrase", passphrase, "--disable-mdc", "--cipher-algo", "AES256", "--symmetric", "--output", "-")
	}
	return all
}

// Whatever lies there in place of a manifest or of a chunk: it is refused, and nothing of it is received. A listing shows
// that a chunk has another size; where the store does not tell sizes, its hash does, before gpg or zfs is started.
func testForged(t *testing.T, b *backups, both []*manifest.Manifest) {
	full, incr := both[0], both[1]
	read := func(file string) []byte {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	t.Run("manifest", func(t *testing.T) {
		forged := forgeries(t, read(b.manifestFile(incrName)), "a passphrase zfs2cloud-manifest-1")
		forged["a chunk"] = read(b.chunkFile(incr, 2))
		for name, object := range forged {
			t.Run(name, func(t *testing.T) {
				b := b.copied(t)
				if err := os.WriteFile(b.manifestFile(incrName), object, 0o600); err != nil {
					t.Fatal(err)
				}
				b.nothing(t, func() {
					_, err := b.plan(t, catalog.Latest, b.into(t))
					if !errors.Is(err, chunk.ErrPassphrase) || !strings.Contains(err.Error(), "backup "+incrName) || !strings.Contains(err.Error(), "its manifest does not open") {
						t.Errorf("error %v", err)
					}
				})
			})
		}
	})
	t.Run("chunk", func(t *testing.T) {
		forged := forgeries(t, read(b.chunkFile(full, 0)), "a passphrase")
		forged["one of yesterday"] = read(b.chunkFile(incr, 0))
		forged["the next one"] = read(b.chunkFile(full, 1))
		for name, object := range forged {
			t.Run(name, func(t *testing.T) {
				b := b.copied(t)
				if err := os.WriteFile(b.chunkFile(full, 0), object, 0o600); err != nil {
					t.Fatal(err)
				}
				b.nothing(t, func() { b.refusesChunk(t, int64(len(object)) == full.Chunks[0].Size) })
			})
		}
	})
}

// refusesChunk demands that a first chunk that is not the one that was sealed is noticed, and by its hash if its size is
// the same or the store does not tell it.
func (b *backups) refusesChunk(t *testing.T, sameSize bool) {
	t.Helper()
	if _, err := b.plan(t, catalog.Latest, b.into(t)); (err == nil) != sameSize {
		t.Errorf("planned: %v", err)
	}
	r, err := b.kit.Remote(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.kit.PlanRestore(t.Context(), b.catalogOf(t, unsized{r}), RestoreRequest{Backup: catalog.Latest, Into: b.into(t), Spool: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{}
	_, err = carryOut(t, b.kit, w, p)
	if !errors.Is(err, chunk.ErrDiffers) && !errors.Is(err, remote.ErrTooBig) || !strings.Contains(err.Error(), "chunk 0 of "+fullName) {
		t.Errorf("error %v", err)
	}
	if w.count("--decrypt")+w.count("-u") > 0 {
		t.Error("gpg or zfs receive was started")
	}
}

// What is not a file is not followed, not waited for, and not read, in a folder and through rclone alike.
func testPlanted(t *testing.T, b *backups, both []*manifest.Manifest) {
	elsewhere := t.TempDir()
	plants := map[string]func(path, moved string) error{
		"a link to it":    func(path, moved string) error { return os.Symlink(moved, path) },
		"a dangling link": func(path, _ string) error { return os.Symlink("gone", path) },
		"a fifo":          func(path, _ string) error { return syscall.Mkfifo(path, 0o600) },
		"a folder": func(path, moved string) error {
			return errors.Join(os.Mkdir(path, 0o700), os.Link(moved, filepath.Join(path, filepath.Base(path))))
		},
	}
	for name, plant := range plants {
		for _, what := range []string{"a chunk", "the manifest"} {
			t.Run(name+" as "+what, func(t *testing.T) {
				b := b.copied(t)
				path := b.chunkFile(both[1], 1)
				if what == "the manifest" {
					path = b.manifestFile(incrName)
				}
				moved := filepath.Join(elsewhere, rand.Text())
				if err := errors.Join(os.Rename(path, moved), plant(path, moved)); err != nil {
					t.Fatal(err)
				}
				_, throughRclone := b.throughRclone(t)
				for _, c := range []*catalog.Catalog{b.catalog(t), throughRclone} {
					b.nothing(t, func() {
						p, err := b.kit.PlanRestore(t.Context(), c, RestoreRequest{Backup: catalog.Latest, Into: b.into(t), Spool: t.TempDir()})
						switch {
						case what == "a chunk" && (err == nil || !strings.Contains(err.Error(), "chunk 1, "+both[1].Chunks[1].Name+", is not there")):
							t.Errorf("%s: error %v", c.Remote, err)
						case what == "the manifest" && (err != nil || p.Newest().Name != fullName || !slices.Equal(p.Newer, []string{incrName})):
							t.Errorf("%s: %+v, %v", c.Remote, p, err)
						}
					})
				}
			})
		}
	}
}

// A manifest that is genuine, over a stream that is not what it says: only who has the passphrase can make one, or we, by
// mistake. zfs receive itself ends well at the first END, whatever comes behind it: it does not see that END.
func testStreams(t *testing.T, b *backups, both []*manifest.Manifest) {
	send := func(args ...string) []byte {
		return []byte(zfstest.Run(t, append([]string{"zfs", "send"}, args...)...))
	}
	full, incr := both[0], both[1]
	whole, more := send(b.dataset+"@"+full.Snapshot), send("-i", "@"+full.Snapshot, b.dataset+"@"+incr.Snapshot)
	for _, c := range []struct {
		name  string
		of    *manifest.Manifest
		data  []byte
		cause error
		left  string
	}{
		{"bytes behind END", full, append(slices.Clone(whole), "x"...), stream.ErrMore, "Nothing was restored"},
		{"a second stream behind END", full, slices.Concat(whole, more), stream.ErrMore, "Nothing was restored"},
		{"itself behind END", full, slices.Concat(whole, whole), stream.ErrMore, "Nothing was restored"},
		{"the stream of another snapshot", full, more, stream.ErrOther, "Nothing was restored"},
		{"no stream", full, bytes.Repeat([]byte("text "), 1000), stream.ErrNoStream, "Nothing was restored"},
		{"no END", full, whole[:len(whole)-stream.HeaderSize], stream.ErrCut, "Nothing was restored"},
		{"a bit flipped", full, flipped(whole), stream.ErrDamaged, "Nothing was restored"},
		{"a bit flipped in an increment", incr, flipped(more), stream.ErrDamaged, "holds " + fullName + ", whole"},
		{"bytes behind the END of an increment", incr, append(slices.Clone(more), whole[:5000]...), stream.ErrMore, "holds " + fullName + ", whole"},
		{"the full in an increment's place", incr, whole, stream.ErrOther, "holds " + fullName + ", whole"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := b.copied(t)
			m := *c.of
			remove(t, filepath.Join(b.dir, m.Name))
			m.Chunks, m.StreamBytes, m.SplitSize = nil, int64(len(c.data)), int64(len(c.data))
			b.store(t, &m, c.data)
			if c.of == full {
				remove(t, filepath.Join(b.dir, incrName))
			}
			into := b.into(t)
			do := func() {
				run, err := b.restore(t, &proc.World{}, catalog.Latest, into)
				if !errors.Is(err, c.cause) || !strings.Contains(strings.Join(run.Notes, "\n"), c.left) {
					t.Errorf("error %v, notes %q", err, run.Notes)
				}
			}
			if c.of == full {
				b.nothing(t, do)
			} else {
				do()
			}
		})
	}
}

// flipped is a stream of which one bit is another, in its last record before END.
func flipped(b []byte) []byte {
	b = slices.Clone(b)
	b[len(b)-stream.HeaderSize-5] ^= 4
	return b
}

// A stream with properties brings its mountpoint along. Nothing is mounted there, and nothing is written there.
func testMountpoint(t *testing.T, b *backups) {
	trap := t.TempDir()
	b.dir, b.dataset = t.TempDir(), b.pool+"/trapped"
	zfstest.Run(t, "zfs", "create", "-o", "canmount=noauto", "-o", "mountpoint="+trap, b.dataset)
	t.Cleanup(func() { _ = exec.Command("zfs", "destroy", "-r", b.dataset).Run() })
	m := b.add(t, fullName, oneJob, nil, "-p")
	into := b.into(t)
	if _, err := b.restore(t, &proc.World{}, catalog.Latest, into); err != nil {
		t.Fatal(err)
	}
	b.same(t, into, m)
	if there, err := os.ReadDir(trap); err != nil || len(there) > 0 {
		t.Errorf("%v, %v", there, err)
	}
}
