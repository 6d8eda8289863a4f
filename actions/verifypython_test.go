package actions

import (
	"bytes"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs/zfstest"
)

// pythonSize is how much a piece has.
const pythonSize = 100 << 10

// python makes a backup as the Python tool did: one message, cut into pieces.
func (b *backups) python(t *testing.T, program, name, base string) (pieces []string) {
	t.Helper()
	b.change(t)
	stamp, _, _ := manifest.ParseFolder(name)
	zfstest.Run(t, "zfs", "snapshot", b.dataset+"@"+stamp)
	send := []string{"zfs", "send", b.dataset + "@" + stamp}
	if base != "" {
		send = []string{"zfs", "send", "-i", b.dataset + "@" + base, b.dataset + "@" + stamp}
	}
	args := []string{"--homedir", t.TempDir(), "--batch", "--passphrase", string(b.kit.Passphrase), "-c", "--cipher-algo", "AES256"}
	if program == "gpg" {
		args = append([]string{"--pinentry-mode", "loopback", "--no-autostart", "--s2k-count", "65011712"}, args...)
	}
	seal := exec.Command(program, args...)
	seal.Stdin = strings.NewReader(zfstest.Run(t, send...))
	message, err := seal.Output()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(b.dir, name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for piece := range slices.Chunk(message, pythonSize) {
		file := fmt.Sprintf("%s@%s.zfs.gpg.%04d", strings.ReplaceAll(b.dataset, "/", "-"), stamp, len(pieces))
		if err := os.WriteFile(filepath.Join(folder, file), piece, 0o600); err != nil {
			t.Fatal(err)
		}
		pieces = append(pieces, file)
	}
	return pieces
}

// A message of the Python tool, sealed by gpg 1 and by gpg 2: whole, it is good; with one bit flipped anywhere, cut, or with
// more behind it, it is bad, and the backup is named, alone.
func TestVerifyPython(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"gpg1", "gpg"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(program); err != nil {
				t.Skip(program + " is not installed")
			}
			b := newBackups(t, settings.GPG)
			made := map[string][]string{fullName: b.python(t, program, fullName, "")}
			stamp, _, _ := manifest.ParseFolder(fullName)
			made[incrName] = b.python(t, program, incrName, stamp)
			for _, v := range b.verify(t, VerifyRequest{Level: Decrypted}) {
				if len(v.Bad) > 0 || v.Skipped != "" || v.Chunks != len(made[v.Backup]) || !v.Message {
					t.Errorf("%+v", v)
				}
			}
			for name, pieces := range made {
				for n, piece := range pieces {
					info, err := os.Stat(filepath.Join(b.dir, name, piece))
					if err != nil {
						t.Fatal(err)
					}
					for _, bit := range []int64{0, 8*info.Size() - 1, mathrand.Int64N(8 * info.Size()), mathrand.Int64N(8 * info.Size())} {
						b.pythonIsBad(t, name, fmt.Sprintf("%d/%d", n, bit), n, func(t *testing.T, b *backups) {
							flipBit(t, filepath.Join(b.dir, name, piece), bit)
						})
					}
				}
				last := pieces[len(pieces)-1]
				b.pythonIsBad(t, name, "cut", len(pieces)-1, func(t *testing.T, b *backups) {
					b.rewrite(t, name, last, func(p []byte) []byte { return p[:len(p)-1] })
				})
				b.pythonIsBad(t, name, "more", len(pieces)-1, func(t *testing.T, b *backups) {
					b.rewrite(t, name, last, func(p []byte) []byte { return append(p, 0) })
				})
				b.pythonIsBad(t, name, "the last gone", len(pieces)-2, func(t *testing.T, b *backups) {
					if err := os.Remove(filepath.Join(b.dir, name, last)); err != nil {
						t.Fatal(err)
					}
				})
			}
		})
	}
}

// rewrite changes a file.
func (b *backups) rewrite(t *testing.T, folder, name string, change func([]byte) []byte) {
	t.Helper()
	file := filepath.Join(b.dir, folder, name)
	data, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, change(bytes.Clone(data)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// pythonIsBad harms a copy of all backups in piece N of one, which is found. It shows in that piece or later.
func (b *backups) pythonIsBad(t *testing.T, name, how string, n int, harm func(*testing.T, *backups)) {
	t.Run(name+"/"+how, func(t *testing.T) {
		t.Parallel()
		b := b.copied(t)
		harm(t, b)
		verdicts := b.verify(t, VerifyRequest{Level: Decrypted, All: true})
		if len(verdicts) != 2 {
			t.Fatalf("%+v", verdicts)
		}
		for _, v := range verdicts {
			switch {
			case v.Backup != name:
				if len(v.Bad) > 0 || v.Chunks == 0 {
					t.Errorf("the other: %+v", v)
				}
			case len(v.Bad) != 1 || v.Chunks > 0:
				t.Errorf("%+v", v)
			default:
				shows := v.Bad[0].File
				if shows != "" && shows[len(shows)-4:] < fmt.Sprintf("%04d", n) {
					t.Errorf("it shows before it is: %s", v.Bad[0])
				}
			}
		}
	})
}

// A backup of the Python tool that is based on another than the one beside it, and one of another snapshot than its name says.
func TestVerifyPythonOther(t *testing.T) {
	t.Parallel()
	b := newBackups(t, settings.GPG)
	b.python(t, "gpg", fullName, "")
	stamp, _, _ := manifest.ParseFolder(fullName)
	b.python(t, "gpg", incrName, stamp)
	b.python(t, "gpg", "20261110025200-full", "")
	bad := func(why string) {
		t.Helper()
		verdicts := b.verify(t, VerifyRequest{Level: Decrypted, Backups: []string{incrName}})
		if len(verdicts) != 2 || len(verdicts[0].Bad) > 0 || !strings.Contains(verdicts[1].Summary(), why) {
			t.Errorf("%+v", verdicts)
		}
	}
	bad("which is not 20261110025200-full")
	// What is another dataset's, in the same place, is not what it is based on.
	other := filepath.Join(b.dir, "20261110025200-full")
	for n, file := range b.pieces(t, "20261110025200-full") {
		if err := os.Rename(filepath.Join(other, file), filepath.Join(other, fmt.Sprintf("tank-www@20261110025200.zfs.gpg.%04d", n))); err != nil {
			t.Fatal(err)
		}
	}
	c := b.catalog(t)
	if chain, err := c.PythonChain(t.Context(), incrName); err != nil || len(chain) != 2 || chain[0].Name != fullName {
		t.Errorf("%+v, %v", chain, err)
	}
	for name, settled := range map[string]bool{incrName: true, "20261110025200-full": true} {
		if c.Settled(name) != settled {
			t.Errorf("%s is settled: %v", name, !settled)
		}
	}
	if verdicts := b.verify(t, VerifyRequest{Level: Decrypted, Backups: []string{incrName}}); len(verdicts) != 2 || len(verdicts[0].Bad)+len(verdicts[1].Bad) > 0 {
		t.Errorf("%+v", verdicts)
	}
	if err := os.RemoveAll(other); err != nil {
		t.Fatal(err)
	}
	for _, file := range b.pieces(t, incrName) {
		other := strings.Replace(file, incrName, "20261125025201", 1)
		if err := os.Rename(filepath.Join(b.dir, incrName, file), filepath.Join(b.dir, incrName, other)); err != nil {
			t.Fatal(err)
		}
	}
	bad("send stream of something else: that of")
}

func (b *backups) pieces(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(b.dir, folder))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
