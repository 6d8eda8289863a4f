package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"zfs2cloud/actions/settings"
)

// place is a folder with a config file and what it names.
type place struct {
	t   *testing.T
	dir string
	env Env
	set map[string]string // environment variables
}

func newPlace(t *testing.T) *place {
	p := &place{t: t, dir: t.TempDir(), set: map[string]string{}}
	home := filepath.Join(p.dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	p.env = Env{Getenv: func(k string) string { return p.set[k] }, Getwd: func() (string, error) { return "/cwd", nil }, UID: os.Getuid(), Home: home}
	return p
}

func (p *place) path(name string) string { return filepath.Join(p.dir, name) }

func (p *place) write(name, text string, mode os.FileMode) string {
	p.t.Helper()
	path := p.path(name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		p.t.Fatal(err)
	}
	return path
}

func (p *place) script(names ...string) {
	p.t.Helper()
	for _, name := range names {
		p.write(name, "#!/bin/sh\n", 0o755)
	}
}

// load writes the config and reads it.
func (p *place) load(text string) (*settings.Settings, error) {
	p.t.Helper()
	return Load(p.write("config.ini", text, 0o600), p.env)
}

// good demands that the config loads.
func (p *place) good(text string) *settings.Settings {
	p.t.Helper()
	s, err := p.load(text)
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// bad demands that the config is refused, with a text that has each of the parts.
func (p *place) bad(text string, parts ...string) *Errors {
	p.t.Helper()
	_, err := p.load(text)
	return p.isBad(err, parts...)
}

func (p *place) isBad(err error, parts ...string) *Errors {
	p.t.Helper()
	all, ok := errors.AsType[*Errors](err)
	if !ok {
		p.t.Fatalf("error %v, want %q", err, parts)
	}
	for _, part := range parts {
		if !strings.Contains(all.Error(), part) {
			p.t.Errorf("no %q in:\n%s", part, all)
		}
	}
	return all
}

// minimal is a config with what is required; more is added to [main].
func minimal(more ...string) string {
	return "[main]\nzfs_fs = tank/data\nintermediate_basedir = /spool\nencryption_passphrase = secret\n" + strings.Join(more, "\n") + "\n"
}

func TestExampleIntermediate(t *testing.T) {
	p := newPlace(t)
	p.script("stop-app.sh", "start-app.sh", "on-failure.sh")
	p.write("rclone.conf", "", 0o600)
	data, err := os.ReadFile(corpus + "/example-intermediate.ini")
	if err != nil {
		t.Fatal(err)
	}
	s := p.good(string(data))
	if s.Mode != settings.Intermediate || s.Dataset != "data/test" || s.Remote != "b2:acme-backups/web1" || s.SplitSize != 1<<30 ||
		s.RcloneConf != p.path("rclone.conf") || s.OnFailure != p.path("on-failure.sh") ||
		string(s.Passphrase.Inline) != "correct-horse-battery-staple" || s.StandardSteps {
		t.Errorf("%+v", s)
	}
	if len(s.RcloneArgs) != 0 || !slices.Equal(s.RcloneArgsDropped, []string{"-v", "--stats=60s"}) {
		t.Errorf("rclone_args %q, dropped %q", s.RcloneArgs, s.RcloneArgsDropped)
	}
	if got := stepsOf(s); got != "lock, "+p.path("stop-app.sh")+", snapshot, "+p.path("start-app.sh")+" web1 and more, export-intermediate, "+
		"prune-intermediates -y, prune-snapshots -y, upload-intermediate-to-remote, unlock" {
		t.Error(got)
	}
	if start := s.Steps[3]; start.Shown != "./start-app.sh" || !start.Script || start.Key != "step4" || start.Line != 22 || len(start.Args) != 2 {
		t.Errorf("%+v", start)
	}
	if len(s.Warnings) != 0 {
		t.Errorf("%v", s.Warnings)
	}
}

func TestExampleFile(t *testing.T) {
	p := newPlace(t)
	p.write("rclone.conf", "", 0o600)
	data, err := os.ReadFile(corpus + "/example-file.ini")
	if err != nil {
		t.Fatal(err)
	}
	s := p.good(string(data))
	if s.Mode != settings.File || s.RcloneBwlimit != "10M" || strings.Join(s.RcloneArgs, " ") != "--create-empty-src-dirs --exclude *.tmp" {
		t.Errorf("%+v", s)
	}
	hasWarnings(t, s, "throttles uploads", stepUploadFiles+" is probably meant")
}

func stepsOf(s *settings.Settings) string {
	var all []string
	for _, step := range s.Steps {
		all = append(all, strings.Join(append([]string{step.Name}, step.Args...), " "))
	}
	return strings.Join(all, ", ")
}

func hasWarnings(t *testing.T, s *settings.Settings, want ...string) {
	t.Helper()
	if len(s.Warnings) != len(want) {
		t.Errorf("warnings %+v, want %q", s.Warnings, want)
	}
	for _, text := range want {
		if !slices.ContainsFunc(s.Warnings, func(w settings.Warning) bool { return strings.Contains(w.Text, text) }) {
			t.Errorf("no warning %q in %+v", text, s.Warnings)
		}
	}
}

func TestDefaults(t *testing.T) {
	p := newPlace(t)
	s := p.good(minimal())
	// Each default of the table, written out, changes nothing.
	spelled := minimal()
	for _, k := range Keys {
		switch k.Name {
		case "encryption_passphrase", "zfs_fs", "intermediate_basedir", "rclone_conf", "state_db", "rclone_args":
		default:
			if k.Default != "none" {
				spelled += k.Name + " = " + k.Default + "\n"
			}
		}
	}
	if a, b := Show(s), Show(p.good(spelled)); !slices.Equal(a, b) {
		t.Errorf("%v\n%v", a, b)
	}
	if !slices.Equal(s.ZFS, []string{"zfs"}) || !slices.Equal(s.Rclone, []string{"rclone"}) || !slices.Equal(s.Gpg, []string{"gpg"}) {
		t.Error(s.ZFS, s.Rclone, s.Gpg)
	}
	if stepsOf(s) != "lock, snapshot, export-intermediate, prune-intermediates -y, prune-snapshots -y, unlock" || !s.StandardSteps {
		t.Error(stepsOf(s))
	}
	s = p.good(minimal("remote = /mnt/usb/"))
	if stepsOf(s) != "lock, snapshot, export-intermediate, prune-intermediates -y, prune-snapshots -y, upload-intermediate-to-remote, unlock" || s.Remote != "/mnt/usb" {
		t.Error(stepsOf(s), s.Remote)
	}
}

func TestKeys(t *testing.T) {
	p := newPlace(t)
	p.set["ZFS_PATH"] = `nice -n 1 "zfs"`
	s := p.good(minimal(`remote = "b2:acme/a b/"`, "incremental_strategy = never_incremental", `split_size = "512K"`, "full_every_x_days = 3",
		"oldest_snapshot_days = 4", "zfs_send_flags = -cL", "rclone_global_flags = --fast-list", "rclone_args = --retries=5 --exclude x",
		"rclone_env = A_KEY, B_KEY", "hook_timeout = 90", "backup_max_age = 2d", "state_db = ./state.db"))
	if s.Remote != "b2:acme/a b" || s.Strategy != settings.NeverIncremental || s.SplitSize != 512<<10 || s.FullEveryDays != 3 ||
		s.OldestSnapshotDays != 4 || strings.Join(s.SendFlags, " ") != "-c -L" || strings.Join(s.RcloneGlobalFlags, " ") != "--fast-list" ||
		strings.Join(s.RcloneArgs, " ") != "--retries=5" || strings.Join(s.RcloneEnv, " ") != "A_KEY B_KEY" ||
		s.HookTimeout != 90*time.Second || s.BackupMaxAge != 48*time.Hour || s.StateDB != p.path("state.db") || len(s.ZFS) != 4 {
		t.Errorf("%+v", s)
	}
	hasWarnings(t, s, "--exclude has no meaning for single objects")
}

func TestRcloneIdle(t *testing.T) {
	p := newPlace(t)
	for value, want := range map[string]time.Duration{"": 15 * time.Minute, "rclone_idle_timeout = 20m": 20 * time.Minute, "rclone_idle_timeout = none": 0} {
		if s := p.good(minimal(value)); s.RcloneIdle != want {
			t.Errorf("%q: %v", value, s.RcloneIdle)
		}
	}
	for _, value := range []string{"10", "0s", "10ms", "-1m", "long"} {
		p.bad(minimal("rclone_idle_timeout = "+value), "not a time to be idle for")
	}
}

func TestPrograms(t *testing.T) {
	p := newPlace(t)
	p.set["ZFS_PATH"], p.set["GPG_PATH"] = "sudo zfs", "/opt/my\\ gpg"
	s := p.good(minimal())
	if strings.Join(s.ZFS, "|") != "sudo|zfs" || strings.Join(s.Gpg, "|") != "/opt/my gpg" {
		t.Error(s.ZFS, s.Gpg)
	}
	hasWarnings(t, s, "what sudo starts may outlive")
	p.set["RCLONE_PATH"] = "rclone; id"
	p.bad(minimal(), "  $RCLONE_PATH = rclone; id\n  ; outside of quotes")
}

// The form of what a person reads.
func TestErrorBlock(t *testing.T) {
	p := newPlace(t)
	err := p.bad("[main]\nzfs_fs = /tank/data\nintermediate_basedir = /spool\nremote = b2:x\nencryption_passphrse = secret\n"+
		"encryption_passphrase = pa$$w\nmode = files\nrclone_args = --dry-run --b2-key=secret\n", "")
	want := fmt.Sprintf(`%s: 5 errors
  line 2  [main] zfs_fs = /tank/data
          a dataset's name has no slash in front; a mountpoint is not a dataset; write it as `+"`zfs list`"+` does
  line 5  [main] encryption_passphrse
          unknown key; did you mean encryption_passphrase?
  line 6  [main] encryption_passphrase
          $ outside of single quotes means something to a shell; put the passphrase into a file of mode 0600, as it is, and name that in encryption_passphrase_file
  line 7  [main] mode = files
          unknown value; did you mean file?
  line 8  [main] rclone_args
          --dry-run is refused: it changes what a command means; leave it out`, p.path("config.ini"))
	if err.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", err, want)
	}
}

func TestBadKeys(t *testing.T) {
	for name, c := range map[string]struct{ text, part string }{
		"no main":            {"[other]\n", "[main] zfs_fs\n  missing"},
		"no passphrase":      {"[main]\nzfs_fs = a\nintermediate_basedir = /s\n", "[main] encryption_passphrase_file\n  missing"},
		"slip, not missing":  {"[main]\nzfs_f = a\nintermediate_basedir = /s\nencryption_passphrse = x\n", ": 2 errors\n"},
		"two passphrases":    {minimal("encryption_passphrase_command = pass x"), "a second source of the passphrase"},
		"none and secret":    {minimal("encryption = none"), "a passphrase with encryption = none"},
		"mode":               {strings.Replace(minimal("mode = x"), "encryption_passphrase = secret\n", "", 1), ": 1 error\n"},
		"encryption":         {minimal("encryption = false"), "one of gpg, none"},
		"days":               {minimal("full_every_x_days = 120"), "not less than oldest_snapshot_days, which is 120"},
		"days the other way": {minimal("oldest_snapshot_days = 30"), "line 5  [main] oldest_snapshot_days = 30\n          not more than full_every_x_days, which is 30"},
		"days, one wrong":    {minimal("full_every_x_days = 200", "oldest_snapshot_days = x"), ": 1 error\n"},
		"day words":          {minimal("full_every_x_days = weekly"), "not a number of days"},
		"empty":              {minimal("split_size ="), "no value; its default is 1G"},
		"percent":            {minimal("remote = b2:50%"), "neither %% nor %(name)s"},
		"remote words":       {minimal("remote = b2:a b"), "2 words"},
		"remote flag":        {minimal("remote = -x"), "not a remote"},
		"quoted path":        {minimal(`state_db = "/x"`), "quotes would be part of the path"},
		"home path":          {minimal("state_db = ~/x"), "~ means nothing here"},
		"bwlimit":            {minimal("rclone_bwlimit = fast"), "not a limit"},
		"send flags":         {minimal("zfs_send_flags = -R"), "-R is not allowed; allowed are -c -L -e -w -p"},
		"rclone_env":         {minimal("rclone_env = RCLONE_DRY_RUN"), "RCLONE_DRY_RUN is a flag of rclone's"},
		"hook_timeout":       {minimal("hook_timeout = soon"), "not a duration"},
		"section slip":       {minimal("[backup-sequence]", "a = lock"), "did you mean [backup-sequences]?"},
		"section case":       {minimal("[Main]"), "did you mean [main]?"},
		"on_failure":         {minimal("on_failure = /nowhere/x"), "no such file: /nowhere/x"},
		"passphrase file":    {"[main]\nzfs_fs = a\nintermediate_basedir = /s\nencryption_passphrase_file = /nowhere/x\n", "no such file: /nowhere/x"},
		"rclone_conf":        {minimal("remote = b2:x", "rclone_conf = ./x"), "no such file: "},
		"file without steps": {minimal("mode = file"), "mode = file has no standard sequence"},
		"upload, no remote":  {minimal("[backup-sequences]", "s1 = upload-intermediate-to-remote"), "missing; s1 uploads"},
		"control characters": {minimal("mode = \x1b[31m"), "character U+001B"},
		"not UTF-8":          {minimal("mode = \xff"), "not UTF-8"},
		"spool too small":    {minimal("split_size = 1M", "spool_max = 2000K"), "less than twice split_size"},
		"jobs":               {minimal("upload_jobs = 0"), "not a number from 1 to 64"},
		"nice":               {minimal("nice = 20"), "not a number from 0 to 19"},
		"I/O priority":       {minimal("io_priority = best"), "neither a number from 0 to 7 nor idle"},
		"keep":               {minimal("keep_intermediates = maybe"), "unknown value"},
		"duplicate":          {minimal("zfs_fs = b"), "the key stands on line 2 too"},
	} {
		t.Run(name, func(t *testing.T) { newPlace(t).bad(c.text, c.part) })
	}
}

// Ten lines are enough for more text than there is memory for, or for more work than there is time for.
func TestReferencesAreBounded(t *testing.T) {
	for _, end := range []string{"x", ""} {
		var lines []string
		for c := 'b'; c < 'j'; c++ {
			lines = append(lines, string(c)+" = "+strings.Repeat("%("+string(c+1)+")s", 30))
		}
		newPlace(t).bad(minimal(append(lines, "j = "+end, "remote = b2:%(b)s")...), "more than 1000 references")
	}
}

// A passphrase in the config is what it was for the Python tool, or refused; one form of a letter is not another. (rear#2157,
// borg_ynh#49, duplicity-backup.sh#166: it was cut on its way, which was noticed at the restore.)
func TestPassphrasesInConfig(t *testing.T) {
	p := newPlace(t)
	for written, want := range map[string]string{
		"\u00e9": "\u00e9", "e\u0301": "e\u0301", "'  blanks  '": "  blanks  ", `"%%(x)s"`: "%(x)s", "'$(id)'": "$(id)", "'100%%'": "100%", `"it's"`: "it's",
		"%(zfs_fs)s": "tank/data", "x": "x", strings.Repeat("x", 200): strings.Repeat("x", 200),
		"%(x)s": "error: refers to a key that has no value", "$(id)": "error: $ outside", `"$(id)"`: "error: $ outside", "it's": "error: ' is not closed",
		"''": "error: empty", "": "error: no value", "'a\x00b'": "error: character U+0000", strings.Repeat("x", 201): "error: 201 bytes", "100%": "error: neither %% nor",
		"a\rb": "error: character U+000D",
	} {
		text := strings.Replace(minimal(), "encryption_passphrase = secret", "encryption_passphrase = "+written, 1)
		if problem, bad := strings.CutPrefix(want, "error: "); bad {
			p.bad(text, "encryption_passphrase", problem)
		} else if s := p.good(text); string(s.Passphrase.Inline) != want {
			t.Errorf("%q: %q", written, string(s.Passphrase.Inline))
		}
	}
	// Lines that end in CR LF are read as if they did not.
	if s := p.good(strings.ReplaceAll(minimal(), "\n", "\r\n")); string(s.Passphrase.Inline) != "secret" {
		t.Errorf("%q", string(s.Passphrase.Inline))
	}
}

// A dataset's name is taken as it is: blanks, which a line's end loses, between quotes.
func TestDatasetNames(t *testing.T) {
	p := newPlace(t)
	with := func(name string, more ...string) string {
		return strings.Replace(minimal(more...), "zfs_fs = tank/data", "zfs_fs = "+name, 1)
	}
	for written, want := range map[string]string{
		`"tank/a "`: "tank/a ", `"tank"`: "tank", "tank/ a": "tank/ a", "tank/a/ ": "", "\"tank/a/ \"": "tank/a/ ", "tank/ /-r": "tank/ /-r",
	} {
		s, err := p.load(with(written))
		if (err == nil) != (want != "") || err == nil && s.Dataset != want {
			t.Errorf("%s: %v", written, err)
		}
	}
	p.bad(with(`"tank/a`), "no dataset has such a name")
	// In a folder a file's name may have 255 bytes, at a remote 240; @STAMP.zfs.NUMBER.GENERATION.gpg takes 36.
	p.good(with("tank/" + strings.Repeat("x", 219-5)))
	p.bad(with("tank/"+strings.Repeat("x", 220-5)), "[main] zfs_fs", "a name of 220 bytes is too long", "zfs rename")
	p.good(with("tank/"+strings.Repeat("x", 204-5), "remote = b2:x"))
	p.bad(with("tank/"+strings.Repeat("x", 205-5), "remote = b2:x"), "a name of 205 bytes is too long", "240 are possible")
}

// What later versions may know is not an error for this one, and neither are other programs' sections.
func TestUnknownIsWarned(t *testing.T) {
	p := newPlace(t)
	s := p.good(minimal("base = /x", "verify_sample = 5%%", "state_db = %(base)s/state.db", "[mine]", "mode = y"))
	hasWarnings(t, s, "unknown key, ignored", "unknown section, ignored")
	if s.StateDB != "/x/state.db" {
		t.Error(s.StateDB)
	}
}

func TestRelativePathsAreWarned(t *testing.T) {
	p := newPlace(t)
	s := p.good(strings.Replace(minimal("remote = usb/x"), "/spool", "./spool", 1))
	if s.IntermediateDir != "/cwd/spool" || s.Remote != "/cwd/usb/x" {
		t.Error(s.IntermediateDir, s.Remote)
	}
	hasWarnings(t, s, "now /cwd/spool", "now /cwd/usb/x")
}

func TestRcloneConf(t *testing.T) {
	p := newPlace(t)
	text := minimal("remote = b2:x")
	if s := p.good(text); s.RcloneConf != "" {
		t.Error(s.RcloneConf)
	}
	legacy := p.write("home/.rclone.conf", "", 0o600)
	if s := p.good(text); s.RcloneConf != legacy {
		t.Error(s.RcloneConf)
	}
	p.set["RCLONE_CONFIG"] = p.write("other.conf", "", 0o600)
	if s := p.good(text); s.RcloneConf != p.set["RCLONE_CONFIG"] {
		t.Error(s.RcloneConf)
	}
	p.write("mine.conf", "", 0o600)
	if s := p.good(minimal("remote = b2:x", "rclone_conf = ./mine.conf")); s.RcloneConf != p.path("mine.conf") {
		t.Error(s.RcloneConf)
	}
	p.write("mine.conf", "", 0o620)
	p.bad(minimal("remote = b2:x", "rclone_conf = ./mine.conf"), "can be written by its group", "Next: chmod go-w "+p.path("mine.conf"))
	p.good(minimal("remote = /usb", "rclone_conf = ./nowhere.conf")) // needed only where rclone is used
}

func TestFind(t *testing.T) {
	set := map[string]string{}
	getenv := func(k string) string { return set[k] }
	check := func(flag, want string) {
		t.Helper()
		if got := Find(flag, getenv); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	check("", DefaultPath)
	set["ZFS_BACKUP_CONFIG"] = "/b"
	check("", "/b")
	set["ZFS2CLOUD_CONFIG"] = "/a"
	check("", "/a")
	check("/f", "/f")
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	check("f", filepath.Join(wd, "f"))
}

func TestDefaultStateDB(t *testing.T) {
	set := map[string]string{}
	env := Env{UID: 1000, Home: "/home/a", Getenv: func(k string) string { return set[k] }}
	for _, c := range [][2]string{{"", "/home/a/.local/state/zfs2cloud/state.db"}, {"rel", "/home/a/.local/state/zfs2cloud/state.db"}, {"/x", "/x/zfs2cloud/state.db"}} {
		set["XDG_STATE_HOME"] = c[0]
		if got := DefaultStateDB(env); got != c[1] {
			t.Error(got)
		}
	}
	env.UID = 0
	if got := DefaultStateDB(env); got != "/var/lib/zfs2cloud/state.db" {
		t.Error(got)
	}
}

// A config that is bad in every other way still tells whose dataset it is.
func TestPeek(t *testing.T) {
	p := newPlace(t)
	p.script("failed.sh")
	text := "junk\n[main]\nmode = x\nzfs_fs = tank/data\nzfs_fs = tank/other\nstate_db = /x/state.db\non_failure = ./failed.sh\n" +
		"encryption_passphrase_file = /nowhere\nremote = $(id)\n[backup-sequences]\na = nonsense\n"
	path := p.write("config.ini", text, 0o600)
	if _, err := Load(path, p.env); err == nil {
		t.Fatal("loaded")
	}
	b, err := Peek(path, p.env)
	want := Basics{Dataset: "tank/data", StateDB: "/x/state.db", OnFailure: p.path("failed.sh"), ZFS: []string{"zfs"}}
	if err != nil || !reflect.DeepEqual(b, want) {
		t.Errorf("%+v, %v", b, err)
	}
	p.write("failed.sh", "", 0o777)
	if b, err = Peek(path, p.env); err != nil || b.OnFailure != "" {
		t.Errorf("%+v, %v", b, err)
	}
	if b, err = Peek(p.path("nowhere"), p.env); err == nil || b.StateDB != DefaultStateDB(p.env) {
		t.Errorf("%+v, %v", b, err)
	}
	p.write("config.ini", text, 0o622)
	if b, err = Peek(path, p.env); err == nil || b.StateDB != DefaultStateDB(p.env) || b.OnFailure != "" {
		t.Errorf("of a file that others may write: %+v, %v", b, err)
	}
}

// A remote is stored, printed and rclone's argument: none with a secret in it is taken.
func TestRemoteWithASecret(t *testing.T) {
	p := newPlace(t)
	p.bad(minimal("remote = ':s3,access_key_id=AK,secret_access_key=hidden:bucket/x'"), "line 5  [main] remote = ':s3,***\n",
		"secret_access_key looks like a secret", "a section [NAME] of rclone.conf, or into a variable RCLONE_CONFIG_NAME_… that rclone_env names")
	if s := p.good(minimal("remote = ':s3,provider=AWS,env_auth=true:bucket/x'")); s.Remote != ":s3,provider=AWS,env_auth=true:bucket/x" {
		t.Error(s.Remote)
	}
}

func TestShowMasks(t *testing.T) {
	p := newPlace(t)
	s := p.good(minimal("rclone_args = --b2-key=hidden --azureblob-sas-url 'https://x/?sig=hidden'", "rclone_global_flags = --s3-endpoint=https://u:hidden@x --http-cookie hidden",
		"remote = ':s3,access_key_id=hidden:bucket/x'")) // a secret is refused there: it would be stored
	for _, kv := range Show(s) {
		if strings.Contains(kv.Value, "secret") && kv.Key != "remote" || strings.Contains(kv.Value, "hidden") {
			t.Errorf("%+v", kv)
		}
		if kv.Key == "encryption_passphrase" && kv.Value != masked {
			t.Errorf("%+v", kv)
		}
		if kv.Key == "remote" && kv.Value != ":s3,***" {
			t.Errorf("%+v", kv)
		}
		if kv.Key == "backup_max_age" && kv.Value != "36h" {
			t.Errorf("%+v", kv)
		}
	}
	// No problem shows a secret either.
	for _, text := range []string{"encryption_passphrase = hidden$\n", "encryption_passphrse = hidden\n", "encryption_passphrase = hidden%\n",
		"encryption_passphrase = hidden\n  # x\n  hidden\n", "encryption_passphrase = `hidden`\n", "encryption_passphrase = hidden\nencryption = none\n",
		"remote = ':s3,secret_access_key=hidden:b' x\n", "remote = ':s3,secret_access_key=hidden:b'\n", "remote = \"a,key=hidden/x:b\"\n", "rclone_args = --b2-key hidden $X\n", "rclone_global_flags = --b2-key=hidden%\n",
		"encryption_passphrase_command = echo hidden | head\n"} {
		err := p.bad("[main]\nzfs_fs = a\nintermediate_basedir = /s\n" + text)
		if strings.Contains(err.Error(), "hidden") {
			t.Error(err)
		}
		for _, problem := range err.Problems {
			if strings.Contains(fmt.Sprint(problem), "hidden") {
				t.Errorf("%+v", problem)
			}
		}
	}
}
