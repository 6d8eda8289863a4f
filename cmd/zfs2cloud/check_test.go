package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/zfs/zfstest"
	"zfs2cloud/cmd/internal/config"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// bench is a machine on which all is well: a dataset, a config, and what that names. A test breaks
// something of it and looks at the rows.
type bench struct {
	testing.TB
	app     *App
	out     bytes.Buffer
	dir     string
	dataset string
	main    map[string]string // keys of [main]
	steps   []string          // the sequence; nil: none given
	more    string            // at the end of the config
	env     map[string]string
	// patience of a look.
	patience time.Duration
	remote   string // the folder behind the remote
	leaves   bool   // what is on the remote changes: meant so
}

func newBench(t testing.TB, dataset string) *bench {
	dir := t.TempDir()
	b := &bench{TB: t, dir: dir, dataset: dataset, env: map[string]string{}, patience: patience, remote: filepath.Join(dir, "remote"),
		steps: []string{"./stop-app", "snapshot", "./start-app", "export-intermediate", "upload-intermediate-to-remote"}}
	b.main = map[string]string{
		"zfs_fs": dataset, "intermediate_basedir": b.at("spool"), "remote": b.remote, "encryption": "none", "state_db": b.at("state/state.db"),
	}
	for _, name := range []string{"spool", "remote"} {
		b.must(os.Mkdir(b.at(name), 0o700))
	}
	b.script("stop-app", "exit 0")
	b.script("start-app", "exit 0")
	b.write("rclone.conf", "[loc]\ntype = local\n")
	b.write("pass", "correct horse\n")
	b.app = &App{Err: &b.out, Out: &b.out, World: &proc.World{}, Pause: remote.Pause, Log: slog.New(slog.DiscardHandler), Folder: state.Folder{Dir: b.at("datasets")},
		Stop: workflow.NewStop(t.Context()), Host: "web1", ConfigFlag: b.at("config.ini"), Config: b.at("config.ini"),
		Env: config.Env{Getenv: func(name string) string { return b.env[name] }, Getwd: os.Getwd, Home: dir}}
	return b
}

func (b *bench) at(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) write(name, text string) {
	b.Helper()
	b.must(os.MkdirAll(filepath.Dir(b.at(name)), 0o700))
	b.must(os.WriteFile(b.at(name), []byte(text), 0o600))
}

// script makes a program.
func (b *bench) script(name, body string) string {
	b.Helper()
	b.write(name, "#!/bin/sh\n"+body+"\n")
	b.must(os.Chmod(b.at(name), 0o700))
	return b.at(name)
}

// viaRclone puts rclone before the folder, or, with a body, a script that ends with it.
func (b *bench) viaRclone(body string) {
	b.Helper()
	if _, err := exec.LookPath("rclone"); err != nil {
		b.Skip("no rclone")
	}
	b.main["remote"], b.main["rclone_conf"] = "loc:"+b.remote, b.at("rclone.conf")
	if body != "" {
		b.env["RCLONE_PATH"] = b.script("rclone", body+"\nexec rclone \"$@\"")
	}
}

// viaGPG encrypts.
func (b *bench) viaGPG() {
	b.Helper()
	if _, err := exec.LookPath("gpg"); err != nil {
		b.Skip("no gpg")
	}
	delete(b.main, "encryption")
	b.main["encryption_passphrase_file"] = b.at("pass")
}

func (b *bench) store() *state.Store { return state.New(b.main["state_db"]) }

func (b *bench) guid() string {
	b.Helper()
	return strings.TrimSpace(zfstest.Run(b, "zfs", "get", "-Hp", "-o", "value", "guid", b.dataset))
}

func (b *bench) config() string {
	var text strings.Builder
	text.WriteString("[main]\n")
	keys := make([]string, 0, len(b.main))
	for k := range b.main {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		fmt.Fprintf(&text, "%s = %s\n", k, b.main[k])
	}
	if b.steps != nil {
		text.WriteString("[backup-sequences]\n")
	}
	for i, s := range b.steps {
		fmt.Fprintf(&text, "step%02d = %s\n", i+1, s)
	}
	return text.String() + b.more
}

