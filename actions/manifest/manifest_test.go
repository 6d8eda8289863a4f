package manifest

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/settings"
)

var (
	hexA = strings.Repeat("a", 64)
	hexB = strings.Repeat("b", 64)
	hexC = strings.Repeat("c", 64)
)

// incremental is a manifest with everything in it.
func incremental() *Manifest {
	return &Manifest{
		Name: "20261126035200", Kind: Incremental, Created: time.Date(2026, 11, 26, 3, 52, 0, 0, time.UTC),
		Tool: "zfs2cloud 0.1 & <co>", Host: "web1", Job: strings.Repeat("5f", 16), PoolGUID: "1", Dataset: "tank/my data",
		DatasetGUID: "18446744073709551615", Snapshot: "20261126035200", SnapshotGUID: "42", SendFlags: []string{"-c", "-Lp"},
		Base:      &Base{"20261125035200-full", "41", hexA},
		Previous:  &Previous{"20261125235200", hexB},
		SplitSize: 100, StreamBytes: 250, StreamSHA256: hexC,
		Chunks: []Chunk{
			{0, 1, "tank-my_data@20261126035200.zfs.000000.gpg", 100, 166, hexA, hexB},
			{1, 2, "tank-my_data@20261126035200.zfs.000001.g2.gpg", 100, 166, hexB, hexC},
			{2, 1, "tank-my_data@20261126035200.zfs.000002.gpg", 50, 116, hexC, hexA},
		},
	}
}

// full is the base of incremental.
func full() *Manifest {
	m := incremental()
	m.Name, m.Kind, m.Base, m.Previous, m.SendFlags = "20261125035200-full", Full, nil, nil, nil
	m.Snapshot, m.SnapshotGUID = "20261125035200", "41"
	for i := range m.Chunks {
		m.Chunks[i].Name = strings.Replace(m.Chunks[i].Name, "20261126", "20261125", 1)
	}
	return m
}

// unencrypted is a manifest of encryption none.
func unencrypted() *Manifest {
	m := full()
	for i := range m.Chunks {
		c := &m.Chunks[i]
		c.Name = strings.TrimSuffix(c.Name, ".gpg")
		c.Size, c.SHA256 = c.Plain, c.PlainSHA256
	}
	return m
}

// indexed is a manifest of the second format.
func indexed() *Manifest {
	m := incremental()
	m.Index = &Index{2, "index.g2.gpg", 900, 966, hexA, hexB}
	return m
}

