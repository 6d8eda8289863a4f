package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/zfs"
)

// Whatever stands in a file: it is read, or refused with lines that are in it; what is read can be acted upon, and no
// text of it reaches a terminal as it is.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob(corpus + "/*.ini")
	if err != nil || len(files) == 0 {
		f.Fatalf("no corpus: %v", err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Add(minimal("remote = b2:x", "spool_max = 3G", "hook_timeout = 1h"))
	dir := f.TempDir()
	env := Env{Getenv: func(string) string { return "" }, Getwd: func() (string, error) { return "/cwd", nil }, UID: os.Getuid(), Home: dir}
	f.Fuzz(func(t *testing.T, text string) {
		l := newLoader(filepath.Join(dir, "config.ini"), env, parse(text))
		l.problems = append(l.problems, l.doc.problems...)
		l.readKeys()
		l.readPrograms()
		l.readSequence()
		l.checkPassphraseKeys()
		l.checkRemoteThere()
		l.checkNames()
		l.checkSpoolMax()
		l.checkUnknown()
		lines := strings.Count(text, "\n") + 1
		for _, p := range l.problems {
			if p.Line < 0 || p.Line > lines {
				t.Errorf("a problem on line %d of %d", p.Line, lines)
			}
		}
		said := (&Errors{"config.ini", l.problems}).Error()
		if odd := strings.ContainsFunc(said, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }); odd || !utf8.ValidString(said) {
			t.Errorf("%q", said)
		}
		if len(l.problems) > 0 {
			return
		}
		if _, err := zfs.ParseDataset(l.s.Dataset); err != nil {
			t.Errorf("a dataset that zfs is not asked for: %v", err)
		}
		if p := l.s.Passphrase.Inline; len(p) > 0 && chunk.CheckPassphrase(p) != nil {
			t.Errorf("a passphrase that gpg is not given: %q", string(p))
		}
		if l.s.SplitSize < 1 || l.s.HookTimeout < 0 || l.s.BackupMaxAge < 0 || l.s.OldestSnapshotDays < 1 || l.s.UploadJobs < 1 {
			t.Errorf("%+v", l.s)
		}
		for _, kv := range Show(l.s) {
			if kv.Key == "encryption_passphrase" && kv.Value != masked && kv.Value != "" && kv.Value != "none" {
				t.Errorf("%s is shown as %q", kv.Key, kv.Value)
			}
		}
	})
}

// What a config may name, zfs can be asked for, and the other way round.
func FuzzDataset(f *testing.F) {
	for _, name := range []string{"tank", "tank/ a", "tank/a ", "tank/.", "tank/a@b", "-r", "tank//a", "tank/%", "tank/ü", strings.Repeat("a/", 127) + "a"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		ours := checkDataset(name)
		if _, err := zfs.ParseDataset(name); (err == nil) != (ours == nil) {
			t.Errorf("%q: the config says %v, zfs %v", name, ours, err)
		}
	})
}

// One passphrase is allowed or not, wherever it is looked at.
func FuzzPassphrase(f *testing.F) {
	for _, p := range []string{"", "x", "a\x00b", "a\rb", " a ", "é", "e\u0301", "\xff", "\u0085", strings.Repeat("x", 200), strings.Repeat("x", 201)} {
		f.Add([]byte(p))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		here, there := checkPassphrase(p), chunk.CheckPassphrase(p)
		if (here == nil) != (there == nil) {
			t.Errorf("%q: %v, and %v", p, here, there)
		}
	})
}
