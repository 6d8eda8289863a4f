package manifest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/zfs/zfstest"
)

func text(t *testing.T, m *Manifest, bases ...string) string {
	t.Helper()
	b, err := RestoreText(m, bases)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRestoreTextSays(t *testing.T) {
	for name, c := range map[string]struct {
		text      string
		has, lack []string
	}{
		"incremental": {
			text(t, incremental(), "20261125035200-full"),
			[]string{
				"tank/my data", "web1", "2026-11-26 03:52:00 UTC", "\n   20261125035200-full\n", "gpg for each file by itself",
				"zfs000000.gpg \\\n      tank-my_data@20261126035200.zfs.000001.g2.gpg \\\n", "zfs get mountpoint",
				"For the script (2) it must\nnot exist yet", "By hand (3 and 4)\nit has the folders before in it already",
			},
			[]string{hexA, hexB, hexC, "18446744073709551615", "zfs load-key", "It must not exist yet"},
		},
		"full": {text(t, full()), []string{"It is full", "must not exist yet"}, []string{"incremental: it holds", "zfs get mountpoint", hexA}},
		"none": {text(t, unencrypted()), []string{"are not encrypted"}, []string{"PASS", "GPG=", "GnuPG", ".gpg"}},
	} {
		for _, s := range c.has {
			if !strings.Contains(c.text, strings.Replace(s, "zfs000000", "zfs.000000", 1)) {
				t.Errorf("%s: does not say %q in\n%s", name, s, c.text)
			}
		}
		for _, s := range c.lack {
			if strings.Contains(c.text, s) {
				t.Errorf("%s: says %q", name, s)
			}
		}
		first, _, _ := strings.Cut(c.text, "\n")
		if !strings.Contains(first, "NOT") || !strings.Contains(first, "cat FOLDER/* | gpg -d") {
			t.Errorf("%s: first line %q", name, first)
		}
		if strings.Contains(commands(t, c.text, "1", "2", "3", "4", "5"), "tank/my data") {
			t.Errorf("%s: the dataset's name stands in a command", name)
		}
		if strings.ContainsAny(commands(t, c.text, "1", "2", "3", "4", "5"), "!\t") {
			t.Errorf("%s: a character that an interactive shell does not take as it is", name)
		}
	}
}

func TestRestoreTextRefuses(t *testing.T) {
	odd := full()
	odd.Host = "web1\n    rm -rf /"
	for name, c := range map[string]struct {
		m     *Manifest
		bases []string
	}{
		"full with a base":      {full(), []string{"20261124035200-full"}},
		"no base":               {incremental(), nil},
		"another base":          {incremental(), []string{"20261124035200-full"}},
		"no full at the bottom": {incremental(), []string{"20261124035200", "20261125035200-full"}},
		"a host with commands":  {odd, nil},
	} {
		if _, err := RestoreText(c.m, c.bases); err == nil {
			t.Errorf("%s: passed", name)
		}
	}
}

// A chain of two from a real ZFS, restored by nothing but the commands of the texts; and what happens when a
// file is not as it was. One pool after the other: zfs-fuse 0.7 was seen to hang in two mounts at once.
func TestRestoreByTheLetter(t *testing.T) {
	for _, with := range []string{"gpg", "gpg1", "none"} {
		t.Run(with, func(t *testing.T) {
			if with == "gpg1" {
				if _, err := exec.LookPath("gpg1"); err != nil {
					t.Skip("gpg1 is not installed")
				}
			}
			b := newBackups(t, with, 2)
			b.restoresAsItWas(t)
			if with != "gpg1" { // it takes half a second to derive a key
				b.stopsAtTheFirstError(t)
				b.checksTell(t)
			}
		})
	}
}

// backups are a full and incrementals, each on the one before, in folders, as they would lie on a remote.
type backups struct {
	pool, dir, pass, gpg string
	fs                   string
	chain                []*Manifest
	texts                []string
}

const passphrase = ` it's "$HOME" \n #;%1 ü `

func newBackups(t *testing.T, with string, n int) *backups {
	b := &backups{pool: zfstest.Pool(t, 100), dir: t.TempDir(), gpg: with}
	b.fs = b.pool + "/my data"
	var s chunk.Sealer = chunk.Plain{}
	if with != "none" {
		s = gpg(t, passphrase)
	}
	zfstest.Run(t, "zfs", "create", b.fs)
	files := zfstest.NeedMount(t, b.fs)
	var bases []string
	var sha string
	for i, stamp := range []string{"20261125035200", "20261126035200", "20261127035200"}[:n] {
		noise := make([]byte, 300_000)
		rand.Read(noise)
		if err := os.WriteFile(filepath.Join(files, fmt.Sprint("file ", i)), noise, 0o640); err != nil {
			t.Fatal(err)
		}
		zfstest.Run(t, "zfs", "snapshot", b.fs+"@"+stamp)
		m := b.backup(t, s, stamp, sha)
		index := []byte("what begins in which")
		if i != 1 { // the second is of the first format
			m.Index = &Index{i + 1, IndexName(i+1, s.Kind()), int64(len(index)), int64(len(index)), hashOf(index), hashOf(index)}
		}
		object, objectSHA, err := Seal(t.Context(), s, m)
		if err != nil {
			t.Fatal(err)
		}
		restore := text(t, m, bases...)
		lie := map[string][]byte{FileName(s.Kind()): object, RestoreFile: []byte(restore)}
		if with != "none" {
			if lie[ScriptFile], err = SealScript(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		if m.Index != nil {
			lie[m.Index.Name] = index
		}
		for name, data := range lie {
			if err := os.WriteFile(filepath.Join(b.dir, m.Name, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b.chain, b.texts, bases, sha = append(b.chain, m), append(b.texts, restore), append(bases, m.Name), objectSHA
	}
	b.pass = filepath.Join(t.TempDir(), "the pass")
	if err := os.WriteFile(b.pass, []byte(passphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

// backup sends a snapshot into chunk files, with a file of another generation beside one of them.
func (b *backups) backup(t *testing.T, s chunk.Sealer, stamp, baseSHA string) *Manifest {
	m := &Manifest{
		Name: Folder(stamp, len(b.chain) == 0), Kind: Full, Created: time.Date(2026, 11, 26, 3, 52, 0, 0, time.UTC),
		Tool: "zfs2cloud test", Host: "web1", Job: strings.Repeat("5f", 16), PoolGUID: guid(t, b.pool),
		Dataset: b.fs, DatasetGUID: guid(t, b.fs), Snapshot: stamp, SnapshotGUID: guid(t, b.fs+"@"+stamp),
		SplitSize: 100_000,
	}
	argv := []string{"send", b.fs + "@" + stamp}
	if len(b.chain) > 0 {
		base := b.chain[len(b.chain)-1]
		m.Kind = Incremental
		m.Base = &Base{base.Name, base.SnapshotGUID, baseSHA}
		m.Previous = &Previous{base.Name, baseSHA}
		argv = []string{"send", "-i", "@" + base.Snapshot, b.fs + "@" + stamp}
	}
	if err := os.Mkdir(filepath.Join(b.dir, m.Name), 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(filepath.Join(b.dir, m.Name))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	stream, err := exec.Command("zfs", argv...).Output()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(stream)
	m.StreamBytes, m.StreamSHA256 = int64(len(stream)), hex.EncodeToString(sum[:])
	cutter, err := chunk.NewCutter(bytes.NewReader(stream), m.SplitSize)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		piece, err := cutter.Next()
		if err == io.EOF {
			return m
		}
		if err != nil {
			t.Fatal(err)
		}
		gen := 1
		if n == 1 {
			gen = 2
			other := chunk.Name(m.Dataset, stamp, n, 1, s.Kind())
			if _, err := chunk.WriteFile(t.Context(), root, other, strings.NewReader("of an older generation"), s, nil); err != nil {
				t.Fatal(err)
			}
		}
		name := chunk.Name(m.Dataset, stamp, n, gen, s.Kind())
		w, err := chunk.WriteFile(t.Context(), root, name, piece, s, nil)
		if err != nil {
			t.Fatal(err)
		}
		m.Chunks = append(m.Chunks, Chunk{n, gen, name, w.Plain.Size, w.Cipher.Size, w.Cipher.SHA256, w.Plain.SHA256})
	}
}

func (b *backups) restoresAsItWas(t *testing.T) {
	to := b.pool + "/restored"
	for i, m := range b.chain {
		out, err := b.sh(t, i, to, "1", "3", "4")
		if err != nil || !strings.Contains(out, "CHECKED: ") || !strings.Contains(out, "RESTORED: ") {
			t.Fatalf("%s: %v\n%s", m.Name, err, out)
		}
		if got := guid(t, to+"@"+m.Snapshot); got != m.SnapshotGUID {
			t.Errorf("%s: GUID %s, not %s", m.Name, got, m.SnapshotGUID)
		}
	}
	if out, err := b.sh(t, 1, to, "1", "5"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	from, into := zfstest.NeedMount(t, b.fs), zfstest.NeedMount(t, to)
	for i := range b.chain {
		name := fmt.Sprint("file ", i)
		want, err1 := os.ReadFile(filepath.Join(from, name))
		got, err2 := os.ReadFile(filepath.Join(into, name))
		if err1 != nil || err2 != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs: %v, %v", name, err1, err2)
		}
	}
}

// Whichever file is missing or was changed: no receive ends well, and nothing is left of it.
func (b *backups) stopsAtTheFirstError(t *testing.T) {
	to := b.pool + "/not restored"
	last := len(b.chain[0].Chunks) - 1
	for what, n := range map[string]int{"the first": 0, "one in the middle": 1, "the last": last} {
		spoils := map[string]func(string) error{"missing": os.Remove}
		if b.gpg != "none" {
			spoils["its last byte changed"] = flipLast
		}
		if b.gpg != "none" && n == 1 {
			spoils["not encrypted"] = b.inClear
		}
		for how, spoil := range spoils {
			restore := b.spoil(t, b.chain[0].Chunks[n].Name, spoil)
			out, err := b.sh(t, 0, to, "1", "4")
			if err == nil || strings.Contains(out, "RESTORED") || !strings.Contains(out, "STOPPED: ") {
				t.Errorf("%s %s: %v\n%s", what, how, err, out)
			}
			if exec.Command("zfs", "list", to).Run() == nil {
				t.Errorf("%s %s: a dataset is left", what, how)
			}
			restore()
		}
	}
	if b.gpg == "none" {
		return
	}
	wrong := *b
	wrong.pass = filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrong.pass, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := wrong.sh(t, 0, to, "1", "3"); err == nil || !strings.Contains(out, "wrong passphrase") {
		t.Errorf("wrong passphrase: %v\n%s", err, out)
	}
}

// The second section notices what the third can't: files that open, but are others.
func (b *backups) checksTell(t *testing.T) {
	chunks := b.chain[0].Chunks
	swap := func(path string) error {
		other, err := os.ReadFile(filepath.Join(filepath.Dir(path), chunks[0].Name))
		if err != nil {
			return err
		}
		return os.WriteFile(path, other, 0o600)
	}
	manifests := FileName(b.chain[0].Encryption())
	older := func(path string) error {
		other, err := os.ReadFile(filepath.Join(b.dir, b.chain[1].Name, manifests))
		if err != nil {
			return err
		}
		return os.WriteFile(path, other, 0o600)
	}
	for name, spoil := range map[string]func(string) error{chunks[2].Name: swap, manifests: older} {
		restore := b.spoil(t, name, spoil)
		out, err := b.sh(t, 0, "none", "1", "3")
		if err == nil || strings.Contains(out, "CHECKED") || !strings.Contains(out, "STOPPED: ") {
			t.Errorf("another file as %s: %v\n%s", name, err, out)
		}
		restore()
	}
}

// spoil does something to a file of the full, and gives back what makes it whole again.
func (b *backups) spoil(t *testing.T, name string, do func(string) error) (restore func()) {
	t.Helper()
	path := filepath.Join(b.dir, b.chain[0].Name, name)
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := do(path); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.WriteFile(path, was, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// inClear makes of a file the message with the very same content that needs no passphrase: gpg reads it with exit 0.
func (b *backups) inClear(path string) error {
	args := []string{"--batch", "--no-options", "--no-autostart", "--pinentry-mode", "loopback", "--homedir", filepath.Dir(b.pass), "--passphrase-file", b.pass}
	plain, err := exec.Command("gpg", append(args, "-d", path)...).Output()
	if err != nil {
		return err
	}
	literal, err := b.stored(plain)
	if err != nil {
		return err
	}
	return os.WriteFile(path, literal, 0o600)
}

// stored is a message that needs no passphrase.
func (b *backups) stored(plain []byte) ([]byte, error) {
	store := exec.Command("gpg", "--batch", "--no-options", "--no-autostart", "--homedir", filepath.Dir(b.pass), "-z", "0", "--store")
	store.Stdin = bytes.NewReader(plain)
	return store.Output()
}

func flipLast(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[len(b)-1] ^= 1
	return os.WriteFile(path, b, 0o600)
}

// sh runs the commands of some sections of a folder's text, with nothing filled in but the variables.
func (b *backups) sh(t *testing.T, i int, to string, sections ...string) (string, error) {
	t.Helper()
	script := commands(t, b.texts[i], sections...)
	script = strings.NewReplacer(
		"NEW=newpool/data\n", "NEW='"+to+"'\n",
		"PASS=/root/restore-passphrase\n", "PASS='"+b.pass+"'\n",
		"GPG=gpg\n", "GPG="+b.gpg+"\n",
	).Replace(script)
	tmp := filepath.Join(t.TempDir(), "with blank")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "sh")
	c.Dir = filepath.Join(b.dir, b.chain[i].Name)
	c.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "GNUPGHOME=") }), "TMPDIR="+tmp)
	c.Stdin = strings.NewReader(script)
	out, err := c.CombinedOutput()
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("left in TMPDIR: %v", left)
	}
	return string(out), err
}

// commands are the indented lines of some sections of the text.
func commands(t *testing.T, text string, sections ...string) string {
	t.Helper()
	var script strings.Builder
	var section string
	for line := range strings.Lines(text) {
		if len(line) > 2 && line[1] == '.' && line[2] == ' ' {
			section = line[:1]
		}
		if command, ok := strings.CutPrefix(line, "    "); ok && slices.Contains(sections, section) {
			script.WriteString(command)
		}
	}
	if script.Len() == 0 {
		t.Fatalf("no commands in\n%s", text)
	}
	return script.String()
}

func guid(t *testing.T, name string) string {
	t.Helper()
	if !strings.Contains(name, "/") {
		// zpool get of zfs-fuse has no -H: a header, then NAME PROPERTY VALUE SOURCE.
		fields := strings.Fields(zfstest.Run(t, "zpool", "get", "guid", name))
		return fields[len(fields)-2]
	}
	return strings.TrimSpace(zfstest.Run(t, "zfs", "get", "-Hp", "-o", "value", "guid", name))
}
