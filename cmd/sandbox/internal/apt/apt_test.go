package apt

import (
	"os"
	"path/filepath"
	"testing"

	"zfs2cloud/cmd/sandbox/internal/host"
)

func TestMissing(t *testing.T) {
	t.Parallel()
	h := &host.Host{}
	if m := Missing(t.Context(), h, Need{"sh", "dash"}, Need{"/etc/passwd", "base-passwd"}); len(m) > 0 {
		t.Errorf("%v is there", m)
	}
	m := Missing(t.Context(), h, Need{"no-such-program", "one"}, Need{"/no/such/file", "two"})
	if len(m) != 2 || m[0] != "one" || m[1] != "two" {
		t.Errorf("missing: %v", m)
	}
}

func TestForbidServices(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "policy-rc.d")
	present := func() string {
		text, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(text)
	}
	for range 2 { // the second time over what a killed sandbox left
		lift, err := forbidServices(file)
		if err != nil {
			t.Fatal(err)
		}
		if present() != policy {
			t.Errorf("says %q", present())
		}
		lift()
		if present() != "" {
			t.Error("still there")
		}
		if err := os.WriteFile(file, []byte(policy), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const own = "#!/bin/sh\nexit 0\n"
	if err := os.WriteFile(file, []byte(own), 0o755); err != nil {
		t.Fatal(err)
	}
	lift, err := forbidServices(file)
	if err != nil {
		t.Fatal(err)
	}
	lift()
	if present() != own {
		t.Errorf("a file of the machine's became %q", present())
	}
}
