package main

import (
	"context"
	"fmt"
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
	bars  *mpb.Progress
	bar   *mpb.Bar
	steps []state.Step
	step  int // at work
	since time.Time
	from  int64 // bytes that were done when the step began: they are no part of its rate
	quiet func() bool
}

func (a *App) draw(t *taken, r state.Run) *live {
	l := &live{app: a, steps: r.Steps, since: a.World.Now()}
	if !a.Terminal || a.Verbose > 0 {
		return l
	}
	to := r.Frozen.Remote
	if to == "" {
		to = r.Frozen.IntermediateDir
	}
	fmt.Fprintf(a.Err, "%s to %s, run %s\n", r.Frozen.Dataset, safe(to), r.ID)
	l.bars = mpb.New(mpb.WithOutput(a.Err), mpb.WithRefreshRate(200*time.Millisecond), mpb.WithWidth(30))
	l.quiet = context.AfterFunc(a.Stop.Soft(), func() {
		fmt.Fprintln(l.bars, "stopping at the next checkpoint; again to end a script that hangs")
	})
	return l
}

func (l *live) watch() workflow.Watch {
	w := workflow.Watch{Step: l.log, Progress: l.logProgress}
	if l.bars != nil {
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
	running := workflow.StepMachine.In(step.State, workflow.StepRunning)
	if running {
		l.step, l.since = i, l.app.World.Now()
		return
	}
	l.clear()
	if step.Implied && !workflow.StepMachine.In(step.State, workflow.StepFailed) {
		return
	}
	took := ""
	if step.Started != nil && step.Ended != nil {
		took = duration(step.Ended.Sub(*step.Started))
	}
	fmt.Fprintf(l.bars, "  %-8s %-31s%7s  %s\n", step.State, safe(step.Shown), took, safe(step.Detail))
}

// onProgress draws the bar of a step that measures itself in bytes.
func (l *live) onProgress(i int, done, total int64, estimated bool) {
	if l.bar == nil {
		l.from = done
		l.bar = l.newBar(total, estimated)
	}
	if total > 0 {
		// An estimate is not a promise: the bar is full only when the step is over.
		done = min(done, total-1)
		l.bar.SetTotal(total, false)
	}
	l.bar.SetCurrent(done)
}

// newBar draws a line: what is at work, how far, how fast, and, where the total is known and the terminal
// wide enough, a bar and the time left.
func (l *live) newBar(total int64, estimated bool) *mpb.Bar {
	var style mpb.BarFillerBuilder = mpb.NopStyle()
	if total > 0 && width(l.app.Err) >= 80 {
		style = mpb.BarStyle().Lbound("[").Filler("#").Tip("#").Padding("-").Rbound("]")
	}
	name := safe(l.steps[l.step].Shown)
	how := func(s decor.Statistics) string {
		text := fmt.Sprintf("  running  %-30s ", name)
		if s.Total > 0 && total > 0 {
			text += fmt.Sprintf("%2d%%  %s", percent(s.Current, s.Total), sizeOf(s.Current, s.Total, estimated))
		} else {
			text += size(s.Current)
		}
		if took := l.app.World.Now().Sub(l.since); took >= time.Second {
			text += "  " + rate(perSecond(s.Current-l.from, took))
		}
		return text + " "
	}
	rest := func(s decor.Statistics) string {
		took := l.app.World.Now().Sub(l.since)
		if total <= 0 || took < 3*time.Second || s.Current <= l.from {
			return ""
		}
		return " " + duration(left(s.Total-s.Current, perSecond(s.Current-l.from, took))) + " left"
	}
	return l.bars.New(max(total, 0), style, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(decor.Any(how)), mpb.AppendDecorators(decor.Any(rest)))
}

// clear takes the bar away.
func (l *live) clear() {
	if l.bar != nil {
		l.bar.Abort(true)
		l.bar.Wait()
		l.bar = nil
	}
}

func (l *live) stop() {
	if l.bars == nil {
		return
	}
	l.quiet()
	l.clear()
	l.bars.Wait()
	l.bars = nil
}
