package config

import (
	"os"
	"os/user"
	"path/filepath"
)

// DefaultPath is where the config lies if nobody says otherwise.
const DefaultPath = "/etc/zfs2cloud/config.ini"

// Env is what lies around the file: tests set it, OSEnv is the real one.
type Env struct {
	Getenv func(string) string
	Getwd  func() (string, error)
	UID    int    // who runs, and so may own the files beside root
	Home   string // may be empty

	StateDB string // where the database lies if no config says otherwise; empty: in its usual place
}

// OSEnv is the environment of this process. cron and systemd may leave HOME out.
func OSEnv() Env {
	home, err := os.UserHomeDir()
	if err != nil {
		if u, err := user.Current(); err == nil {
			home = u.HomeDir
		}
	}
	return Env{Getenv: os.Getenv, Getwd: os.Getwd, UID: os.Getuid(), Home: home}
}

// Find says which config file is meant: the flag's, $ZFS2CLOUD_CONFIG's, $ZFS_BACKUP_CONFIG's (the Python
// tool's name) or DefaultPath. The answer is absolute.
func Find(flag string, getenv func(string) string) string {
	for _, path := range []string{flag, getenv("ZFS2CLOUD_CONFIG"), getenv("ZFS_BACKUP_CONFIG")} {
		if path == "" {
			continue
		}
		if abs, err := filepath.Abs(path); err == nil {
			return abs
		}
		return path // the working folder is gone: opening it will say so
	}
	return DefaultPath
}

// DefaultStateDB is where the database lies if no config says otherwise.
func DefaultStateDB(env Env) string {
	if env.StateDB != "" {
		return env.StateDB
	}
	if env.UID == 0 {
		return "/var/lib/zfs2cloud/state.db"
	}
	base := env.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(base) { // XDG base directory specification: relative ones are to be ignored
		base = filepath.Join(env.Home, ".local/state")
	}
	return filepath.Join(base, "zfs2cloud/state.db")
}
