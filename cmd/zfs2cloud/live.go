package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// live draws what a run is doing: a line for each step that is over, and one for each at work, which says for how
// long, or, once there is something to measure, how far it is. Off a terminal it draws nothing.
type live struct {
	app   *App
	on    bool
	run   state.Run // as it was in the beginning
	steps []state.Step
	since time.Time
	quiet func() bool
	ends  ends

	mu   sync.Mutex
	hook string        // the script that is at work
	mpb  *mpb.Progress // while there are bars
	bars map[int]*bar  // by step: uploads go on beside an export
	gone bool          // the terminal is no more: nothing is drawn from then on
}

// bar is the line of one step at work.
type bar struct {
	*mpb.Bar
	since    time.Time
	measured bool        // else it only says for how long
	from     int64       // bytes that were done when it began: they are no part of its rate
	about    atomic.Bool // its total is an estimate
}

func (a *App) draw(r state.Run) *live {
	l := &live{app: a, on: a.Terminal && a.Verbose == 0, run: r, steps: r.Steps, since: a.World.Now(), bars: map[int]*bar{}}
	if !l.on {
		return l
	}
	fmt.Fprintf(a.Err, "%s, run %s\n", runHead(r), r.ID)
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
	switch {
	case l.on:
		return workflow.Watch{Step: l.onStep, Progress: l.onProgress}
	case l.app.JSON != nil:
		return l.app.jsonWatch(l.run)
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
		l.begin(i)
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
	l.say("%s", over(step, took, width(l.app.Err)))
}

// over is the line of a step that is over. Where there is no room for all of it, what came of the step gets a line of
// its own.
func over(step state.Step, took string, columns int) string {
	name, detail := safe(step.Shown), safe(step.Detail)
	line := fmt.Sprintf("  %-8s %-31s%7s  %s", step.State, name, took, detail)
	if columns == 0 || len([]rune(line)) <= columns {
		return strings.TrimRight(line, " ") + "\n"
	}
	line = fmt.Sprintf("  %-8s %-31s%7s", step.State, name, took)
	if len([]rune(line)) > columns {
		line = fmt.Sprintf("  %-8s %s  %s", step.State, name, took)
	}
	line = strings.TrimRight(line, " ") + "\n"
	if detail != "" {
		line += fmt.Sprintf("  %-8s %s\n", "", detail)
	}
	return line
}

func (l *live) setHook(name string, running bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hook = ""
	if running {
		l.hook = name
	}
}

// begin draws the line of a step that has nothing measured yet. Those that a plan implies have none.
func (l *live) begin(i int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bars[i] == nil && !l.steps[i].Implied {
		b := &bar{since: l.app.World.Now()}
		l.draw(i, b, 0)
	}
}

// onProgress draws the bar of a step that measures itself in bytes.
func (l *live) onProgress(i int, done, total int64, estimated bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bars[i]
	if b == nil || !b.measured {
		l.drop(i)
		b = &bar{since: l.app.World.Now(), measured: true, from: done}
		l.draw(i, b, total)
	}
	if l.gone {
		return
	}
	b.about.Store(estimated)
	if total > 0 {
		// An estimate is not a promise: the bar is full only when the step is over.
		done = min(done, total-1)
		b.SetTotal(total, false)
	}
	b.SetCurrent(done)
	now := l.app.World.Now()
	if took := now.Sub(b.since); total > 0 && took >= 3*time.Second && done > b.from {
		l.ends.set(i, now.Add(left(total-done, perSecond(done-b.from, took))))
	}
}

// ends is when the steps at work will be over, by step, as far as that can be told. Whoever draws a line asks it, with
// no other lock.
type ends struct {
	mu sync.Mutex
	at map[int]time.Time
}

func (e *ends) set(i int, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.at == nil {
		e.at = map[int]time.Time{}
	}
	e.at[i] = at
}

func (e *ends) forget(i int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.at, i)
}

// left is the time until all is over that is at work, which the last step of it says and no other: an upload can't be
// over before the export beside it is.
func (e *ends) left(i int, now time.Time) (left time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.at[i].IsZero() {
		return 0
	}
	for step, at := range e.at {
		if step > i {
			return 0
		}
		left = max(left, at.Sub(now))
	}
	return left
}

// draw draws a line: what is at work, how far, how fast, and, where the total is known and the terminal wide
// enough, a bar and the time left.
func (l *live) draw(i int, b *bar, total int64) {
	if l.gone {
		return
	}
	var style mpb.BarFillerBuilder = mpb.NopStyle()
	if total > 0 && width(l.app.Err) >= wide {
		style = mpb.BarStyle().Lbound("[").Filler("#").Tip("#").Padding("-").Rbound("]")
	}
	name := safe(l.steps[i].Shown)
	how := func(s decor.Statistics) string {
		if total <= 0 {
			s.Total = 0
		}
		return b.line(name, s, l.app.World.Now(), width(l.app.Err))
	}
	rest := func(decor.Statistics) string {
		left := l.ends.left(i, l.app.World.Now())
		if left <= 0 || width(l.app.Err) < wide {
			return ""
		}
		return " " + duration(left) + " left"
	}
	if l.mpb == nil {
		l.mpb = mpb.New(mpb.WithOutput(l.app.Err), mpb.WithRefreshRate(200*time.Millisecond), mpb.WithWidth(30))
	}
	bar, err := l.mpb.Add(max(total, 0), style.Build(), mpb.BarRemoveOnComplete(), mpb.PrependDecorators(decor.Any(how)), mpb.AppendDecorators(decor.Any(rest)))
	if err != nil { // mpb is over once it can't ask the terminal for its size; its New panics then
		l.gone = true
		for i := range l.steps {
			l.drop(i)
		}
		l.mpb = nil
		return
	}
	b.Bar = bar
	l.bars[i] = b
}

// Below these widths a line has no bar, and then only the share.
const (
	wide   = 80
	narrow = 50
)

// line says what is at work, how far and how fast, or for how long: where there is no room the rate goes, then the
// amount, and a name is cut before the share is.
func (b *bar) line(name string, s decor.Statistics, now time.Time, columns int) string {
	took := now.Sub(b.since)
	far, fast := duration(took), ""
	if b.measured {
		far = size(s.Current)
	}
	if s.Total > 0 {
		far = fmt.Sprintf("%2d%%  %s", percent(s.Current, s.Total), sizeOf(s.Current, s.Total, b.about.Load()))
	}
	if b.measured && took >= time.Second {
		fast = "  " + rate(perSecond(s.Current-b.from, took))
	}
	switch {
	case columns > 0 && columns < wide:
	case !b.measured:
		return fmt.Sprintf("  running  %-31s%7s ", name, far)
	default:
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
	l.drop(i)
}

// drop is clear for whoever holds the mutex.
func (l *live) drop(i int) {
	b := l.bars[i]
	if b == nil {
		return
	}
	delete(l.bars, i)
	l.ends.forget(i)
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
