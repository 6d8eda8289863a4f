package shapes

import (
	"os/exec"
	"testing"

	"zfs2cloud/cmd/sandbox/internal/tree"
)

// Each shape has a name of its own, and scripts that a shell can read.
func TestTable(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range shapes {
		if seen[s.name] {
			t.Errorf("%s is there twice", s.name)
		}
		seen[s.name] = true
		for _, script := range []string{pools, s.before, s.open, s.shut, s.look, s.fill, s.change, s.after} {
			if out, err := exec.Command("sh", "-nc", script).CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %s", s.name, script, out)
			}
		}
	}
}

// What is written is the same each time, and changed by change.
func TestFiles(t *testing.T) {
	t.Parallel()
	var made [2]tree.Tree
	var dirs [2]string
	for i := range made {
		dirs[i] = t.TempDir()
		if err := fill(dirs[i]); err != nil {
			t.Fatal(err)
		}
		made[i] = scan(t, dirs[i])
	}
	for path, e := range made[0] {
		if o := made[1][path]; o.Sum != e.Sum || o.Mode != e.Mode || o.Link != e.Link {
			t.Errorf("%q differs the second time", path)
		}
	}
	if err := change(dirs[0]); err != nil {
		t.Fatal(err)
	}
	if d := made[0].Diff(scan(t, dirs[0])); len(d) < 7 {
		t.Errorf("changed: %q", d)
	}
}

func scan(t *testing.T, dir string) tree.Tree {
	t.Helper()
	found, err := tree.Scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
