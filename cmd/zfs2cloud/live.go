package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// live draws what a run is doing: a line for each step that is over, and a bar for the one at work, where
// there is something to measure. Off a terminal it draws nothing.
type live struct {
	app   *App
	mpb   *mpb.Progress
	steps []state.Step
	since time.Time
	quiet func() bool

	mu   sync.Mutex
	bars map[int]*bar // by step: uploads go on beside an export
}

// bar measures one step.
type bar struct {
	*mpb.Bar
	since time.Time
	from  int64 // bytes that were done when it began: they are no part of its rate
}

func (a *App) draw(t *taken, r state.Run) *live {
	l := &live{app: a, steps: r.Steps, since: a.World.Now(), bars: map[int]*bar{}}
	if !a.Terminal || a.Verbose > 0 {
		return l
	}
	to := r.Frozen.Remote
	if to == "" {
		to = r.Frozen.IntermediateDir
	}
	fmt.Fprintf(a.Err, "%s to %s, run %s\n", r.Frozen.Dataset, safe(to), r.ID)
	l.mpb = mpb.New(mpb.WithOutput(a.Err), mpb.WithRefreshRate(200*time.Millisecond), mpb.WithWidth(30))
	l.quiet = context.AfterFunc(a.Stop.Soft(), func() {
		fmt.Fprintln(l.mpb, "stopping at the next checkpoint; again to end a script that hangs")
	})
	return l
}

func (l *live) watch() workflow.Watch {
	w := workflow.Watch{Step: l.log, Progress: l.logProgress}
	if l.mpb != nil {
		w = workflow.Watch{Step: l.onStep, Progress: l.onProgress}
	}
	return w
}

func (l *live) log(r state.Run, i int) {
	step := r.Steps[i]
	l.app.Log.Info(step.State.String(), "run", r.ID, "step", step.Shown, "detail", step.Detail)
}

// logProgress is a line a minute.
func (l *live) logProgress(i int, done, total int64, estimated bool) {
	now := l.app.World.Now()
	if now.Sub(l.since) < time.Minute {
		return
	}
	l.since = now
	how := size(done)
	if total > 0 {
		how = sizeOf(done, total, estimated)
	}
	l.app.Log.Info("progress", "step", l.steps[i].Shown, "done", how)
}

func (l *live) onStep(r state.Run, i int) {
	step := r.Steps[i]
	if workflow.StepMachine.In(step.State, workflow.StepRunning) {
		return
	}
	l.clear(i)
	if step.Implied && !workflow.StepMachine.In(step.State, workflow.StepFailed) {
		return
	}
	took := ""
	if step.Started != nil && step.Ended != nil {
		took = duration(step.Ended.Sub(*step.Started))
	}
	fmt.Fprintf(l.mpb, "  %-8s %-31s%7s  %s\n", step.State, safe(step.Shown), took, safe(step.Detail))
}

// onProgress draws the bar of a step that measures itself in bytes.
func (l *live) onProgress(i int, done, total int64, estimated bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bars[i]
	if b == nil {
		b = l.newBar(i, done, total, estimated)
		l.bars[i] = b
	}
	if total > 0 {
		// An estimate is not a promise: the bar is full only when the step is over.
		done = min(done, total-1)
		b.SetTotal(total, false)
	}
	b.SetCurrent(done)
}

// newBar draws a line: what is at work, how far, how fast, and, where the total is known and the terminal
// wide enough, a bar and the time left.
func (l *live) newBar(i int, done, total int64, estimated bool) *bar {
	var style mpb.BarFillerBuilder = mpb.NopStyle()
	if total > 0 && width(l.app.Err) >= 80 {
		style = mpb.BarStyle().Lbound("[").Filler("#").Tip("#").Padding("-").Rbound("]")
	}
	b := &bar{since: l.app.World.Now(), from: done}
	name := safe(l.steps[i].Shown)
	how := func(s decor.Statistics) string {
		text := fmt.Sprintf("  running  %-30s ", name)
		if s.Total > 0 && total > 0 {
			text += fmt.Sprintf("%2d%%  %s", percent(s.Current, s.Total), sizeOf(s.Current, s.Total, estimated))
		} else {
			text += size(s.Current)
		}
		if took := l.app.World.Now().Sub(b.since); took >= time.Second {
			text += "  " + rate(perSecond(s.Current-b.from, took))
		}
		return text + " "
	}
	rest := func(s decor.Statistics) string {
		took := l.app.World.Now().Sub(b.since)
		if total <= 0 || took < 3*time.Second || s.Current <= b.from {
			return ""
		}
		return " " + duration(left(s.Total-s.Current, perSecond(s.Current-b.from, took))) + " left"
	}
	b.Bar = l.mpb.New(max(total, 0), style, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(decor.Any(how)), mpb.AppendDecorators(decor.Any(rest)))
	return b
}

// clear takes a step's bar away.
func (l *live) clear(i int) {
	l.mu.Lock()
	b := l.bars[i]
	delete(l.bars, i)
	l.mu.Unlock()
	if b != nil {
		b.Abort(true)
		b.Wait()
	}
}

func (l *live) stop() {
	if l.mpb == nil {
		return
	}
	l.quiet()
	for i := range l.steps {
		l.clear(i)
	}
	l.mpb.Wait()
	l.mpb = nil
}
