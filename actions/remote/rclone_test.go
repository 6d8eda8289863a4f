package remote

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"zfs2cloud/workflow"
)

func TestArgv(t *testing.T) {
	t.Parallel()
	opened, err := Open(Options{
		Remote: "b2:bucket", Rclone: []string{"nice", "rclone"}, Conf: "/etc/r.conf", Bwlimit: "1M",
		GlobalFlags: []string{"--retries=9"}, Args: []string{"-v", "--stats=60s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := opened.(*rclone)
	got := strings.Join(r.argv(call{verb: "copyto", transfers: true, flags: []string{"--ignore-times"}, operands: []string{"/f", "b2:bucket/f"}}), " ")
	want := "nice rclone --config /etc/r.conf --retries=9 copyto -v --stats=60s --ignore-times --retries 1 --progress=false " +
		"--use-json-log --stats 1s --stats-log-level NOTICE --bwlimit 1M -- /f b2:bucket/f"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	got = strings.Join(r.argv(call{verb: "lsjson", looks: true}), " ")
	if strings.Contains(got, "bwlimit") {
		t.Errorf("a look is throttled: %s", got)
	}
	if !strings.HasPrefix(got, "nice rclone --config /etc/r.conf --low-level-retries 3 --retries=9 lsjson ") {
		t.Errorf("a look: %s", got)
	}
}

// How much rclone does at once is the user's to say: a server may take few connections. (What rclone_args said was once beaten.)
func TestAtOnce(t *testing.T) {
	t.Parallel()
	r, w := rcloneOver(t, localConf, "", "x:"+t.TempDir(), "--checkers=2", "--transfers=3"), &recorder{}
	if _, err := r.ListBackups(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if err := r.GetSome(t.Context(), w, []Sized{{Name: aFolder + "/none", Size: 1}}, nil); err != nil {
		t.Fatal(err)
	}
	ours := 0
	for _, argv := range w.started {
		for flag, user := range map[string]string{"--checkers": "--checkers=2", "--transfers": "--transfers=3"} {
			if at := slices.Index(argv, flag); at >= 0 {
				ours++
				if at > slices.Index(argv, user) {
					t.Errorf("the user's %s is beaten: %q", user, argv)
				}
			}
		}
	}
	if ours != 3 {
		t.Errorf("%d limits of ours in %q", ours, w.started)
	}
}

// What a remote that encrypts can't decrypt is damaged if it can decrypt the marker, whatever its words are for it; else it may be that
// its password is another.
func TestDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, w := rcloneOver(t, cryptConf(t)+"filename_encryption = off\ndirectory_name_encryption = false\n", dir, "x:"), &recorder{}
	const name, marker = aFolder + "/chunk", "zfs2cloud-job-5f"
	data := bytes.Repeat([]byte("a block, and a part of one"), 3000)
	if err := errors.Join(r.PutBytes(t.Context(), w, marker, []byte("a marker"), true), r.PutBytes(t.Context(), w, name, data, true)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name+".bin")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flipped := func(at int) []byte {
		object := bytes.Clone(whole)
		object[at] ^= 1
		return object
	}
	spoilt := map[string][]byte{"its header": flipped(2), "its first block": flipped(100), "its last block": flipped(len(whole) - 1),
		"its end": whole[:len(whole)-1], "all but a few bytes": whole[:20]}
	for _, believed := range []bool{true, false} {
		for what, object := range spoilt {
			if !believed && what != "its first block" && what != "its last block" {
				continue
			}
			if err := os.WriteFile(file, object, 0o600); err != nil {
				t.Fatal(err)
			}
			err := r.Get(t.Context(), w, name, int64(len(data)), io.Discard)
			if err == nil || errors.Is(err, ErrDamaged) != believed {
				t.Errorf("%s, with a marker that can be read %v: %v", what, believed, err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, marker+".bin"), whole[:40], 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{
		{Remote: ""}, {Remote: "relative/path"}, {Remote: "-x:"}, {Remote: "b2:a\nb"}, {Remote: "/a\x00"},
		{Remote: "b2:a", EnvNames: []string{"RCLONE_DRY_RUN"}}, {Remote: "b2:a", EnvNames: []string{"A=B"}},
	} {
		if r, err := Open(o); err == nil {
			t.Errorf("Open(%+v): %v, no error", o, r)
		}
	}
}

func TestEnv(t *testing.T) {
	t.Parallel()
	ours := map[string]string{
		"RCLONE_CONFIG_PASS": "p", "https_proxy": "q", "RCLONE_DRY_RUN": "true", "AWS_CA_BUNDLE": "/x",
		"B2_KEY": "k", "RCLONE_CONFIG_B2_TYPE": "b2", "HOME": "/h",
	}
	got, err := rcloneEnv([]string{"B2_KEY", "RCLONE_CONFIG_B2_TYPE", "UNSET"}, func(name string) (string, bool) {
		v, ok := ours[name]
		return v, ok
	})
	want := []string{quickStart, "RCLONE_CONFIG_PASS=p", "https_proxy=q", "B2_KEY=k", "RCLONE_CONFIG_B2_TYPE=b2"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// hope-agent#586: with RCLONE_DRY_RUN in the environment every upload did nothing, exit 0.
func TestEnvironmentChangesNothing(t *testing.T) {
	dir, w := t.TempDir(), &recorder{}
	r := rcloneOver(t, localConf, "", "x:"+dir)
	t.Setenv("RCLONE_DRY_RUN", "true")
	t.Setenv("RCLONE_EXCLUDE", "*")
	from, data := newSource(t, 100)
	if err := r.Put(t.Context(), w, "chunk", from, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "chunk")); err != nil || string(got) != string(data) {
		t.Errorf("stored: %d bytes, %v", len(got), err)
	}
}

// rclone#1656, #4999: part of a file was taken for the whole. Before 1.63 a kill leaves a short file under
// the name that the upload was given.
func TestKilledUpload(t *testing.T) {
	t.Parallel()
	for name, conf := range map[string]string{"local": localConf, "crypt": cryptConf(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, w := t.TempDir(), &recorder{}
			remote := "x:" + dir
			if name == "crypt" {
				remote = "x:"
			}
			r := rcloneOver(t, conf, dir, remote)
			slow := rcloneOver(t, conf, dir, remote)
			slow.(*rclone).bwlimit = "2M"
			from, data := newSource(t, 16<<20)

			var seen int64
			err := slow.Put(t.Context(), w, aName, from, func(done int64) {
				seen = done
				w.killLast()
			})
			var exit *workflow.ExitError
			if !errors.As(err, &exit) || exit.Signal == "" || seen == 0 || seen >= from.Size {
				t.Fatalf("killed at %d bytes: %v", seen, err)
			}
			if _, err := r.Stat(t.Context(), w, aName, ""); !errors.Is(err, ErrNotThere) {
				t.Errorf("Stat: %v", err)
			}
			lists(t, r, w, aFolder, "[]")

			var last int64
			if err := r.Put(t.Context(), w, aName, from, func(done int64) { last = done }); err != nil {
				t.Fatal(err)
			}
			if last < from.Size {
				t.Errorf("progress ended at %d", last)
			}
			if got := get(t, r, w, aName); string(got) != string(data) {
				t.Errorf("stored: %d bytes", len(got))
			}
			if err := r.Delete(t.Context(), w, aName); err != nil {
				t.Fatal(err)
			}
			if err := r.RemoveFolder(t.Context(), w, aFolder); err != nil {
				t.Errorf("a leftover is in the way: %v", err)
			}
		})
	}
}

func TestCostOfPut(t *testing.T) {
	t.Parallel()
	dir, w := t.TempDir(), &recorder{}
	r := rcloneOver(t, localConf, "", "x:"+dir)
	from, _ := newSource(t, 10)
	known := &features{}
	known.Features.BucketBased = true
	r.(*rclone).knows = known
	if err := r.Put(t.Context(), w, "a", from, nil); err != nil {
		t.Fatal(err)
	}
	if got := w.verbs(); !slices.Equal(got, []string{"lsjson", "copyto"}) {
		t.Errorf("a store that hides what isn't whole: %v", got)
	}
	known.Features.BucketBased, known.Features.Move = false, true
	if err := r.Put(t.Context(), w, "b", from, nil); err != nil {
		t.Fatal(err)
	}
	if got := w.verbs(); !slices.Equal(got, []string{"lsjson", "copyto", "moveto"}) {
		t.Errorf("a store that doesn't: %v", got)
	}
	known.Features.BucketBased, known.Features.CanHaveEmptyDirectories = true, true
	if err := r.Put(t.Context(), w, "c", from, nil); err != nil {
		t.Fatal(err)
	}
	if got := w.verbs(); !slices.Equal(got, []string{"lsjson", "copyto", "moveto"}) {
		t.Errorf("one that only says so (SMB): %v", got)
	}
	lists(t, r, w, "", "[a b c]")
	left := filepath.Join(dir, "folder", "d.fecaxoj3.partial")
	if err := errors.Join(os.Mkdir(filepath.Dir(left), 0o700), os.WriteFile(left, nil, 0o600), r.Tidy(t.Context(), w, "folder")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(left); !os.IsNotExist(err) {
		t.Errorf("what a killed upload left there: %v", err)
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	var progress []int64
	l := &logReader{progress: func(n int64) { progress = append(progress, n) }}
	text := `{"level":"warning","msg":"Transferred…","stats":{"bytes":1147184}}
{"level":"error","msg":"Failed to copy: bad \u001b[2J thing","object":"f","objectType":"*local.Object"}
{"level":"error","msg":"Attempt 1/1 failed with 1 errors and: bad thing"}
2026/11/25 08:59:59 Failed to copyto: bad thing
` + strings.Repeat("x", 2*maxLogLine) + "\nlast"
	for part := range slices.Chunk([]byte(text), 7) {
		if n, err := l.Write(part); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	want := "f: Failed to copy: bad \\x1b[2J thing\nFailed to copyto: bad thing\n" + strings.Repeat("x", maxLogLine) + "\nlast"
	if got := l.text(); got != want {
		t.Errorf("text: %.200q", got)
	}
	if !slices.Equal(progress, []int64{1147184}) {
		t.Errorf("progress: %v", progress)
	}
	for range 2 * maxLogTexts {
		l.Write([]byte("again\n"))
	}
	if got := strings.Count(l.text(), "again"); got != maxLogTexts {
		t.Errorf("%d messages kept", got)
	}
}
