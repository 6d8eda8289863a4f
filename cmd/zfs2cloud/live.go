package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// live draws what a run is doing: a line for each step that is over, and a bar for each at work that has
// something to measure. Off a terminal it draws nothing.
type live struct {
	app   *App
	on    bool
	steps []state.Step
	since time.Time
	quiet func() bool

	mu   sync.Mutex
	mpb  *mpb.Progress // while there are bars
	bars map[int]*bar  // by step: uploads go on beside an export
}

// bar measures one step.
type bar struct {
	*mpb.Bar
	since time.Time
	from  int64       // bytes that were done when it began: they are no part of its rate
	about atomic.Bool // its total is an estimate
}

func (a *App) draw(r state.Run) *live {
	l := &live{app: a, on: a.Terminal && a.Verbose == 0, steps: r.Steps, since: a.World.Now(), bars: map[int]*bar{}}
	if !l.on {
		return l
	}
	to := r.Frozen.Remote
	if to == "" {
		to = r.Frozen.IntermediateDir
	}
	fmt.Fprintf(a.Err, "%s to %s, run %s\n", r.Frozen.Dataset, safe(to), r.ID)
	l.quiet = context.AfterFunc(a.Stop.Soft(), func() {
		l.say("stopping at the next checkpoint; again to end a script that hangs\n")
	})
	return l
}

// say prints a line above the bars.
func (l *live) say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var to io.Writer = l.app.Err
	if l.mpb != nil {
		to = l.mpb
	}
	fmt.Fprintf(to, format, args...)
}

func (l *live) watch() workflow.Watch {
	if l.on {
		return workflow.Watch{Step: l.onStep, Progress: l.onProgress}
	}
	return workflow.Watch{Step: l.log, Progress: l.logProgress}
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
	l.say("  %-8s %-31s%7s  %s\n", step.State, safe(step.Shown), took, safe(step.Detail))
}

// onProgress draws the bar of a step that measures itself in bytes.
func (l *live) onProgress(i int, done, total int64, estimated bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bars[i]
	if b == nil {
		b = l.newBar(i, done, total)
		l.bars[i] = b
	}
	b.about.Store(estimated)
	if total > 0 {
		// An estimate is not a promise: the bar is full only when the step is over.
		done = min(done, total-1)
		b.SetTotal(total, false)
	}
	b.SetCurrent(done)
}

// newBar draws a line: what is at work, how far, how fast, and, where the total is known and the terminal
// wide enough, a bar and the time left.
func (l *live) newBar(i int, done, total int64) *bar {
	var style mpb.BarFillerBuilder = mpb.NopStyle()
	if total > 0 && width(l.app.Err) >= 80 {
		style = mpb.BarStyle().Lbound("[").Filler("#").Tip("#").Padding("-").Rbound("]")
	}
	b := &bar{since: l.app.World.Now(), from: done}
	name := safe(l.steps[i].Shown)
	how := func(s decor.Statistics) string {
		text := fmt.Sprintf("  running  %-30s ", name)
		if s.Total > 0 && total > 0 {
			text += fmt.Sprintf("%2d%%  %s", percent(s.Current, s.Total), sizeOf(s.Current, s.Total, b.about.Load()))
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
	if l.mpb == nil {
		l.mpb = mpb.New(mpb.WithOutput(l.app.Err), mpb.WithRefreshRate(200*time.Millisecond), mpb.WithWidth(30))
	}
	b.Bar = l.mpb.New(max(total, 0), style, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(decor.Any(how)), mpb.AppendDecorators(decor.Any(rest)))
	return b
}

// clear takes a step's bar away.
func (l *live) clear(i int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bars[i]
	if b == nil {
		return
	}
	delete(l.bars, i)
	b.Abort(true)
	b.Wait()
	if len(l.bars) == 0 {
		l.mpb.Wait()
		l.mpb = nil
	}
}

func (l *live) stop() {
	if !l.on {
		return
	}
	l.quiet()
	for i := range l.steps {
		l.clear(i)
	}
}
