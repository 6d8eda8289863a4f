package zfs

import (
	"strings"
	"testing"
)

func TestParseDataset(t *testing.T) {
	long := "tank/" + strings.Repeat("a", maxName-len("tank/"))
	for _, good := range []string{"tank", "tank/data", "z2c-t1/a b/c:d_e.f", "tank/-r", "tank/...", long} {
		if d, err := ParseDataset(good); err != nil || d.String() != good {
			t.Errorf("%q: %v, %v", good, d, err)
		}
	}
	for _, bad := range []string{
		"", "/", "/tank", "tank/", "tank//data", "-r", "-r/data", "1tank", "tank/.", "tank/../other",
		"tank@s", "tank#b", "tank,data", "tank/a%b", "tank/a\nb", "tank/a\tb", "tank/ü", "tank/a'b", long + "a",
	} {
		if d, err := ParseDataset(bad); err == nil {
			t.Errorf("%q was taken as %v", bad, d)
		}
	}
}

func TestParseSnapshot(t *testing.T) {
	const good = "tank/data@20261125035200"
	s, err := ParseSnapshot(good)
	if err != nil || s.String() != good || s.Dataset().String() != "tank/data" || s.Name() != "20261125035200" {
		t.Errorf("%v, %v", s, err)
	}
	long := "tank@" + strings.Repeat("a", maxName-len("tank@"))
	if _, err := ParseSnapshot(long); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		"", "@", "tank", "tank@", "@s", "-r@s", "tank@a@b", "tank@a,b", "tank@a%b", "tank@%", "tank@a/b", "tank@.", long + "a",
	} {
		if s, err := ParseSnapshot(bad); err == nil {
			t.Errorf("%q was taken as %v", bad, s)
		}
	}
}

func TestTagsAndPropertiesAreChecked(t *testing.T) {
	for _, good := range []string{"zfs2cloud:9f3a", "zfs2cloud-base:1"} {
		if err := checkTag(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "-r", ".hidden", "a/b", "a\nb", strings.Repeat("a", maxName+1)} {
		if checkTag(bad) == nil {
			t.Errorf("tag %q was taken", bad)
		}
	}
	if err := checkProperty(Property, "job/run/1"); err != nil {
		t.Error(err)
	}
	for _, bad := range [][2]string{
		{"", ""}, {"mountpoint", "/"}, {":a", ""}, {"-o:a", ""}, {"A:b", ""}, {"a:b=c", ""},
		{"a:b", "x\ty"}, {"a:b", "x\ny"}, {"a:b", "ü"}, {"a:b", strings.Repeat("x", 1024)},
	} {
		if checkProperty(bad[0], bad[1]) == nil {
			t.Errorf("property %q was taken", bad)
		}
	}
}

// Whatever is taken as a name, zfs must be unable to read it as anything else.
func FuzzParseSnapshot(f *testing.F) {
	f.Add("tank/data@20261125035200")
	f.Add("-r@%,")
	f.Fuzz(func(t *testing.T, in string) {
		s, err := ParseSnapshot(in)
		if err != nil {
			return
		}
		if s.String() != in || strings.ContainsAny(in, ",%#\n\t'") || in[0] == '-' || strings.Count(in, "@") != 1 {
			t.Errorf("%q was taken", in)
		}
	})
}
