package state

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const guid = "1234567890123456789"

// ownRole owns a dataset, as an owner whose nonce it is given. With a third argument it starts a child that
// inherits the kids' lock, and whose life hangs on the same input.
func ownRole(args []string) error {
	live, err := Folder{args[0]}.Own(guid, Owner{Nonce: args[1], PID: os.Getpid()})
	if _, is := errors.AsType[*OwnedError](err); is {
		say("owned")
		return nil
	}
	if err != nil {
		return err
	}
	defer live.Close()
	if len(args) > 2 {
		kids, err := live.Kids()
		if err != nil {
			return err
		}
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), roleVariable+"=child")
		child.Stdin, child.Stdout, child.ExtraFiles = os.Stdin, os.Stdout, []*os.File{kids}
		if err := child.Start(); err != nil {
			return err
		}
		return child.Wait()
	}
	say("mine")
	return hear()
}

func newFolder(t *testing.T) Folder { return Folder{t.TempDir() + "/lib/zfs2cloud/datasets"} }

func me(nonce string) Owner {
	return Owner{Nonce: nonce, PID: os.Getpid(), Run: "k7m2", Host: "h", Boot: "b", Since: time.Unix(1, 0).UTC()}
}

func alive(t *testing.T, f Folder, nonce string) bool {
	t.Helper()
	is, err := f.AliveRun(guid, nonce)
	ok(t, err)
	return is
}

func kidsAlive(t *testing.T, f Folder) bool {
	t.Helper()
	is, err := f.KidsAlive(guid)
	ok(t, err)
	return is
}

func TestOwnerIsSeen(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	same(t, alive(t, f, "n1"), false)
	if _, err := os.Stat(f.Dir); !os.IsNotExist(err) {
		t.Fatalf("looking made the folder: %v", err)
	}
	live, err := f.Own(guid, me("n1"))
	ok(t, err)
	same(t, alive(t, f, "n1"), true)
	same(t, alive(t, f, "n2"), false)
	same(t, alive(t, f, ""), false)

	_, err = f.Own(guid, me("n2"))
	owned, is := errors.AsType[*OwnedError](err)
	same(t, is, true)
	same(t, owned.Who, me("n1"))

	shorter := Owner{Nonce: "n3"}
	ok(t, live.Set(shorter))
	who, is, err := f.Alive(guid)
	ok(t, err)
	same(t, is, true)
	same(t, who, shorter)

	other, err := f.Own("2", me("n4"))
	ok(t, err)
	ok(t, other.Close())

	ok(t, live.Close())
	same(t, alive(t, f, "n3"), false)
	info, err := os.Stat(filepath.Join(f.Dir, guid+liveSuffix))
	ok(t, err)
	same(t, info.Mode().Perm(), 0o600)
	if _, err := f.Own("../"+guid, me("n")); err == nil {
		t.Error("a GUID led out of the folder")
	}
}

func TestTheOwnerBeforeIsKnown(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	first, err := f.Own(guid, me("one"))
	ok(t, err)
	same(t, first.Before, Owner{})
	told := me("one")
	told.Left = true
	ok(t, first.Set(told))
	ok(t, first.Close())
	second, err := f.Own(guid, me("two"))
	ok(t, err)
	same(t, second.Before, told)
	ok(t, second.Close())
}

func TestDeadOwnerIsFollowedAtOnce(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	owner := play(t, "own", f.Dir, "dead")
	owner.expect("mine")
	same(t, alive(t, f, "dead"), true)
	owner.kill()
	same(t, alive(t, f, "dead"), false)
	live, err := f.Own(guid, me("next"))
	ok(t, err)
	same(t, alive(t, f, "dead"), false)
	same(t, alive(t, f, "next"), true)
	ok(t, live.Close())
}

// A new owner has the claim, and has not written its name yet: the dead one before it stays dead.
func TestDeadOwnerIsNotRevivedByTheNext(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	live, err := f.Own(guid, me("dead"))
	ok(t, err)
	ok(t, live.Close())
	file, err := f.openLock(guid, liveSuffix)
	ok(t, err)
	defer file.Close()
	ok(t, tryLock(file, claim, unix.F_WRLCK))
	same(t, alive(t, f, "dead"), false)
	_, err = f.Own(guid, me("n"))
	owned, is := errors.AsType[*OwnedError](err)
	same(t, is, true)
	same(t, owned.Who, Owner{})
}

func TestOneOfFiftyOwns(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	var actors []*actor
	for range 50 {
		actors = append(actors, play(t, "own", f.Dir, "n"))
	}
	won := 0
	for _, a := range actors {
		switch line := a.line(); line {
		case "mine":
			won++
		case "owned":
		default:
			t.Error(line)
		}
	}
	same(t, won, 1)
}

// Those who look never keep an owner from coming.
func TestLookingTakesNothing(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	stop, looked := make(chan struct{}), make(chan error)
	for range 4 {
		go func() {
			for {
				select {
				case <-stop:
					looked <- nil
					return
				default:
					if _, _, err := f.Alive(guid); err != nil {
						looked <- err
						return
					}
				}
			}
		}()
	}
	for range 300 {
		live, err := f.Own(guid, me("n"))
		ok(t, err)
		ok(t, live.Set(Owner{Nonce: "another, and a longer one"}))
		ok(t, live.Close())
	}
	close(stop)
	for range 4 {
		ok(t, <-looked)
	}
}

func TestChildThatOutlivesUs(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	same(t, kidsAlive(t, f), false)
	owner := play(t, "own", f.Dir, "dead", "with a child")
	owner.expect("here")
	same(t, kidsAlive(t, f), true)
	owner.kill()
	same(t, alive(t, f, "dead"), false)
	same(t, kidsAlive(t, f), true)

	live, err := f.Own(guid, me("next"))
	ok(t, err)
	defer live.Close()
	_, err = live.Kids()
	isErr(t, err, ErrOrphans)

	owner.tell()
	owner.out.ReadString('\n') // the end of output: the child is gone
	same(t, kidsAlive(t, f), false)
	kids, err := live.Kids()
	ok(t, err)
	again, err := live.Kids()
	ok(t, err)
	same(t, again, kids)
	same(t, kidsAlive(t, f), true)
	same(t, kids.Name(), f.KidsPath(guid))
}

func TestUnsafeFolderIsNoAnswer(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	live, err := f.Own(guid, me("n"))
	ok(t, err)
	defer live.Close()
	ok(t, os.Chmod(f.Dir, 0o777))
	_, err = f.AliveRun(guid, "n")
	isErr(t, err, ErrUnsafe)
	_, err = f.Own(guid, me("m"))
	isErr(t, err, ErrUnsafe)
	_, err = f.Notes("bracket", guid)
	isErr(t, err, ErrUnsafe)
}
