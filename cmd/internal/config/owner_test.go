package config

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/settings"
)

// TestMain sets the umask: with others, the folders of t.TempDir can be written by their group.
func TestMain(m *testing.M) {
	syscall.Umask(0o022)
	os.Exit(m.Run())
}

func asRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// isOwner demands an OwnerError at the path, for the reason.
func isOwner(t *testing.T, err error, path, reason string) {
	t.Helper()
	owner, ok := errors.AsType[*OwnerError](err)
	if !ok || owner.Path != path || !strings.Contains(owner.Reason, reason) {
		t.Errorf("%v; want that %s %s", err, path, reason)
	}
}

func TestCheckOwned(t *testing.T) {
	asRoot(t)
	top := t.TempDir() // in /tmp, which all may write, and is sticky
	dir := filepath.Join(top, "dir")
	file := filepath.Join(dir, "file")
	try(t, os.Mkdir(dir, 0o755))
	try(t, os.WriteFile(file, nil, 0o644))
	try(t, CheckOwned(file, 0))
	try(t, CheckOwned(file, 1000)) // root's file is everybody's

	try(t, os.Chown(file, 1000, 1000))
	isOwner(t, CheckOwned(file, 0), file, "not to root")
	try(t, CheckOwned(file, 1000))
	isOwner(t, CheckOwned(file, 1001), file, "belongs to")
	try(t, os.Chown(file, 0, 0))

	try(t, os.Chmod(dir, 0o775))
	isOwner(t, CheckOwned(file, 0), dir, "can be written by its group")
	try(t, os.Chmod(dir, 0o777|fs.ModeSticky))
	try(t, CheckOwned(file, 0))
	try(t, os.Chown(file, 1000, 1000)) // what comes next on the path is a stranger's
	isOwner(t, CheckOwned(file, 0), file, "not to root")
	try(t, os.Chown(file, 0, 0))
	try(t, os.Chown(dir, 1000, 1000)) // sticky, but the folder's owner can remove all
	isOwner(t, CheckOwned(file, 0), dir, "not to root")
	try(t, os.Chown(file, 1000, 1000))
	isOwner(t, CheckOwned(file, 1000), dir, "can be written by others") // the exception is for root's folders
	try(t, os.Chown(file, 0, 0))
	try(t, os.Chown(dir, 0, 0))
	try(t, os.Chmod(dir, 0o755))
	try(t, os.Chmod(file, 0o666|fs.ModeSticky)) // and for folders
	isOwner(t, CheckOwned(file, 0), file, "can be written by others")
	try(t, os.Chmod(file, 0o644))

	isOwner(t, CheckOwned(dir, 0), dir, "is a folder, not a file")
	isOwner(t, CheckOwned("/dev/null", 0), "/dev/null", "is not a file")
	if err := CheckOwned(filepath.Join(dir, "nothing"), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// What is said to be typed can be typed as it stands, by who is told so, and changes nothing else.
func TestOwnerFix(t *testing.T) {
	asRoot(t)
	dir := filepath.Join(t.TempDir(), "my backups")
	try(t, os.Mkdir(dir, 0o755))
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	try(t, os.WriteFile(file, nil, 0o644))
	try(t, os.Symlink("file", link))
	fix := func(path string, uid int) string {
		t.Helper()
		owner, ok := errors.AsType[*OwnerError](CheckOwned(path, uid))
		if !ok {
			t.Fatalf("%s is fine for %d", path, uid)
		}
		return owner.Fix
	}
	mends := func(path, command string) {
		t.Helper()
		got := fix(path, 0)
		if got != command {
			t.Errorf("%q, want %q", got, command)
		}
		if out, err := exec.Command("sh", "-c", got).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", got, err, out)
		}
		try(t, CheckOwned(path, 0))
	}
	try(t, os.Chmod(dir, 0o775))
	if got := fix(file, 1000); got != "" { // root's folder
		t.Errorf("%q, which only root may", got)
	}
	mends(file, "chmod go-w '"+dir+"'")
	try(t, os.Lchown(link, 1000, 1000))
	if got := fix(link, 1001); got != "" {
		t.Errorf("%q, which only root may", got)
	}
	mends(link, "chown -h root '"+link+"'")
}

// A link is followed by hand, so that the folders on its way are looked at too.
func TestCheckOwnedFollowsLinks(t *testing.T) {
	asRoot(t)
	top := t.TempDir()
	theirs, ours := filepath.Join(top, "theirs"), filepath.Join(top, "ours")
	try(t, os.Mkdir(theirs, 0o777))
	try(t, os.Mkdir(ours, 0o755))
	try(t, os.WriteFile(filepath.Join(theirs, "file"), nil, 0o644))
	try(t, os.WriteFile(filepath.Join(ours, "file"), nil, 0o644))
	link := filepath.Join(ours, "link")

	try(t, os.Symlink("../ours/./file", link))
	try(t, CheckOwned(link, 0))
	try(t, os.Lchown(link, 1000, 1000))
	isOwner(t, CheckOwned(link, 0), link, "not to root")
	try(t, os.Remove(link))

	try(t, os.Chown(theirs, 1000, 1000))
	for _, target := range []string{"../theirs/file", filepath.Join(theirs, "file")} {
		try(t, os.Symlink(target, link))
		isOwner(t, CheckOwned(link, 0), theirs, "not to root")
		try(t, os.Remove(link))
	}
	try(t, os.Symlink("link", link))
	if err := CheckOwned(link, 0); err == nil || !strings.Contains(err.Error(), "too many levels") {
		t.Error(err)
	}
}

// What is read is what was looked at: a file, or a folder on its way, that is exchanged for another's between the two is
// never read.
func TestSwappedWhileLookedAt(t *testing.T) {
	asRoot(t)
	top := t.TempDir()
	for _, c := range []struct{ path, swapped string }{{"ours", "theirs"}, {"folder/ours", "folder/theirs"}, {"folder", "other"}} {
		dir := filepath.Join(top, rand.Text())
		ours, theirs := filepath.Join(dir, c.path), filepath.Join(dir, c.swapped)
		file := ours
		if c.path == "folder" {
			try(t, errors.Join(os.MkdirAll(ours, 0o755), os.MkdirAll(theirs, 0o755), os.Chmod(theirs, 0o777)))
			file = filepath.Join(ours, "file")
			try(t, os.WriteFile(filepath.Join(theirs, "file"), []byte("theirs"), 0o644))
		} else {
			try(t, os.MkdirAll(filepath.Dir(ours), 0o755))
			try(t, errors.Join(os.WriteFile(theirs, []byte("theirs"), 0o644), os.Chown(theirs, 1000, 1000)))
		}
		try(t, os.WriteFile(file, []byte("ours"), 0o644))
		stop := make(chan struct{})
		var swapping sync.WaitGroup
		swapping.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = unix.Renameat2(unix.AT_FDCWD, ours, unix.AT_FDCWD, theirs, unix.RENAME_EXCHANGE)
				}
			}
		})
		read, refused := 0, 0
		for until := time.Now().Add(10 * time.Second); (read < 200 || refused < 200) && time.Now().Before(until); {
			data, _, err := readOwned(file, 0, 100)
			switch {
			case err == nil && string(data) == "ours":
				read++
			case err == nil:
				t.Fatalf("%s: read %q", c.path, data)
			default:
				refused++
			}
		}
		close(stop)
		swapping.Wait()
		if read == 0 || refused == 0 {
			t.Errorf("%s: read %d times, refused %d times", c.path, read, refused)
		}
	}
}

