package house

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

type pkg struct {
	ImportPath, Doc string
	Imports         []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,Imports", "zfs2cloud/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// layer is where a package of ours lives: imports point from cmd to state, never back.
func layer(path string) int {
	rest, ours := strings.CutPrefix(path, "zfs2cloud/")
	if !ours {
		return -1
	}
	first, _, _ := strings.Cut(rest, "/")
	return slices.Index([]string{"state", "workflow", "actions", "cmd"}, first)
}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range packages(t) {
		for _, i := range p.Imports {
			if layer(i) > layer(p.ImportPath) {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
	}
}

func TestEachPackageHasADoc(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no package doc", p.ImportPath)
		}
	}
}

// Some imports are the business of one package only.
func TestWhoUsesWhat(t *testing.T) {
	only := map[string][]string{
		// The only place that starts programs; the sandbox and what tests stand on are not the product.
		"os/exec": {"zfs2cloud/actions/proc", "zfs2cloud/actions/zfs/zfstest", "zfs2cloud/cmd/sandbox"},
		// A machine is a table, and nobody else asks the library.
		"github.com/looplab/fsm": {"zfs2cloud/workflow"},
		// The sandbox only has the library check a file.
		"go.etcd.io/bbolt":      {"zfs2cloud/state", "zfs2cloud/cmd/sandbox/internal/outage"},
		"gopkg.in/ini.v1":       {"zfs2cloud/cmd/internal/config"},
		"mvdan.cc/sh/v3/syntax": {"zfs2cloud/cmd/internal/config"},
	}
	for _, p := range packages(t) {
		for _, i := range p.Imports {
			allowed, ruled := only[i]
			if ruled && !slices.ContainsFunc(allowed, func(a string) bool { return p.ImportPath == a || strings.HasPrefix(p.ImportPath, a+"/") }) {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
	}
}

// Leaf packages of actions know one thing each, and nothing of the steps.
func TestLeavesDoNotImportTheSteps(t *testing.T) {
	for _, p := range packages(t) {
		if strings.HasPrefix(p.ImportPath, "zfs2cloud/actions/") && slices.Contains(p.Imports, "zfs2cloud/actions") {
			t.Errorf("%s imports actions", p.ImportPath)
		}
	}
}

func TestTopLevel(t *testing.T) {
	cmd := exec.Command("git", "ls-files", ":/")
	cmd.Dir = "../../.."
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("not a git checkout: %v", err)
	}
	allowed := []string{"cmd", "workflow", "state", "actions", "testdata", "go.mod", "go.sum", "README.md"}
	for name := range strings.Lines(string(out)) {
		first, _, _ := strings.Cut(strings.TrimSpace(name), "/")
		if !strings.HasPrefix(first, ".") && !slices.Contains(allowed, first) {
			t.Errorf("%s stands at the top level", first)
		}
	}
}
