package actions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// verify verifies the newest chain, and looks that nothing is left in the spool folder.
func (b *backups) verify(t *testing.T, q VerifyRequest) []Verdict {
	t.Helper()
	return b.verifyIn(t, b.catalog(t), q)
}

func (b *backups) verifyIn(t *testing.T, c *catalog.Catalog, q VerifyRequest) (verdicts []Verdict) {
	t.Helper()
	dir := t.TempDir()
	if err := b.kit.Verify(t.Context(), c, q, dir, func(v Verdict) { verdicts = append(verdicts, v) }); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left in the spool folder: %v %v", left, err)
	}
	return verdicts
}

// looking are the levels that need no dataset.
var looking = []Level{Listed, Hashed, Decrypted}

// flipBit flips a bit of a file.
func flipBit(t *testing.T, file string, bit int64) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[bit/8] ^= 1 << (bit % 8)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	b := newBackups(t, settings.GPG)
	full := b.add(t, fullName, oneJob, nil)
	incr := b.add(t, incrName, oneJob, full)
	both := []*manifest.Manifest{full, incr}
	t.Run("whole", func(t *testing.T) {
		for _, level := range looking {
			for _, q := range []VerifyRequest{{Level: level}, {Level: level, All: true}, {Level: level, Backups: []string{incrName}}} {
				verdicts := b.verify(t, q)
				if len(verdicts) != 2 {
					t.Fatalf("%s: %+v", level, verdicts)
				}
				for i, v := range verdicts {
					if v.Backup != both[i].Name || len(v.Bad) > 0 || v.Skipped != "" || v.Chunks != len(both[i].Chunks) || v.Bytes != both[i].Bytes() {
						t.Errorf("%s: %+v", level, v)
					}
				}
			}
			if verdicts := b.verify(t, VerifyRequest{Level: level, Backups: []string{full.Snapshot}}); len(verdicts) != 1 {
				t.Errorf("the full by its stamp: %+v", verdicts)
			}
		}
	})
	t.Run("one bit", func(t *testing.T) { testOneBit(t, b, both) })
	t.Run("gone", func(t *testing.T) { testGone(t, b, both) })
	t.Run("streams", func(t *testing.T) { testVerifiedStreams(t, b, both) })
	t.Run("on record", func(t *testing.T) { testOnRecord(t, b, full) })
	t.Run("through rclone", func(t *testing.T) {
		_, c := b.throughRclone(t)
		for _, v := range b.verifyIn(t, c, VerifyRequest{Level: Hashed}) {
			if len(v.Bad) > 0 || v.Chunks == 0 {
				t.Errorf("%+v", v)
			}
		}
	})
}

// One bit flipped anywhere, the first or one by chance, in each chunk and each manifest, is found by the levels that say
// so, and by no other: the backup and the file are named, and nothing else.
// (openzfs#18739, btrbk#359, kopia#1958.)
func testOneBit(t *testing.T, b *backups, both []*manifest.Manifest) {
	for i, m := range both {
		files := []string{manifest.FileName(settings.GPG)}
		for _, c := range m.Chunks {
			files = append(files, c.Name)
		}
		for n, name := range files {
			info, err := os.Stat(filepath.Join(b.dir, m.Name, name))
			if err != nil {
				t.Fatal(err)
			}
			bits := 8 * info.Size()
			for _, bit := range []int64{0, mathrand.Int64N(bits)} {
				t.Run(fmt.Sprintf("%s/%d/%d", m.Name, n, bit), func(t *testing.T) {
					t.Parallel()
					b := b.copied(t)
					flipBit(t, filepath.Join(b.dir, m.Name, name), bit)
					for _, level := range looking {
						claims := level != Listed || n == 0
						for _, v := range b.verify(t, VerifyRequest{Level: level, All: true}) {
							switch mine := v.Backup == m.Name; {
							case mine && claims:
								if len(v.Bad) != 1 || v.Bad[0].File != name {
									t.Errorf("%s: %+v", level, v)
								}
							case !mine && i == 0 && n == 0:
								// What is based on a manifest that does not open is worth nothing either.
								if len(v.Bad) != 1 || !strings.Contains(v.Bad[0].What, m.Name) {
									t.Errorf("%s of the other: %+v", level, v)
								}
							case len(v.Bad) > 0:
								t.Errorf("%s: %+v", level, v)
							}
						}
					}
				})
			}
		}
	}
}

