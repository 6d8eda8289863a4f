package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/zfs/zfstest"
)

// needed is all that the script calls, beside gpg.
var needed = []string{"cat", "env", "grep", "mkdir", "mktemp", "mv", "od", "rm", "sed", "sha256sum", "tr", "wc", "zfs"}

// kit is the machine of somebody who restores: the script, opened from its sealed form, and nothing but the programs that
// it needs, of which each call is written down with its environment.
type kit struct {
	*backups
	bin, log, script, tmp string
	shell                 []string
}

// spy writes down what a program was called with, and becomes it.
const spy = `#!/bin/sh
{ printf '%%s\n' "$0" "$@"; /usr/bin/env; } >>'%s'
exec '%s' "$@"
`

func newKit(t *testing.T, b *backups, shell ...string) *kit {
	t.Helper()
	k := &kit{backups: b, bin: t.TempDir(), log: filepath.Join(t.TempDir(), "log"), tmp: t.TempDir(), shell: shell}
	for _, name := range append(needed, b.gpg) {
		program, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(k.bin, name), fmt.Appendf(nil, spy, k.log, program), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	k.script = filepath.Join(t.TempDir(), "restore.sh")
	object, err := os.ReadFile(filepath.Join(b.dir, b.chain[0].Name, ScriptFile))
	if err != nil {
		t.Fatal(err)
	}
	var opened bytes.Buffer
	if err := gpg(t, passphrase).Derived(scriptLabel).OpenAtMost(t.Context(), bytes.NewReader(object), &opened, maxScript); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.script, opened.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return k
}

// run runs the script on a folder.
func (k *kit) run(t *testing.T, folder, to string) (string, error) {
	t.Helper()
	argv := append(slices.Clone(k.shell), k.script, "-g", k.gpg, "-p", k.pass, "-t", k.tmp, folder, to)
	c := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	c.Env = []string{"PATH=" + k.bin, "passes=exported", "line=exported", "pass=exported"}
	c.Dir = k.dir
	out, err := c.CombinedOutput()
	if left, _ := os.ReadDir(k.tmp); len(left) > 0 {
		t.Errorf("left in the temporary folder: %v", left)
	}
	return string(out), err
}

// refuses demands that the script stops, for a reason, and that no dataset is made.
func (k *kit) refuses(t *testing.T, what, folder, why string) {
	t.Helper()
	to := k.pool + "/refused"
	out, err := k.run(t, folder, to)
	if err == nil || strings.Contains(out, "RESTORED") || !strings.Contains(out, "STOPPED: ") || !strings.Contains(out, why) {
		t.Errorf("%s: %v, and not %q, with\n%s", what, err, why, out)
	}
	if exec.Command("zfs", "list", to).Run() == nil {
		t.Errorf("%s: a dataset is left", what)
		zfstest.Run(t, "zfs", "destroy", "-r", to)
	}
}

// gpgIs has the script call another gpg, a shell script, until it is undone.
func (k *kit) gpgIs(t *testing.T, text string) (undo func()) {
	t.Helper()
	path, was := filepath.Join(k.bin, "other-gpg"), k.gpg
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	k.gpg = path
	return func() { k.gpg = was }
}

// shells are those in which the script has to work, as far as they are here.
func shells() (all [][]string) {
	for _, words := range [][]string{{"dash"}, {"bash", "--posix"}, {"busybox", "sh"}} {
		if path, err := exec.LookPath(words[0]); err == nil {
			all = append(all, append([]string{path}, words[1:]...))
		}
	}
	return all
}

// Chains of one, two and three backups are restored by the script with nothing else there, by each gpg and each shell.
func TestScriptRestores(t *testing.T) {
	for _, with := range []string{"gpg", "gpg1", "gpg2.4"} {
		t.Run(with, func(t *testing.T) {
			if _, err := exec.LookPath(with); err != nil {
				t.Skipf("%s is not installed", with)
			}
			b := newBackups(t, with, 3)
			for i, shell := range shells() {
				k := newKit(t, b, shell...)
				for n, m := range b.chain {
					if n == len(b.chain)-1 || i == 0 {
						k.restores(t, n, fmt.Sprintf("%s/of %d by %d", b.pool, n+1, i), m.Name)
					}
				}
				k.keepsSecrets(t)
				if with == "gpg1" { // it takes half a second to derive a key
					break
				}
				k.goesOn(t, fmt.Sprintf("%s/again by %d", b.pool, i))
			}
		})
	}
}

func (k *kit) restores(t *testing.T, n int, to, folder string) {
	t.Helper()
	out, err := k.run(t, folder, to)
	if err != nil || !strings.Contains(out, "\nRESTORED: ") {
		t.Fatalf("%q, %s: %v\n%s", k.shell, folder, err, out)
	}
	for _, m := range k.chain[:n+1] {
		if got := guid(t, to+"@"+m.Snapshot); got != m.SnapshotGUID {
			t.Errorf("%s: GUID %s, not %s", m.Name, got, m.SnapshotGUID)
		}
		if !strings.Contains(out, "RECEIVE  "+m.Name+"\n") {
			t.Errorf("%s is not said to be received in\n%s", m.Name, out)
		}
	}
	length := func(dataset string) string {
		return zfstest.Run(t, "sh", "-c", `zfs send "$0" | wc -c`, dataset+"@"+k.chain[n].Snapshot)
	}
	if a, b := length(k.fs), length(to); a != b {
		t.Errorf("%s: a stream of %s bytes instead of %s", folder, b, a)
	}
}

// goesOn: what an earlier call made is gone on with; what somebody else made or used is not touched.
func (k *kit) goesOn(t *testing.T, to string) {
	t.Helper()
	if out, err := k.run(t, k.chain[0].Name, to); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	newest := k.chain[len(k.chain)-1].Name
	out, err := k.run(t, filepath.Join(k.dir, newest)+"/", to)
	if err != nil || strings.Count(out, "SKIPPED  ") != 1 || strings.Count(out, "RECEIVE  ") != len(k.chain)-1 {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = k.run(t, newest, to); err != nil || strings.Contains(out, "RECEIVE") || !strings.Contains(out, "RESTORED: ") {
		t.Errorf("all is there: %v\n%s", err, out)
	}
	zfstest.Run(t, "zfs", "snapshot", to+"@theirs")
	if out, err = k.run(t, newest, to); err == nil || !strings.Contains(out, "has a snapshot that is none of this chain") {
		t.Errorf("a snapshot of somebody's in it: %v\n%s", err, out)
	}
	zfstest.Run(t, "zfs", "destroy", "-r", to)
	if out, err = k.run(t, newest, k.fs); err == nil || !strings.Contains(out, k.fs+" exists") {
		t.Errorf("the source itself: %v\n%s", err, out)
	}
	copied := to + " by hand"
	zfstest.Run(t, "sh", "-c", `zfs send "$0" | zfs receive -u "$1"`, k.fs+"@"+k.chain[0].Snapshot, copied)
	if out, err = k.run(t, k.chain[0].Name, copied); err == nil || !strings.Contains(out, copied+" exists") {
		t.Errorf("one that has the snapshot, is not mounted, and was not made by the script: %v\n%s", err, out)
	}
	zfstest.Run(t, "zfs", "destroy", "-r", copied)
}

// keepsSecrets: no program was given the passphrase in its arguments or its environment.
func (k *kit) keepsSecrets(t *testing.T) {
	t.Helper()
	log, err := os.ReadFile(k.log)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(log, []byte("--passphrase-fd")) || bytes.Contains(log, []byte("$HOME")) || bytes.Contains(log, []byte("exported")) {
		t.Errorf("%q: the passphrase, or a variable of ours, was given to a program", k.shell)
	}
}

// Whatever somebody did who can write to the remote: nothing is received.
func TestScriptRefuses(t *testing.T) {
	b := newBackups(t, "gpg", 2)
	k := newKit(t, b, shells()[0]...)
	full, newest := b.chain[0], b.chain[1]
	object := FileName(full.Encryption())
	for _, c := range []struct {
		what, name string
		spoil      func(string) error
		why        string
	}{
		{"a bit of a chunk flipped", full.Chunks[1].Name, flipLast, "is not as it was made"},
		{"a chunk that needs no passphrase", full.Chunks[0].Name, b.inClear, "is not as it was made"},
		{"no chunk", full.Chunks[2].Name, os.Remove, "is all of"},
		{"a bit of the full's manifest flipped", object, flipLast, "is not the one that"},
		{"no manifest", object, os.Remove, "fetch that folder too"},
		{"a manifest not encrypted beside it", object, func(path string) error { return os.WriteFile(strings.TrimSuffix(path, ".gpg"), nil, 0o600) }, "not encrypted"},
		{"a link in place of a chunk", full.Chunks[1].Name, func(path string) error {
			return errors.Join(os.Rename(path, path+".away"), os.Symlink(path+".away", path))
		}, "is all of"},
	} {
		restore := b.spoil(t, c.name, c.spoil)
		k.refuses(t, c.what, newest.Name, c.why)
		for _, left := range []string{"manifest.json", c.name} { // a link would be written through
			if err := os.RemoveAll(filepath.Join(b.dir, full.Name, left)); err != nil {
				t.Fatal(err)
			}
		}
		restore()
	}
	// Of the newest nothing but what gpg says tells.
	path := filepath.Join(b.dir, newest.Name, object)
	genuine, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	inClear, err := b.stored(encoded(t, newest))
	if err != nil {
		t.Fatal(err)
	}
	flipped := append(slices.Clone(genuine[:len(genuine)-1]), genuine[len(genuine)-1]^1)
	for what, other := range map[string][]byte{"flipped": flipped, "in clear": inClear, "behind a stranger's": slices.Concat(inClear, genuine)} {
		if err := os.WriteFile(path, other, 0o600); err != nil {
			t.Fatal(err)
		}
		k.refuses(t, "the newest manifest "+what, newest.Name, "does not open")
	}
	// A system's gpg.conf may say ignore-mdc-error, and then the exit status does not tell.
	if err := os.WriteFile(path, flipped, 0o600); err != nil {
		t.Fatal(err)
	}
	undo := k.gpgIs(t, "exec gpg --ignore-mdc-error \"$@\"")
	k.refuses(t, "the newest manifest flipped, and gpg told not to mind", newest.Name, "does not open")
	undo()
	if err := os.WriteFile(path, genuine, 0o600); err != nil {
		t.Fatal(err)
	}
	undo = k.gpgIs(t, "case $* in *--pinentry-mode*) exec gpg --no-such-option ;; esac\nexec gpg \"$@\"")
	k.refuses(t, "a gpg that does not know an option", newest.Name, "does not run as it should")
	undo()
	k.refuses(t, "a folder that is not there", "20261127035200", "is no folder")
	for _, odd := range []string{"./-rf", "20261127\n035200", "20261127035200-full-full"} {
		if err := os.Mkdir(filepath.Join(b.dir, odd), 0o700); err != nil {
			t.Fatal(err)
		}
		k.refuses(t, "a folder of that name", odd, "is no backup's folder")
	}
	k.refusesForgeries(t, full)
	out, err := k.run(t, newest.Name, b.pool+"/restored")
	if err != nil {
		t.Fatalf("made whole again: %v\n%s", err, out)
	}
}

// refusesForgeries: manifests that were sealed as they should be, by somebody who knows the passphrase, and name what they
// should not.
func (k *kit) refusesForgeries(t *testing.T, full *Manifest) {
	t.Helper()
	path := filepath.Join(k.dir, full.Name, FileName(full.Encryption()))
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	genuine := string(encoded(t, full))
	second := full.Chunks[1].Name
	for what, c := range map[string]struct{ old, new, why string }{
		"a way out of the folder":  {second, "../x", "list of files"},
		"another file":             {second, full.Chunks[2].Name, "not named"},
		"an option":                {second, "-rf", "not named"},
		"a line feed":              {second, "a\nb", "list of files"},
		"a line feed, written out": {second, `a\nb`, "list of files"},
		"a command":                {second, "$(touch hit)", "list of files"},
		"another number":           {`{"n":1,`, `{"n":2,`, "stands in place"},
		"a number that is none":    {`{"n":1,`, `{"n":1e0,`, "list of files"},
		"a key more":               {`,"gen":2,`, `,"gen":2,"more":1,`, "list of files"},
		"another folder":           {`"name":"` + full.Name, `"name":"20261125035201-full`, "another backup"},
		"a base of a full":         {`"base":null`, `"base":{"name":"../../x-full","snapshot_guid":"1","manifest_sha256":"` + hexA + `"}`, "line 5"},
		"a dataset with a quote":   {full.Dataset, full.Dataset + `'$(touch hit)`, "line 3"},
		"a snapshot with a slash":  {`"snapshot":"2026`, `"snapshot":"../2026`, "line 4"},
		"another GUID":             {`"snapshot_guid":"` + full.SnapshotGUID, `"snapshot_guid":"4711`, "stream of another snapshot"},
		"another sum":              {`"stream_bytes":`, `"stream_bytes":1`, "do not add up"},
		"another format":           {"manifest-2", "manifest-3", "another format"},
		"an index in format 1":     {"manifest-2", "manifest-1", "not as it should be"},
		"no index in format 2":     {`"index":`, `"list":`, "line 8"},
		"another file as index":    {`"name":"index.gpg"`, `"name":"../index.gpg"`, "line 8"},
		"an index's key more":      {`"index":{`, `"index":{"more":1,`, "line 8"},
	} {
		forged := strings.Replace(genuine, c.old, c.new, 1)
		if forged == genuine {
			t.Fatalf("%s: nothing to change", what)
		}
		k.sealed(t, full.Name, forged, label)
		k.refuses(t, what, full.Name, c.why)
	}
	k.sealed(t, full.Name, genuine, "") // as a chunk is
	k.refuses(t, "under the passphrase itself", full.Name, "does not open")
	if err := os.WriteFile(path, was, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(k.dir, "hit")); err == nil {
		t.Error("a command was run")
	}
}

// sealed puts a text in the place of a folder's manifest, sealed with the passphrase and a label.
func (k *kit) sealed(t *testing.T, folder, text, label string) {
	t.Helper()
	var object bytes.Buffer
	err := gpg(t, passphrase).Derived(label).Seal(t.Context(), strings.NewReader(text), &object)
	if err == nil {
		err = os.WriteFile(filepath.Join(k.dir, folder, FileName("gpg")), object.Bytes(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Each character that a passphrase may have goes through the shell as it is; some shells use bytes of their own inside.
func TestScriptPassphrases(t *testing.T) {
	var odd strings.Builder
	for c := rune(0xa0); c < 0x100; c++ { // whose second bytes are all that there are
		odd.WriteRune(c)
	}
	for _, shell := range shells() {
		for _, passphrase := range []string{odd.String(), "\u0141\u0142\u0143\u0147\u0148 \\0 %s\\c $(id) `id` *", "-n", `\`, " ", "'\""} {
			k := &kit{backups: &backups{dir: t.TempDir(), gpg: "gpg", pass: filepath.Join(t.TempDir(), "pass")}}
			folder := filepath.Join(k.dir, full().Name)
			if err := errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(k.pass, []byte(passphrase), 0o600)); err != nil {
				t.Fatal(err)
			}
			var object bytes.Buffer
			if err := gpg(t, passphrase).Derived(label).Seal(t.Context(), bytes.NewReader(encoded(t, full())), &object); err != nil {
				t.Fatal(err)
			}
			script := filepath.Join(k.dir, "restore.sh")
			if err := errors.Join(os.WriteFile(filepath.Join(folder, FileName("gpg")), object.Bytes(), 0o600), os.WriteFile(script, []byte(scriptText()), 0o600)); err != nil {
				t.Fatal(err)
			}
			argv := append(slices.Clone(shell), script, "-p", k.pass, folder, "no-such-pool/new")
			out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), "CHAIN    "+full().Name) {
				t.Errorf("%q, %q: %s", shell, passphrase, out)
			}
		}
	}
}

func scriptText() string { return string(script) }

// A chain whose full was sealed by an older passphrase: a file has both, or they are asked for on a terminal.
func TestScriptOlderPassphrase(t *testing.T) {
	dir := t.TempDir()
	put := func(m *Manifest, passphrase string) (sha string) {
		object, sha, err := Seal(t.Context(), gpg(t, passphrase), m)
		if err == nil {
			err = os.Mkdir(filepath.Join(dir, m.Name), 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, m.Name, FileName("gpg")), object, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return sha
	}
	newest := incremental()
	newest.Base.ManifestSHA256 = put(full(), "the older one")
	put(newest, "the newer one")
	script, file := filepath.Join(dir, "restore.sh"), filepath.Join(dir, "pass")
	if err := errors.Join(os.WriteFile(script, []byte(scriptText()), 0o600), os.WriteFile(file, []byte("the newer one\nthe older one\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	walks := func(what string, c *exec.Cmd) {
		t.Helper()
		out, _ := c.CombinedOutput() // there is no pool to go on in
		for _, m := range []*Manifest{newest, full()} {
			if !strings.Contains(string(out), "CHAIN    "+m.Name) {
				t.Errorf("%s: %s is not opened:\n%s", what, m.Name, out)
			}
		}
	}
	folder := filepath.Join(dir, newest.Name)
	walks("a file", exec.Command("sh", script, "-p", file, folder, "no-such-pool/new"))
	if _, err := exec.LookPath("script"); err != nil {
		t.Skip("no script(1), which makes a terminal")
	}
	asked := exec.Command("script", "-qec", fmt.Sprintf("sh '%s' '%s' no-such-pool/new", script, folder), os.DevNull)
	asked.Stdin = strings.NewReader("the newer one\na wrong one\nthe older one\n")
	walks("a terminal", asked)
	// One is not enough.
	if err := os.WriteFile(file, []byte("the newer one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sh", script, "-p", file, folder, "no-such-pool/new").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "STOPPED: "+full().Name+"/manifest.json.gpg does not open: a passphrase is missing") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The object is this version's script, and no other passphrase opens it, nor that of the manifest or of a chunk.
func TestScriptIsSealed(t *testing.T) {
	s := gpg(t, passphrase)
	object, err := SealScript(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if sha, err := OpenScript(t.Context(), s, object); err != nil || sha != Script() || int64(len(object)) < ScriptLen() {
		t.Errorf("%s, %v", sha, err)
	}
	var plain bytes.Buffer
	for what, other := range map[string]chunk.Sealer{"the passphrase itself": s, "the manifest's": s.Derived(label), "another": gpg(t, "another").Derived(scriptLabel)} {
		if err := other.OpenAtMost(t.Context(), bytes.NewReader(object), &plain, maxScript); !errors.Is(err, chunk.ErrPassphrase) {
			t.Errorf("%s opens it: %v", what, err)
		}
	}
	if _, err := OpenScript(t.Context(), s, object[:len(object)-1]); !errors.Is(err, chunk.ErrPassphrase) {
		t.Errorf("cut off: %v", err)
	}
}
