package state

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const things = "things" // a bucket that only tests have

type thing struct {
	Name string
	N    int
}

func TestRecordsComeBack(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	ok(t, s.Update(func(tx *Tx) error {
		for _, key := range []string{"b/2", "a/1", "b/1", "c/1"} {
			ok(t, Put(tx, things, key, thing{key, 1}))
		}
		ok(t, Put(tx, things, "a/1", thing{"again", 2}))
		ok(t, Delete(tx, things, "c/1"))
		return Delete(tx, things, "never there")
	}))
	ok(t, s.View(func(tx *Tx) error {
		v, found, err := Get[thing](tx, things, "a/1")
		ok(t, err)
		same(t, found, true)
		same(t, v, thing{"again", 2})
		_, found, err = Get[thing](tx, things, "c/1")
		ok(t, err)
		same(t, found, false)
		same(t, keys(t, tx, ""), "a/1 b/1 b/2")
		same(t, keys(t, tx, "b/"), "b/1 b/2")
		same(t, keys(t, tx, "z"), "")
		isErr(t, Put(tx, things, "d", 1), errReadOnly)
		isErr(t, Delete(tx, things, "a/1"), errReadOnly)
		return nil
	}))
}

// Runs are in the order in which they were begun, also where the clock was years ahead for one. Those of before they had
// numbers are the oldest.
func TestRunsAreInOrder(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	day := func(year int) time.Time { return time.Date(year, 11, 25, 3, 52, 0, 0, time.UTC) }
	ok(t, s.Update(func(tx *Tx) error {
		n, err := tx.NewRunNumber()
		ok(t, err)
		same(t, n, 1)
		ok(t, tx.PutRun(Run{ID: "b", Started: day(2025)}))
		ok(t, tx.PutRun(Run{ID: "a", Started: day(2038)}))
		for i, r := range []Run{{ID: "e", Started: day(2026)}, {ID: "c", Started: day(2037)}, {ID: "d", Started: day(2026)}} {
			r.Number, err = tx.NewRunNumber()
			ok(t, err)
			same(t, r.Number, int64(i+1))
			ok(t, tx.PutRun(r))
		}
		runs, err := tx.Runs()
		ok(t, err)
		var ids []string
		for i, r := range runs {
			ids = append(ids, r.ID)
			same(t, i > 0 && r.After(runs[i-1]), false)
			same(t, i == 0 || runs[i-1].After(r), true)
		}
		same(t, strings.Join(ids, " "), "d c e a b")
		return nil
	}))
}

func keys(t *testing.T, tx *Tx, prefix string) string {
	list, err := List[thing](tx, things, prefix)
	ok(t, err)
	var names []string
	for _, kv := range list {
		names = append(names, kv.Key)
	}
	return strings.Join(names, " ")
}

func TestEachStopsAndForbidsChanges(t *testing.T) {
	t.Parallel()
	ok(t, newStore(t).Update(func(tx *Tx) error {
		ok(t, Put(tx, things, "a", 1))
		ok(t, Put(tx, things, "b", 2))
		enough, calls := errors.New("enough"), 0
		isErr(t, Each(tx, things, "", func(string, int) error {
			calls++
			isErr(t, Put(tx, things, "c", 3), errWalking)
			return enough
		}), enough)
		same(t, calls, 1)
		return Put(tx, things, "c", 3)
	}))
}

func TestErrorStoresNothing(t *testing.T) {
	t.Parallel()
	s, boom := newStore(t), errors.New("boom")
	isErr(t, s.Update(func(tx *Tx) error { ok(t, Put(tx, things, "a", 1)); return boom }), boom)
	ok(t, s.Update(func(tx *Tx) error {
		_, found, err := Get[int](tx, things, "a")
		same(t, found, false)
		return err
	}))
}

func TestPanicOfOursIsNoDamageAndLetsGo(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	func() {
		defer func() { same(t, recover(), any("ours")) }()
		s.Update(func(tx *Tx) error { ok(t, Put(tx, things, "a", 1)); panic("ours") })
	}()
	ok(t, s.Update(func(tx *Tx) error {
		_, found, err := Get[int](tx, things, "a")
		same(t, found, false)
		return err
	}))
}

func TestReaderOfNothingMakesNothing(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	empty := func(tx *Tx) error {
		_, found, err := Get[thing](tx, things, "a")
		ok(t, err)
		same(t, found, false)
		same(t, keys(t, tx, ""), "")
		isErr(t, Put(tx, things, "a", 1), errReadOnly)
		return nil
	}
	ok(t, s.View(empty)) // no folder
	dir := filepath.Dir(s.Path())
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Fatalf("a reader made the folder: %v", err)
	}
	ok(t, os.Mkdir(dir, 0o700))
	ok(t, s.View(empty)) // no file
	ok(t, os.WriteFile(s.Path(), nil, 0o600))
	ok(t, s.View(empty)) // an empty file
	entries, err := os.ReadDir(dir)
	ok(t, err)
	same(t, len(entries), 1)
}

func TestFilesAreOursAlone(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	s := newStore(t)
	ok(t, s.Update(func(*Tx) error { return nil }))
	dir := filepath.Dir(s.Path())
	mode := func(name string) os.FileMode {
		info, err := os.Stat(filepath.Join(dir, name))
		ok(t, err)
		return info.Mode().Perm()
	}
	same(t, mode("."), 0o700)
	for _, name := range []string{"state.db", "state.db.turn", "state.db.gate"} {
		same(t, mode(name), 0o600)
	}
	ok(t, os.Chmod(s.Path(), 0o644))
	ok(t, s.Update(func(*Tx) error { return nil }))
	same(t, mode("state.db"), 0o600)
}

