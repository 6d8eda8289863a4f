package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"zfs2cloud/actions/zfs/zfstest"
)

var (
	soakFor  = flag.Duration("soak", 45*time.Second, "how long the soak goes on")
	soakSeed = flag.Uint64("soakseed", 0, "of the soak; 0: another each time. Times of kills are by the clock, and are not repeated exactly")
)

// soak is days of backups on which what may happen is by chance: changed data, a changed config, hooks that fail, commands
// that are killed at any moment or where a program is started or has ended. Every day ends with a run, as cron starts it,
// and that must end well, unless the runs before were killed so often in one place that a person has to look.
type soak struct {
	ts     *testscript.TestScript
	f      *fixture
	random *rand.Rand
	day    int

	commands, killed, stuck, restored, audited int
}

// soak: goes on for as long as the flag says. At the end all is as after any script: see audit.
func cmdSoak(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 0, "soak")
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	ts.Logf("soak: seed %d", seed)
	s := &soak{ts: ts, f: fixtureOf(ts), random: rand.New(rand.NewPCG(seed, 0))}
	cmdConfig(ts, []string{"config.ini", "full_every_x_days=4", "oldest_snapshot_days=7"})
	for until := time.Now().Add(*soakFor); time.Now().Before(until); {
		s.nextDay()
	}
	s.restore()
	manifests := zfstest.Run(s.f.t, "sh", "-c", `ls "$0"/*/manifest.json.gpg | wc -l`, s.f.at("remote"))
	s.f.t.Logf("soak of seed %d: %d days, %d commands, %d of them killed, %d times stuck, %s backups committed, %d restored, %d audits before the last",
		seed, s.day, s.commands, s.killed, s.stuck, strings.TrimSpace(manifests), s.restored, s.audited)
}

func (s *soak) nextDay() {
	s.day++
	s.ts.Logf("day %d", s.day)
	cmdDays(s.ts, []string{strconv.Itoa(s.day)})
	if s.chance(3) {
		cmdChange(s.ts, nil)
	}
	if s.random.IntN(4) == 0 {
		s.reconfigure()
	}
	for range 1 + s.random.IntN(3) {
		s.mishap(s.pick(
			"run", "run", "run", "run", "run", "run", "resume", "resume", "resume", "abort", "status", "lock -m soak", "unlock",
			"snapshot", "export-intermediate", "upload-intermediate-to-remote", "prune-snapshots -y", "prune-intermediates -y", "prune-remote -y",
			"verify")) // and no restore drill: a kill while it mounts wedges zfs-fuse
	}
	// What an operator has locked, only he unlocks.
	s.must("unlock")
	if s.exec("run") == stuck {
		s.stuck++
		s.must("resume --force")
	}
	s.must("run")
	// That leaves a verification to who typed it; and this may find that what it was to look at was pruned.
	if status := s.exec("resume --force"); status > 1 {
		s.ts.Fatalf("resume --force: exit %d", status)
	}
	if s.day%6 == 0 {
		s.restore()
		s.audit()
	}
}

// audit looks at what must hold after any script.
func (s *soak) audit() {
	s.audited++
	if s.f.audit(); s.f.t.Failed() {
		s.ts.Fatalf("the audit of day %d", s.day)
	}
}

// chance is true in all but one of N cases.
func (s *soak) chance(n int) bool { return s.random.IntN(n) > 0 }

func (s *soak) pick(words ...string) string { return words[s.random.IntN(len(words))] }

func (s *soak) reconfigure() {
	cmdConfig(s.ts, []string{"config.ini",
		"split_size=" + s.pick("512K", "1M", "2M"),
		"spool_max=" + s.pick("", "4M", "6M"),
		"upload_jobs=" + s.pick("1", "2", "4"),
		"keep_intermediates=" + s.pick("yes", "no"),
		"remote_keep_fulls=" + s.pick("", "1", "2"),
		"remote_keep_days=" + s.pick("", "", "3"),
		"incremental_strategy=" + s.pick("since_last_full", "since_last_incremental", "never_incremental")})
}

