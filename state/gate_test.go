package state

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// countRole adds to a counter, a transaction a time.
func countRole(args []string) error {
	times, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	for range times {
		if err := New(args[0]).Update(increment); err != nil {
			return err
		}
	}
	say("done")
	return nil
}

func increment(tx *Tx) error {
	n, _, err := Get[int](tx, things, "counter")
	if err != nil {
		return err
	}
	return Put(tx, things, "counter", n+1)
}

// readRole reads without a pause until its input ends, or it fails.
func readRole(args []string) error {
	say("reading")
	ended := make(chan struct{})
	go func() { hear(); close(ended) }()
	for reads := 0; ; {
		select {
		case <-ended:
			say("%d", reads)
			return nil
		default:
		}
		err := New(args[0]).View(func(tx *Tx) error {
			_, _, err := Get[int](tx, things, "counter")
			return err
		})
		if err == nil {
			reads++
		} else if !errors.Is(err, ErrBusy) {
			return err
		}
	}
}

// holdRole stays in a writing transaction, which has written, until it is told to end it.
func holdRole(args []string) error {
	return New(args[0]).Update(func(tx *Tx) error {
		if err := increment(tx); err != nil {
			return err
		}
		say("inside")
		return hear()
	})
}

// holdFlockRole has the file open as a program does that knows nothing of the gate.
func holdFlockRole(args []string) error {
	db, err := bolt.Open(args[0], 0o600, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	say("open")
	return hear()
}

func counter(t testing.TB, s *Store) (n int) {
	t.Helper()
	ok(t, s.View(func(tx *Tx) (err error) { n, _, err = Get[int](tx, things, "counter"); return err }))
	return n
}

func TestWritersOfSeveralProcessesAndGoroutines(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var actors []*actor
	for range 4 {
		actors = append(actors, play(t, "count", s.Path(), "25"))
	}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			for range 5 {
				if err := s.Update(increment); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			for range 20 {
				if err := s.View(func(*Tx) error { return nil }); err != nil && !errors.Is(err, ErrBusy) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, a := range actors {
		a.expect("done")
	}
	same(t, counter(t, s), 4*25+10*5)
}

// bbolt#782: a reader waited for the database of a running process.
func TestReaderGivesUpAndWriterWaits(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	holder := play(t, "hold", s.Path())
	holder.expect("inside")

	quickly(t, 2*time.Second, func() { isErr(t, Glance(s.Path()).View(func(*Tx) error { return nil }), ErrBusy) })

	impatient := New(s.Path())
	impatient.writeWait = 50 * time.Millisecond
	isErr(t, impatient.Update(increment), ErrBusy)

	wrote := make(chan error, 1)
	go func() { wrote <- s.Update(increment) }()
	holder.tell()
	ok(t, <-wrote)
	same(t, counter(t, s), 2)
}

// Those who gave up still wait in the kernel, and must let go at once when it is their turn.
func TestReadersWhoGaveUpAreNotInTheWay(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	holder := play(t, "hold", s.Path())
	holder.expect("inside")
	s.readWait = 5 * time.Millisecond
	for range 2 * cap(waiting) { // more than may wait at a time
		isErr(t, s.View(func(*Tx) error { return nil }), ErrBusy)
	}
	holder.tell()
	ok(t, s.Update(increment))
	same(t, counter(t, New(s.Path())), 2)
}

func TestStrangerHasTheFileOpen(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	ok(t, s.Update(increment))
	stranger := play(t, "hold flock", s.Path())
	stranger.expect("open")
	quickly(t, 2*time.Second, func() { isErr(t, Glance(s.Path()).View(func(*Tx) error { return nil }), ErrBusy) })
	s.writeWait = 100 * time.Millisecond
	isErr(t, s.Update(increment), ErrBusy)
	stranger.kill()
	same(t, counter(t, s), 1)
}

func TestWriterKilledInItsTransaction(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	ok(t, s.Update(increment))
	writer := play(t, "hold", s.Path())
	writer.expect("inside")
	writer.kill()
	quickly(t, time.Second, func() { same(t, counter(t, s), 1) })
	ok(t, s.Update(increment))
	same(t, counter(t, s), 2)
}

// The first transaction ever, cut off: what is left is a file that was never committed to.
func TestFirstWriterKilled(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	writer := play(t, "hold", s.Path())
	writer.expect("inside")
	writer.kill()
	same(t, counter(t, s), 0)
	ok(t, s.Update(increment))
	same(t, counter(t, s), 1)
}

// A writer waits only for the readers who are inside when it comes: later ones stay behind it.
func TestNobodyOvertakesAWriter(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	ok(t, s.Update(increment))
	wrote := make(chan error, 1)
	ok(t, s.View(func(*Tx) error {
		go func() { wrote <- s.Update(increment) }()
		turnstile, err := os.Open(s.Path() + ".turn")
		ok(t, err)
		defer turnstile.Close()
		start := time.Now()
		for there := false; !there; { // until the writer is in the turnstile
			there, err = isLocked(turnstile, wholeFile)
			ok(t, err)
			if time.Since(start) > 5*time.Second {
				t.Fatal("a writer that waits is not in the turnstile")
			}
		}
		later := New(s.Path())
		later.readWait = 50 * time.Millisecond
		isErr(t, later.View(func(*Tx) error { return nil }), ErrBusy)
		return nil
	}))
	ok(t, <-wrote)
	same(t, counter(t, s), 2)
}

func TestReadersShareTheGate(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	ok(t, s.Update(increment))
	ok(t, s.View(func(*Tx) error { return s.View(func(*Tx) error { return nil }) }))
}

// crowd starts processes that read without a pause.
func crowd(t testing.TB, s *Store, n int) (readers []*actor) {
	for range n {
		readers = append(readers, play(t, "read", s.Path()))
	}
	for _, r := range readers {
		r.expect("reading")
	}
	return readers
}

// leave ends them, and returns how many reads they came to.
func leave(t testing.TB, readers []*actor) (reads int) {
	for _, r := range readers {
		r.in.Close()
	}
	for _, r := range readers {
		n, err := strconv.Atoi(r.line())
		ok(t, err)
		reads += n
	}
	return reads
}

// What a checkpoint takes, alone and beside readers in other processes. The mean hides what matters, so
// median and 99th percentile are told too.
func BenchmarkCheckpoint(b *testing.B) {
	for _, readers := range []int{0, 10, 50} {
		b.Run("beside "+strconv.Itoa(readers), func(b *testing.B) {
			s := newStore(b)
			ok(b, s.Update(increment))
			crowd := crowd(b, s, readers)
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				ok(b, s.Update(increment))
				took = append(took, time.Since(start))
			}
			reads := leave(b, crowd)
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1000, "median-ms")
			b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
			b.ReportMetric(took[len(took)-1].Seconds()*1000, "max-ms")
			b.ReportMetric(float64(reads)/b.Elapsed().Seconds(), "reads/s")
		})
	}
}

func TestLockFilesStay(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	ok(t, s.Update(increment))
	before, err := os.Stat(filepath.Join(filepath.Dir(s.Path()), "state.db.gate"))
	ok(t, err)
	ok(t, s.Update(increment))
	after, err := os.Stat(filepath.Join(filepath.Dir(s.Path()), "state.db.gate"))
	ok(t, err)
	same(t, os.SameFile(before, after), true)
}
