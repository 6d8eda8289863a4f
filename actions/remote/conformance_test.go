package remote

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"zfs2cloud/actions/remote/remotetest"
	"zfs2cloud/workflow"
)

// kind of store under test.
type store struct {
	Remote
	hash string // what HashKind must say
	keep bool   // what KeepsHash must say
	// whole: an object is seen when it is whole, so that nothing is left to be tidied up.
	whole bool
	// leave puts a leftover of an interrupted upload of that name.
	leave func(t *testing.T, w workflow.World, name string)
}

const (
	aFolder = "20261125035200-full"
	aName   = aFolder + "/tank-data@20261125035200.zfs.000000.gpg"
)

func TestFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conform(t, store{Remote: openFolder(t, dir), hash: "sha256", leave: func(t *testing.T, _ workflow.World, name string) {
		left := filepath.Join(dir, path.Dir(name), ".z2c-tmp-0011223344556677")
		if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}})
}

func TestRcloneLocal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := rcloneOver(t, localConf, dir, "x:"+dir)
	conform(t, store{Remote: r, hash: "sha256", leave: leaveByRclone(r)})
}

func TestRcloneCrypt(t *testing.T) {
	t.Parallel()
	r := rcloneOver(t, cryptConf(t), t.TempDir(), "x:")
	conform(t, store{Remote: r, hash: "", leave: leaveByRclone(r)})
}

func TestRcloneWebdav(t *testing.T) {
	t.Parallel()
	url := serve(t, "webdav", "--dir-cache-time", "0s", t.TempDir())
	conf := "[x]\ntype = webdav\nvendor = other\nurl = " + url + "\n"
	r := rcloneOver(t, conf, "", "x:backups/tank")
	conform(t, store{Remote: r, hash: "", leave: leaveByRclone(r)})
}

// A store without folders.
func TestRcloneS3(t *testing.T) {
	t.Parallel()
	r := rcloneOver(t, remotetest.S3Conf("x", serveS3(t).Addr()), "", "x:"+remotetest.Bucket+"/backups")
	conform(t, store{Remote: r, hash: "md5", keep: true, whole: true, leave: leaveByRclone(r)})
}

