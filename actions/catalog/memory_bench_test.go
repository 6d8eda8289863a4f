package catalog

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
)

var (
	manyBackups = flag.Int("backups", 5000, "how many backups BenchmarkCatalog knows")
	fewBackups  = flag.Int("opened", 100, "how many it opens")
)

// BenchmarkCatalog is what it takes to look into a remote with many backups: those that were opened before, and, of fewer,
// those that were not, in one go and, as for a single one, folder by folder; from a folder, and through rclone.
func BenchmarkCatalog(b *testing.B) {
	few, many := newShelf(b, settings.GPG), newShelf(b, settings.GPG)
	few.fill(b, 1, *fewBackups-1)
	many.fillKnown(b, *manyBackups)
	for _, s := range []*shelf{few, many} {
		for _, by := range []string{"folder", "rclone"} {
			if by == "rclone" {
				s.throughRclone(b)
			}
			if s == many {
				b.Run(fmt.Sprintf("%d known, by %s", len(s.names), by), func(b *testing.B) {
					for b.Loop() {
						c, all, opened := s.look(b)
						if opened != 1 || c.Judge(b.Context(), all[0]).Problem != NoProblem {
							b.Fatalf("%d opened", opened)
						}
					}
					b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(s.names)), "µs/backup")
				})
				continue
			}
			b.Run(fmt.Sprintf("%d opened, by %s", len(s.names), by), func(b *testing.B) {
				for b.Loop() {
					if all, err := s.catalog(b).ReadAll(b.Context()); err != nil || all[0].Manifest == nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(s.names)), "µs/backup")
			})
			b.Run(fmt.Sprintf("%d opened folder by folder, by %s", len(s.names), by), func(b *testing.B) {
				for b.Loop() {
					c := s.catalog(b)
					for chunk := range slices.Chunk(c.Folders, fewFolders) {
						if err := c.ReadSome(b.Context(), chunk); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(s.names)), "µs/backup")
			})
		}
	}
}

// fillKnown makes a remote with so many backups that were opened before. To seal them all would take a gpg each, so only the
// newest are genuine, which are opened for all; of the others the database says that it knows them.
func (s *shelf) fillKnown(t testing.TB, n int) {
	t.Helper()
	day := func(i int) time.Time { return time.Date(2000, 1, 1+i, 3, 52, 0, 0, time.UTC) }
	full := s.add(t, day(0), "", 4)
	genuine := max(1, n-2*readers)
	for i := genuine; i < n; i++ {
		s.add(t, day(i), full, 2)
	}
	s.look(t)
	by := s.remembered(t)[0].By
	var known []state.Opened
	for i := 1; i < genuine; i++ {
		m := s.make(t, day(i), full, 2)
		s.names = append(s.names, m.Name)
		text, err := manifest.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		object := make([]byte, len(text)+70)
		rand.Read(object)
		sum := sha256.Sum256(object)
		if err := os.WriteFile(s.manifest(m.Name), object, 0o600); err != nil {
			t.Fatal(err)
		}
		known = append(known, state.Opened{Job: oneJob, Name: m.Name, SHA256: hex.EncodeToString(sum[:]), By: by, Text: string(text)})
	}
	err := s.store.Update(func(tx *state.Tx) error {
		for _, o := range known {
			if err := tx.PutOpened(o); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// throughRclone has the remote be one of rclone's.
func (s *shelf) throughRclone(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("rclone"); err != nil {
		t.Skip("rclone is not installed")
	}
	s.rcloneConf = filepath.Join(t.TempDir(), "rclone.conf")
	if err := os.WriteFile(s.rcloneConf, []byte("[x]\ntype = local\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.remote = "x:" + s.dir
}

// However many backups there are, few programs are started to look at them, once they are known.
func TestManyKnown(t *testing.T) {
	t.Parallel()
	s := newShelf(t, settings.GPG)
	s.fillKnown(t, 300)
	s.throughRclone(t)
	s.world.started.Store(0)
	c, all, opened := s.look(t)
	// The root, the kind of remote, all folders, three batches of manifests; and a gpg.
	if started := s.world.started.Load(); started != 7 || opened != 1 || len(all) != 300 {
		t.Errorf("%d programs, %d opened, of %d", started, opened, len(all))
	}
	if told := worth(t, c, all); strings.Contains(told, "not") {
		t.Error(told)
	}
	if done, total := c.Progress(); done != 300 || total != 300 || !c.Settled(s.names[0]) {
		t.Errorf("%d of %d", done, total)
	}
}
