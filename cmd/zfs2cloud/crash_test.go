//go:build crashpoints

package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The crash points of a run are enumerated by the program itself (package crash). For each of them a script is
// made: a full backup, a change, a run that dies there, what a person or cron does next, another run, a
// restore that is compared; and the audit. The ways on take turns, by the seed.
var (
	crashSeed  = flag.Uint64("crashseed", 0, "0: another each time")
	crashAll   = flag.Bool("crashall", false, "every point in every way")
	crashShare = flag.Int("crashshare", 1, "only one in so many points")
	crashPairs = flag.Int("crashpairs", 0, "so many times for each command: any point, and a death at any point of the resume after it")
	crashOnly  = flag.String("crashonly", "", "only this one of the commands: run, inplace, prune, restore, copy, streams, verify, adopt, taken, drill, files")
)

// crashing are the commands that are crashed: what comes before one, what may come after the crash, and what holds in the end.
var crashing = []struct {
	name, before, command string
	ways                  []way
	end                   string
	files                 string // of the script's archive
}{
	{"run", "exits 0 zfs2cloud run\ndays 1\nchange\n", "zfs2cloud run", waysOfRuns, "days 1\n" + endOfRuns + restoredNow, ""},
	// Where the intermediates are the backup, the export commits.
	{"inplace", "config config.ini incremental_strategy=since_last_incremental\nexits 0 zfs2cloud run\ndays 1\nchange\n", "zfs2cloud run", waysOfRuns,
		"exits 0 zfs2cloud verify -a\ndays 2\nchange\n" + endOfRuns + restoredNow, sequenceInPlace},
	// An old chain of two goes from the remote.
	{"prune", "config config.ini remote_keep_fulls=1\nexits 0 zfs2cloud run\ndays 1\nchange\nexits 0 zfs2cloud run\ndays 40\nchange\nexits 0 zfs2cloud run\n",
		"zfs2cloud prune-remote -y", waysOfRuns, "days 41\n" + endOfRuns + restoredNow + "exits 0 zfs2cloud prune-remote -y\nexec sh -c 'ls -d remote/2*-full'\nstdout -count=1 full\n", ""},
	// A chain of two comes back.
	{"restore", twoBackups, theRestore, []way{
		{"resume", onRestore + `if [ "$ID" ]; then zfs2cloud resume $ID; elif ! zfs list $POOL/cut; then ` + theRestore + "; fi'\n"},
		{"again", onRestore + `if [ "$ID" ] || ! zfs list $POOL/cut; then ` + theRestore + "; fi'\n"},
		{"abort", onRestore + `if [ "$ID" ]; then zfs2cloud abort $ID; fi; if zfs list $POOL/cut; then zfs destroy -r $POOL/cut; fi; ` + theRestore + "'\n"},
	}, "restored $POOL/cut before\ncount 0 waiting/*\nexits 0 zfs2cloud status\n! stdout resume\n", ""},
	// Single files of them.
	{"copy", "[!mount] skip\n" + twoBackups, theCopy, []way{
		{"resume", onRestore + `if [ "$ID" ]; then zfs2cloud resume $ID; elif ! [ -e out/big-1 ]; then ` + theCopy + "; fi'\n"},
		{"again", onRestore + `if [ "$ID" ] || ! [ -e out/big-1 ]; then ` + theCopy + "; fi'\n"},
		{"abort", onRestore + `if [ "$ID" ]; then zfs2cloud abort $ID; fi; rm -rf out/*; ` + theCopy + "'\n"},
	}, "exec cmp out/big-1 before/big-1\nexec cmp out/big-2 before/big-2\nexec sh -c 'ls -A out | wc -l'\nstdout '^2$'\ncount 0 waiting/*\nexec zfs list -H -o name -r $POOL\n" +
		"! stdout zfs2cloud-\nexits 0 zfs2cloud status\n! stdout resume\n", ""},
	// The streams of them come into files.
	{"streams", twoBackups, theStreams, []way{
		{"resume", onRestore + `if [ "$ID" ]; then zfs2cloud resume $ID; elif ! [ -e out ]; then ` + theStreams + "; fi'\n"},
		{"again", onRestore + `if [ "$ID" ] || ! [ -e out ]; then ` + theStreams + "; fi'\n"},
		{"abort", onRestore + `if [ "$ID" ]; then zfs2cloud abort $ID; fi; rm -rf out; ` + theStreams + "'\n"},
	}, "exec sh -c 'for f in out/*; do zfs2cloud stream inspect $f; done'\nstdout -count=2 '^sums      right'\ncount 2 out/*\ncount 0 waiting/*\nexits 0 zfs2cloud status\n! stdout resume\n", ""},
	// A full and an incremental are proved, chunk after chunk.
	{"verify", "exits 0 zfs2cloud run\ndays 1\nchange\nexits 0 zfs2cloud run\n", "zfs2cloud verify", waysOfVerifications,
		"days 2\n" + endOfRuns + restoredNow + "exits 0 zfs2cloud verify\nstdout -count=2 '^ok .* decrypted: '\nexec sh -c 'ls spool | grep -c verify || true'\nstdout '^0$'\n", ""},
	// What the Python tool left is taken over. In the end all of it was, and goes.
	{"adopt", pythonsFolders + "exits 0 zfs2cloud run\n", "zfs2cloud adopt -y", waysOfRuns,
		"exits 0 zfs2cloud adopt -y\nexec zfs list -H -t snapshot -o name -r $DATASET\nstdout -count=2 @2024010\ndays 200\n" + endOfRuns + restoredNow +
			"exits 0 zfs2cloud prune-intermediates -y\ncount 0 spool/2024*\nexits 0 zfs2cloud prune-snapshots -y\n" +
			"exec zfs list -H -t snapshot -o name -r $DATASET\n! stdout @2024010\nexits 0 zfs2cloud status\n! stdout Python\n", ""},
	// Folders of its that were taken over go.
	{"taken", pythonsFolders + "exits 0 zfs2cloud run\nexits 0 zfs2cloud adopt -y\n", "zfs2cloud prune-intermediates -y", waysOfRuns,
		"days 1\n" + endOfRuns + restoredNow + "exits 0 zfs2cloud prune-intermediates -y\ncount 0 spool/2024*\nexits 0 zfs2cloud status --json\n! stdout '\"adopted\"'\n", ""},
	// The mounted files are synced.
	{"files", "[!mount] skip\nstandin\nconfig config.ini mode=file\nexits 0 zfs2cloud run\ndays 1\nchange\n", "zfs2cloud run", waysOfRuns,
		"days 1\n" + endOfRuns + syncedNow, sequenceOfFiles},
	// The same in a restore drill, of which nothing stays in the pool.
	{"drill", "exits 0 zfs2cloud run\ndays 1\nchange\nexits 0 zfs2cloud run\n", "zfs2cloud verify --level received", waysOfVerifications,
		"days 2\n" + endOfRuns + restoredNow + "exits 0 zfs2cloud verify --level received\nstdout -count=2 '^ok .* received: '\n" +
			"exec sh -c 'ls spool | grep -c verify || true'\nstdout '^0$'\nexec zfs list -H -t all -o name -r $POOL\n! stdout zfs2cloud-verify\n", ""},
}