const (
	there = 2 // a restore's target
	stuck = 5
)

// soakExits are those that a command may have which is not killed; others may have any but 5 and above.
var soakExits = map[string][]int{"status": {0}, "unlock": {0}, "lock": {0, 3}, "run": {0, 1, 2, 3, 4, stuck}, "resume": {0, 1, 2, 3, 4, stuck}}

// mishap starts a command that may be killed: after some time, by a program that it starts, or by a hook, which may also
// fail. It returns the exit status.
func (s *soak) mishap(command string) int {
	argv := append([]string{"zfs2cloud"}, strings.Fields(command)...)
	switch s.random.IntN(5) {
	case 0, 1:
		after := strconv.FormatFloat(0.02+3*s.random.Float64()*s.random.Float64(), 'f', 3, 64)
		argv = append([]string{"timeout", "--foreground", "-s", "KILL", after}, argv...)
	case 2, 3:
		setFault(s.ts, s.pick("zfs", "gpg", "rclone"), s.pick("kill", "after"), "any", strconv.Itoa(1+s.random.IntN(25)))
	}
	if s.random.IntN(6) == 0 {
		s.ts.Check(os.WriteFile(s.f.at(s.pick("stop-app", "start-app")+".then"), []byte(s.pick("exit 1", "kill -9 $PPID")), 0o600))
	}
	status := s.execute(argv)
	s.ts.Logf("%s: %d", strings.Join(argv, " "), status)
	name, _, _ := strings.Cut(command, " ")
	may, ok := soakExits[name]
	switch {
	case status == 137 || status == -1 || status == 124: // SIGKILL, by the shell's convention or by ours; or timeout came as it ended
		s.killed++
	case ok && !slices.Contains(may, status), !ok && (status < 0 || status >= stuck):
		s.ts.Fatalf("%s: exit %d", command, status)
	}
	for _, file := range []string{"zfs/fault", "gpg/fault", "rclone/fault", "stop-app.then", "start-app.then"} {
		s.ts.Check(os.RemoveAll(s.f.at(file)))
	}
	s.must("status")
	s.must("status --json")
	return status
}

// must runs a command that has to end well.
func (s *soak) must(command string) {
	if status := s.exec(command); status != 0 {
		s.ts.Fatalf("%s: exit %d", command, status)
	}
}

func (s *soak) exec(command string) int {
	return s.execute(append([]string{"zfs2cloud"}, strings.Fields(command)...))
}

func (s *soak) execute(argv []string) int {
	s.commands++
	err := s.ts.Exec(argv[0], argv[1:]...)
	if said := s.ts.ReadFile("stderr"); crashed.MatchString(said) {
		s.ts.Fatalf("%v crashed", argv)
	}
	if argv[0] == "zfs2cloud" && bad.MatchString(s.ts.ReadFile("stdout")) {
		s.ts.Fatalf("%v found something bad", argv)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	s.ts.Check(err)
	return 0
}

// bad is what a verification says of what is not as it was stored.
var bad = regexp.MustCompile(`(?m)^BAD `)

// restore restores the newest backup, which the day's run made, and compares it. Most of the time it is killed on the way, and
// the same command goes on.
func (s *soak) restore() {
	s.restored++
	into := fmt.Sprintf("%s/restored%d", s.f.pool, s.restored)
	s.ts.Check(s.ts.Exec("rm", "-rf", s.f.at("before")))
	if s.f.data != "" {
		s.ts.Check(s.ts.Exec("cp", "-a", s.f.data, s.f.at("before")))
	}
	command := "restore -y " + into
	for range s.random.IntN(4) {
		s.mishap(command)
	}
	// One that came to its end before has made the dataset: that it is whole is seen below.
	if status := s.exec(command); status != 0 && status != there {
		s.ts.Fatalf("%s: exit %d", command, status)
	}
	cmdRestored(s.ts, []string{into, "before"})
	zfstest.RunWhenFree(s.f.t, "zfs", "destroy", "-r", into)
}
