package actions

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

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

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

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

// A receive that dies takes nothing with it and leaves nothing half.
func testCutOff(t *testing.T, b *backups, both []*manifest.Manifest) {
	for i, at := range both {
		t.Run("receive of "+at.Name+" killed", func(t *testing.T) {
			into := b.into(t)
			w := &watched{fed: func(nth int, child workflow.Child) {
				if nth == i+1 {
					child.Kill()
				}
			}}
			_, err := b.restore(t, w, Latest, into)
			var exit *workflow.ExitError
			if !errors.As(err, &exit) || exit.Signal == "" {
				t.Fatalf("error %v", err)
			}
			b.leftover(t, err, into, at, both)
		})
		t.Run("stopped in "+at.Name, func(t *testing.T) {
			into := b.into(t)
			p, err := b.plan(t, Latest, into)
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			w := &watched{fed: func(nth int, _ workflow.Child) {
				if nth == i+1 {
					stop()
				}
			}}
			_, err = b.kit.Restore(ctx, w, p, nil)
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v", err)
			}
			b.leftover(t, err, into, at, both)
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
		_, err := b.restore(t, w, Latest, into)
		if err == nil || !strings.Contains(err.Error(), "left alone") {
			t.Fatalf("error %v", err)
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
		_, err := b.restore(t, &proc.World{}, Latest, into)
		if err == nil || !strings.Contains(err.Error(), "do not use it") || !strings.Contains(err.Error(), "could not be removed") {
			t.Fatalf("error %v", err)
		}
		if got := snapshotsOf(t, into); got != into+"@"+both[0].Snapshot+"\n" {
			t.Errorf("snapshots %s", got)
		}
	})
}
