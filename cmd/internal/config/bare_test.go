package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func bareEnv(t *testing.T, vars map[string]string) Env {
	t.Helper()
	return Env{Getenv: func(name string) string { return vars[name] }, Getwd: os.Getwd, UID: os.Getuid(), Home: t.TempDir()}
}

func TestBare(t *testing.T) {
	env := bareEnv(t, map[string]string{"ZFS_PATH": "nice -n 1 'my zfs'"})
	own := filepath.Join(env.Home, ".rclone.conf")
	if err := os.WriteFile(own, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Bare("b2:acme/web1/", "", env)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.ZFS, []string{"nice", "-n", "1", "my zfs"}) || !slices.Equal(s.Gpg, []string{"gpg"}) {
		t.Errorf("programs %q %q", s.ZFS, s.Gpg)
	}
	if s.Remote != "b2:acme/web1" || s.RcloneConf != own || s.Encryption != "gpg" {
		t.Errorf("%q, %q, %q", s.Remote, s.RcloneConf, s.Encryption)
	}
	if s, err := Bare("/mnt/disk", "", env); err != nil || s.RcloneConf != "" {
		t.Errorf("a folder needs no rclone: %q, %v", s.RcloneConf, err)
	}
}

func TestBareRefuses(t *testing.T) {
	env := bareEnv(t, nil)
	open := filepath.Join(env.Home, "open.conf")
	if err := os.WriteFile(open, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Bare("b2:acme", open, env); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("rclone's config that all may write: %v", err)
	}
	if _, err := Bare("b2:acme", filepath.Join(env.Home, "gone"), env); err == nil {
		t.Error("rclone's config that is not there is accepted")
	}
	if _, err := Bare("b2:acme", "", bareEnv(t, map[string]string{"GPG_PATH": "gpg $(id)"})); err == nil {
		t.Error("a shell's expansion is accepted")
	}
}
