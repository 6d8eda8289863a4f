package actions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs/zfstest"
	"zfs2cloud/workflow"
)

// watched is a real World that remembers what was started, and does something when a chunk is opened, before a
// zfs receive starts, or when it was fed.
type watched struct {
	proc.World
	opens  func()
	before func()
	fed    func(nth int, child workflow.Child)

	mu       sync.Mutex
	started  [][]string
	receives int
}

func (w *watched) Start(ctx context.Context, s workflow.Spec) (workflow.Child, error) {
	w.mu.Lock()
	w.started = append(w.started, s.Argv)
	if w.opens != nil && slices.Contains(s.Argv, "--decrypt") {
		w.opens()
	}
	receives := slices.Contains(s.Argv, "-u")
	if receives && w.before != nil {
		w.before()
	}
	if !receives || w.fed == nil {
		w.mu.Unlock()
		return w.World.Start(ctx, s)
	}
	w.receives++
	nth := w.receives
	w.mu.Unlock()
	children := make(chan workflow.Child, 1)
	read := 0
	from := s.Stdin
	s.Stdin = readerFunc(func(p []byte) (int, error) {
		if read > 0 {
			select {
			case child := <-children:
				w.fed(nth, child)
			default:
			}
		}
		n, err := from.Read(p)
		read += n
		return n, err
	})
	child, err := w.World.Start(ctx, s)
	children <- child
	return child, err
}

func (w *watched) count(word string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, argv := range w.started {
		if slices.Contains(argv, word) {
			n++
		}
	}
	return n
}

// A receive that dies takes nothing with it, and the run goes on with the same backup; one that is given up instead leaves
// nothing half.
func testCutOff(t *testing.T, b *backups, both []*manifest.Manifest) {
	for i, at := range both {
		for _, resumed := range []bool{true, false} {
			t.Run(fmt.Sprintf("receive of %s killed, then resumed: %t", at.Name, resumed), func(t *testing.T) {
				into := b.into(t)
				p, err := b.plan(t, catalog.Latest, into)
				if err != nil {
					t.Fatal(err)
				}
				killed := false
				w := &watched{fed: func(nth int, child workflow.Child) {
					if nth == i+1 && !killed {
						killed = true
						child.Kill()
					}
				}}
				r := newRestoreRun(t, b.kit, w, p)
				err = r.drive(t)
				var exit *workflow.ExitError
				if !errors.As(err, &exit) || exit.Signal == "" {
					t.Fatalf("error %v", err)
				}
				if run := r.run(t); !workflow.RunMachine.In(run.State, workflow.RunFailed) {
					t.Fatalf("the run is %s", run.State)
				}
				b.endsWell(t, r, into, at, both, resumed)
				if n := w.count("-u"); resumed && n != len(both)+1 {
					t.Errorf("%d receives", n)
				}
			})
		}
		t.Run("stopped in "+at.Name, func(t *testing.T) {
			into := b.into(t)
			p, err := b.plan(t, catalog.Latest, into)
			if err != nil {
				t.Fatal(err)
			}
			var stop func()
			w := &watched{fed: func(nth int, _ workflow.Child) {
				if nth == i+1 {
					stop()
				}
			}}
			r := newRestoreRun(t, b.kit, w, p)
			stop = r.engine.Stop.Signal
			if err := r.drive(t); !errors.Is(err, workflow.ErrInterrupted) {
				t.Fatalf("error %v", err)
			}
			r.engine.Stop = workflow.NewStop(t.Context())
			b.endsWell(t, r, into, at, both, i == 0)
		})
	}
	t.Run("another made the dataset meanwhile", func(t *testing.T) {
		into := b.into(t)
		var guid string
		value := func() string { return zfstest.Run(t, "zfs", "get", "-Hp", "-o", "value", "guid", into) }
		w := &watched{before: func() {
			zfstest.Run(t, "zfs", "create", "-o", "mountpoint=none", into)
			guid = value()
		}}
		run, err := b.restore(t, w, catalog.Latest, into)
		if err == nil || !strings.Contains(strings.Join(run.Notes, " "), "left alone") {
			t.Fatalf("error %v, notes %q", err, run.Notes)
		}
		if value() != guid {
			t.Error("it was replaced")
		}
	})
	t.Run("something else was received", func(t *testing.T) {
		b := *b
		b.kit = restoreKit("a passphrase", settings.GPG)
		b.kit.ZFS = []string{otherGUIDs(t)}
		into := b.into(t)
		run, err := b.restore(t, &proc.World{}, catalog.Latest, into)
		if err == nil || !strings.Contains(err.Error(), "do not use it") || !strings.Contains(strings.Join(run.Notes, " "), "could not be removed") {
			t.Fatalf("error %v, notes %q", err, run.Notes)
		}
		if got := snapshotsOf(t, into); got != into+"@"+both[0].Snapshot+"\n" {
			t.Errorf("snapshots %s", got)
		}
	})
}

// endsWell takes a run that was cut off at one of the backups to its end: the one or the other.
func (b *backups) endsWell(t *testing.T, r *restoreRun, into string, at *manifest.Manifest, both []*manifest.Manifest, resumed bool) {
	t.Helper()
	if !resumed {
		r.abort(t)
		b.leftover(t, r.run(t), into, at, both)
		return
	}
	if err := r.drive(t); err != nil {
		t.Fatal(err)
	}
	for _, m := range both {
		b.same(t, into, m)
	}
	if left, err := os.ReadDir(r.plan.Spool); err != nil || len(left) > 0 {
		t.Errorf("left in the spool folder: %v %v", left, err)
	}
}

// What was fetched is not fetched again, as far as there was room for it; and what came to harm meanwhile is.
func testGoesOn(t *testing.T, b *backups, both []*manifest.Manifest) {
	full, incr := both[0], both[1]
	for _, harmed := range []bool{false, true} {
		t.Run(fmt.Sprintf("a file came to harm: %t", harmed), func(t *testing.T) {
			into := b.into(t)
			remote, err := b.kit.Remote(b.dir)
			if err != nil {
				t.Fatal(err)
			}
			counting := &gets{Remote: remote}
			p, err := b.kit.PlanRestore(t.Context(), b.catalogOf(t, counting), RestoreRequest{Backup: catalog.Latest, Into: into, Spool: t.TempDir(), SpoolBytes: full.Bytes() + incr.Bytes()})
			if err != nil {
				t.Fatal(err)
			}
			opened := 0
			var r *restoreRun
			w := &watched{opens: func() {
				if opened++; opened == len(full.Chunks) {
					r.engine.Stop.Signal() // while the full's last chunk is opened
				}
			}}
			r = newRestoreRun(t, b.kit, w, p)
			counting.n.Store(0)
			if err := r.drive(t); !errors.Is(err, workflow.ErrInterrupted) {
				t.Fatalf("error %v", err)
			}
			r.engine.Stop = workflow.NewStop(t.Context())
			want := len(full.Chunks) + len(incr.Chunks)
			if harmed {
				flip(t, filepath.Join(spoolDir(p.Spool, r.id), spooled(full, full.Chunks[1])))
				want++
			}
			if high := r.run(t).High; high.Fetched > 0 {
				t.Errorf("before anybody went on with it: %+v", high)
			}
			b.endsWell(t, r, into, incr, both, true)
			if high := r.run(t).High; high.Fetched < len(full.Chunks) { // that is progress, also of who is killed before the stream's end
				t.Errorf("%+v", high)
			}
			if n := int(counting.n.Load()); n != want {
				t.Errorf("%d chunks were fetched, not %d", n, want)
			}
		})
	}
}
