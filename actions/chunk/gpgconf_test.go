package chunk

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// underConfig is a gpg that finds a line in /etc/gnupg/gpg.conf, in an /etc of its own.
func underConfig(t *testing.T, g GPG, line string) GPG {
	t.Helper()
	if err := exec.Command("unshare", "-m", "--propagation", "private", "mount", "-t", "tmpfs", "none", "/etc").Run(); err != nil {
		t.Skipf("there can't be another /etc here: %v", err)
	}
	script := `#!/bin/sh
exec unshare -m --propagation private sh -c '
mount -t tmpfs none /etc && mkdir /etc/gnupg && echo "$0" >/etc/gnupg/gpg.conf && exec gpg "$@"' "` + line + `" "$@"
`
	path := filepath.Join(t.TempDir(), "gpg")
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	g.Words = []string{path}
	return g
}

// Whatever the system's gpg.conf says: what is sealed under it opens everywhere, or sealing fails; and nothing is opened
// under it that was changed. That it is read at all, the two with an error show.
func TestSystemsConfig(t *testing.T) {
	t.Parallel()
	clean := gpg(t, "pass")
	plain := slices.Concat([]byte("a line\r\nanother\n\x00"), random(20_000), []byte("\r\n"))
	good := sealed(t, clean, plain)
	flipped := slices.Clone(good)
	flipped[len(flipped)-300] ^= 1
	for line, problem := range map[string]string{
		"dry-run": "look at /etc/gnupg/gpg.conf", "store": "conflicting commands",
		"textmode": "", "rfc2440": "", "force-ocb": "", "ignore-mdc-error": "", "no-such-option": "",
		"armor": "", "compress-algo zip": "", "s2k-count 65536": "", "list-only": "", "logger-fd 1": "",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			under := underConfig(t, clean, line)
			var c, opened, elsewhere bytes.Buffer
			err := under.Seal(t.Context(), bytes.NewReader(plain), &c)
			if problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
				t.Errorf("sealed: %v", err)
			}
			if err == nil {
				err := clean.Open(t.Context(), &c, &elsewhere, int64(len(plain)))
				if err != nil || !bytes.Equal(elsewhere.Bytes(), plain) {
					t.Errorf("sealed, and elsewhere it opens as %d bytes, %v", elsewhere.Len(), err)
				}
			}
			if err := under.Open(t.Context(), bytes.NewReader(good), &opened, int64(len(plain))); err == nil && !bytes.Equal(opened.Bytes(), plain) {
				t.Error("opened as other bytes")
			}
			if under.Open(t.Context(), bytes.NewReader(flipped), io.Discard, int64(len(plain))) == nil {
				t.Error("opened with a byte flipped")
			}
		})
	}
}
