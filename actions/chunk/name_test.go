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
