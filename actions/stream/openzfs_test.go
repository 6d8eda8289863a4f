package stream_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs/zfstest"
)

var (
	printGolden = flag.Bool("golden", false, "print what TestGoldenOpenZFS needs: streams, packed, and what was sent for tokens")
	receiveEach = flag.Int("receive-each", 4, "TestOpenZFS receives up to one in so many records")
)

// shape is a kind of dataset, and how it is sent.
type shape struct {
	name   string
	create []string // of zfs create
	flags  []string // of zfs send
	fill   func(t *testing.T, dir string, state int)
}

const volumeSize = 1 << 20

func shapes(key string) []shape {
	return []shape{
		{"plain", nil, nil, fillFiles},
		{"large", []string{"-o", "recordsize=1M", "-o", "compression=lz4"}, []string{"-L", "-e", "-c"}, fillFiles},
		{"zstd", []string{"-o", "compression=zstd"}, []string{"-c"}, fillFiles},
		{"raw", []string{"-o", "encryption=on", "-o", "keyformat=raw", "-o", "keylocation=file://" + key, "-o", "recordsize=16K"}, []string{"-w"}, fillFew},
		{"properties", nil, []string{"-p"}, fillFiles},
		{"volume", []string{"-V", strconv.Itoa(volumeSize), "-o", "volblocksize=16K", "-o", "compression=lz4"}, nil, nil},
		{"small", []string{"-o", "compression=lz4"}, []string{"-e"}, fillSmall},
	}
}

// fillFiles makes files of a few blocks, of one, of next to nothing, with a hole, with a long link's target; the second state
// changes some of each.
func fillFiles(t *testing.T, dir string, state int) { fill(t, dir, state, 40_000) }

// fillFew is of what can't be packed, once it is encrypted.
func fillFew(t *testing.T, dir string, state int) { fill(t, dir, state, 5000) }

func fill(t *testing.T, dir string, state, blocks int) {
	t.Helper()
	for name, text := range map[string]string{
		"blocks": strings.Repeat(fmt.Sprintf("block %d ", state), blocks), "one": fmt.Sprint("content ", state), "tail": strings.Repeat("tail\n", blocks/40*state),
	} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	f, err := os.Create(filepath.Join(dir, fmt.Sprint("sparse", state)))
	check(t, err)
	_, err = f.WriteAt([]byte("end"), 3<<20)
	check(t, err)
	check(t, f.Close())
	check(t, os.Symlink(strings.Repeat("x", 90), filepath.Join(dir, fmt.Sprint("link", state))))
	if state > 1 {
		check(t, os.Remove(filepath.Join(dir, "link1")))
	}
}

// fillSmall makes many files, some in each other's place.
func fillSmall(t *testing.T, dir string, state int) {
	t.Helper()
	for i := range 60 {
		name := filepath.Join(dir, fmt.Sprintf("%d", i))
		if state > 1 && i%3 > 0 {
			continue
		}
		check(t, os.WriteFile(name, []byte(strings.Repeat(fmt.Sprintf("%d %d ", state, i), 1+40*(i%5))), 0o600))
	}
}

// TestOpenZFS has an OpenZFS send datasets of each kind, in full and incrementally. A stream that is cut at any of its records
// is sent on by it for the token that a mark makes, and joins to what the whole is, to the byte; and what it received of
// one is gone on with by what is made of the stored stream, which is what it would send itself.
func TestOpenZFS(t *testing.T) {
	if out, err := exec.Command("zfs", "receive").CombinedOutput(); err == nil || !strings.Contains(string(out), "-x <property>") {
		t.Skip("no OpenZFS answers")
	}
	pool := zfstest.Pool(t, 512)
	key := filepath.Join(t.TempDir(), "key")
	check(t, os.WriteFile(key, bytes.Repeat([]byte("k"), 32), 0o600))
	for _, s := range shapes(key) {
		t.Run(s.name, func(t *testing.T) {
			o := &openZFS{shape: s, dataset: pool + "/" + s.name, into: pool + "/into"}
			zfstest.Run(t, slices.Concat([]string{"zfs", "create"}, s.create, []string{o.dataset})...)
			var base string
			for i, name := range []string{"full", "incremental"} {
				o.change(t, i+1)
				snapshot := fmt.Sprintf("%s@%d", o.dataset, i+1)
				zfstest.Run(t, "zfs", "snapshot", snapshot)
				o.try(t, s.name+"-"+name, snapshot, base)
				base = snapshot
			}
		})
	}
}

