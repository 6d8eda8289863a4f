package chunk

import (
	"strings"
	"testing"

	"zfs2cloud/actions/settings"
)

func TestName(t *testing.T) {
	for _, c := range []struct {
		dataset string
		n, gen  int
		enc     settings.Encryption
		want    string
	}{
		{"tank/data", 0, 1, settings.GPG, "tank-data@20261126035200.zfs.000000.gpg"},
		{"tank/data", 7, 2, settings.GPG, "tank-data@20261126035200.zfs.000007.g2.gpg"},
		{"tank/data", 7, 1, settings.None, "tank-data@20261126035200.zfs.000007"},
		{"tank/data", 7, 3, settings.None, "tank-data@20261126035200.zfs.000007.g3"},
		{"tank", 1234567, 12, settings.GPG, "tank@20261126035200.zfs.1234567.g12.gpg"},
		{"Tank/a b/c_d:e.f-g", 1, 1, settings.GPG, "Tank-a_b-c_d:e.f-g@20261126035200.zfs.000001.gpg"},
		{"t/ü\x00\n\x1b[\xff", 1, 1, settings.GPG, "t-______@20261126035200.zfs.000001.gpg"},
		{"../../x", 1, 1, settings.GPG, "..-..-x@20261126035200.zfs.000001.gpg"},
	} {
		if got := Name(c.dataset, "20261126035200", c.n, c.gen, c.enc); got != c.want {
			t.Errorf("%q: %s, not %s", c.dataset, got, c.want)
		}
	}
}

func TestCheckName(t *testing.T) {
	// 255 less @STAMP, .zfs, a number of seven digits, a generation of three, .gpg
	const most = 255 - 15 - 4 - 8 - 5 - 4
	if err := CheckName(strings.Repeat("d", most), MaxName); err != nil {
		t.Error(err)
	}
	if err := CheckName(strings.Repeat("d", most+1), MaxName); err == nil {
		t.Error("a name of 256 bytes passed")
	}
}

// Whatever a dataset is called, its chunks' names are file names, of one place each, and nothing to a shell.
func FuzzName(f *testing.F) {
	for _, dataset := range []string{"tank/data", "../../x", "..", ".", "", "a b", "-rf", "a;id", "a\nb", "a\x1b[2J", "$(id)", "ü", "\xff", "a@b"} {
		f.Add(dataset, "20261126035200", 0, 1)
	}
	f.Add("tank", "../../etc", -1, 2)
	f.Add("tank", "", 1<<31-1, 1<<31-1)
	f.Fuzz(func(t *testing.T, dataset, stamp string, n, gen int) {
		for _, enc := range []settings.Encryption{settings.GPG, settings.None} {
			name := Name(dataset, stamp, n, gen, enc)
			odd := func(r rune) bool {
				return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("@._:-", r)
			}
			if name == "." || name == ".." || strings.ContainsFunc(name, odd) || !strings.Contains(name, ".zfs.") {
				t.Fatalf("%q", name)
			}
			if n >= 0 && gen >= 1 && gen < 1<<30 && n < 1<<30 && (name == Name(dataset, stamp, n+1, gen, enc) || name == Name(dataset, stamp, n, gen+1, enc)) {
				t.Fatalf("%q is the name of two", name)
			}
		}
	})
}
