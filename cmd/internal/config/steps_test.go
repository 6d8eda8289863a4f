package config

import (
	"os"
	"strings"
	"testing"

	"zfs2cloud/actions/settings"
)

func withSteps(section string, steps ...string) string {
	return minimal("remote = /usb", "["+section+"]") + strings.Join(steps, "\n") + "\n"
}

func TestSequence(t *testing.T) {
	p := newPlace(t)
	p.script("hook")
	s := p.good(withSteps("backup_sequences", "c = export-intermediate --full", "a = lock", "b", "d = ./hook 'x y'", "B2 = snapshot",
		"e = upload-intermediate-to-remote --snapshot=tank@1", "f = upload-intermediate-to-remote -s x", "g = upload-intermediate-to-remote -sy",
		"h = prune-snapshots --yes", "i = show-config", "j = verify", "k = verify hashed --all", "l = verify -a", "m = verify --sample=10 -m 5G", "n = verify -s 20%%"))
	want := "lock, snapshot, export-intermediate -f, " + p.path("hook") + " x y, upload-intermediate-to-remote -s tank@1, " +
		"upload-intermediate-to-remote -s x, upload-intermediate-to-remote -s y, prune-snapshots -y, show-config, verify, verify hashed -a, verify -a, verify -s 10 -m 5G, verify -s 20%"
	if got := stepsOf(s); got != want {
		t.Error(got)
	}
}

func TestBadSteps(t *testing.T) {
	for step, part := range map[string]string{
		"a = snapshott":                        "unknown step; did you mean snapshot?",
		"a = prune-remotes":                    "did you mean prune-remote?",
		"a = tidy":                             "unknown step; known are lock, ",
		"a = prune-remote -y":                  "no step uploads",
		"a = mount-snapshot":                   "a step of mode = file, and the mode is intermediate",
		"a = upload-snapshot-files-to-remote":  "write mode = file",
		"a = umount-snapshot":                  "a step of mode = file",
		"a = hook":                             "a hook, a script of your own, is written ./name",
		"a = perform":                          "a sequence can't run itself",
		"a = run":                              "a sequence can't run itself",
		"a = export-intermediate -fi":          "-fi is no flag of export-intermediate; export-intermediate takes -f, -i",
		"a = export-intermediate -f -i":        "-f and -i exclude each other",
		"a = prune-snapshots -y --yes":         "-y stands twice",
		"a = prune-snapshots --yes=1":          "--yes takes no value",
		"a = upload-intermediate-to-remote -s": "-s needs a value; upload-intermediate-to-remote takes -s SNAPSHOT",
		"a = verify closely":                   "closely is no flag of verify; verify takes listed, hashed, decrypted, received, -a, -s N%, -m SIZE",
		"a = verify -s 101":                    `sample "101": not one of 1% to 100%; verify takes`,
		"a = verify -m 0":                      `at most "0": nothing fits`,
		"a = verify listed -s 10":              "can be hashed or decrypted, and not listed",
		"a = verify listed hashed":             "hashed is no flag of verify",
		"a = lock now":                         "now is no flag of lock; lock has no flags",
		"a =":                                  "no step",
		"a = ''":                               "no step",
		"a = ./hook":                           "no such file",
		"a = ./hook; rm x":                     "; outside of quotes",
		"a = lock $HOME":                       "$ outside of single quotes",
		"a = snapshot\nb = snapshot":           "a second snapshot",
		"":                                     "no steps",
		"a = lock\n[backup_sequences]":         "both spellings",
	} {
		t.Run(step, func(t *testing.T) { newPlace(t).bad(withSteps("backup-sequences", step), part) })
	}
}

func inFileMode(steps ...string) string {
	return minimal("remote = /usb", "mode = file", "[backup-sequences]") + strings.Join(steps, "\n") + "\n"
}

func TestFileModeSteps(t *testing.T) {
	for steps, part := range map[string]string{
		"a = mount-snapshot\nb = umount-snapshot\nc = upload-snapshot-files-to-remote": "no snapshot is mounted there",
		"a = upload-intermediate-to-remote":                                            "no snapshot is mounted there",
		"a = mount-snapshot\nb = mount-snapshot":                                       "mounted already",
		"a = mount-snapshot\nb = export-intermediate":                                  "a step of mode = intermediate, and the mode is file",
		"a = verify":            "a step of mode = intermediate",
		"a = prune-remote -y":   "a step of mode = intermediate",
		"a = mount-snapshot -y": "mount-snapshot has no flags",
	} {
		t.Run(steps, func(t *testing.T) { newPlace(t).bad(inFileMode(strings.Split(steps, "\n")...), part) })
	}
	p := newPlace(t)
	s := p.good(inFileMode("a = snapshot", "b = mount-snapshot", "c = upload-snapshot-files-to-remote --delete-most", "d = umount-snapshot"))
	if got := stepsOf(s); got != "snapshot, mount-snapshot, upload-snapshot-files-to-remote -d, umount-snapshot" {
		t.Error(got)
	}
	if s.Encryption != settings.None || len(s.Passphrase.Inline) > 0 {
		t.Errorf("%s, %v", s.Encryption, s.Passphrase)
	}
	hasWarnings(t, s, "not used: mode = file uploads the files as they are")
	hasWarnings(t, p.good(inFileMode("a = mount-snapshot")), "not used", "no umount-snapshot after it")
}

// configparser shows a key of [DEFAULT] in each section, so in this one too.
func TestDefaultSectionHasSteps(t *testing.T) {
	p := newPlace(t)
	p.bad("[DEFAULT]\nbase = /nowhere/x\nhost = web\n"+withSteps("backup-sequences", "a = lock"),
		"line 2  [DEFAULT] base = /nowhere/x", "line 3  [DEFAULT] host = web\n          unknown step; a key of [DEFAULT] counts")
}

func TestStepWarnings(t *testing.T) {
	p := newPlace(t)
	p.script("stop", "start")
	for steps, want := range map[string]string{
		"s1 = ./stop\ns2 = snapshot\ns3 = ./start":                           "",
		"s1 = ./stop\ns2 = lock\ns3 = snapshot\ns4 = unlock\ns5 = ./start":   "",
		"s1 = snapshot\ns2 = ./start":                                        "",
		"s1 = ./stop\ns2 = snapshot\ns3 = export-intermediate\ns4 = ./start": "none directly after",
		"s1 = ./stop\ns2 = prune-snapshots\ns3 = snapshot\ns4 = ./start":     "./stop is not directly before snapshot",
		"step1 = lock\nstep2 = snapshot\nstep10 = unlock":                    "step10 before step2",
		"step01 = lock\nstep02 = snapshot\nstep10 = unlock":                  "",
		"a2 = lock\nb1 = snapshot":                                           "",
	} {
		s := p.good(withSteps("backup-sequences", strings.Split(steps, "\n")...))
		if want == "" {
			hasWarnings(t, s)
		} else {
			hasWarnings(t, s, want)
		}
	}
}

func TestScriptsAreOurs(t *testing.T) {
	p := newPlace(t)
	p.script("hook")
	text := withSteps("backup-sequences", "a = ./hook")
	p.good(text)
	for mode, part := range map[os.FileMode]string{0o644: "is not executable", 0o775: "can be written by its group", 0o757: "can be written by others"} {
		if err := os.Chmod(p.path("hook"), mode); err != nil {
			t.Fatal(err)
		}
		p.bad(text, "line 7  [backup-sequences] a = ./hook", part, "Next: chmod ")
	}
}
