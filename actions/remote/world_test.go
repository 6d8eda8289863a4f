package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"zfs2cloud/actions/proc"
	"zfs2cloud/workflow"
)

// recorder is a real World that remembers what it started, and has a clock that a test can set.
type recorder struct {
	proc.World
	mu      sync.Mutex
	started [][]string
	kids    []workflow.Child
	ahead   time.Duration
}

func (r *recorder) Now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Add(r.ahead)
}

func (r *recorder) advance(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ahead += d
}

func (r *recorder) Start(ctx context.Context, s workflow.Spec) (workflow.Child, error) {
	child, err := r.World.Start(ctx, s)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = append(r.started, s.Argv)
	if err == nil {
		r.kids = append(r.kids, child)
	}
	return child, err
}

func (r *recorder) killLast() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kids[len(r.kids)-1].Kill()
}

// verbs are rclone's verbs of all calls since the last time.
func (r *recorder) verbs() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var verbs []string
	for _, argv := range r.started {
		verbs = append(verbs, argv[slices.IndexFunc(argv, isVerb)])
	}
	r.started = nil
	return verbs
}

func isVerb(s string) bool {
	return slices.Contains([]string{"lsjson", "cat", "backend", "copy", "copyto", "moveto", "deletefile", "rmdir"}, s)
}

// needRclone is the rclone to test with: ZFS2CLOUD_TEST_RCLONE, or the one in PATH.
func needRclone(t *testing.T) string {
	t.Helper()
	word := os.Getenv("ZFS2CLOUD_TEST_RCLONE")
	if word == "" {
		word = "rclone"
	}
	path, err := exec.LookPath(word)
	if err != nil {
		t.Skip("the rclone program is missing")
	}
	return path
}

// rcloneOver is a remote named x of rclone's, with a config of its own. %s in the config is dir.
func rcloneOver(t *testing.T, conf, dir, remote string, more ...string) Remote {
	t.Helper()
	rclone := needRclone(t)
	file := filepath.Join(t.TempDir(), "rclone.conf")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(conf, "%s", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(Options{Remote: remote, Rclone: []string{rclone}, Conf: file, GlobalFlags: more,
		LookupEnv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const localConf = "[x]\ntype = local\n"

// obscure is a password as rclone's config wants it.
func obscure(t *testing.T, password string) string {
	t.Helper()
	out, err := exec.Command(needRclone(t), "obscure", password).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func cryptConf(t *testing.T) string {
	return "[x]\ntype = crypt\nremote = %s\npassword = " + obscure(t, "a password") + "\n"
}

func openFolder(t *testing.T, dir string) Remote {
	t.Helper()
	r, err := Open(Options{Remote: dir})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newSource is a file of random bytes with all its hashes.
func newSource(t *testing.T, size int) (Source, []byte) {
	t.Helper()
	data := make([]byte, size)
	rand.Read(data)
	path := filepath.Join(t.TempDir(), "chunk")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return Source{Path: path, Size: int64(size), Hashes: hashesOf(data)}, data
}

func get(t *testing.T, r Remote, w workflow.World, name string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := r.Get(t.Context(), w, name, 1<<30, &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func namesOf(all []Object) string {
	var names []string
	for _, o := range all {
		name := o.Name
		if o.IsDir {
			name += "/"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return fmt.Sprint(names)
}