// A host that stored the manifest knows which one it was: another that opens is bad, too, and one that does not open under
// another passphrase is not.
func testOnRecord(t *testing.T, b *backups, full *manifest.Manifest) {
	record := &state.Backup{ManifestSHA256: shaOf(t, b.manifestFile(fullName)), Encryption: string(settings.GPG)}
	look := func(b *backups) Verdict {
		v, err := b.kit.verifyingIn(b.catalog(t), Listed).backup(t.Context(), fullName, record, nil)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := look(b); len(v.Bad) > 0 || v.Skipped != "" || v.Chunks != 3 {
		t.Errorf("as it was stored: %+v", v)
	}
	sealedAgain := b.copied(t)
	sealedAgain.commit(t, full)
	if v := look(sealedAgain); len(v.Bad) != 1 || v.Bad[0].File != "manifest.json.gpg" || !strings.HasSuffix(v.Summary(), " instead of "+record.ManifestSHA256[:12]+"…") {
		t.Errorf("sealed again: %+v", v)
	}
	flipped := b.copied(t)
	flipBit(t, flipped.manifestFile(fullName), 777)
	if v := look(flipped); len(v.Bad) != 1 || v.Bad[0].File != "manifest.json.gpg" {
		t.Errorf("flipped: %+v", v)
	}
	another := *b
	another.kit = restoreKit("another", settings.GPG)
	if v := look(&another); len(v.Bad) > 0 || !strings.Contains(v.Skipped, "another passphrase") {
		t.Errorf("another passphrase: %+v", v)
	}
	otherKind := b.copied(t)
	otherKind.kit = restoreKit("", settings.None)
	if v := look(otherKind); len(v.Bad) > 0 || !strings.HasPrefix(v.Skipped, "stored with encryption gpg, ") {
		t.Errorf("another kind of encryption: %+v", v)
	}
	if err := os.WriteFile(filepath.Join(otherKind.dir, fullName, "manifest.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if v := look(otherKind); len(v.Bad) != 1 || v.Skipped != "" {
		t.Errorf("both kinds: %+v", v)
	}
	remove(t, filepath.Join(otherKind.dir, fullName, "manifest.json.gpg"))
	if v := look(otherKind); len(v.Bad) != 1 || v.Skipped != "" {
		t.Errorf("another kind than was stored: %+v", v)
	}
	gone := b.copied(t)
	remove(t, filepath.Join(gone.dir, fullName))
	if v := look(gone); len(v.Bad) != 1 || v.Bad[0].What != catalog.ErrGone.Error() {
		t.Errorf("gone: %+v", v)
	}
}

// What is not there, or cut, is found by a listing already.
func testGone(t *testing.T, b *backups, both []*manifest.Manifest) {
	full := both[0]
	for name, c := range map[string]struct {
		do    func(*testing.T, *backups)
		files []string
		says  string
	}{
		"a chunk":    {func(t *testing.T, b *backups) { remove(t, b.chunkFile(full, 1)) }, []string{full.Chunks[1].Name}, "is not there"},
		"two chunks": {func(t *testing.T, b *backups) { remove(t, b.chunkFile(full, 0)); remove(t, b.chunkFile(full, 2)) }, []string{full.Chunks[0].Name, full.Chunks[2].Name}, "is not there"},
		"an end": {func(t *testing.T, b *backups) {
			if err := os.Truncate(b.chunkFile(full, 2), full.Chunks[2].Size-1); err != nil {
				t.Fatal(err)
			}
		}, []string{full.Chunks[2].Name}, "bytes instead of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := b.copied(t)
			c.do(t, b)
			r, err := b.kit.Remote(b.dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, level := range looking {
				for _, there := range []*catalog.Catalog{b.catalog(t), b.catalogOf(t, unsized{r})} {
					if _, untold := there.Remote.(unsized); untold && level == Listed {
						continue // sizes are not told, so nothing can be said of them
					}
					v := b.verifyIn(t, there, VerifyRequest{Level: level, Backups: []string{fullName}})[0]
					var files []string
					for _, f := range v.Bad {
						files = append(files, f.File)
					}
					if !slices.Equal(files, c.files) || !strings.Contains(v.Summary(), c.says) {
						t.Errorf("%s: %+v", level, v)
					}
				}
			}
		})
	}
	t.Run("a manifest", func(t *testing.T) {
		b := b.copied(t)
		remove(t, b.manifestFile(incrName))
		verdicts := b.verify(t, VerifyRequest{Level: Listed, All: true})
		if len(verdicts) != 2 || verdicts[1].Skipped == "" {
			t.Errorf("%+v", verdicts) // without a record nobody knows that it was ever committed
		}
		v, err := b.kit.verifyingIn(b.catalog(t), Listed).backup(t.Context(), incrName, &state.Backup{}, nil)
		if err != nil || len(v.Bad) != 1 || v.Bad[0].File != "manifest.json.gpg" {
			t.Errorf("%+v %v", v, err)
		}
	})
}

// A stream that is sealed as it should be, and is not that of the snapshot to its end, is found by who opens it.
func testVerifiedStreams(t *testing.T, b *backups, both []*manifest.Manifest) {
	for name, change := range map[string]func(*manifest.Manifest){
		"another snapshot": func(m *manifest.Manifest) { m.SnapshotGUID = "7" },
		"another sum":      func(m *manifest.Manifest) { m.StreamSHA256 = strings.Repeat("0", 64) },
		"cut off":          func(m *manifest.Manifest) { m.Chunks = m.Chunks[:2]; m.StreamBytes = 2 * m.SplitSize },
	} {
		t.Run(name, func(t *testing.T) {
			b, m := b.copied(t), *both[0]
			change(&m)
			b.commit(t, &m)
			for _, level := range looking {
				v := b.verify(t, VerifyRequest{Level: level, Backups: []string{fullName}})[0]
				if bad := len(v.Bad) == 1 && strings.HasPrefix(v.Bad[0].What, "its stream: "); bad != (level == Decrypted) {
					t.Errorf("%s: %+v", level, v)
				}
			}
		})
	}
}

// A chunk that is disturbed on its way once is not bad.
func TestVerifyFetchesOnceMore(t *testing.T) {
	t.Parallel()
	b := newBackups(t, settings.GPG)
	full := b.add(t, fullName, oneJob, nil)
	r, err := b.kit.Remote(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, level := range []Level{Decrypted} {
		d := &disturbed{Remote: r, name: full.Name + "/" + full.Chunks[1].Name, times: 1}
		if v := b.verifyIn(t, b.catalogOf(t, d), VerifyRequest{Level: level})[0]; len(v.Bad) > 0 || v.Chunks != 3 || d.times != 0 {
			t.Errorf("%s: %+v, %d left", level, v, d.times)
		}
		d.times = 2
		if v := b.verifyIn(t, b.catalogOf(t, d), VerifyRequest{Level: level})[0]; len(v.Bad) != 1 || v.Chunks != 2 {
			t.Errorf("%s: %+v", level, v)
		}
	}
}

// One that a prune of another host deletes meanwhile is not bad, nor an error. What has lost a chunk alone is, and so is all where the
// place is gone. (On a second machine a verify told of a backup as bad, or ended, for each night's prune.)
func TestVerifyPrunedMeanwhile(t *testing.T) {
	t.Parallel()
	stored := newBackups(t, settings.GPG)
	full := stored.add(t, fullName, oneJob, nil)
	stored.add(t, "20261127035200-full", oneJob, nil)
	for what, c := range map[string]struct {
		goes func(*backups) string
		gone bool
	}{
		"pruned":         {func(b *backups) string { return filepath.Join(b.dir, fullName) }, true},
		"to be pruned":   {func(b *backups) string { return b.manifestFile(fullName) }, true},
		"a chunk lost":   {func(b *backups) string { return b.chunkFile(full, 1) }, false},
		"the place gone": {func(b *backups) string { return b.dir }, false},
	} {
		b := stored.copied(t)
		r, err := b.kit.Remote(b.dir)
		if err != nil {
			t.Fatal(err)
		}
		d := &disturbed{Remote: r, name: full.Name + "/" + full.Chunks[1].Name, times: 2, meanwhile: func() { remove(t, c.goes(b)) }}
		var verdicts []Verdict
		q := VerifyRequest{Level: Decrypted, All: true}
		err = b.kit.Verify(t.Context(), b.catalogOf(t, d), q, t.TempDir(), func(v Verdict) { verdicts = append(verdicts, v) })
		if gone := err == nil && verdicts[0].Gone && verdicts[0].Bad == nil; gone != c.gone {
			t.Errorf("%s: %v %+v", what, err, verdicts)
		}
	}
}

// disturbed gives one object with its first byte changed, so many times.
type disturbed struct {
	remote.Remote
	name      string
	times     int
	meanwhile func() // if not nil, called just before
}

func (d *disturbed) Get(ctx context.Context, w workflow.World, name string, limit int64, to io.Writer) error {
	if name != d.name || d.times == 0 {
		return d.Remote.Get(ctx, w, name, limit, to)
	}
	d.times--
	if d.meanwhile != nil {
		d.meanwhile()
	}
	first := true
	return d.Remote.Get(ctx, w, name, limit, writerFunc(func(p []byte) (int, error) {
		if first && len(p) > 0 {
			p, first = bytes.Clone(p), false
			p[0] ^= 1
		}
		return to.Write(p)
	}))
}

// Every regular file is read, links are not followed, and what can't be read, or not wholly, is wrong.
func TestReadAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b")
	err := errors.Join(os.MkdirAll(deep, 0o700), os.WriteFile(filepath.Join(dir, "x"), []byte("x"), 0o600), os.WriteFile(filepath.Join(deep, "y"), nil, 0o600),
		os.Symlink("/proc/self/mem", filepath.Join(dir, "link")), syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	read := func(dir string) (v Verdict) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if err := readAll(t.Context(), root, ".", &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := read(dir); v.Files != 2 || len(v.Bad) > 0 {
		t.Errorf("%+v", v)
	}
	root, err := os.OpenRoot("/proc/self")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, says := range map[string]string{"mem": "input/output error", "status": "bytes of 0", "no-such": "no such file"} {
		if err := readOne(t.Context(), root, name); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Without encryption chunks are proved all the same, and the manifest by the record of its hash.
func TestVerifyUnencrypted(t *testing.T) {
	t.Parallel()
	b := newBackups(t, settings.None)
	full := b.add(t, fullName, oneJob, nil)
	record := &state.Backup{ManifestSHA256: shaOf(t, b.manifestFile(fullName)), Encryption: string(settings.None)}
	for n := range full.Chunks {
		b := b.copied(t)
		flipBit(t, b.chunkFile(full, n), 4001)
		for _, level := range looking {
			v := b.verify(t, VerifyRequest{Level: level})[0]
			if bad := len(v.Bad) == 1 && v.Bad[0].File == full.Chunks[n].Name; bad != (level != Listed) {
				t.Errorf("%s: %+v", level, v)
			}
		}
	}
	file := b.manifestFile(fullName)
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, bytes.Replace(text, []byte(`"web1"`), []byte(`"web2"`), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	v, err := b.kit.verifyingIn(b.catalog(t), Listed).backup(t.Context(), fullName, record, nil)
	if err != nil || len(v.Bad) != 1 || v.Bad[0].File != "manifest.json" {
		t.Errorf("%+v %v", v, err)
	}
}