func TestConfigIsPrivate(t *testing.T) {
	asRoot(t)
	p := newPlace(t)
	path := p.write("config.ini", minimal(), 0o600)
	load := func(mode os.FileMode, uid int) error {
		t.Helper()
		try(t, os.Chown(path, uid, uid))
		try(t, os.Chmod(path, mode))
		env := p.env
		env.UID = uid
		_, err := Load(path, env)
		return err
	}
	try(t, load(0o600, 0))
	try(t, load(0o640, 0))
	next := "\nNext: chmod 600 " + path
	for _, err := range []error{load(0o644, 0), load(0o604, 0)} {
		if all := p.isBad(err, "line 4  [main] encryption_passphrase\n"); !strings.HasSuffix(all.Error(), next) {
			t.Error(all)
		}
	}
	try(t, os.Chmod(p.dir, 0o755))
	try(t, os.Chmod(filepath.Dir(p.dir), 0o755))
	try(t, load(0o600, 1000))
	p.isBad(load(0o640, 1000), next)

	// Without a passphrase in it, all may read it.
	p.write("config.ini", strings.Replace(minimal("encryption = none"), "encryption_passphrase = secret\n", "", 1), 0o644)
	try(t, load(0o644, 0))
	p.isBad(load(0o664, 0), "can be written by its group", "Next: chmod go-w "+path)
}