func TestParentFolderIsNotMade(t *testing.T) {
	t.Parallel()
	s := New(t.TempDir() + "/unmounted/state/state.db")
	isErr(t, s.Update(func(*Tx) error { return nil }), os.ErrNotExist)
}

func TestFolderOfOthersIsRefused(t *testing.T) {
	t.Parallel()
	for _, write := range []func(*Store) error{
		func(s *Store) error { return s.Update(func(*Tx) error { return nil }) },
		func(s *Store) error { return s.View(func(*Tx) error { return nil }) },
	} {
		s := newStore(t)
		dir := filepath.Dir(s.Path())
		ok(t, os.Mkdir(dir, 0o700))
		ok(t, os.Chmod(dir, 0o770))
		isErr(t, write(s), ErrUnsafe)
		ok(t, os.Chmod(dir, 0o1777)) // sticky keeps others from removing our files, not from making theirs
		isErr(t, write(s), ErrUnsafe)
		ok(t, os.Chmod(dir, 0o755))
		ok(t, write(s))
		if os.Geteuid() != 0 {
			t.Skip("only root can give a folder to somebody else")
		}
		ok(t, os.Chown(dir, 65534, 65534))
		isErr(t, write(s), ErrUnsafe)
	}
}

func TestReadOnlyMount(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("z2c-test", dir, "tmpfs", 0, ""); err != nil {
		t.Skipf("mount is not permitted here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	s := New(dir + "/state/state.db")
	ok(t, s.Update(func(tx *Tx) error { return Put(tx, things, "a", 1) }))
	isErr(t, OnLocalDisk(s.Path()), ErrNotLocal)
	ok(t, syscall.Mount("z2c-test", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	ok(t, s.View(func(tx *Tx) error {
		_, found, err := Get[int](tx, things, "a")
		same(t, found, true)
		return err
	}))
	isErr(t, s.Update(func(*Tx) error { return nil }), syscall.EROFS)
}

func TestOnLocalDisk(t *testing.T) {
	t.Parallel()
	isErr(t, OnLocalDisk("/dev/shm/not/there/yet"), ErrNotLocal)
	if err := OnLocalDisk("/proc/self/nothing/here"); err != nil { // procfs is none of the kinds named
		t.Fatal(err)
	}
}

func TestMigrations(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	ok(t, s.Update(func(tx *Tx) error { return nil }))
	ok(t, s.View(func(tx *Tx) error {
		version, _, err := Get[int](tx, bucketMeta, keySchema)
		same(t, version, len(migrations))
		for _, bucket := range Buckets {
			if tx.bolt.Bucket([]byte(bucket)) == nil {
				t.Errorf("schema %d has no bucket %s", version, bucket)
			}
		}
		return err
	}))

	t.Run("from the first", func(t *testing.T) {
		s := newStore(t)
		ok(t, s.Update(func(tx *Tx) error {
			ok(t, tx.PutJob(Job{ID: "a"}))
			ok(t, tx.bolt.DeleteBucket([]byte(BucketVerified)))
			return Put(tx, bucketMeta, keySchema, 1)
		}))
		ok(t, s.View(func(tx *Tx) error {
			_, known, err := tx.VerifiedWhole("a", "b", "listed")
			same(t, known, false)
			return err
		}))
		ok(t, s.Update(func(tx *Tx) error { return tx.PutVerified(Verified{Job: "a", Backup: "b", Level: "listed"}) }))
		ok(t, s.View(func(tx *Tx) error {
			_, known, err := tx.VerifiedWhole("a", "b", "listed")
			same(t, known, true)
			return err
		}))
	})
	t.Run("from the second", func(t *testing.T) {
		s := newStore(t)
		ok(t, s.Update(func(tx *Tx) error {
			ok(t, tx.PutJob(Job{ID: "a"}))
			ok(t, tx.bolt.DeleteBucket([]byte(BucketForeign)))
			ok(t, tx.bolt.DeleteBucket([]byte(BucketAdopted)))
			return Put(tx, bucketMeta, keySchema, 2)
		}))
		ok(t, s.View(func(tx *Tx) error {
			all, err := tx.Foreigns("")
			same(t, len(all), 0)
			return err
		}))
		ok(t, s.Update(func(tx *Tx) error { return tx.PutAdopted(Adopted{Job: "a", GUID: "1"}) }))
		ok(t, s.View(func(tx *Tx) error {
			all, err := tx.AdoptedBy("a")
			same(t, len(all), 1)
			return err
		}))
	})
	t.Run("in order, from where the database is", func(t *testing.T) {
		var done []string
		step := func(name string) migration {
			return migration{name, func(*Tx) error { done = append(done, name); return nil }}
		}
		list := []migration{step("one"), step("two"), step("three"), step("four"), step("five")}
		ok(t, s.Update(func(tx *Tx) error {
			ok(t, tx.migrate(list))
			return tx.migrate(list)
		}))
		same(t, slices.Equal(done, []string{"four", "five"}), true)
	})
	t.Run("a newer one is refused", func(t *testing.T) {
		isErr(t, s.View(func(*Tx) error { return nil }), ErrNewer)
		isErr(t, s.Update(func(*Tx) error { return nil }), ErrNewer)
	})
}

func TestFailedMigrationChangesNothing(t *testing.T) {
	t.Parallel()
	s, boom := newStore(t), errors.New("boom")
	ok(t, s.Update(func(tx *Tx) error { return nil }))
	isErr(t, s.Update(func(tx *Tx) error {
		return tx.migrate([]migration{{}, {}, {}, {"break", func(tx *Tx) error { ok(t, Put(tx, things, "a", 1)); return boom }}})
	}), boom)
	ok(t, s.View(func(tx *Tx) error { same(t, keys(t, tx, ""), ""); return nil }))
}