func serveS3(t *testing.T) *remotetest.S3 {
	t.Helper()
	s, err := remotetest.ServeS3(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// What rclone knows of S3 it says without asking a server, so this needs none.
func TestKeepsHashS3(t *testing.T) {
	t.Parallel()
	r := rcloneOver(t, remotetest.S3Conf("x", "127.0.0.1:1"), "", "x:bucket/backups", "--low-level-retries", "1")
	if keeps, err := r.KeepsHash(t.Context(), &recorder{}); err != nil || !keeps {
		t.Errorf("%v, %v", keeps, err)
	}
}

// leaveByRclone uploads to the temporary name and stops there.
func leaveByRclone(r Remote) func(*testing.T, workflow.World, string) {
	return func(t *testing.T, w workflow.World, name string) {
		t.Helper()
		from, _ := newSource(t, 10)
		to := join(r.String(), tempName(name))
		c := call{op: "leave", verb: "copyto", operands: []string{from.Path, to}}
		if err := r.(*rclone).run(t.Context(), w, c); err != nil {
			t.Fatal(err)
		}
	}
}

// serve serves a folder on the loopback until the test ends.
func serve(t *testing.T, kind string, args ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cmd := exec.Command(needRclone(t), append([]string{"serve", kind, "--config", "/dev/null", "--addr", addr}, args...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if strings.Contains(lines.Text(), addr) {
			go io.Copy(io.Discard, stderr)
			return "http://" + addr + "/"
		}
	}
	t.Fatalf("rclone serve %s ended", kind)
	return ""
}

// conform holds a remote to what the comments of Remote say.
func conform(t *testing.T, s store) {
	w := &recorder{}
	ctx := t.Context()
	from, data := newSource(t, 200_000)

	notThere(t, s, w)
	refusesLook(t, s, from)

	kind, err := s.HashKind(ctx, w)
	if err != nil || kind != s.hash {
		t.Fatalf("HashKind: %q, %v; want %q", kind, err, s.hash)
	}

	if keeps, err := s.KeepsHash(ctx, w); err != nil || keeps != s.keep {
		t.Fatalf("KeepsHash: %v, %v; want %v", keeps, err, s.keep)
	}

	if err := s.Put(ctx, w, aName, from, nil); err != nil {
		t.Fatal(err)
	}
	o, err := s.Stat(ctx, w, aName, kind)
	same, hashed := o.Matches(from.Size, from.Hashes)
	if err != nil || !same || hashed != (kind != "") || o.Name != path.Base(aName) {
		t.Fatalf("Stat: %+v, %v", o, err)
	}
	lists(t, s, w, "", "["+aFolder+"/]")
	all, err := s.List(ctx, w, aFolder, kind)
	if err != nil || len(all) != 1 {
		t.Fatalf("List: %v, %v", all, err)
	}
	if same, hashed := all[0].Matches(from.Size, from.Hashes); !same || hashed != (kind != "") {
		t.Fatalf("List: %+v", all[0])
	}
	if o, err := s.Stat(ctx, w, aFolder, ""); err != nil || !o.IsDir || o.Name != aFolder {
		t.Fatalf("Stat of a folder: %+v, %v", o, err)
	}
	if !bytes.Equal(get(t, s, w, aName), data) {
		t.Fatal("Get: other bytes")
	}

	some(t, s, w, from, kind)
	overwritesNothing(t, s, w, from, data)
	bounds(t, s, w)
	smallOnes(t, s, w)
	many(t, s, w)
	removes(t, s, w)
	badNames(t, s, w)
	cancelled(t, s, w, from)
}

func lists(t *testing.T, r Remote, w workflow.World, folder, want string) {
	t.Helper()
	all, err := r.List(t.Context(), w, folder, "")
	if got := namesOf(all); err != nil || got != want {
		t.Fatalf("List(%q): %s, %v; want %s", folder, got, err, want)
	}
}

func notThere(t *testing.T, s store, w workflow.World) {
	t.Helper()
	ctx := t.Context()
	if all, err := s.List(ctx, w, "", ""); err != nil && !errors.Is(err, ErrNotThere) || len(all) > 0 {
		t.Errorf("List of an empty root: %v, %v", all, err)
	}
	if all, err := s.List(ctx, w, aFolder, ""); err != nil && !errors.Is(err, ErrNotThere) || len(all) > 0 {
		t.Errorf("List of no folder: %v, %v", all, err)
	}
	if _, err := s.Stat(ctx, w, aName, ""); !errors.Is(err, ErrNotThere) || Temporary(err) {
		t.Errorf("Stat of nothing: %v", err)
	}
	if err := s.Get(ctx, w, aName, 10, new(bytes.Buffer)); !errors.Is(err, ErrNotThere) {
		t.Errorf("Get of nothing: %v", err)
	}
	if err := s.Delete(ctx, w, aName); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
	if err := s.Tidy(ctx, w, aFolder); err != nil {
		t.Errorf("Tidy of nothing: %v", err)
	}
	if err := s.RemoveFolder(ctx, w, aFolder); err != nil {
		t.Errorf("RemoveFolder of nothing: %v", err)
	}
}

// some: a second object, known to be free, is stored without a look, and both are asked for at once.
func some(t *testing.T, s store, w *recorder, from Source, kind string) {
	t.Helper()
	ctx := t.Context()
	second := strings.Replace(aName, "000000", "000001", 1)
	fresh := from
	fresh.Fresh = true
	w.verbs()
	if err := s.Put(ctx, w, second, fresh, nil); err != nil {
		t.Fatalf("Put of a fresh one: %v", err)
	}
	for _, verb := range w.verbs() {
		if verb != "copyto" && verb != "moveto" {
			t.Errorf("Put of a fresh one: %s", verb)
		}
	}
	there, err := s.StatSome(ctx, w, aFolder, []string{path.Base(aName), path.Base(second), "none"}, kind)
	if err != nil || len(there) != 2 {
		t.Fatalf("StatSome: %v, %v", there, err)
	}
	for name, o := range there {
		if same, hashed := o.Matches(from.Size, from.Hashes); !same || hashed != (kind != "") || o.Name != name {
			t.Errorf("StatSome: %q: %+v", name, o)
		}
	}
	if verbs := w.verbs(); len(verbs) > 1 {
		t.Errorf("StatSome: %v", verbs)
	}
	if err := s.Delete(ctx, w, second); err != nil {
		t.Fatal(err)
	}
}

func refusesLook(t *testing.T, s store, from Source) {
	t.Helper()
	ctx, w := t.Context(), &recorder{}
	looker := workflow.Look{World: w}
	for what, err := range map[string]error{
		"Put":          s.Put(ctx, looker, aName, from, nil),
		"PutBytes":     s.PutBytes(ctx, looker, aName, []byte("x"), false),
		"Touch":        s.Touch(ctx, looker, aName, []byte("x")),
		"Delete":       s.Delete(ctx, looker, aName),
		"Tidy":         s.Tidy(ctx, looker, aFolder),
		"RemoveFolder": s.RemoveFolder(ctx, looker, aFolder),
	} {
		if err == nil || !strings.Contains(err.Error(), "only an effect") {
			t.Errorf("%s with a Look: %v", what, err)
		}
	}
	if _, err := s.Stat(ctx, looker, aName, ""); !errors.Is(err, ErrNotThere) {
		t.Errorf("Stat with a Look: %v", err)
	}
}

func overwritesNothing(t *testing.T, s store, w *recorder, from Source, data []byte) {
	t.Helper()
	ctx := t.Context()
	w.verbs()
	if err := s.Put(ctx, w, aName, from, nil); err != nil {
		t.Errorf("Put again: %v", err)
	}
	for _, verb := range w.verbs() {
		if verb != "lsjson" {
			t.Errorf("Put again: %s", verb)
		}
	}
	var conflict *Conflict
	shorter, _ := newSource(t, 1000)
	if err := s.Put(ctx, w, aName, shorter, nil); !errors.As(err, &conflict) {
		t.Errorf("Put of another size: %v", err)
	}
	if s.hash != "" {
		other, _ := newSource(t, len(data))
		if err := s.Put(ctx, w, aName, other, nil); !errors.As(err, &conflict) {
			t.Errorf("Put of other content: %v", err)
		}
	}
	if err := s.Put(ctx, w, aFolder, shorter, nil); !errors.As(err, &conflict) {
		t.Errorf("Put over a folder: %v", err)
	}
	shorter.Size++
	if err := s.Put(ctx, w, aFolder+"/new", shorter, nil); err == nil {
		t.Error("Put of a file that has another size: no error")
	}
	if !bytes.Equal(get(t, s, w, aName), data) {
		t.Error("Put has overwritten")
	}
}

func bounds(t *testing.T, s store, w workflow.World) {
	t.Helper()
	var out bytes.Buffer
	if err := s.Get(t.Context(), w, aName, 199_999, &out); !errors.Is(err, ErrTooBig) || out.Len() > 0 {
		t.Errorf("Get beyond the limit: %v, %d bytes", err, out.Len())
	}
	if err := s.Get(t.Context(), w, aFolder, 1<<30, &out); err == nil || errors.Is(err, ErrNotThere) || out.Len() > 0 {
		t.Errorf("Get of a folder: %v, %d bytes", err, out.Len())
	}
	full := errors.New("the disk of the reader is full")
	if err := s.Get(t.Context(), w, aName, 1<<30, failing{full}); !errors.Is(err, full) {
		t.Errorf("Get to a writer that fails: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func smallOnes(t *testing.T, s store, w workflow.World) {
	t.Helper()
	ctx, name := t.Context(), aFolder+"/manifest.json.gpg"
	for range 2 {
		if err := s.PutBytes(ctx, w, name, []byte("the bytes"), false); err != nil {
			t.Fatal(err)
		}
	}
	var conflict *Conflict
	if err := s.PutBytes(ctx, w, name, []byte("no bytes!"), false); !errors.As(err, &conflict) {
		t.Errorf("PutBytes of other bytes: %v", err)
	}
	if got := get(t, s, w, name); string(got) != "the bytes" {
		t.Errorf("PutBytes: %q", got)
	}
	claim := aFolder + "/claim"
	for _, text := range []string{"mine", "still mine"} {
		if err := s.Touch(ctx, w, claim, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := get(t, s, w, claim); string(got) != text {
			t.Errorf("Touch: %q", got)
		}
	}
	if err := s.Delete(ctx, w, claim); err != nil {
		t.Fatal(err)
	}
}

func removes(t *testing.T, s store, w workflow.World) {
	t.Helper()
	ctx := t.Context()
	if err := s.RemoveFolder(ctx, w, aFolder); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("RemoveFolder of a full one: %v", err)
	}
	if err := s.Delete(ctx, w, aFolder); err == nil {
		t.Error("Delete of a folder: no error")
	}
	s.leave(t, w, aName)
	if err := s.Tidy(ctx, w, aFolder); err != nil {
		t.Errorf("Tidy: %v", err)
	}
	if left := leftovers(t, s, w); len(left) > 0 && !s.whole {
		t.Errorf("Tidy leaves %q", left)
	}
	s.leave(t, w, aName)
	for _, name := range []string{aName, aFolder + "/manifest.json.gpg"} {
		if err := s.Delete(ctx, w, name); err != nil {
			t.Error(err)
		}
		if _, err := s.Stat(ctx, w, name, ""); !errors.Is(err, ErrNotThere) {
			t.Errorf("Stat after Delete: %v", err)
		}
	}
	lists(t, s, w, aFolder, "[]")
	if err := s.RemoveFolder(ctx, w, aFolder); err != nil {
		t.Error(err)
	}
	lists(t, s, w, "", "[]")
}

// leftovers are what List does not tell.
func leftovers(t *testing.T, s store, w workflow.World) (names []string) {
	t.Helper()
	var all []Object
	var err error
	switch r := s.Remote.(type) {
	case *rclone:
		all, err = r.listAll(t.Context(), w, aFolder, "")
	case *folder:
		root, rootErr := os.OpenRoot(r.path)
		if rootErr != nil {
			t.Fatal(rootErr)
		}
		defer root.Close()
		all, err = listAll(t.Context(), root, aFolder, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		if isLeftover(o.Name) {
			names = append(names, o.Name)
		}
	}
	return names
}

func badNames(t *testing.T, s store, w workflow.World) {
	t.Helper()
	ctx := t.Context()
	for _, name := range []string{"", "..", "a/../b", "/etc/passwd", "a//b", "a/", "-x", "a/-x", "a\nb", `a\b`, "\xff",
		strings.Repeat("n", 250), ".z2c-tmp-00", "a.0123abcd.partial"} {
		_, statErr := s.Stat(ctx, w, name, "")
		for _, err := range []error{
			statErr, s.PutBytes(ctx, w, name, nil, false), s.Touch(ctx, w, name, nil), s.Delete(ctx, w, name), s.Tidy(ctx, w, name), s.RemoveFolder(ctx, w, name),
			s.Put(ctx, w, name, Source{}, nil), s.Get(ctx, w, name, 1, nil),
		} {
			if err == nil || !strings.Contains(err.Error(), "name ") {
				t.Errorf("name %q: %v", name, err)
			}
		}
	}
}

func cancelled(t *testing.T, s store, w workflow.World, from Source) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, w, "cancelled", from, nil); !errors.Is(err, context.Canceled) || Temporary(err) {
		t.Errorf("Put, cancelled: %v", err)
	}
	if _, err := s.Stat(t.Context(), w, "cancelled", ""); !errors.Is(err, ErrNotThere) {
		t.Errorf("Put, cancelled, left something: %v", err)
	}
}