func TestReadPassphrase(t *testing.T) {
	p := newPlace(t)
	for content, want := range map[string]string{
		"abc": "abc", "abc\n": "abc", " a$b'\\ \n": " a$b'\\ ", "pä€\n": "pä€", "abc\r\n": "abc",
		"\u00e9\n": "\u00e9", "e\u0301\n": "e\u0301", "%(x)s\n": "%(x)s", "%%\n": "%%", "$(id)\n": "$(id)", "\"a\" 'b'\n": "\"a\" 'b'", "x": "x",
		"": "error: empty", "\n": "error: empty", "abc\n\n": "error: control character", "a\x00b": "error: control character",
		"abc\r": "error: control character", "\xff": "error: not UTF-8", strings.Repeat("x", 201): "error: 201 bytes",
		strings.Repeat("x", 200) + "\n": strings.Repeat("x", 200), strings.Repeat("x", 1<<17): "error: more than 65536 bytes",
	} {
		source := settings.Passphrase{File: p.write("pass", content, 0o600)}
		got, warnings, err := ReadPassphrase(context.Background(), source, nil)
		if problem, bad := strings.CutPrefix(want, "error: "); bad {
			if err == nil || !strings.Contains(err.Error(), problem) {
				t.Errorf("%q: error %v, want %q", content, err, problem)
			}
			continue
		}
		if err != nil || string(got) != want || (len(warnings) > 0) != strings.HasSuffix(content, "\r\n") {
			t.Errorf("%q: %q, %v, %v", content, string(got), warnings, err)
		}
	}
	for content, named := range map[string]string{
		"\ufeffabc\n": "U+FEFF", "a\u200bb": "U+200B", "abc\u2060\r\n": "U+2060", "\ufeff\u200b\n": "U+FEFF", "a\u00a0b\u0301\n": "",
	} {
		got, warnings, err := ReadPassphrase(context.Background(), settings.Passphrase{File: p.write("pass", content, 0o600)}, nil)
		if err != nil || string(got) != strings.TrimRight(content, "\r\n") {
			t.Errorf("%q: %q, %v", content, string(got), err)
		}
		if text := fmt.Sprint(warnings); strings.Contains(text, "nobody sees") != (named != "") || !strings.Contains(text, named) {
			t.Errorf("%q: %s", content, text)
		}
	}
	inline := p.good(strings.Replace(minimal(), "= secret", "= sec\u200dret", 1)).Passphrase
	if got, warnings, err := ReadPassphrase(context.Background(), inline, nil); err != nil || string(got) != "sec\u200dret" || len(warnings) != 1 {
		t.Errorf("%q, %v, %v", string(got), warnings, err)
	}
	if text := UnseenTyped([]byte("a\u200bb")); !strings.HasPrefix(text, "the passphrase has U+200B, ") || UnseenTyped([]byte("ab")) != "" {
		t.Error(text)
	}
	p.write("pass", "abc", 0o644)
	_, _, err := ReadPassphrase(context.Background(), settings.Passphrase{File: p.path("pass")}, nil)
	isOwner(t, err, p.path("pass"), "can be read by others")

	run := func(_ context.Context, argv []string) ([]byte, error) {
		return []byte(strings.Join(argv, "|") + "\n"), nil
	}
	got, _, err := ReadPassphrase(context.Background(), settings.Passphrase{Command: []string{"pass", "a b"}}, run)
	if err != nil || string(got) != "pass|a b" {
		t.Errorf("%q, %v", string(got), err)
	}
	if _, _, err := ReadPassphrase(context.Background(), settings.Passphrase{}, nil); err == nil {
		t.Error("a passphrase out of nothing")
	}
}

func TestPassphraseFileInConfig(t *testing.T) {
	p := newPlace(t)
	p.write("pass", "abc\n", 0o600)
	text := strings.Replace(minimal(), "encryption_passphrase = secret", "encryption_passphrase_file = ./pass", 1)
	if s := p.good(text); s.Passphrase.File != p.path("pass") {
		t.Error(s.Passphrase.File)
	}
	p.write("pass", "abc\n", 0o604)
	p.bad(text, "can be read by others", "Next: chmod 600 "+p.path("pass"))
}

// A program beside the config is meant by ./, whatever folder cron or a user stands in, and it is root's, or ours.
func TestPassphraseCommandInConfig(t *testing.T) {
	p := newPlace(t)
	p.script("get-pass")
	with := func(command string) string {
		return strings.Replace(minimal(), "encryption_passphrase = secret", "encryption_passphrase_command = "+command, 1)
	}
	for written, want := range map[string]string{
		"pass show zfs2cloud": "pass|show|zfs2cloud", "./get-pass a/b": p.path("get-pass") + "|a/b", "'" + p.path("get-pass") + "'": p.path("get-pass"),
	} {
		if s := p.good(with(written)); strings.Join(s.Passphrase.Command, "|") != want || len(s.Warnings) > 0 {
			t.Errorf("%s: %q, %v", written, s.Passphrase.Command, s.Warnings)
		}
	}
	p.bad(with("/nowhere/x"), "[main] encryption_passphrase_command\n", "no such file: /nowhere/x")
	p.write("get-pass", "", 0o644)
	p.bad(with("./get-pass"), "is not executable", "Next: chmod +x "+p.path("get-pass"))
	p.write("get-pass", "", 0o757)
	p.bad(with("./get-pass"), "can be written by others", "Next: chmod go-w "+p.path("get-pass"))
	asRoot(t)
	p.script("get-pass")
	try(t, os.Chown(p.path("get-pass"), 1000, 1000))
	p.bad(with("./get-pass"), "belongs to", "Next: chown root "+p.path("get-pass"))
}
