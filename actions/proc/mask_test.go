package proc

import (
	"slices"
	"testing"
)

func TestMask(t *testing.T) {
	for _, c := range []struct{ argv, want []string }{
		{[]string{"zfs", "send", "tank/data@x"}, []string{"zfs", "send", "tank/data@x"}},
		{[]string{"rclone", "--sftp-pass=x=y", "ls"}, []string{"rclone", "--sftp-pass=***", "ls"}},
		{[]string{"rclone", "--sftp-pass", "-x", "ls"}, []string{"rclone", "--sftp-pass", "***", "ls"}},
		{[]string{"rclone", "--s3-secret-access-key", "--x", "ls"}, []string{"rclone", "--s3-secret-access-key", "***", "ls"}},
		{[]string{"--Drive-Token={}"}, []string{"--Drive-Token=***"}},
		{[]string{"gpg", "--no-keyring", "--batch"}, []string{"gpg", "--no-keyring", "--batch"}},
		{[]string{"https://u:p@ss@host/a@b"}, []string{"https://***@host/a@b"}},
		{[]string{"--webdav-url=https://u:p@host"}, []string{"--webdav-url=https://***@host"}},
		{[]string{"https://host/x?a=1&sig=abc&b=2"}, []string{"https://host/x?a=1&sig=***&b=2"}},
		{[]string{":s3,access_key_id=AK,secret_access_key=S/K,region=x:bucket/path"},
			[]string{":s3,access_key_id=***,secret_access_key=***,region=x:bucket/path"}},
		{[]string{`:sftp,host=h,pass="a,b:""c":path`}, []string{`:sftp,host=h,pass=***:path`}},
		{[]string{`r,pass='a,b:c':path`}, []string{`r,pass=***:path`}},
		{[]string{`r,pass="a,b:c`}, []string{`r,pass=***`}},
	} {
		if got := Mask(c.argv); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q", c.argv, got)
		}
	}
}
