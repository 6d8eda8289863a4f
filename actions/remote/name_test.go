package remote

import (
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// Each rclone names an upload under way in its own way. What one that was killed left is none of the objects, and is tidied away:
// else it stays, and keeps the folder from being removed.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	base := path.Base(aName)
	for name, want := range map[string]bool{
		path.Base(tempName(base)):      true,
		base + ".fecaxoj3.partial":     true, // 1.63 to 1.67
		base + ".b3f5c7.partial":       true, // 1.68 to 1.71
		base + ".00b3f5c7.partial":     true, // since 1.72
		base + ".fecaxoj3.partial.gpg": false,
		base + ".partial":              false,
		base:                           false,
	} {
		if isLeftover(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

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