func encoded(t testing.TB, m *Manifest) []byte {
	t.Helper()
	b, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The bytes are the format: a change here is another format.
func TestEncode(t *testing.T) {
	want := `{"format":"zfs2cloud-manifest-1",
"name":"20261126035200","kind":"incremental","created":"2026-11-26T03:52:00Z","tool":"zfs2cloud 0.1 & <co>",
"host":"web1","job":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f","pool_guid":"1","dataset":"tank/my data","dataset_guid":"18446744073709551615",
"snapshot":"20261126035200","snapshot_guid":"42","send_flags":["-c","-Lp"],
"base":{"name":"20261125035200-full","snapshot_guid":"41","manifest_sha256":"A"},
"previous":{"name":"20261125235200","manifest_sha256":"B"},
"split_size":100,"stream_bytes":250,"stream_sha256":"C",
"chunks":[
{"n":0,"gen":1,"name":"tank-my_data@20261126035200.zfs.000000.gpg","plain":100,"size":166,"sha256":"A","plain_sha256":"B"},
{"n":1,"gen":2,"name":"tank-my_data@20261126035200.zfs.000001.g2.gpg","plain":100,"size":166,"sha256":"B","plain_sha256":"C"},
{"n":2,"gen":1,"name":"tank-my_data@20261126035200.zfs.000002.gpg","plain":50,"size":116,"sha256":"C","plain_sha256":"A"}
]}
`
	want = strings.NewReplacer(`"A"`, `"`+hexA+`"`, `"B"`, `"`+hexB+`"`, `"C"`, `"`+hexC+`"`).Replace(want)
	if got := encoded(t, incremental()); string(got) != want {
		t.Errorf("encoded\n%s\nnot\n%s", got, want)
	}
	if got := encoded(t, full()); !bytes.Contains(got, []byte("\"send_flags\":[],\n\"base\":null,\n\"previous\":null,\n")) {
		t.Errorf("full\n%s", got)
	}
}

// The second format is the first with one line more.
func TestEncodeIndex(t *testing.T) {
	want := strings.Replace(string(encoded(t, incremental())), "manifest-1", "manifest-2", 1)
	want = strings.Replace(want, "\"chunks\":[", `"index":{"gen":2,"name":"index.g2.gpg","plain":900,"size":966,"sha256":"`+hexA+`","plain_sha256":"`+hexB+"\"},\n\"chunks\":[", 1)
	if got := encoded(t, indexed()); string(got) != want {
		t.Errorf("encoded\n%s\nnot\n%s", got, want)
	}
	for _, c := range []struct{ old, new string }{
		{"manifest-2", "manifest-1"},
		{`"index":{`, `"index":null,"index":{`},
		{`"gen":2,"name":"index`, `"gen":0,"name":"index`},
		{`"gen":2,"name":"index`, `"gen":1,"name":"index`},
		{`"index.g2.gpg"`, `"index.g2"`},
		{`"index.g2.gpg"`, `"../index.gpg"`},
		{`"plain":900`, `"plain":0`},
		{`"size":966`, `"size":-1`},
		{`"size":966`, `"size":966,"x":1`},
		{`"plain_sha256":"` + hexB + "\"},\n", `"plain_sha256":"B` + hexB[1:] + "\"},\n"},
	} {
		bad := strings.Replace(want, c.old, c.new, 1)
		if _, err := Decode([]byte(bad)); err == nil || bad == want {
			t.Errorf("%q instead of %q passed", c.new, c.old)
		}
	}
	plain := unencrypted()
	plain.Index = &Index{1, "index", 900, 900, hexA, hexA}
	encoded(t, plain)
	plain.Index.PlainSHA256 = hexB
	if _, err := Encode(plain); err == nil {
		t.Error("not encrypted, and another plaintext")
	}
	for name, is := range map[string]bool{"index.gpg": true, "index": true, "index.g12.gpg": true, "index.g2": true, "index.txt": false, "xindex": false, "index.g.gpg": false} {
		if IsIndex(name) != is {
			t.Errorf("%s: %v", name, !is)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, m := range []*Manifest{incremental(), full(), unencrypted(), indexed()} {
		got, err := Decode(encoded(t, m))
		if err != nil {
			t.Fatal(err)
		}
		if m.SendFlags == nil {
			m.SendFlags = []string{}
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("decoded\n%+v\nnot\n%+v", got, m)
		}
		if got.Encryption() != m.Encryption() || got.Bytes() == 0 {
			t.Errorf("%s, %d bytes", got.Encryption(), got.Bytes())
		}
	}
}

// What a careful writer would never make, and a forger or a bit might.
func TestDecodeRefuses(t *testing.T) {
	good := string(encoded(t, incremental()))
	for _, c := range []struct{ old, new string }{
		{`{"format":"zfs2cloud-manifest-1"`, `{"format":"zfs2cloud-manifest-2"`},
		{`{"format":"zfs2cloud-manifest-1"`, `{"Format":"zfs2cloud-manifest-1"`},
		{`{"format":"zfs2cloud-manifest-1",`, `{"format":"zfs2cloud-manifest-1","format":"zfs2cloud-manifest-1",`},
		{`"tool":`, `"extra":1,"tool":`},
		{`"kind":`, `"KIND":`},
		{`"kind":"incremental"`, `"kind":"full"`},
		{`"kind":"incremental"`, `"kind":"full","kind":"incremental"`},
		{`"name":"20261126035200","kind"`, `"name":"20261126035200-full","kind"`},
		{`"name":"20261126035200","kind"`, `"name":"../20261126035","kind"`},
		{`"name":"20261126035200","kind"`, `"name":"20261126035201","kind"`},
		{`03:52:00Z`, `03:52:00.5Z`},
		{`03:52:00Z`, `03:52:00+01:00`},
		{`03:52:00Z`, `03:52:00+00:00`},
		{`"host":"web1"`, `"host":""`},
		{`"host":"web1"`, `"host":"web1\u001b[2J"`},
		{`"host":"web1"`, `"host":"web` + "\xff" + `"`},
		{`"host":"web1"`, `"host":"we\u0062 1"`},
		{`"host":"web1"`, `"host":["web1"]`},
		{`"job":"5f`, `"job":"5F`},
		{`"job":"5f`, `"job":"`},
		{`"pool_guid":"1"`, `"pool_guid":1`},
		{`"pool_guid":"1"`, `"pool_guid":"01"`},
		{`"pool_guid":"1"`, `"pool_guid":"0"`},
		{`"pool_guid":"1"`, `"pool_guid":"-1"`},
		{`18446744073709551615`, `18446744073709551616`},
		{`"dataset":"tank/my data"`, `"dataset":"tank/../data"`},
		{`"dataset":"tank/my data"`, `"dataset":"-tank/my data"`},
		{`"dataset":"tank/my data"`, `"dataset":"/tank/my data"`},
		{`"snapshot":"20261126035200"`, `"snapshot":"20261126035200@x"`},
		{`["-c","-Lp"]`, `["-c","-R"]`},
		{`["-c","-Lp"]`, `["--help"]`},
		{`["-c","-Lp"]`, `["-"]`},
		{`["-c","-Lp"]`, `null`},
		{`["-c","-Lp"]`, strings.Repeat(`[`, 20_000) + strings.Repeat(`]`, 20_000)},
		{`["-c","-Lp"]`, strings.Repeat(`[`, 300_000) + strings.Repeat(`]`, 300_000)},
		{`"base":{"name":"20261125035200-full"`, `"base":{"name":"20261126035200-full"`},
		{`"base":{"name":"20261125035200-full"`, `"base":{"name":"20261127035200"`},
		{`"base":{"name":"20261125035200-full"`, `"base":{"name":"/etc"`},
		{`"base":{"name":"20261125035200-full"`, `"base":{"name":"../20261125035200-full"`},
		{`"base":{"name":"20261125035200-full"`, `"base":{"name":"-rf"`},
		{`"base":{"name":"20261125035200-full"`, `"base":{"name":"20261125035200;id"`},
		{`"base":{"name":"20261125035200-full"`, `"base":{"name":"20261125035200-full\n"`},
		{`"base":{"name":"20261125035200-full"`, `"base":{"name":"2026112503520\u001b"`},
		{`"base":{"name":"20261125035200-full"`, `"base":{"name":"20261125035200-full","name":"20261124035200-full"`},
		{`"dataset":"tank/my data"`, `"dataset":"tank/my;data"`},
		{`"dataset":"tank/my data"`, `"dataset":"tank/my\ndata"`},
		{`"dataset":"tank/my data"`, `"dataset":"tank/my\u001b[2Jdata"`},
		{`"tool":"zfs2cloud 0.1`, `"tool":"zfs2cloud\n0.1`},
		{`"tool":"zfs2cloud 0.1`, `"tool":"zfs2cloud\u202e0.1`},
		{`"base":{"name":"20261125035200-full"`, `"base":{"x":1,"name":"20261125035200-full"`},
		{`"previous":{"name":"20261125235200"`, `"previous":{"name":"20261126035200"`},
		{`"previous":{"name":"20261125235200"`, `"previous":{"name":""`},
		{`"split_size":100`, `"split_size":1e2`},
		{`"split_size":100`, `"split_size":100.0`},
		{`"split_size":100`, `"split_size":0`},
		{`"split_size":100`, `"split_size":-100`},
		{`"split_size":100`, `"split_size":9223372036854775808`},
		{`"split_size":100`, `"split_size":200`},
		{`"split_size":100,"stream_bytes":250`, `"split_size":1,"stream_bytes":1000000000`}, // a billion chunks
		{`"stream_bytes":250`, `"stream_bytes":1e3`},
		{`"stream_bytes":250`, `"stream_bytes":9223372036854775808`},
		{`"plain":100,"size":166`, `"plain":100,"size":-166`},
		{`"plain":100,"size":166`, `"plain":100,"size":9223372036854775808`},
		{`"stream_bytes":250`, `"stream_bytes":251`},
		{`"stream_bytes":250`, `"stream_bytes":-250`},
		{`"chunks":[`, `"chunks": [`},
		{`"stream_bytes":250`, `"chunks":[],"stream_bytes":250`},
		{`{"n":0,`, `{"n":1,`},
		{`{"n":0,`, `{"n":-0,`},
		{`{"n":0,`, `{"n":99999999999999999999,`},
		{`{"n":0,`, `{ "n":0,`},
		{`{"n":0,`, "{}," + `{"n":0,`},
		{`"n":1,"gen":2`, `"n":1,"gen":3`},
		{`"n":1,"gen":2`, `"n":1,"gen":0`},
		{`"name":"tank-my_data@20261126035200.zfs.000000.gpg"`, `"name":"../../etc/passwd"`},
		{`"tank-my_data@20261126035200.zfs.000000.gpg"`, `"/etc/passwd"`},
		{`"tank-my_data@20261126035200.zfs.000000.gpg"`, `"/tank-my_data@20261126035200.zfs.000000.gpg"`},
		{`"tank-my_data@20261126035200.zfs.000000.gpg"`, `"./tank-my_data@20261126035200.zfs.000000.gpg"`},
		{`"tank-my_data@20261126035200.zfs.000000.gpg"`, `".."`},
		{`"tank-my_data@20261126035200.zfs.000000.gpg"`, `"-rf"`},
		{`"tank-my_data@20261126035200.zfs.000000.gpg"`, `"tank-my_data@20261126035200.zfs.000000.gpg;id"`},
		{`"tank-my_data@20261126035200.zfs.000000.gpg"`, `"tank-my_data@20261126035200.zfs.000000.gpg\n"`},
		{`"tank-my_data@20261126035200.zfs.000000.gpg"`, "\"tank-my_data@20261126035200.zfs.000000.gpg\n\""},
		{`"tank-my_data@20261126035200.zfs.000000.gpg"`, `"tank-my_data@20261126035200.zfs.000000.gpg\u001b[2J"`},
		{`"tank-my_data@20261126035200.zfs.000000.gpg"`, `"tank-my_data@20261126035200.zfs.000001.gpg"`},
		{`"tank-my_data@20261126035200.zfs.000000.gpg"`, `"tank-my_data@20261125035200.zfs.000000.gpg"`},
		{`zfs.000000.gpg`, `zfs.000000`},
		{`zfs.000002.gpg`, `zfs.000002`},
		{`"plain":50,`, `"plain":0,`},
		{`"plain":50,`, `"plain":9223372036854775807,`},
		{`"plain":50,"size":116`, `"plain":50,"size":0`},
		{`"plain":50,"size":116`, `"size":116,"plain":50`},
		{hexA, strings.ToUpper(hexA)},
		{hexA, hexA[1:]},
		{`]}`, `]}}`},
		{"]}\n", "]}"},
		{"]}\n", "]}\r\n"},
		{"]}\n", "]}\n\n"},
		{"]}\n", "]} \n"},
		{"]}\n", ""},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Errorf("%q is not in the manifest", c.old)
		}
		if m, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%.80q instead of %q passed: %+v", c.new, c.old, m)
		}
	}
	for _, b := range []string{"", "{}", "null", "[]", "\ufeff" + good, good + good, good[:len(good)/2]} {
		if _, err := Decode([]byte(b)); err == nil {
			t.Errorf("%.40q passed", b)
		}
	}
	if _, err := Decode([]byte(strings.Replace(good, "manifest-1", "manifest-3", 1))); !errors.Is(err, ErrFormat) {
		t.Errorf("another format: %v", err)
	}
	if _, err := Decode(make([]byte, MaxSize+1)); err == nil {
		t.Error("more than 64 MiB passed")
	}
}

// Every single flipped bit is noticed, or changes a value into another that is possible: never a panic.
func TestDecodeFlippedBits(t *testing.T) {
	good := encoded(t, incremental())
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if m, err := Decode(bad); err == nil {
				if again, _ := Encode(m); !bytes.Equal(again, bad) {
					t.Fatalf("bit %d of byte %d: accepted, and not the same", bit, i)
				}
			}
		}
	}
}

