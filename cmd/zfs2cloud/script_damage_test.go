package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// crashed is what a program says that ended as none of ours may.
var crashed = regexp.MustCompile(`(?m)^(panic:|fatal error:|goroutine |unexpected fault|runtime: )`)

// damage N: N times in turn, a page of the state database, by chance, is damaged in a way, by chance; then status
// answers, resume finds nothing to do, and run makes a backup, all in time and none by a crash.
func cmdDamage(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 1, "damage n")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	path := fixtureOf(ts).at("state/state.db")
	for i := range n {
		what, err := damagePage(random, path)
		ts.Check(err)
		ts.Logf("damage %d of seed %d: %s", i, seed, what)
		endsWell(ts, true, "status")
		endsWell(ts, false, "resume")
		endsWell(ts, false, "run")
	}
}

// flip PATTERN BYTE: flips a bit of a byte of the last file of those that the pattern names. Another byte written there would be
// the same one once in 256 times.
func cmdFlip(ts *testscript.TestScript, args []string) {
	need(ts, len(args) == 2, "flip pattern byte")
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	at, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("no file is named by %s", args[0])
	}
	f, err := os.OpenFile(files[len(files)-1], os.O_RDWR, 0)
	ts.Check(err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	ts.Check(err)
	b[0] ^= 1 << 4
	_, err = f.WriteAt(b, at)
	ts.Check(err)
	ts.Check(f.Close())
}

// damagePage damages a page that was ever written to.
func damagePage(random *rand.Rand, path string) (what string, err error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	size := os.Getpagesize()
	var written []int
	for at := 0; at < len(file); at += size {
		if !bytes.Equal(file[at:at+size], make([]byte, size)) {
			written = append(written, at)
		}
	}
	at := written[random.IntN(len(written))]
	page := file[at : at+size]
	switch random.IntN(4) {
	case 0:
		what = "a bit of the header flipped"
		page[random.IntN(16)] ^= 1 << random.IntN(8)
	case 1:
		what = "a bit of the elements flipped"
		page[16+random.IntN(64)] ^= 1 << random.IntN(8)
	case 2:
		what = "zeroed"
		clear(page)
	case 3:
		what = "inverted"
		for i := range page {
			page[i] ^= 0xFF
		}
	}
	return fmt.Sprintf("page %d of %d, %s", at/size, len(file)/size, what), os.WriteFile(path, file, 0o600)
}

// endsWell runs a command. One that only looks may say that the database is damaged.
func endsWell(ts *testscript.TestScript, mayFail bool, command string) {
	err := ts.Exec("timeout", "120", "zfs2cloud", command)
	said := ts.ReadFile("stderr") + ts.ReadFile("stdout") // status says it where it says everything
	switch {
	case crashed.MatchString(said):
		ts.Fatalf("%s crashed", command)
	case err != nil && !(mayFail && damagedWords.MatchString(said)):
		ts.Fatalf("%s: %v", command, err)
	}
}

var damagedWords = regexp.MustCompile(`state\.db is damaged`)
