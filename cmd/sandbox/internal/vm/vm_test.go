package vm

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zfs2cloud/cmd/sandbox/internal/host"
)

func TestPack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program, archive := filepath.Join(dir, "built"), filepath.Join(dir, "files.tar")
	if err := os.WriteFile(program, []byte("a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := Life{Script: "exit 7", Files: map[string]string{"zfs2cloud": program}}
	if err := l.pack(archive); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := map[string]string{}
	for r := tar.NewReader(f); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if header.Mode&0o111 == 0 {
			t.Errorf("%s can't be run", header.Name)
		}
		got[header.Name] = string(text)
	}
	if len(got) != 2 || got["run"] != "#!/bin/sh\nexit 7\n" || got["zfs2cloud"] != "a program" {
		t.Errorf("packed %q", got)
	}
}

// Images of other recipes stay as long as they are in use; what a killed build left goes.
func TestClear(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	for name, age := range map[string]time.Duration{"vm-1": time.Hour, "vm-2": 8 * 24 * time.Hour, "vm-3.half": 0} {
		if err := os.Mkdir(filepath.Join(cache, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(cache, name), time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := clearIdle(cache); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(cache)
	if err != nil || len(left) != 1 || left[0].Name() != "vm-1" {
		t.Errorf("left: %v, error %v", left, err)
	}
}

// The probe must be able to say yes: QEMU alone runs every kernel, where an image brought one.
func TestProbe(t *testing.T) {
	if _, found := host.Find(qemu); !found {
		t.Skip("QEMU is not here; sandbox vm installs it")
	}
	kernels, err := filepath.Glob(filepath.Join(Cache, "vm-????????????????", "vmlinuz"))
	if err != nil {
		t.Fatal(err)
	}
	if len(kernels) == 0 {
		t.Skip("no image is here; sandbox vm makes one")
	}
	ok, err := runsKernel(t.Context(), &host.Host{}, kernels[0], "tcg")
	if err != nil || !ok {
		t.Errorf("the kernel ran: %v, error %v", ok, err)
	}
	ok, err = runsKernel(t.Context(), &host.Host{}, kernels[0], "no-such-accelerator")
	if err != nil || ok {
		t.Errorf("the kernel ran: %v, error %v", ok, err)
	}
}

func TestLastLines(t *testing.T) {
	t.Parallel()
	if got := lastLines("1\n2\n3\n4\n5\n6\n7\n"); got != "2 / 3 / 4 / 5 / 6 / 7" {
		t.Error(got)
	}
	if got := lastLines(strings.Repeat("\n", 3)); got != "" {
		t.Errorf("%q", got)
	}
}
