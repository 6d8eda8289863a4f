package actions

import (
	"errors"
	"strings"
	"testing"
	"time"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// As many chunks as a backup can have fit into a manifest, and their names where they go; one more is refused.
func TestMostChunks(t *testing.T) {
	for _, dataset := range []string{"t", "tank/data", "tank/" + strings.Repeat("x", 199)} {
		most := int(mostChunks(dataset))
		if most < 90_000 {
			t.Errorf("%s: only %d", dataset, most)
		}
		const size = 1 << 40 // of a chunk, so that numbers are long
		hex := strings.Repeat("a", 64)
		m := &manifest.Manifest{Name: "20261125035200-full", Kind: manifest.Full, Created: time.Unix(0, 0).UTC(), Tool: "test", Host: "web1", Job: oneJob,
			PoolGUID: "1", Dataset: dataset, DatasetGUID: "1", Snapshot: "20261125035200", SnapshotGUID: "1", SplitSize: size, StreamBytes: int64(most) * size, StreamSHA256: hex}
		for n := range most {
			name := chunk.Name(dataset, m.Snapshot, n, 999, settings.GPG)
			m.Chunks = append(m.Chunks, manifest.Chunk{N: n, Gen: 999, Name: name, Plain: size, Size: size + 1, SHA256: hex, PlainSHA256: hex})
		}
		if _, err := manifest.Encode(m); err != nil {
			t.Errorf("%s: %v", dataset, err)
		}
		if err := remote.ValidName(m.Chunks[most-1].Name); err != nil {
			t.Error(err)
		}
		if err := CheckChunks(dataset, int64(most)*10, 10); err != nil {
			t.Error(err)
		}
		if err := CheckChunks(dataset, int64(most+1)*10, 10); err == nil {
			t.Errorf("%s: one more passed", dataset)
		}
		x := &streamExport{backup: state.Backup{Name: m.Name, Dataset: dataset, SplitSize: 10}}
		var hopeless *workflow.Hopeless
		if err := x.fits(most - 1); err != nil {
			t.Error(err)
		}
		if err := x.fits(most); !errors.As(err, &hopeless) {
			t.Errorf("%s: chunk %d: %v", dataset, most, err)
		}
	}
}
