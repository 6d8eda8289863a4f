package actions

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
)

// An object of which a store that has hashes has none was compared with nothing but its size: what was sent is as good as its file.
func TestArrivedWithoutHash(t *testing.T) {
	t.Parallel()
	text := []byte("as it was sealed")
	sum := sha256.Sum256(text)
	b := state.Backup{Name: fullName, Dir: t.TempDir()}
	c := state.Chunk{Name: "chunk", Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:]), Hashes: map[string]string{"md5": "5f"}}
	if err := os.Mkdir(filepath.Join(b.Dir, b.Name), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		kind   string // of hash, that the store has
		object remote.Object
		file   string
		want   bool
	}{
		{"hashed", "md5", remote.Object{Size: c.Size, Hashes: c.Hashes}, "is changed since", true},
		{"of another hash", "md5", remote.Object{Size: c.Size, Hashes: map[string]string{"md5": "a0"}}, string(text), false},
		{"without hash", "md5", remote.Object{Size: c.Size}, string(text), true},
		{"without hash, its file changed", "md5", remote.Object{Size: c.Size}, "as it was changed", false},
		{"without hash, its file changed, of that size", "md5", remote.Object{Size: c.Size}, "As it was sealed", false},
		{"without hash, its file gone", "md5", remote.Object{Size: c.Size}, "", false},
		{"of another size", "md5", remote.Object{Size: 1}, string(text), false},
		{"of a store without any, where the file was read before", "", remote.Object{Size: c.Size}, "As it was sealed", true},
	} {
		if err := os.WriteFile(inDir(b, c.Name), []byte(row.file), 0o600); err != nil {
			t.Fatal(err)
		}
		if row.file == "" {
			if err := os.Remove(inDir(b, c.Name)); err != nil {
				t.Fatal(err)
			}
		}
		p := &uploader{uploading: &uploading{kit: restoreKit("a passphrase", settings.GPG), backup: b, hash: row.kind}}
		if got, err := p.arrived(t.Context(), row.object, c); got != row.want || err != nil {
			t.Errorf("%s: %v, %v", row.name, got, err)
		}
	}
}

// With a limit that each rclone keeps by itself there is one rclone. (A --bwlimit among its flags was once kept by four.)
func TestUploadJobs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		settings settings.Settings
		want     int
	}{
		{settings.Settings{}, 4},
		{settings.Settings{RcloneBwlimit: "8M"}, 1},
		{settings.Settings{RcloneObjectArgs: []string{"--transfers", "4", "--bwlimit", "8M"}}, 1},
		{settings.Settings{RcloneObjectGlobal: []string{"--bwlimit=8M"}}, 1},
		{settings.Settings{RcloneObjectArgs: []string{"--tpslimit=10"}}, 1},
		{settings.Settings{RcloneObjectArgs: []string{"--bwlimit-file", "8M", "--tpslimit-burst=2"}}, 4},
	} {
		c.settings.UploadJobs = 4
		if got := (&Kit{Settings: &c.settings}).uploadJobs(); got != c.want {
			t.Errorf("%+v: %d", c.settings.RcloneObjectArgs, got)
		}
	}
}

// Where a store reads what it has to tell its hash, it is not asked for so much at once that it is silent for long. (The rclone that
// waited for the answer was once ended, again and again.)
func TestBatch(t *testing.T) {
	t.Parallel()
	var all []state.Chunk
	for _, mib := range []int64{200, 50, 100, 1024, 1} {
		all = append(all, state.Chunk{N: len(all), Size: mib << 20})
	}
	for _, c := range []struct {
		reads bool
		want  string
	}{{false, "[5]"}, {true, "[2 1 1 1]"}} {
		p := &uploader{reads: c.reads, stored: slices.Clone(all)}
		p.turn = sync.NewCond(&p.mu)
		var sizes []int
		for batch := p.batch(t.Context()); len(batch) > 0; batch = p.batch(t.Context()) {
			sizes = append(sizes, len(batch))
		}
		if got := fmt.Sprint(sizes); got != c.want {
			t.Errorf("%v: %s, not %s", c.reads, got, c.want)
		}
	}
}