// 64 MiB of empty chunks must not become gigabytes.
func TestDecodeIsFrugal(t *testing.T) {
	good := encoded(t, incremental())
	head, _, _ := bytes.Cut(good, []byte(`{"n":0`))
	for _, unit := range []string{"{},", "{},\n", "[", `{"n":0},` + "\n"} {
		bad := append(bytes.Clone(head), strings.Repeat(unit, (MaxSize-len(head)-10)/len(unit))...)
		bad = append(bad, "{}\n]}\n"...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode(bad)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%q passed", unit)
		}
		got := after.TotalAlloc - before.TotalAlloc
		if got > 4*MaxSize {
			t.Errorf("%q: %d MiB allocated", unit, got>>20)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range []*Manifest{incremental(), full(), unencrypted()} {
		f.Add(encoded(f, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Encode(m)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q is accepted, and encoded again %q, %v", b, again, err)
		}
		for _, c := range m.Chunks {
			if filepath.Base(c.Name) != c.Name || strings.ContainsAny(c.Name, "/\\ \n") || c.Name == ".." {
				t.Fatalf("%q leads out of the folder", c.Name)
			}
		}
	})
}

func TestFolder(t *testing.T) {
	for name, want := range map[string]struct {
		stamp    string
		full, ok bool
	}{
		"20261126035200":           {"20261126035200", false, true},
		"20261126035200-full":      {"20261126035200", true, true},
		"20261126035200-full-full": {},
		"2026112603520":            {},
		"202611260352000":          {},
		"20261126035200-Full":      {},
		"20261126035200\n":         {},
		"٢0261126035200":           {},
		"-full":                    {},
		"":                         {},
		"../20261126035200":        {},
	} {
		stamp, full, ok := ParseFolder(name)
		if stamp != want.stamp || full != want.full || ok != want.ok {
			t.Errorf("%q: %q, %v, %v", name, stamp, full, ok)
		}
		if ok && Folder(stamp, full) != name {
			t.Errorf("%q becomes %q", name, Folder(stamp, full))
		}
	}
}

func gpg(t testing.TB, passphrase string) chunk.GPG {
	t.Helper()
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("gpg is not installed")
	}
	return chunk.GPG{World: &proc.World{}, Words: []string{"gpg"}, Passphrase: []byte(passphrase), TempDir: t.TempDir()}
}

func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		s chunk.Sealer
		m *Manifest
	}{
		// The limit is on the passphrase, not on what is derived.
		"gpg":  {gpg(t, strings.Repeat("x", 200)), incremental()},
		"none": {chunk.Plain{}, unencrypted()},
	} {
		object, sha, err := Seal(t.Context(), c.s, c.m)
		if err != nil {
			t.Fatal(name, err)
		}
		m, again, err := Open(t.Context(), c.s, object, c.m.Name)
		if err != nil || again != sha || m.Name != c.m.Name {
			t.Errorf("%s: %v, %s and %s", name, err, sha, again)
		}
		if _, _, err := Open(t.Context(), c.s, object, "20200101000000"); err == nil {
			t.Errorf("%s: opened in another folder", name)
		}
		if _, _, err := Open(t.Context(), c.s, object[:len(object)-1], c.m.Name); err == nil {
			t.Errorf("%s: opened, cut short", name)
		}
	}
}

