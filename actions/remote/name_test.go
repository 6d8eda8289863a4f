package remote

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// What passes as a name stays within its folder, is no flag, and can be shown.
func FuzzValidName(f *testing.F) {
	for _, name := range []string{"", ".", "..", "a/../b", "/etc/passwd", "a//b", "a/", "-rf", "a/-rf", "a;id", "a\nb", "a\x1b[2J", `a\b`, "\xff",
		".z2c-tmp-00", "a.0123abcd.partial", aName, "zfs2cloud-job-5f", strings.Repeat("n", MaxName), strings.Repeat("n", MaxName+1)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if ValidName(name) != nil {
			return
		}
		if !filepath.IsLocal(name) || filepath.Clean(name) != name || name == "." || strings.HasPrefix(name, "-") || strings.Contains(name, "/-") ||
			strings.ContainsFunc(name, unicode.IsControl) || len(filepath.Base(tempName(name))) > 255 || filepath.Dir(tempName(name)) != filepath.Dir(name) {
			t.Fatalf("%q passed", name)
		}
	})
}
