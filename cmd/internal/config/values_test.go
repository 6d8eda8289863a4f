package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"zfs2cloud/actions/settings"
)

func TestDuration(t *testing.T) {
	const wrong = time.Duration(-1)
	for in, want := range map[string]time.Duration{
		"36h": 36 * time.Hour, "2d": 48 * time.Hour, "1d12h": 36 * time.Hour, "90s": 90 * time.Second,
		"": wrong, "36": wrong, "-1h": wrong, "d": wrong, "12h1d": wrong, "1d-2h": wrong, "99999999d": wrong,
	} {
		got, err := parseDuration(in)
		if err != nil {
			got = wrong
		}
		if got != want {
			t.Errorf("%q: %v, %v; want %v", in, got, err, want)
		}
	}
}

func TestDataset(t *testing.T) {
	for name, ok := range map[string]bool{
		"tank": true, "tank/data": true, "tank/a b": true, "tank/a.b-c_d:e": true, "tank/1": true, "tank/ a": true, "tank/a ": true, "tank/ /-r": true, "tank/...": true,
		"": false, "/tank/data": false, "tank/": false, "tank//a": false, "tank@s": false, "tank#b": false, "1tank": false,
		"tank/ä": false, "tank/..": false, "tank/a,b": false, "tank/%a": false, "-r": false,
		"tank/" + strings.Repeat("x", 251): false,
	} {
		if err := checkDataset(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestBwlimit(t *testing.T) {
	for limit, ok := range map[string]bool{
		"10M": true, "off": true, "1.5M": true, "10M:100k": true, "10M:off": true, "10MiB": true, "512": true,
		"08:00,512k 12:00,10M 23:00,off": true, "Mon-00:00,512 Sun-20:00,off": true,
		"fast": false, "10M 20M": false, "10M --dry-run": false, "25,10M": false, "": false,
	} {
		if got := bwlimit.MatchString(limit); got != ok {
			t.Errorf("%q: %v", limit, got)
		}
	}
}

func TestSendFlags(t *testing.T) {
	got, err := parseSendFlags([]string{"-cL", "-w", "-c"})
	if err != nil || !slices.Equal(got, []string{"-c", "-L", "-w"}) {
		t.Error(got, err)
	}
	for _, bad := range []string{"-R", "-cR", "c", "-", "--raw", "tank@a"} {
		if _, err := parseSendFlags([]string{bad}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestVariable(t *testing.T) {
	for name, ok := range map[string]bool{
		"AWS_ACCESS_KEY_ID": true, "RCLONE_CONFIG_PASS": true, "RCLONE_CONFIG_B2_KEY": true,
		"RCLONE_DRY_RUN": false, "RCLONE_VERBOSE": false, "A-B": false, "A=b": false, "1A": false,
	} {
		if err := checkVariable(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{
		"encryption_passphrse_file": "encryption_passphrase_file", "remot": "remote", "nmode": "mode", "split-size": "split_size",
		"spoolmax": "spool_max", "base": "", "host": "",
	} {
		if got := Nearest(name, keyNames()); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestSortFlags(t *testing.T) {
	for _, c := range []struct {
		words                    string
		mode                     settings.Mode
		global                   bool
		passed, dropped, refused string
	}{
		{words: "-v --stats=60s", mode: settings.Intermediate, dropped: "-v --stats=60s"},
		{words: "-vv --stats 60s --fast-list", mode: settings.File, dropped: "-v -v --stats 60s", passed: "--fast-list"},
		{words: "--transfers 4 --b2-chunk-size=96M -L", mode: settings.Intermediate, passed: "--transfers 4 --b2-chunk-size=96M -L"},
		{words: "--exclude '*.tmp' --create-empty-src-dirs --retries 5", mode: settings.Intermediate,
			dropped: "--exclude *.tmp --create-empty-src-dirs", passed: "--retries 5"},
		{words: "--exclude '*.tmp' --create-empty-src-dirs", mode: settings.File, passed: "--exclude *.tmp --create-empty-src-dirs"},
		{words: "--filter '- *.bak' -f '- x' -f-y", mode: settings.File, passed: "--filter - *.bak -f - x -f-y"},
		{words: "--filter '- *.bak'", mode: settings.Intermediate, global: true, refused: "--filter"},
		{words: "--exclude x", mode: settings.File, global: true, passed: "--exclude x"},
		{words: "--dry-run -n -cn --config=/x --config /x", mode: settings.File, passed: "-c", refused: "--dry-run -n -n --config --config"},
		{words: "--dry_run", mode: settings.File, refused: "--dry_run"},
		{words: "--max-transfer 1G --max-delete=3", mode: settings.File, refused: "--max-transfer --max-delete"},
		{words: "--exclude x --delete-excluded", mode: settings.File, passed: "--exclude x", refused: "--delete-excluded"},
		{words: "--max-age 3d", mode: settings.File, passed: "--max-age 3d"},
		{words: "--immutable --ignore-existing --dump headers --password-command 'cat x' --rc --rc-addr :1", mode: settings.Intermediate,
			refused: "--immutable --ignore-existing --dump --password-command --rc --rc-addr"},
		{words: "--fast-list -P --progress -q --log-file x --log-level INFO", mode: settings.Intermediate,
			passed: "--fast-list", dropped: "-P --progress -q --log-file x --log-level INFO"},
		{words: "path", mode: settings.Intermediate, refused: "path"},
		{words: "-- -", mode: settings.Intermediate, refused: "-- -"},
		{words: "--update -c --size-only --backup-dir b2:old", mode: settings.Intermediate, dropped: "--update -c --size-only --backup-dir b2:old"},
	} {
		all, err := words(c.words)
		if err != nil {
			t.Fatal(err)
		}
		got := sortFlags(all, c.mode, c.global)
		var dropped []string
		for _, f := range got.dropped {
			dropped = append(dropped, f.argv...)
		}
		for _, pair := range [][2]string{
			{strings.Join(got.passed, " "), c.passed}, {strings.Join(dropped, " "), c.dropped}, {strings.Join(got.refused, " "), c.refused},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s (%s): %q, want %q", c.words, c.mode, pair[0], pair[1])
			}
		}
	}
}

// What is a sync's alone stays away from the calls for single objects: filters would make them fail, or find nothing.
func TestObjectFlags(t *testing.T) {
	all, err := words("--transfers 4 --exclude '*.tmp' -c --create-empty-src-dirs -v --links --backup-dir b2:old")
	if err != nil {
		t.Fatal(err)
	}
	got := sortFlags(all, settings.File, false)
	if o := strings.Join(got.object, " "); o != "--transfers 4 --links" {
		t.Error(o)
	}
	if p := strings.Join(got.passed, " "); p != "--transfers 4 --exclude *.tmp -c --create-empty-src-dirs --links --backup-dir b2:old" {
		t.Error(p)
	}
}

// A parameter of a remote that is described in place may be a secret by its name, or by what stands in its value.
func TestSecretParameter(t *testing.T) {
	for remote, want := range map[string]string{
		":s3,secret_access_key=x:b/p": "secret_access_key", ":s3,provider=AWS,access_key_id=AK,session_token='a:b,c':b": "session_token",
		"b2,account=a,key=K/x:b": "key", `:sftp,host=h,pass="a,b:""c":p`: "pass", ":sftp,pass=a": "pass", ":storj,access_grant=x:b": "access_grant",
		":azureblob,sas_url='https://h/?sv=1':c": "sas_url", ":webdav,url='https://u:p@h/x':": "url", ":http,url='https://h/x?token=t':": "url",
		":crypt,remote='b2:x',password=y,password2=z:": "password", ":drive,service_account_credentials='{}':": "service_account_credentials",
		":sftp,key_file=/root/key,key_file_pass=x:p": "key_file_pass", `:s3,secret_access_key="x`: "secret_access_key",

		"b2:bucket/path": "", "/mnt/usb": "", "/mnt/a,pass=b:c": "", "b2:bucket/a,pass=b": "", "usb/x,key=y": "", ":local:/x": "", ":": "",
		":s3,provider=AWS,env_auth=true,region=x:b": "", ":s3,env_auth:b": "", "s3,sse_kms_key_id=arn:b": "", ":s3,access_key_id=AK:b": "",
		":sftp,host=h,key_file=/root/key,key_use_agent=true,ask_password=false:p": "", ":swift,auth='https://h/v3':c": "",
		":s3,endpoint='http://x/':acme": "", ":sftp,key_exchange='a b',host_key_algorithms=c:p": "",
	} {
		if got := secretParameter(remote); got != want {
			t.Errorf("%s: %q, want %q", remote, got, want)
		}
	}
}