const (
	pythonsFolders = "exec sh -c 'for d in 1 2; do zfs snapshot $DATASET@2024010${d}000000; f=spool/2024010${d}000000-full; mkdir $f; " +
		"cp pass $f/$(echo $DATASET | tr / -)@2024010${d}000000.zfs.gpg.0000; done'\n"
	twoBackups = "exits 0 zfs2cloud run\ndays 1\nchange\n[mount] exec cp -a $DATA before\nexits 0 zfs2cloud run\nmkdir waiting\n"
	theRestore = "zfs2cloud restore -y --spool waiting $POOL/cut"
	theCopy    = "zfs2cloud restore -y --spool waiting --path big-1 --path big-2 --into out"
	theStreams = "zfs2cloud restore -y --spool waiting --to out"
	onRestore  = `exec sh -c 'set -e; ID=$(zfs2cloud status | sed -n "s/^next  *zfs2cloud .*resume //p"); `
)

// endOfRuns is another run; then nothing is left to do.
const endOfRuns = `exits 0 zfs2cloud run
exits 0 zfs2cloud resume -v
stdout 'nothing to resume'
`

// restoredNow compares a restore of the newest backup with the dataset.
const restoredNow = `[mount] exec cp -a $DATA before
exits 0 zfs2cloud restore -y $POOL/new
restored $POOL/new before
`

// syncedNow compares the remote with the dataset.
const syncedNow = `exec diff -r -x zfs2cloud-job-* -x __zfs2cloud_last_updated__ -x link $DATA remote
count 1 remote/zfs2cloud-job-*
count 0 spool/*
`