type openZFS struct {
	shape
	dataset string
	into    string // a dataset that comes and goes
}

// change makes the dataset's next state.
func (o *openZFS) change(t *testing.T, state int) {
	t.Helper()
	if o.fill != nil {
		o.fill(t, zfstest.NeedMount(t, o.dataset), state)
		return
	}
	if out, err := exec.Command("udevadm", "settle").CombinedOutput(); err != nil {
		t.Fatalf("udevadm settle: %v: %s", err, out)
	}
	f, err := os.OpenFile("/dev/zvol/"+o.dataset, os.O_WRONLY, 0)
	check(t, err)
	_, err = f.WriteAt([]byte(strings.Repeat(fmt.Sprintf("sector %d ", state), 20_000)), int64(state-1)*100_000)
	check(t, err)
	check(t, f.Sync())
	check(t, f.Close())
}

func (o *openZFS) guid(t *testing.T, name string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimSpace(zfstest.Run(t, "zfs", "get", "-Hp", "-o", "value", "guid", name)), 10, 64)
	check(t, err)
	return n
}

// runZFS runs zfs with something on its standard input, and gives what it writes.
func runZFS(in []byte, args ...string) ([]byte, error) {
	cmd := exec.Command("zfs", args...)
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("zfs %s: %w: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, err
}

func (o *openZFS) try(t *testing.T, name, snapshot, base string) {
	t.Helper()
	words := append([]string{"send"}, o.flags...)
	s := sent{to: o.guid(t, snapshot)}
	if base != "" {
		words = append(words, "-i", base)
		s.from = o.guid(t, base)
	}
	var err error
	s.bytes, err = runZFS(nil, append(words, snapshot)...)
	check(t, err)
	if *printGolden {
		o.print(t, name, s)
	}
	if err := parse(stream.Of(s.to, s.from), s.bytes, 4096); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	marks := o.continues(t, name, snapshot, s)
	tokens := o.restarts(t, name, s, base)
	if marks < 5 || tokens < 2 {
		t.Errorf("%s: continued at %d places, restarted at %d", name, marks, tokens)
	}
	t.Logf("%s: %d bytes, %d records; continued at %d places, to the byte, restarted at %d", name, len(s.bytes), len(records(s.bytes)), marks, tokens)
}

// again are the flags of a send for a token.
func (o *openZFS) again() (flags []string) {
	for _, flag := range o.flags {
		if flag != "-p" && flag != "-w" {
			flags = append(flags, flag)
		}
	}
	return flags
}

// continues cuts a stream at each record, and at places by chance, and has the rest sent.
func (o *openZFS) continues(t *testing.T, name, snapshot string, s sent) (marks int) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, uint64(len(s.bytes))))
	cuts := records(s.bytes)
	for range 10 {
		cuts = append(cuts, 1+random.IntN(len(s.bytes)-1))
	}
	made := map[stream.Token][]byte{}
	for _, at := range cuts {
		m, ok := markAt(t, s, at)
		if !ok {
			continue
		}
		token := m.Token(snapshot)
		if made[token] == nil {
			rest, err := runZFS(nil, slices.Concat([]string{"send"}, o.again(), []string{"-t", token.String()})...)
			if err != nil {
				t.Fatalf("%s, cut at %d: %v", name, at, err)
			}
			made[token] = rest
			if len(made)%4 == 0 {
				printSent(name, token.String(), rest)
			}
		}
		rest, err := io.ReadAll(stream.Continue(m, bytes.NewReader(made[token])))
		if err != nil || !bytes.Equal(rest, s.bytes[at:]) {
			t.Fatalf("%s, cut at %d: %d of %d bytes, %v", name, at, len(rest), len(s.bytes)-at, err)
		}
		marks++
	}
	return marks
}

