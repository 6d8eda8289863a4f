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
	hook string        // the script that is at work
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
		l.say("%s\n", l.stopping())
	})
	return l
}

// stopping says what a first signal does. A script is waited for: what it leaves half done nobody can mend.
func (l *live) stopping() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hook == "" {
		return "stopping at the next checkpoint"
	}
	return "stopping when " + safe(l.hook) + " is over; again to end it"
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
	running := workflow.StepMachine.In(step.State, workflow.StepRunning)
	if workflow.Kind(step.Kind) == workflow.Hook {
		l.setHook(step.Shown, running)
	}
	if running {
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

func (l *live) setHook(name string, running bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hook = ""
	if running {
		l.hook = name
	}
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
	if total > 0 && width(l.app.Err) >= wide {
		style = mpb.BarStyle().Lbound("[").Filler("#").Tip("#").Padding("-").Rbound("]")
	}
	b := &bar{since: l.app.World.Now(), from: done}
	name := safe(l.steps[i].Shown)
	how := func(s decor.Statistics) string {
		if total <= 0 {
			s.Total = 0
		}
		return b.line(name, s, l.app.World.Now(), width(l.app.Err))
	}
	rest := func(s decor.Statistics) string {
		took := l.app.World.Now().Sub(b.since)
		if total <= 0 || width(l.app.Err) < wide || took < 3*time.Second || s.Current <= b.from {
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

// Below these widths a line has no bar, and then only the share.
const (
	wide   = 80
	narrow = 50
)

// line says what is at work, how far and how fast: where there is no room the rate goes, then the amount, and a
// name is cut before the share is.
func (b *bar) line(name string, s decor.Statistics, now time.Time, columns int) string {
	far, fast := size(s.Current), ""
	if s.Total > 0 {
		far = fmt.Sprintf("%2d%%  %s", percent(s.Current, s.Total), sizeOf(s.Current, s.Total, b.about.Load()))
	}
	if took := now.Sub(b.since); took >= time.Second {
		fast = "  " + rate(perSecond(s.Current-b.from, took))
	}
	if columns == 0 || columns >= wide {
		return fmt.Sprintf("  running  %-30s %s%s ", name, far, fast)
	}
	if columns < narrow && s.Total > 0 {
		far = fmt.Sprintf("%2d%%", percent(s.Current, s.Total))
	}
	const before, after = "  running  ", 3 // two blanks, and the last column, where terminals wrap
	room := columns - len(before) - len(far) - after
	if cut := []rune(name); len(cut) > room {
		name = string(cut[:max(room-1, 0)]) + "…"
	}
	text := before + name + "  " + far
	if len([]rune(text))+len(fast) < columns {
		text += fast
	}
	return text
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
