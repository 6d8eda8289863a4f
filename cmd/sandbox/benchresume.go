package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// resumed is a run that was killed when a part of its chunks was there, and what it took to finish it.
type resumed struct {
	Percent int    `json:"percent"`      // of its chunks, when it was to be killed
	Chunks  int    `json:"chunks_there"` // when it was killed
	Of      int    `json:"chunks"`
	Killed  int64  `json:"killed_after_ns"`
	Rest    result `json:"resume"`
}

// killAndResume does it once.
func (b *bench) killAndResume(ctx context.Context, s scene, percent int) (resumed, error) {
	a, err := b.prepare(s)
	if err != nil {
		return resumed{}, err
	}
	defer a.clear()
	b.settle()
	r := resumed{Percent: percent, Of: int((b.Size + b.Split) / b.Split)} // a stream is a little longer than its data
	c, err := a.command("run")
	if err != nil {
		return r, err
	}
	began := time.Now()
	child, err := a.host.Start(ctx, c)
	if err != nil {
		return r, err
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for r.Chunks*100 < r.Of*percent {
		select {
		case err := <-ended:
			return r, fmt.Errorf("the run ended before %d %% of its chunks were seen there: %v", percent, err)
		case <-time.After(20 * time.Millisecond):
		}
		if r.Chunks, err = a.there(); err != nil {
			return r, err
		}
	}
	if err := unix.Kill(child.Process.Pid, unix.SIGKILL); err != nil {
		return r, err
	}
	<-ended
	r.Killed = time.Since(began).Nanoseconds()
	if c, err = a.command("resume"); err != nil {
		return r, err
	}
	r.Rest, err = a.own(ctx, c)
	return r, err
}

// there is how many chunks are on the remote.
func (a *attempt) there() (int, error) {
	spool, err := look(a.spool)
	if err != nil {
		return 0, err
	}
	kept, err := look(a.kept)
	return len(kept.whole(spool)), err
}