// restarts has a stream received up to some records, and what came of that gone on with.
func (o *openZFS) restarts(t *testing.T, name string, s sent, base string) (tokens int) {
	t.Helper()
	const split = 50_000
	table := indexOf(t, s, split)
	seen := map[string]bool{}
	for i, at := range records(s.bytes) {
		if i%*receiveEach > 0 {
			continue
		}
		if base != "" {
			whole, err := runZFS(nil, slices.Concat([]string{"send"}, o.flags, []string{base})...)
			check(t, err)
			_, err = runZFS(whole, "receive", "-s", "-u", o.into)
			check(t, err)
		}
		receive := []string{"receive", "-s", "-u", o.into}
		if _, err := runZFS(s.bytes[:at], receive...); err == nil {
			t.Fatalf("%s, cut at %d: received", name, at)
		}
		text := o.token(t)
		if text != "" && !seen[text] {
			seen[text] = true
			o.restart(t, fmt.Sprintf("%s, received up to %d", name, at), s, table, split, text)
			tokens++
		}
		if _, err := runZFS(nil, "destroy", "-r", o.into); err != nil && !strings.Contains(err.Error(), "does not exist") {
			t.Fatal(err)
		}
	}
	return tokens
}

// token is what a dataset that was received in part says; empty if there is none.
func (o *openZFS) token(t *testing.T) string {
	t.Helper()
	out, err := runZFS(nil, "get", "-H", "-o", "value", "receive_resume_token", o.into)
	if err != nil && strings.Contains(err.Error(), "does not exist") {
		return ""
	}
	check(t, err)
	return strings.Trim(string(out), "-\n")
}

// restart makes, of the pieces that an index names, what a dataset that was received in part is gone on with.
func (o *openZFS) restart(t *testing.T, what string, s sent, table []byte, split int, text string) {
	t.Helper()
	token, err := stream.ParseToken(text)
	check(t, err)
	piece, e, err := stream.Find(bytes.NewReader(table), token)
	check(t, err)
	rest, err := io.ReadAll(stream.Restart(bytes.NewReader(s.bytes[piece*split:]), uint64(piece*split), e, token))
	if err != nil {
		t.Fatalf("%s, object %d, offset %d: %v", what, token.Object, token.Offset, err)
	}
	would, err := runZFS(nil, slices.Concat([]string{"send"}, o.again(), []string{"-t", text})...)
	check(t, err)
	if !bytes.Equal(rest, would) {
		t.Logf("%s, object %d, offset %d: %d bytes, where zfs sends %d others", what, token.Object, token.Offset, len(rest), len(would))
	}
	if _, err := runZFS(rest, "receive", "-s", "-u", o.into); err != nil {
		t.Fatalf("%s, object %d, offset %d: %v", what, token.Object, token.Offset, err)
	}
	got := zfstest.Run(t, "zfs", "list", "-Hp", "-t", "snapshot", "-d", "1", "-o", "guid", o.into)
	if !strings.Contains(got, strconv.FormatUint(s.to, 10)) {
		t.Errorf("%s: %s, not %d", what, got, s.to)
	}
	if name, _, _ := strings.Cut(what, ","); bytes.Equal(rest, would) {
		printSent(name, text, would)
	}
}

// print prints a stream, packed.
func (o *openZFS) print(t *testing.T, name string, s sent) {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	check(t, err)
	_, err = w.Write(s.bytes)
	check(t, err)
	check(t, w.Close())
	fmt.Printf("GOLDEN stream %s %d %d %s\n", name, s.to, s.from, base64.StdEncoding.EncodeToString(b.Bytes()))
}

// printSent prints what was sent for a token.
func printSent(name, token string, rest []byte) {
	if *printGolden {
		fmt.Printf("GOLDEN sent %s %s %x\n", name, token, sha256.Sum256(rest))
	}
}
