package chunk

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Passphrases that look alike, or that something on the way could take for something else, are each taken as they are: a
// stock gpg opens what was sealed with the very bytes, and with none of the others. (rear#2157, borg_ynh#49, duplicity-backup.sh#166.)
func TestOddPassphrases(t *testing.T) {
	t.Parallel()
	all := []string{
		"x", strings.Repeat("x", 200), "\u00e9", "e\u0301", " blanks ", "blanks", "%(x)s", "%%(x)s", "$(id)", "`id`", `"quoted"`, "quoted", `'quoted'`,
		`back\slash`, "#hash", ";semicolon", "a  b", "a b", "-rf", "--", "~", "*",
	}
	plain := []byte("what was sealed\r\n")
	messages := make([][]byte, len(all))
	for i, p := range all {
		messages[i] = sealed(t, gpg(t, p), plain)
		file := filepath.Join(t.TempDir(), "pass")
		if err := os.WriteFile(file, []byte(p+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		stock := exec.Command("gpg", "--batch", "--no-autostart", "--pinentry-mode", "loopback", "--homedir", t.TempDir(), "--passphrase-file", file, "-d")
		stock.Stdin = bytes.NewReader(messages[i])
		if got, err := stock.Output(); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%q: a stock gpg gives %q, %v", p, got, err)
		}
	}
	for _, alike := range [][2]string{{"\u00e9", "e\u0301"}, {" blanks ", "blanks"}, {"%(x)s", "%%(x)s"}, {`"quoted"`, "quoted"}, {`'quoted'`, "quoted"}, {"a  b", "a b"}} {
		for i, p := range all {
			if p != alike[0] {
				continue
			}
			if err := gpg(t, alike[1]).Open(t.Context(), bytes.NewReader(messages[i]), io.Discard, int64(len(plain))); !errors.Is(err, ErrPassphrase) {
				t.Errorf("sealed with %q, and %q opens it: %v", alike[0], alike[1], err)
			}
		}
	}
}
