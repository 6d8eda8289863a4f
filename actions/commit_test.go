package actions

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// What lies under a manifest's name is only taken for none if that can be told. (It once was another's for good, also where an
// upload had been cut off.)
func TestTornManifest(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("gpg is not installed")
	}
	for _, encryption := range []settings.Encryption{settings.GPG, settings.None} {
		k := restoreKit("a passphrase", encryption)
		sealer, err := k.sealer(&proc.World{}, string(encryption))
		if err != nil {
			t.Fatal(err)
		}
		b := state.Backup{Name: fullName, Full: true, Created: time.Date(2026, 11, 1, 2, 52, 0, 0, time.UTC), Host: "web1", Job: oneJob, PoolGUID: "1",
			Dataset: "tank/data", DatasetGUID: "2", Snapshot: "20261101025200", SnapshotGUID: "3", SplitSize: 1 << 20, StreamBytes: 312,
			StreamSHA256: strings.Repeat("5f", 32), Encryption: string(encryption)}
		sealed := func(host string) []byte {
			t.Helper()
			m := manifestOf(b, []state.Chunk{{Name: chunk.Name(b.Dataset, b.Snapshot, 0, 1, encryption), Gen: 1, Plain: 312, Size: 400,
				SHA256: b.StreamSHA256, PlainSHA256: b.StreamSHA256}}, "test")
			if encryption == settings.None {
				m.Chunks[0].Size = m.Chunks[0].Plain
			}
			m.Host = host
			object, _, err := manifest.Seal(t.Context(), sealer, m)
			if err != nil {
				t.Fatal(err)
			}
			return object
		}
		b.Manifest = sealed("web1")
		altered := bytes.Clone(b.Manifest)
		altered[len(altered)/2] ^= 0x80
		type row struct {
			name        string
			kit         *Kit
			object      []byte
			torn, fails bool
		}
		rows := []row{
			{"nothing came", k, nil, true, false},
			{"a part of it", k, b.Manifest[:60], true, false},
			{"altered", k, altered, true, false},
			{"a part of another", k, sealed("web2")[:300], true, false},
			{"another's", k, sealed("web2"), false, false},
			{"a part of it, with another passphrase", restoreKit("another", encryption), b.Manifest[:60], true, false},
			{"altered, with another passphrase", restoreKit("another", encryption), altered, encryption == settings.None, encryption == settings.GPG},
		}
		if encryption == settings.None {
			rows = append(rows, row{"of a format to come", k, bytes.Replace(b.Manifest, []byte(manifest.Format1), []byte("zfs2cloud-manifest-9"), 1), false, false})
		}
		for _, c := range rows {
			torn, err := c.kit.torn(t.Context(), workflow.Look{World: &proc.World{}}, b, c.object)
			if torn != c.torn || (err != nil) != c.fails {
				t.Errorf("%s, %s: %v, %v", encryption, c.name, torn, err)
			}
		}
	}
}
