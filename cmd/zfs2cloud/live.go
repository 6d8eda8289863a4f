package main

import (
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
	step  int
	since time.Time
}

func (a *App) draw(t *taken, r state.Run) *live {
	l := &live{app: a, step: -1}
	if !a.Terminal || a.Verbose > 0 {
		return l
	}
	to := r.Frozen.Remote
	if to == "" {
		to = r.Frozen.IntermediateDir
	}
	fmt.Fprintf(a.Err, "%s to %s, run %s\n", r.Frozen.Dataset, safe(to), r.ID)
	l.bars = mpb.New(mpb.WithOutput(a.Err), mpb.WithRefreshRate(200*time.Millisecond), mpb.WithWidth(32))
	return l
}

func (l *live) watch() workflow.Watch {
	w := workflow.Watch{Step: l.log}
	if l.bars != nil {
		w = workflow.Watch{Step: l.onStep, Progress: l.onProgress}
	}
	return w
}

func (l *live) log(r state.Run, i int) {
	step := r.Steps[i]
	l.app.Log.Info(step.State.String(), "run", r.ID, "step", step.Shown, "detail", step.Detail)
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
	fmt.Fprintf(l.bars, "  %-8s %-30s %8s  %s\n", step.State, safe(step.Shown), took, safe(step.Detail))
}

// onProgress draws the bar of a step that measures itself in bytes.
func (l *live) onProgress(i int, done, total int64, estimated bool) {
	if l.bar == nil {
		l.bar = l.bars.New(max(total, 0), mpb.BarStyle().Lbound("[").Filler("#").Tip("#").Padding("-").Rbound("]"),
			mpb.BarRemoveOnComplete(), mpb.PrependDecorators(decor.Any(l.left(i, estimated))), mpb.AppendDecorators(decor.Any(l.right(total > 0))))
	}
	if total > 0 {
		// An estimate is not a promise: the bar is full only when the step is over.
		done = min(done, total-1)
		l.bar.SetTotal(total, false)
	}
	l.bar.SetCurrent(done)
}

func (l *live) left(i int, estimated bool) func(decor.Statistics) string {
	return func(s decor.Statistics) string {
		of := ""
		if s.Total > 0 {
			mark := ""
			if estimated {
				mark = "~"
			}
			of = fmt.Sprintf(" %2d%%  %s of %s%s", min(99, s.Current*100/s.Total), size(s.Current), mark, size(s.Total))
		} else {
			of = "  " + size(s.Current)
		}
		return "  running " + of + " "
	}
}

func (l *live) right(bounded bool) func(decor.Statistics) string {
	return func(s decor.Statistics) string {
		took := l.app.World.Now().Sub(l.since)
		if took < time.Second || s.Current == 0 {
			return ""
		}
		perSecond := float64(s.Current) / took.Seconds()
		text := " " + rate(perSecond)
		if bounded {
			text += "  " + duration(time.Duration(float64(s.Total-s.Current)/perSecond*float64(time.Second))) + " left"
		}
		return text
	}
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
	l.clear()
	l.bars.Wait()
	l.bars = nil
}
