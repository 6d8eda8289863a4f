package events_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"zfs2cloud/cmd/sandbox/internal/events"
)

// A module whose packages end in every way there is, tested by the real go test.
var module = map[string]string{
	"go.mod": "module m\n\ngo 1.26.0\n",
	"plain/a_test.go": `package plain
import "testing"
func TestPass(t *testing.T) {}
func TestSkip(t *testing.T) { t.Skip("no ZFS here") }
func TestFail(t *testing.T) { t.Error("wrong") }
func TestSubs(t *testing.T) {
	t.Run("one", func(t *testing.T) {})
	t.Run("two", func(t *testing.T) { t.Run("deep", func(t *testing.T) { t.Fatal("deep down") }) })
	t.Run("three", func(t *testing.T) { t.Skip("not today") })
}
func TestOwn(t *testing.T) { t.Run("fine", func(t *testing.T) {}); t.Error("after its subtests") }
`,
	"broken/b_test.go": "package broken\nvar x int = \"no number\"\n",
	"dies/d_test.go": `package dies
import ("os"; "testing")
func TestBefore(t *testing.T) {}
func TestDies(t *testing.T) { os.Exit(7) }
`,
	"main/m_test.go": `package main
import ("os"; "testing")
func TestMain(m *testing.M) { os.Exit(3) }
`,
	"none/n.go": "package none\n",
}

func TestRead(t *testing.T) {
	t.Parallel()
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go in PATH")
	}
	dir := t.TempDir()
	for name, text := range module {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(goTool, "test", "-json", "./...")
	cmd.Dir = dir
	out, _ := cmd.Output() // fails, as it must

	var progress strings.Builder
	c, err := events.Read(bytes.NewReader(out), &progress)
	if err != nil {
		t.Fatal(err)
	}
	// Passed: TestPass, TestSubs/one, TestOwn/fine, TestBefore.
	if got, want := c.String(), "4 passed, 6 failed, 2 skipped"; got != want {
		t.Errorf("%s, want %s\n%s\n%s", got, want, progress.String(), out)
	}
	var failed, skipped []string
	for _, f := range c.Failed {
		failed = append(failed, f.String())
		if f.Name == "TestSubs/two/deep" && fmt.Sprint(f.Why(5)) != "[a_test.go:8: deep down]" {
			t.Errorf("why: %q", f.Why(5))
		}
	}
	for _, s := range c.Skipped {
		skipped = append(skipped, s.String()+": "+s.Reason)
	}
	for _, want := range []string{"m/broken", "m/dies TestDies", "m/main", "m/plain TestFail", "m/plain TestOwn", "m/plain TestSubs/two/deep"} {
		if !strings.Contains(strings.Join(failed, "\n")+"\n", want+"\n") {
			t.Errorf("not counted as failed: %s in %q", want, failed)
		}
	}
	for _, want := range []string{"m/plain TestSkip: no ZFS here", "m/plain TestSubs/three: not today"} {
		if !strings.Contains(strings.Join(skipped, "\n")+"\n", want+"\n") {
			t.Errorf("not counted as skipped: %s in %q", want, skipped)
		}
	}
	for _, want := range []string{"no number", "deep down", "FAIL m/plain"} {
		if !strings.Contains(progress.String(), want) {
			t.Errorf("progress lacks %q:\n%s", want, progress.String())
		}
	}
}

func TestWhy(t *testing.T) {
	t.Parallel()
	script := events.Test{Output: "    testscript.go:609: WORK=$WORK\n        > exec one\n        1 of 9\r2 of 9\r" + strings.Repeat("x", 1000) +
		"\n        > exec two\n        FAIL: a.txtar:2: exit status 1\n        [background] three\n        [stdout]\n        4\n"}
	why := script.Why(4)
	want := []string{"2 of 9", strings.Repeat("x", 240) + "…", "> exec two", "FAIL: a.txtar:2: exit status 1"}
	if !slices.Equal(why, want) {
		t.Errorf("why: %q", why)
	}
}

func TestCutOff(t *testing.T) {
	t.Parallel()
	const cut = `{"Action":"start","Package":"m"}
{"Action":"run","Package":"m","Test":"TestLong"}
{"Action":"output","Package":"m","Test":"TestLong","Output":"working\n"}
`
	c, err := events.Read(strings.NewReader(cut), &strings.Builder{})
	if err != nil || c.String() != "0 passed, 1 failed, 0 skipped" {
		t.Errorf("%v, %v", c, err)
	}
}
