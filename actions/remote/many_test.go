package remote

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// many: what lies in all backups is told at once, and so are small objects got.
func many(t *testing.T, s store, w *recorder) {
	t.Helper()
	ctx := t.Context()
	const other, third = "20261126035200", "20261127035200"
	put := map[string]string{
		other + "/manifest.json.gpg": "another's bytes", third + "/manifest.json.gpg": "of the third", third + "/empty": "",
		"photos/2026/a.jpg": "none of ours", "2026112603520/manifest.json.gpg": "no stamp", other + "/deep/er": "too deep", "zfs2cloud-job-5f": "a marker",
	}
	for name, text := range put {
		if err := s.PutBytes(ctx, w, name, []byte(text), true); err != nil {
			t.Fatal(err)
		}
	}
	s.leave(t, w, other+"/half.000000")
	if _, err := s.HashKind(ctx, w); err != nil { // so that what rclone knows of the remote is asked already
		t.Fatal(err)
	}
	w.verbs()
	all, err := s.ListBackups(ctx, w)
	if err != nil || len(w.verbs()) > 1 {
		t.Fatalf("ListBackups: %v", err)
	}
	var folders []string
	for folder, list := range all {
		folders = append(folders, folder)
		one, err := s.List(ctx, w, folder, "")
		if err != nil {
			t.Fatal(err)
		}
		one = slices.DeleteFunc(one, func(o Object) bool { return o.IsDir })
		for _, l := range [][]Object{list, one} {
			slices.SortFunc(l, func(a, b Object) int { return strings.Compare(a.Name, b.Name) })
		}
		if a, b := fmt.Sprintf("%+v", list), fmt.Sprintf("%+v", one); a != b {
			t.Errorf("ListBackups has in %s\n%s\nList has\n%s", folder, a, b)
		}
	}
	slices.Sort(folders)
	if got := strings.Join(folders, " "); got != aFolder+" "+other+" "+third {
		t.Errorf("ListBackups: %s", got)
	}

	// In their order; what has another size, is not there or a folder is left out.
	w.verbs()
	want := []Sized{{third + "/manifest.json.gpg", 12}, {other + "/manifest.json.gpg", 15}, {aFolder + "/manifest.json.gpg", 8}, {third + "/empty", 0},
		{other + "/none", 5}, {other + "/deep", 5}}
	var got []string
	err = s.GetSome(ctx, w, want, func(name string, data []byte) error {
		got = append(got, name+": "+string(data))
		return nil
	})
	if verbs := w.verbs(); len(verbs) > 1 {
		t.Errorf("GetSome: %v", verbs)
	}
	if err != nil || fmt.Sprint(got) != fmt.Sprint([]string{third + "/manifest.json.gpg: of the third", other + "/manifest.json.gpg: another's bytes", third + "/empty: "}) {
		t.Errorf("GetSome: %q, %v", got, err)
	}
	stop := errors.New("no more")
	if err := s.GetSome(ctx, w, want, func(string, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("GetSome, stopped: %v", err)
	}
	for _, name := range []string{"../x", "a\nb", "-x", "/etc/passwd"} {
		if err := s.GetSome(ctx, w, []Sized{{name, 1}}, nil); err == nil || !strings.Contains(err.Error(), "name ") {
			t.Errorf("GetSome of %q: %v", name, err)
		}
	}
	for name := range put {
		if err := s.Delete(ctx, w, name); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{other + "/deep", other, third, "photos/2026", "photos", "2026112603520"} {
		if err := s.RemoveFolder(ctx, w, folder); err != nil {
			t.Error(err)
		}
	}
}

// A listing that is cut off, or goes on for ever, is none.
func TestListBackupsParses(t *testing.T) {
	t.Parallel()
	const one = `{"Path":"20261126035200/a","Name":"a","Size":3,"IsDir":false}`
	for text, want := range map[string]int{"[\n" + one + "\n]\n": 1, "[]": 0, "": -1, "[\n" + one: -1, "[\n" + one + ",\n": -1, "{}": -1, "[1]": -1} {
		b := backups{in: map[string][]Object{}}
		err := b.read(strings.NewReader(text))
		if (err != nil) != (want < 0) || want > 0 && len(b.in["20261126035200"]) != want {
			t.Errorf("%q: %v, %v", text, b.in, err)
		}
	}
	b := backups{in: map[string][]Object{}, count: maxObjects}
	if err := b.read(strings.NewReader("[" + one + "]")); !errors.Is(err, ErrTooBig) {
		t.Errorf("one too many: %v", err)
	}
}

// standIn is an rclone that is a shell script.
func standIn(t *testing.T, script string) Remote {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rclone")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	r, err := Open(Options{Remote: "x:y", Rclone: []string{file}, LookupEnv: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const noFeatures = `case "$*" in *features*) echo '{}'; exit;; esac
`

// What rclone listed before it failed is not believed; and what is wrong with a listing is told, and not the pipe that
// breaks.
func TestListBackupsFails(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		`echo '[{"Path":"20261126035200","IsDir":true}]'; echo '{"msg":"denied"}' >&2; exit 1`: "denied",
		`echo '[{"Path":"20261126035200","IsDir":true}'`:                                       "what rclone lists: EOF",
		`yes '[[' | head -c 1000000`:                                                           "what rclone lists: invalid character",
	} {
		all, err := standIn(t, noFeatures+script).ListBackups(t.Context(), &recorder{})
		if all != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", script, all, err)
		}
	}
}

// A short file of an rclone that was ended is not handed on.
func TestGetSomeFails(t *testing.T) {
	t.Parallel()
	r := standIn(t, `for dir; do :; done; mkdir $dir/20261126035200; echo xxx >$dir/20261126035200/a; kill -9 $$`)
	handed := false
	err := r.GetSome(t.Context(), &recorder{}, []Sized{{"20261126035200/a", 4}}, func(string, []byte) error { handed = true; return nil })
	if handed || !Temporary(err) {
		t.Errorf("handed on: %v, %v", handed, err)
	}
}

// A store that sends more than it listed does not fill the disk.
func TestGetSomeBounded(t *testing.T) {
	t.Parallel()
	dir, temp := t.TempDir(), t.TempDir()
	r := rcloneOver(t, localConf, dir, "x:"+dir).(*rclone)
	r.temp = temp
	folder := filepath.Join(dir, aFolder)
	if err := errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(filepath.Join(folder, "a"), bytes.Repeat([]byte("x"), 64<<20), 0o600)); err != nil {
		t.Fatal(err)
	}
	err := r.GetSome(t.Context(), &recorder{}, []Sized{{aFolder + "/a", 4}}, func(string, []byte) error { return errors.New("handed on") })
	left, rerr := os.ReadDir(temp)
	if err == nil || !strings.Contains(err.Error(), "transfer limit") || len(left) > 0 || rerr != nil {
		t.Errorf("%v; left %v %v", err, left, rerr)
	}
}