// table is the text that check prints.
func (b *bench) table() (string, error) {
	b.Helper()
	return b.check(&checkTable{out: &b.out})
}

// rows are check's rows, as its JSON has them.
func (b *bench) rows() []finding {
	b.Helper()
	text, _ := b.check(&checkJSON{out: &b.out})
	var doc struct {
		Version int
		Checks  []finding
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil || doc.Version != 1 {
		b.Fatalf("not the document that was promised: %v\n%s", err, text)
	}
	return doc.Checks
}

// check checks, and makes sure that it left the remote and the spool as they were.
func (b *bench) check(p printer) (string, error) {
	b.Helper()
	b.write("config.ini", b.config())
	b.out.Reset()
	before := b.tree()
	up := &checkup{app: b.app, patience: b.patience}
	err := up.run(p)
	if after := b.tree(); !b.leaves && after != before {
		b.Errorf("check left something:\nbefore %s\nafter %s", before, after)
	}
	return b.out.String(), err
}

func (b *bench) tree() string {
	var all []string
	for _, dir := range []string{b.remote, b.main["intermediate_basedir"]} {
		filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				all = append(all, path)
			}
			return nil
		})
	}
	return strings.Join(all, "\n")
}

// checkDatasets makes a pool with a dataset for each of several tests.
func checkDatasets(t *testing.T) func(testing.TB) string {
	pool := zfstest.Pool(t, 64)
	n := 0
	return func(t testing.TB) string {
		t.Helper()
		n++
		name := fmt.Sprintf("%s/data%d", pool, n)
		zfstest.Run(t, "zfs", "create", name)
		return name
	}
}

var (
	aSize = regexp.MustCompile(`~?\d[\d.]* [KMGT]i?B`)
	aTime = regexp.MustCompile(`in \d[\d.]*s`)
	aZFS  = regexp.MustCompile(`(?m)^(ok       zfs      ).*(; may)`)
)

