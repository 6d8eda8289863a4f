package remote

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zfs2cloud/workflow"
)

// files makes a folder with these files, "NAME=CONTENT".
func files(t *testing.T, dir string, all ...string) string {
	t.Helper()
	for _, f := range all {
		name, content, _ := strings.Cut(f, "=")
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// shows is what lies in a folder, at any depth.
func shows(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, err = filepath.Rel(dir, name)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

func syncTo(t *testing.T, remote string, args ...string) *Sync {
	t.Helper()
	y, err := NewSync(Options{Remote: remote, Rclone: []string{"rclone"}, Args: args, LookupEnv: func(string) (string, bool) { return "", false }}, "")
	if err != nil {
		t.Fatal(err)
	}
	return y
}

func TestSync(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"", "--exclude *.tmp", "--include *.txt", "--filter +_/a* --filter -_*", "--delete-before"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			var words []string
			for _, w := range strings.Fields(args) {
				words = append(words, strings.ReplaceAll(w, "_", " "))
			}
			w := &recorder{}
			from := files(t, t.TempDir(), "a.txt=1", "sub/b.txt=2", "c.txt=3")
			to := files(t, t.TempDir(), "a.txt=other", "gone.txt=x", "zfs2cloud-job-00ff=m", "zfs2cloud-job-aa=m", HeartbeatFile+"=", "sub/zfs2cloud-job-00ff.txt=no marker")
			before := shows(t, to)
			y := syncTo(t, to, words...)
			plan, err := y.Plan(t.Context(), workflow.Look{World: w}, from)
			if err != nil {
				t.Fatal(err)
			}
			if shows(t, to) != before {
				t.Errorf("a plan changed something: %s", shows(t, to))
			}
			filtered := strings.HasPrefix(args, "--filter")
			if !filtered && (plan.Deletes != 2 || plan.Checks != 3 || plan.Transfers != 3) {
				t.Errorf("plan: %+v", plan)
			}
			var last Stats
			if _, err := y.Run(t.Context(), w, from, plan.Deletes, func(s Stats) { last = s }); err != nil {
				t.Fatal(err)
			}
			if last.Deletes != plan.Deletes || last.Transfers != plan.Transfers {
				t.Errorf("planned %+v, done %+v", plan, last)
			}
			want := HeartbeatFile + " a.txt c.txt sub/b.txt zfs2cloud-job-00ff zfs2cloud-job-aa"
			if filtered {
				want = HeartbeatFile + " a.txt gone.txt sub/zfs2cloud-job-00ff.txt zfs2cloud-job-00ff zfs2cloud-job-aa"
			}
			if got := shows(t, to); got != want {
				t.Errorf("left: %s", got)
			}
		})
	}
}

// More than was counted before is never deleted: what is synced from may be gone by then.
func TestSyncDeletesNoMore(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), files(t, t.TempDir(), "a=1", "b=1", "c=1")
	y := syncTo(t, to)
	_, err := y.Run(t.Context(), &recorder{}, from, 1, nil)
	if err == nil || !strings.Contains(err.Error(), "more than the 1 that were counted") || Temporary(err) {
		t.Error(err)
	}
	if left := strings.Fields(shows(t, to)); len(left) < 2 {
		t.Errorf("left: %q", left)
	}
	if _, err := y.Run(t.Context(), workflow.Look{World: &recorder{}}, from, 9, nil); err == nil {
		t.Error("a look may sync")
	}
}

func TestSyncFilters(t *testing.T) {
	t.Parallel()
	from, to := files(t, t.TempDir(), "a=1", "b=1"), files(t, t.TempDir(), "a=0", "b=0", "zfs2cloud-job-00ff=m")
	if _, err := syncTo(t, to, "--include", "*").Plan(t.Context(), &recorder{}, from); err == nil || !strings.Contains(err.Error(), "zfs2cloud-job-00ff") {
		t.Errorf("a filter that includes the marker: %v", err)
	}
	list := filepath.Join(files(t, t.TempDir(), "list=a\n"), "list")
	y := syncTo(t, to, "--files-from", list)
	if _, err := y.Run(t.Context(), &recorder{}, from, 0, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(to, "b")); err != nil || string(got) != "0" {
		t.Errorf("b is %q, %v", got, err)
	}
	if got := shows(t, to); got != "a b zfs2cloud-job-00ff" {
		t.Error(got)
	}
}

func TestSyncLinks(t *testing.T) {
	t.Parallel()
	from, to := files(t, t.TempDir(), "a=1"), t.TempDir()
	if err := os.Symlink("a", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	if s, err := syncTo(t, to).Run(t.Context(), &recorder{}, from, 0, nil); err != nil || s.Links != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := syncTo(t, to, "--links").Run(t.Context(), &recorder{}, from, 0, nil); err != nil || s.Links != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestSyncFails(t *testing.T) {
	t.Parallel()
	if _, err := syncTo(t, t.TempDir()).Plan(t.Context(), &recorder{}, "/nonexistent/folder"); err == nil || strings.Contains(err.Error(), "Skipped") {
		t.Error(err)
	}
	if _, err := NewSync(Options{Remote: "relative"}, ""); err == nil {
		t.Error("a relative path passed")
	}
}
