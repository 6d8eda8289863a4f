package proc

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"zfs2cloud/workflow"
)

func TestOrdinaryChildGetsABuiltEnvironment(t *testing.T) {
	t.Setenv("Z2C_CANARY", "leak")
	t.Setenv("TMPDIR", "/leak")
	t.Setenv("HOME", "/home/of/ours")
	t.Setenv("TZ", "Europe/Berlin")
	t.Setenv("PATH", "/usr/bin:relative::/bin")
	s := workflow.Spec{Argv: []string{"env"}, Env: []string{"LC_ALL=de_DE", "MORE=1"}}
	out, err := Output(t.Context(), new(World), s)
	must(t, err)
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	want := []string{"PATH=/usr/bin:/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin", "LC_ALL=de_DE",
		"HOME=/home/of/ours", "TZ=Europe/Berlin", "MORE=1"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestHomeComesFromTheUserDatabase(t *testing.T) {
	t.Setenv("HOME", "")
	if os.Getuid() != 0 {
		t.Skip("needs root, whose home is known")
	}
	if got := home(); got != "/root" {
		t.Errorf("home is %q", got)
	}
}

func TestChildHasOnlyTheDescriptorsItWasGiven(t *testing.T) {
	dir := t.TempDir()
	open := func(name string) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		must(t, err)
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	open("ours")
	w := &World{Kids: open("kids")}
	s := workflow.Spec{Argv: []string{"ls", "-l", "/proc/self/fd"}, Extra: []*os.File{open("a"), open("b")}}
	out, err := Output(t.Context(), w, s)
	must(t, err)
	for _, link := range []string{"0 -> /dev/null", "3 -> " + dir + "/a", "4 -> " + dir + "/b", "5 -> " + dir + "/kids"} {
		if !strings.Contains(string(out), link+"\n") {
			t.Errorf("no %s in\n%s", link, out)
		}
	}
	if strings.Contains(string(out), "/ours") {
		t.Errorf("a descriptor of ours in\n%s", out)
	}
}

func TestExitErrorTellsCodeAndLastLines(t *testing.T) {
	s := sh("echo went wrong >&2; exit 7")
	s.Argv = append(s.Argv, "--sftp-pass", "geheim")
	err := Run(t.Context(), new(World), s)
	var exit *workflow.ExitError
	if !errors.As(err, &exit) || exit.Code != 7 || exit.Signal != "" || exit.Stderr != "went wrong" {
		t.Fatalf("got %#v", err)
	}
	if strings.Contains(strings.Join(exit.Argv, " "), "geheim") {
		t.Errorf("secret in %q", exit.Argv)
	}
	err = Run(t.Context(), new(World), sh("kill -SEGV $$"))
	if !errors.As(err, &exit) || exit.Code != -1 || exit.Signal != "segmentation fault" {
		t.Errorf("got %#v", err)
	}
}

func TestStartOfWhatCantBeStarted(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	must(t, os.WriteFile(plain, nil, 0o644))
	for name, argv0 := range map[string]string{
		"z2c-no-such":  "z2c-no-such",
		"/no/such":     "/no/such",
		plain:          plain,
		dir:            dir,
		"interpreter":  script(t, "#!/no/interpreter\n"),
		"/no/such dir": "./sh",
	} {
		_, err := new(World).Start(t.Context(), workflow.Spec{Argv: []string{argv0}, Dir: dir})
		if !errors.Is(err, workflow.ErrNoProgram) || !strings.Contains(err.Error(), argv0) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := new(World).Start(t.Context(), workflow.Spec{Argv: []string{"true"}, Dir: "/no/such"})
	if !errors.Is(err, os.ErrNotExist) || errors.Is(err, workflow.ErrNoProgram) {
		t.Errorf("missing folder: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := new(World).Start(ctx, sh("true")); !errors.Is(err, context.Canceled) {
		t.Errorf("context that has ended: %v", err)
	}
}

func TestScriptWithoutInterpreterLine(t *testing.T) {
	name := script(t, "echo \"$0 $1\"\n")
	out, err := Output(t.Context(), new(World), workflow.Spec{Argv: []string{name, "a b"}})
	must(t, err)
	if got := string(out); got != name+" a b\n" {
		t.Errorf("got %q", got)
	}
}

func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	out, err := Output(t.Context(), new(World), workflow.Spec{Argv: []string{"cat", "/dev/zero"}})
	if err == nil || err.Error() != "more than 64 MiB of output" {
		t.Errorf("got %v", err)
	}
	if len(out) > outputLimit {
		t.Errorf("got %d bytes", len(out))
	}
}

func TestLogMasks(t *testing.T) {
	var log bytes.Buffer
	w := &World{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	s := sh("echo to a person >&2", "--sftp-pass=geheim", "https://u:geheim@host/")
	must(t, Run(t.Context(), w, s))
	if got := log.String(); strings.Contains(got, "geheim") || !strings.Contains(got, "to a person") {
		t.Errorf("got %s", got)
	}
}

func TestClock(t *testing.T) {
	at := time.Unix(1, 0)
	if got := (&World{Clock: func() time.Time { return at }}).Now(); got != at {
		t.Errorf("got %v", got)
	}
}

// zfs_autobackup#179: what is in /usr/sbin was not found by what cron starts.
func TestLookPathBeyondCronsPath(t *testing.T) {
	t.Setenv("PATH", "/usr/bin:/bin")
	if _, err := os.Stat("/usr/sbin/chroot"); err != nil {
		t.Skip("no chroot in /usr/sbin to look for")
	}
	got, err := LookPath("chroot")
	if err != nil || got != "/usr/sbin/chroot" {
		t.Errorf("got %q, %v", got, err)
	}
	// Never in the working folder.
	t.Chdir(filepath.Dir(script(t, "")))
	t.Setenv("PATH", ":.")
	if got, err := LookPath("z2c-script"); !errors.Is(err, workflow.ErrNoProgram) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestCloseInherited(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	lock, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	must(t, err)
	defer lock.Close()
	list := func(name string) string {
		cmd := helperCommand(name, out, "/bin/ls", "-l", "/proc/self/fd")
		cmd.ExtraFiles = []*os.File{lock}
		must(t, cmd.Run())
		return readFile(t, out)
	}
	if got := list("brief"); !strings.Contains(got, lock.Name()) {
		t.Errorf("without it, the descriptor should reach the hook:\n%s", got)
	}
	if got := list("descriptors"); strings.Contains(got, lock.Name()) {
		t.Errorf("the hook has our parent's descriptor:\n%s", got)
	}
}

func TestChildDiesWithUs(t *testing.T) {
	t.Parallel()
	h := startHelper(t, "child", filepath.Join(t.TempDir(), "kids"), "sleep", "1000")
	id := h.process(t)
	wantAlive(t, id)
	h.kill(t)
	wantGone(t, id)
}

// The parent-death signal belongs to a thread. Were children started by any goroutine's, they would die
// when the runtime ends that thread.
func TestChildOutlivesTheThreadThatAskedForIt(t *testing.T) {
	t.Parallel()
	c := make(chan workflow.Child)
	go func() {
		runtime.LockOSThread()
		child, err := new(World).Start(context.Background(), workflow.Spec{Argv: []string{"sleep", "1000"}})
		if err != nil {
			t.Error(err)
		}
		c <- child
	}() // the thread ends here
	child := <-c
	wantStays(t, child.ID())
	child.Kill()
	_ = child.Wait()
}