// TestCheckAsANewcomerSeesIt compares the whole text.
func TestCheckAsANewcomerSeesIt(t *testing.T) {
	b := newBench(t, checkDatasets(t)(t))
	b.viaGPG()
	b.viaRclone("")
	b.steps = nil
	b.must(os.Remove(b.remote)) // rclone makes it: no trace of it may stay
	got, err := b.table()
	if err != nil {
		t.Errorf("warnings are no error: %v", err)
	}
	got = aTime.ReplaceAllString(aSize.ReplaceAllString(got, "SIZE"), "in TIME")
	got = aZFS.ReplaceAllString(got, "${1}VERSION$2")
	got = regexp.MustCompile(`(gpg      |rclone   )[^;,]+([;,])`).ReplaceAllString(got, "${1}VERSION$2")
	want := fmt.Sprintf(`ok       config   %[1]s/config.ini; no sequence given, standard used
ok       zfs      VERSION; may snapshot, send and hold %[2]s (SIZE)
ok       state_db %[1]s/state/state.db; not there yet
ok       gpg      VERSION; passphrase encrypts and decrypts
ok       rclone   VERSION, %[1]s/rclone.conf
ok       remote   loc:%[1]s/remote: wrote, read, removed 1 object in TIME; sha256
ok       space    SIZE free in %[1]s/spool, a full needs SIZE
warning  hooks    none before snapshot: the application is not stopped
1 warning. First backup: full, SIZE, because there is no committed full yet.
KEEP THE PASSPHRASE ELSEWHERE TOO: without it no backup can be read.
Next: zfs2cloud -c %[1]s/config.ini run
`, b.dir, b.dataset)
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestCheckSaysAllErrorsOfAConfigAtOnce: also that its dataset is not there, which the file can't tell.
func TestCheckSaysAllErrorsOfAConfigAtOnce(t *testing.T) {
	b := newBench(t, checkDatasets(t)(t))
	b.viaGPG()
	b.main["zfs_fs"] = strings.Replace(b.dataset, "/data1", "/dta1", 1)
	b.main["encryption_passphrse_file"] = b.at("pass")
	got, err := b.table()
	for _, want := range []string{": 2 errors", "no such dataset; did you mean " + b.dataset + "?", "unknown key; did you mean encryption_passphrase_file?"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if exitCode(err) != exitRefused {
		t.Errorf("exit %d", exitCode(err))
	}
}

// TestCheckOnlyListsInADryRun, whatever it could write.
func TestCheckOnlyListsInADryRun(t *testing.T) {
	b := newBench(t, checkDatasets(t)(t))
	b.app.DryRun = true
	b.viaRclone(`case "$*" in *zfs2cloud-check*) touch ` + filepath.Join(b.dir, "wrote") + `; esac`)
	got, _ := b.table()
	if !strings.Contains(got, "listed; nothing written") {
		t.Errorf("got\n%s", got)
	}
	if _, err := os.Stat(b.at("wrote")); err == nil {
		t.Error("rclone was asked to write")
	}
}

// TestCheckStopsWhenAsked: a stop signal is no answer.
func TestCheckStopsWhenAsked(t *testing.T) {
	b := newBench(t, "tank/data")
	b.app.Stop.Signal()
	if _, err := b.table(); exitCode(err) != exitInterrupted {
		t.Errorf("exit %d: %v", exitCode(err), err)
	}
}

func TestDelegatedPermissions(t *testing.T) {
	const out = `---- Permissions on tank/data ----------------------------------------
Permission sets:
	@backup hold,release,@sending
	@sending send,@backup
Local permissions:
	group staff userprop
Descendent permissions:
	user alice create
Local+Descendent permissions:
	user alice @backup
	user bob destroy
	everyone mount
---- Permissions on tank ---------------------------------------------
Local permissions:
	user alice rollback
Local+Descendent permissions:
	user alice snapshot
`
	for _, c := range []struct {
		user   string
		groups []string
		want   string
	}{
		{"alice", []string{"staff"}, "@backup @sending hold mount release send snapshot userprop"},
		{"bob", nil, "destroy mount"},
		{"eve", nil, "mount"},
	} {
		var got []string
		for p := range delegated(out, "tank/data", c.user, c.groups) {
			got = append(got, p)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s may %s, not %s", c.user, strings.Join(got, " "), c.want)
		}
	}
}

func TestCutLast(t *testing.T) {
	for _, c := range []struct{ place, above, base string }{
		{"b2:acme/web1", "b2:acme", "web1"},
		{"loc:/srv/backup/", "loc:/srv", "backup"},
		{"loc:/srv", "loc:/", "srv"},
		{"b2:acme", "", ""},
		{":s3,endpoint='http://x/':acme", "", ""},
	} {
		above, base, _ := cutLast(c.place)
		if above != c.above || base != c.base {
			t.Errorf("%s: %q, %q", c.place, above, base)
		}
	}
}

// TestCheckTable: what to do stands below, foreign text does no harm, and with errors the end says so.
func TestCheckTable(t *testing.T) {
	var out bytes.Buffer
	table := &checkTable{out: &out}
	var sum checkSum
	sum.again = func(command string) string { return "zfs2cloud " + command }
	for _, row := range []finding{
		{Name: "remote", State: isError, Text: "rclone: exit 1:\n  no\x1b[31m\n", Do: "pay"},
		{Name: "hooks", State: isWarning, Text: "none"},
		{Name: "next", State: isOK, Text: "said below"},
	} {
		sum.add(row)
		table.row(row)
	}
	sum.backup = &nextBackup{reason: "since 20261125035200-full"}
	if err := table.end(sum); err != nil {
		t.Fatal(err)
	}
	want := `error    remote   rclone: exit 1:
                  no\x1b[31m
                  pay
warning  hooks    none
1 error, 1 warning. Next backup: incremental, since 20261125035200-full.
Next: set the errors right, then: zfs2cloud check
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	up := &checkup{app: &App{Out: &out}}
	if err := up.failed(sum); exitCode(err) != exitRefused || up.app.text(err) != "zfs2cloud: check: 1 error" {
		t.Errorf("exit %d, %v", exitCode(err), err)
	}
}
