package proc

import (
	"os"
	"os/user"
	"strconv"
	"strings"
)

// childEnv is the base environment of an ordinary child. TMPDIR is not in it: who needs it adds it.
func childEnv() []string {
	env := []string{"PATH=" + strings.Join(searchPath(), ":"), "LC_ALL=C"}
	if home := home(); home != "" {
		env = append(env, "HOME="+home)
	}
	if tz, ok := os.LookupEnv("TZ"); ok {
		env = append(env, "TZ="+tz)
	}
	return env
}

// home is ours, or the one in the user database: the environments of systemd and of some crons lack it.
func home() string {
	if h := os.Getenv("HOME"); h != "" {
		return h
	}
	u, err := user.LookupId(strconv.Itoa(os.Getuid()))
	if err != nil {
		return ""
	}
	return u.HomeDir
}

// mergeEnv leaves each variable once, with its last value, at its first place.
func mergeEnv(env []string) []string {
	at := make(map[string]int, len(env))
	var merged []string
	for _, kv := range env {
		key, _, _ := strings.Cut(kv, "=")
		if i, ok := at[key]; ok {
			merged[i] = kv
			continue
		}
		at[key] = len(merged)
		merged = append(merged, kv)
	}
	return merged
}