// What was sealed as a chunk is no manifest, be it one word for word.
func TestOpenRefusesAChunk(t *testing.T) {
	t.Parallel()
	g := gpg(t, "pass")
	var object bytes.Buffer
	if err := g.Seal(t.Context(), bytes.NewReader(encoded(t, incremental())), &object); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(t.Context(), g, object.Bytes(), incremental().Name); !errors.Is(err, chunk.ErrPassphrase) {
		t.Errorf("a forged manifest: %v", err)
	}
}

// Chunks in clear behind a sealed manifest, and the other way round, are nobody's honest work.
func TestSealRefusesAMixture(t *testing.T) {
	t.Parallel()
	g := gpg(t, "pass")
	if _, _, err := Seal(t.Context(), g, unencrypted()); err == nil {
		t.Error("sealed over chunks in clear")
	}
	if _, _, err := Seal(t.Context(), chunk.Plain{}, full()); err == nil {
		t.Error("in clear over sealed chunks")
	}
	var object bytes.Buffer
	if err := g.Derived(label).Seal(t.Context(), bytes.NewReader(encoded(t, unencrypted())), &object); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(t.Context(), g, object.Bytes(), unencrypted().Name); err == nil {
		t.Error("opened over chunks in clear")
	}
	if _, _, err := Open(t.Context(), chunk.Plain{}, encoded(t, full()), full().Name); err == nil {
		t.Error("opened in clear over sealed chunks")
	}
}

func TestFileName(t *testing.T) {
	if FileName(settings.GPG) != "manifest.json.gpg" || FileName(settings.None) != "manifest.json" {
		t.Error(FileName(settings.GPG), FileName(settings.None))
	}
}
