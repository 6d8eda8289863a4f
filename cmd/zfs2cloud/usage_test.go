package main

import (
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	for line, want := range map[string]string{
		"statsu":                     "zfs2cloud: unexpected argument statsu; did you mean status?\nNext: zfs2cloud --help\n",
		"restore":                    "zfs2cloud: <newdataset> is missing\nNext: zfs2cloud restore --help\n",
		"stream":                     "zfs2cloud: inspect is missing\nNext: zfs2cloud stream --help\n",
		"stream inspect":             "zfs2cloud: <file> is missing\nNext: zfs2cloud stream inspect --help\n",
		"status --jsn":               "zfs2cloud: unknown flag --jsn, did you mean \"--json\"?\nNext: zfs2cloud status --help\n",
		"run --wait 5":               "zfs2cloud: --wait: \"5\" is no duration; 90s, 5m and 3h are\nNext: zfs2cloud run --help\n",
		"run --wait soon":            "zfs2cloud: --wait: \"soon\" is no duration; 90s, 5m and 3h are\nNext: zfs2cloud run --help\n",
		"-c":                         "zfs2cloud: --config: expected string value, and there is none\nNext: zfs2cloud --help\n",
		"export-intermediate -f -i":  "zfs2cloud: --full and --incremental can't be used together\nNext: zfs2cloud export-intermediate --help\n",
		"no-command-at-all-like-it-": "zfs2cloud: unexpected argument no-command-at-all-like-it-\nNext: zfs2cloud --help\n",
	} {
		var said strings.Builder
		if code := realMain(strings.Fields(line), &App{Out: &said, Err: &said}); code != exitRefused || said.String() != want {
			t.Errorf("%s: exit %d\n%swant\n%s", line, code, said.String(), want)
		}
	}
}