const sequenceInPlace = `-- sequence --
lock
./stop-app
snapshot
./start-app
export-intermediate
prune-intermediates -y
prune-snapshots -y
unlock
`

const sequenceOfFiles = `-- sequence --
lock
./stop-app
snapshot
./start-app
mount-snapshot
upload-snapshot-files-to-remote
umount-snapshot
prune-snapshots -y
unlock
`

// listPoints writes down the points of a command.
const listPoints = `%senv ZFS2CLOUD_CRASH_LOG=%s
exits 0 %s
%s`

const crashThere = `%senv ZFS2CLOUD_CRASH_AT=%s
exec sh -c '%s; true'
env ZFS2CLOUD_CRASH_AT=
exits 0 zfs2cloud status
%s%s%s%s`

// crashAgain is the resume after the crash, which dies, too, unless it ends before it passes so many points.
const crashAgain = `exec sh -c 'ID=$(zfs2cloud status | sed -n "s/^next  *zfs2cloud .*resume \([a-z0-9]*\).*/\1/p"); ZFS2CLOUD_CRASH_AT=#%d zfs2cloud resume $ID; echo $? >>%s'
exits 0 zfs2cloud status
`

// way is what comes after the crash.
type way struct{ name, script string }

var waysOfRuns = []way{
	{"resume", "exits 0 zfs2cloud resume\n"},
	{"run", "exits 0 zfs2cloud run\n"},
	{"abort", "exits 0 zfs2cloud abort\n"},
}

// No run waits for a verification.
var waysOfVerifications = []way{
	waysOfRuns[0],
	{"run", "exits 0 zfs2cloud run\nexits 0 zfs2cloud resume\n"},
	waysOfRuns[2],
}

func TestCrashPoints(t *testing.T) {
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	turn := rand.New(rand.NewPCG(seed, 0))
	dir, seconds := t.TempDir(), filepath.Join(t.TempDir(), "seconds")
	pairs := 0
	for _, c := range crashing {
		if *crashOnly != "" && c.name != *crashOnly {
			continue
		}
		log := filepath.Join(t.TempDir(), "points")
		if !t.Run("list "+c.name, func(t *testing.T) {
			runOne(t, "list", fmt.Sprintf(listPoints, c.before, log, c.command, c.files))
		}) {
			return
		}
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		points := strings.Split(strings.TrimSpace(string(text)), "\n")
		scripts := 0
		crash := func(i int, w way, again string) {
			name := fmt.Sprintf("%s_%03d_%s_%s_%d.txtar", c.name, i, strings.NewReplacer(" ", "_", "#", "_", ".", "_").Replace(points[i]), w.name, scripts)
			script := fmt.Sprintf(crashThere, c.before, "'"+points[i]+"'", c.command, again, w.script, c.end, c.files)
			if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o600); err != nil {
				t.Fatal(err)
			}
			scripts++
		}
		for i, p := range points {
			// What is done between one effect and the next leaves nothing behind, so that dying before the next is the
			// same as dying after the one.
			if i > 0 && strings.Contains(p, ".before") || turn.IntN(*crashShare) != 0 {
				continue
			}
			first := turn.IntN(len(c.ways))
			for w := range c.ways {
				if w > 0 && !*crashAll {
					break
				}
				crash(i, c.ways[(first+w)%len(c.ways)], "")
			}
		}
		t.Logf("seed %d: %s has %d points, %d crashes", seed, c.name, len(points), scripts)
		for range *crashPairs {
			i := turn.IntN(len(points))
			// What is left to do passes about as many points as the rest of the command would have.
			crash(i, c.ways[turn.IntN(len(c.ways))], fmt.Sprintf(crashAgain, 1+turn.IntN(len(points)-i), seconds))
			pairs++
		}
	}
	t.Run("crash", func(t *testing.T) { runScripts(t, dir) })
	if pairs > 0 {
		exits, _ := os.ReadFile(seconds)
		died := strings.Count(string(exits), "137\n")
		t.Logf("seed %d: %d of %d resumes died, too", seed, died, pairs)
		if died*2 < pairs {
			t.Errorf("only %d of %d resumes died: what is left to do passes fewer points than this test thinks", died, pairs)
		}
	}
}

func runOne(t *testing.T, name, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name+".txtar"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	runScripts(t, dir)
}
