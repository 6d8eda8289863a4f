package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"zfs2cloud/actions/catalog"
)

// Opening thousands of manifests takes minutes. On a terminal somebody waits: a line says how far it is, and rows of the
// table are printed when all is known of them, so that the newest, which are opened first, stand there at once.

const (
	// soon is when an answer comes soon enough: before, nothing is drawn, and the table is laid out by all of its rows.
	soon = time.Second
	// drawEach is how often the line is drawn.
	drawEach = 200 * time.Millisecond
)

// waiting draws while a catalog is read.
type waiting struct {
	*lister
	rows  bool // rows are printed as they become known
	began time.Time
	said  time.Time // in the log
	had   int       // folders that were known at once: they are no part of the rate
	drawn int       // columns of the line
	known []listed  // the newest, as far as all is known of each
}

// read looks into all folders. ROWS: what is printed in the end is the table, and may be begun before.
func (l *lister) read(ctx context.Context, rows bool) ([]*catalog.Entry, error) {
	now := l.app.World.Now()
	w := &waiting{lister: l, rows: rows && isTerminal(l.app.Out), began: now, said: now}
	over := make(chan struct{})
	var drawing sync.WaitGroup
	drawing.Go(func() {
		tick := time.NewTicker(drawEach)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				w.show(ctx)
			}
		}
	})
	entries, err := l.catalog.ReadAll(ctx)
	close(over)
	drawing.Wait()
	w.clear()
	return entries, err
}

// show says how far it is.
func (w *waiting) show(ctx context.Context) {
	done, total := w.catalog.Progress()
	now := w.app.World.Now()
	took := now.Sub(w.began)
	switch {
	case took < soon:
		w.had = done
		return
	case w.app.Verbose > 0 || !w.app.Terminal:
		if now.Sub(w.said) >= time.Minute {
			w.said = now
			w.app.Log.Info("looked into", "folders", done, "of", total)
		}
		return
	}
	line := fmt.Sprintf("looked into %s of %s", count(done), counted(total, "folder"))
	if done == 0 {
		line = "looking at what lies there"
	}
	if rest := left(int64(total-done), perSecond(int64(done-w.had), took)); rest > 0 {
		line += ", " + duration(rest) + " left"
	}
	if w.rows {
		if w.settle(ctx); len(w.known) > w.shown {
			w.clear()
			w.printRows(w.known, done < total)
		}
	}
	w.draw(line)
}

// settle goes on with those of which all is known by now.
func (w *waiting) settle(ctx context.Context) {
	for _, name := range w.catalog.Folders[len(w.known):] {
		if !w.catalog.Settled(name) {
			return
		}
		e, err := w.catalog.Entry(ctx, name)
		if err != nil {
			return
		}
		w.known = append(w.known, w.backup(ctx, e))
	}
}

// draw draws the line in place of the one before. It has no escape sequences, which not every terminal knows.
func (w *waiting) draw(line string) {
	if columns := width(w.app.Err); columns > 0 && utf8.RuneCountInString(line) >= columns {
		line = string([]rune(line)[:columns-1])
	}
	long := utf8.RuneCountInString(line)
	fmt.Fprintf(w.app.Err, "\r%s%s", line, strings.Repeat(" ", max(0, w.drawn-long)))
	w.drawn = long
}

func (w *waiting) clear() {
	if w.drawn > 0 {
		fmt.Fprintf(w.app.Err, "\r%s\r", strings.Repeat(" ", w.drawn))
		w.drawn = 0
	}
}
