package actions

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/secret"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs/zfstest"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// gets counts the objects that are fetched.
type gets struct {
	remote.Remote
	n atomic.Int32
}

func (g *gets) Get(ctx context.Context, w workflow.World, name string, limit int64, to io.Writer) error {
	g.n.Add(1)
	return g.Remote.Get(ctx, w, name, limit, to)
}

func TestRestore(t *testing.T) {
	t.Parallel()
	b := newBackups(t, settings.GPG)
	full := b.add(t, fullName, oneJob, nil)
	incr := b.add(t, incrName, oneJob, full)
	both := []*manifest.Manifest{full, incr}

	t.Run("chain", func(t *testing.T) {
		into := b.into(t)
		var told []int64
		p, err := b.plan(t, catalog.Latest, into)
		if err != nil {
			t.Fatal(err)
		}
		r := newRestoreRun(t, b.kit, &proc.World{}, p)
		r.engine.Watch.Progress = func(_ int, done, total int64, _ bool) { told = append(told, done, total) }
		if err := r.drive(t); err != nil {
			t.Fatal(err)
		}
		guid := strings.TrimSpace(zfstest.Run(t, "zfs", "get", "-Hp", "-o", "value", "guid", into))
		if rs := r.run(t).Restore; rs.Made != guid || rs.Volume || rs.Passed != 0 {
			t.Errorf("on record %+v; the dataset has GUID %s", rs, guid)
		}
		if end := incr.StreamBytes; !slices.Equal(told[len(told)-2:], []int64{end, end}) {
			t.Errorf("progress ends with %v, not %d", told[len(told)-2:], end)
		}
		for _, m := range both {
			b.same(t, into, m)
		}
	})
	t.Run("one of the chain", func(t *testing.T) {
		into := b.into(t)
		if _, err := b.restore(t, &proc.World{}, full.Snapshot, into); err != nil {
			t.Fatal(err)
		}
		b.same(t, into, full)
		if got := snapshotsOf(t, into); strings.Count(got, "\n") != 1 {
			t.Errorf("snapshots %s", got)
		}
	})
	t.Run("through rclone", func(t *testing.T) {
		kit, c := b.throughRclone(t)
		into := b.into(t)
		p, err := kit.PlanRestore(t.Context(), c, RestoreRequest{Backup: catalog.Latest, Into: into, Spool: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := carryOut(t, kit, &proc.World{}, p); err != nil {
			t.Fatal(err)
		}
		b.same(t, into, incr)
	})
	t.Run("ahead within its room", func(t *testing.T) {
		p, err := b.plan(t, catalog.Latest, b.into(t))
		if err != nil {
			t.Fatal(err)
		}
		r := newRestoreRun(t, b.kit, &watched{}, p)
		var most int64
		r.engine.World = &watched{opens: func() { most = max(most, bytesIn(t, spoolDir(p.Spool, r.id))) }}
		if err := r.drive(t); err != nil {
			t.Fatal(err)
		}
		if most > p.SpoolBytes || most <= full.Chunks[0].Size {
			t.Errorf("at most %d bytes lay in the spool folder, of %d, with chunks of %d", most, p.SpoolBytes, full.Chunks[0].Size)
		}
	})
	t.Run("refused", func(t *testing.T) { testRefused(t, b, both) })
	t.Run("damaged", func(t *testing.T) { testDamaged(t, b, both) })
	t.Run("forged", func(t *testing.T) { testForged(t, b, both) })
	t.Run("planted", func(t *testing.T) { testPlanted(t, b, both) })
	t.Run("streams", func(t *testing.T) { testStreams(t, b, both) })
	t.Run("mountpoint", func(t *testing.T) { testMountpoint(t, new(*b)) })
	t.Run("cut off", func(t *testing.T) { testCutOff(t, b, both) })
	t.Run("goes on", func(t *testing.T) { testGoesOn(t, b, both) })
	t.Run("listed", func(t *testing.T) { testListed(t, b, both) })
	t.Run("jobs", func(t *testing.T) { testJobs(t, b) })
}

// A chain of which each backup was sealed by another passphrase: what opens each is asked for, once.
func TestRestoreByOlderPassphrases(t *testing.T) {
	t.Parallel()
	b := newBackups(t, settings.GPG)
	full := b.add(t, fullName, oneJob, nil)
	b.kit = restoreKit("another passphrase", settings.GPG)
	incr := b.add(t, incrName, oneJob, full)
	b.kit = restoreKit("a third passphrase", settings.GPG)
	if _, err := b.plan(t, catalog.Latest, b.into(t)); !errors.Is(err, chunk.ErrPassphrase) {
		t.Errorf("without them: %v", err)
	}
	var asked []string
	c := b.catalog(t)
	answers := []string{"a wrong one", "another passphrase", "a passphrase"}
	c.Older = func(_ context.Context, folder string) (secret.Bytes, error) {
		asked = append(asked, folder)
		return secret.Bytes(answers[len(asked)-1]), nil
	}
	into := b.into(t)
	p, err := b.kit.PlanRestore(t.Context(), c, RestoreRequest{Backup: catalog.Latest, Into: into, Spool: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{incrName, incrName, fullName}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v, not %v", asked, want)
	}
	if _, err := carryOut(t, b.kit, &proc.World{}, p); err != nil {
		t.Fatal(err)
	}
	b.same(t, into, full)
	b.same(t, into, incr)
	c = b.catalog(t)
	c.Older = func(context.Context, string) (secret.Bytes, error) { return nil, nil }
	if _, err := b.kit.PlanRestore(t.Context(), c, RestoreRequest{Backup: catalog.Latest, Into: b.into(t), Spool: t.TempDir()}); !errors.Is(err, chunk.ErrPassphrase) {
		t.Errorf("with none: %v", err)
	}

	// Of a base that is another than it was, no passphrase is asked for in vain.
	b.kit = restoreKit("another passphrase", settings.GPG)
	flipBit(t, b.manifestFile(fullName), 4000)
	c = b.catalog(t)
	c.Older = func(_ context.Context, folder string) (secret.Bytes, error) {
		t.Errorf("asked for that of %s", folder)
		return nil, nil
	}
	if _, err := b.kit.PlanRestore(t.Context(), c, RestoreRequest{Backup: catalog.Latest, Into: b.into(t), Spool: t.TempDir()}); !errors.Is(err, manifest.ErrChain) {
		t.Errorf("a base that was changed: %v", err)
	}
}

// What can be seen beforehand is refused beforehand.
func testRefused(t *testing.T, b *backups, both []*manifest.Manifest) {
	full, incr := both[0], both[1]
	for _, c := range []struct {
		name    string
		do      func(*testing.T, *backups)
		backup  string
		into    string
		refusal bool
		says    string
	}{
		{name: "target exists", into: b.dataset, refusal: true, says: "exists"},
		{name: "target is a pool", into: b.pool, refusal: true, says: "is a pool"},
		{name: "no pool", into: "z2c-nosuchpool/data", refusal: true, says: "z2c-nosuchpool"},
		{name: "no parent", into: b.pool + "/a/b", refusal: true, says: "zfs create"},
		{name: "not a name", into: b.pool + "/a@b", refusal: true, says: "not allowed"},
		{name: "not a stamp", backup: "yesterday", refusal: true, says: "neither a stamp"},
		{name: "no such backup", backup: "20200101000000", refusal: true, says: "has no backup"},
		{name: "wrong passphrase", do: func(_ *testing.T, b *backups) { b.kit = restoreKit("another", settings.GPG) },
			says: "does not open: wrong passphrase"},
		{name: "chunk missing", do: func(t *testing.T, b *backups) { remove(t, b.chunkFile(incr, 1)) }, says: "chunk 1"},
		{name: "base's chunk missing", do: func(t *testing.T, b *backups) { remove(t, b.chunkFile(full, 2)) },
			says: "base " + fullName + ": chunk 2"},
		{name: "chunk cut", do: func(t *testing.T, b *backups) {
			if err := os.Truncate(b.chunkFile(full, 0), full.Chunks[0].Size-1); err != nil {
				t.Fatal(err)
			}
		}, says: "bytes instead of"},
		{name: "manifest without chunks", do: func(t *testing.T, b *backups) {
			for n := range incr.Chunks {
				remove(t, b.chunkFile(incr, n))
			}
		}, says: "chunk 0"},
		{name: "manifest of another job", backup: incrName, do: func(t *testing.T, b *backups) {
			theirs := *incr
			theirs.Job = anotherJob
			b.commit(t, &theirs)
		}, says: "it is of job " + oneJob},
		{name: "another job's folder beside", do: func(t *testing.T, b *backups) {
			if err := os.WriteFile(filepath.Join(b.dir, "zfs2cloud-job-"+anotherJob), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, refusal: true, says: "backups of several jobs"},
		{name: "base of another snapshot", do: func(t *testing.T, b *backups) {
			swapped, base := *incr, *incr.Base
			base.SnapshotGUID = "7"
			swapped.Base = &base
			b.commit(t, &swapped)
		}, says: "its snapshot has GUID"},
		{name: "base missing", do: func(t *testing.T, b *backups) { remove(t, filepath.Join(b.dir, fullName)) }, says: "the base of"},
		{name: "manifest of another folder", do: func(t *testing.T, b *backups) {
			copyFile(t, b.manifestFile(fullName), b.manifestFile(incrName))
		}, says: "it is that of"},
		{name: "base replayed under another manifest", do: func(t *testing.T, b *backups) { b.commit(t, full) }, says: "SHA-256 of its manifest"},
		{name: "two manifests", do: func(t *testing.T, b *backups) {
			copyFile(t, b.manifestFile(incrName), filepath.Join(b.dir, incrName, "manifest.json"))
		}, says: "both"},
		{name: "unencrypted manifest", do: func(t *testing.T, b *backups) {
			if err := os.Rename(b.manifestFile(incrName), filepath.Join(b.dir, incrName, "manifest.json")); err != nil {
				t.Fatal(err)
			}
		}, says: "only if encryption none is asked for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := b.copied(t)
			if c.do != nil {
				c.do(t, b)
			}
			into := c.into
			if into == "" {
				into = b.into(t)
			}
			backup := c.backup
			if backup == "" {
				backup = catalog.Latest
			}
			before := zfstest.Run(t, "zfs", "list", "-H", "-t", "all", "-o", "name", "-r", b.pool)
			_, err := b.plan(t, backup, into)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("not %q: %v", c.says, err)
			}
			var refusal *catalog.Refusal
			if errors.As(err, &refusal) != c.refusal {
				t.Errorf("refusal: %t", !c.refusal)
			}
			if after := zfstest.Run(t, "zfs", "list", "-H", "-t", "all", "-o", "name", "-r", b.pool); after != before {
				t.Errorf("was\n%s\nis\n%s", before, after)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What lies there with the right size and other bytes is seen before gpg sees it.
func testDamaged(t *testing.T, b *backups, both []*manifest.Manifest) {
	full, incr := both[0], both[1]
	literal := func(t *testing.T, size int64) []byte {
		cmd := exec.Command("gpg", "--batch", "--no-options", "--homedir", t.TempDir(), "-z", "0", "--store", "--output", "-")
		cmd.Stdin = io.LimitReader(rand.Reader, size)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return out[:size]
	}
	for _, c := range []struct {
		name string
		at   *manifest.Manifest
		do   func(*testing.T, *backups)
		gpgs int // that may run
	}{
		{"flipped byte in the first chunk", full, func(t *testing.T, b *backups) { flip(t, b.chunkFile(full, 0)) }, 0},
		{"flipped byte in the last chunk", full, func(t *testing.T, b *backups) { flip(t, b.chunkFile(full, 2)) }, 2},
		{"swapped chunks", full, func(t *testing.T, b *backups) {
			aside := filepath.Join(t.TempDir(), "aside")
			copyFile(t, b.chunkFile(full, 0), aside)
			copyFile(t, b.chunkFile(full, 1), b.chunkFile(full, 0))
			copyFile(t, aside, b.chunkFile(full, 1))
		}, 0},
		{"literal message", full, func(t *testing.T, b *backups) {
			if err := os.WriteFile(b.chunkFile(full, 1), literal(t, full.Chunks[1].Size), 0o600); err != nil {
				t.Fatal(err)
			}
		}, 1},
		{"flipped byte in the increment's first chunk", incr, func(t *testing.T, b *backups) { flip(t, b.chunkFile(incr, 0)) }, 3},
		{"flipped byte in the increment's last chunk", incr, func(t *testing.T, b *backups) { flip(t, b.chunkFile(incr, 2)) }, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := b.copied(t)
			c.do(t, b)
			into := b.into(t)
			w := &watched{}
			run, err := b.restore(t, w, catalog.Latest, into)
			if !errors.Is(err, chunk.ErrDiffers) {
				t.Fatalf("error %v", err)
			}
			if n := w.count("--decrypt"); n != c.gpgs {
				t.Errorf("%d chunks were opened, not %d", n, c.gpgs)
			}
			b.leftover(t, run, into, c.at, both)
		})
	}
}

func flip(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// leftover demands that what a restore left that was given up at one of the backups is what its record says.
func (b *backups) leftover(t *testing.T, run state.Run, into string, at *manifest.Manifest, both []*manifest.Manifest) {
	t.Helper()
	left := strings.Join(run.Notes, "\n")
	if !workflow.RunMachine.In(run.State, workflow.RunAborted) {
		t.Errorf("the run is %s", run.State)
	}
	if at == both[0] {
		if exists(into) || !strings.Contains(left, "Nothing was restored") {
			t.Errorf("there: %t, and it says %s", exists(into), left)
		}
		return
	}
	b.same(t, into, both[0])
	if got := snapshotsOf(t, into); got != into+"@"+both[0].Snapshot+"\n" {
		t.Errorf("snapshots %s", got)
	}
	if !strings.Contains(left, "holds "+both[0].Name+", whole") {
		t.Errorf("it says %s", left)
	}
}

// otherGUIDs is a zfs program to which every snapshot has the GUID 7.
func otherGUIDs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"zpool": `exec zpool "$@"`,
		"zfs":   `case "$*" in *userrefs*) zfs "$@" | awk -F'\t' -v OFS='\t' '$2 == "guid" { $3 = 7 } { print }';; *) exec zfs "$@";; esac`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "zfs")
}

func TestMountCommand(t *testing.T) {
	for mountpoint, want := range map[string]string{
		"/tank/new": "zfs mount tank/new",
		"":          "zfs mount tank/new",
		"none":      "zfs set mountpoint=/tank/new tank/new",
		"legacy":    "mount -t zfs tank/new /mnt",
	} {
		if got := mountCommand("tank/new", mountpoint); got != want {
			t.Errorf("%q: %s, want %s", mountpoint, got, want)
		}
	}
}

// What is not encrypted is read if that was asked for, and then whole.
func TestRestoreUnencrypted(t *testing.T) {
	t.Parallel()
	b := newBackups(t, settings.None)
	full := b.add(t, fullName, oneJob, nil)
	into := b.into(t)
	if _, err := b.restore(t, &proc.World{}, catalog.Latest, into); err != nil {
		t.Fatal(err)
	}
	b.same(t, into, full)
	b.kit = restoreKit("a passphrase", settings.GPG)
	if _, err := b.plan(t, catalog.Latest, b.into(t)); err == nil || !strings.Contains(err.Error(), "encryption none") {
		t.Errorf("error %v", err)
	}
}
