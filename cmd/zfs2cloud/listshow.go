package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/manifest"
)

// columns prints rows whose cells stand below each other, also where not all rows are known when the first is printed.
type columns struct {
	to     io.Writer
	widths []int
}

// fit makes the columns wide enough for a row. The last is as wide as it is.
func (c *columns) fit(cells []string) {
	for i, cell := range cells[:len(cells)-1] {
		if i == len(c.widths) {
			c.widths = append(c.widths, 0)
		}
		c.widths[i] = max(c.widths[i], utf8.RuneCountInString(cell))
	}
}

func (c *columns) print(cells []string) {
	c.fit(cells)
	var line strings.Builder
	for i, cell := range cells {
		line.WriteString(cell)
		if i < len(cells)-1 {
			line.WriteString(strings.Repeat(" ", c.widths[i]-utf8.RuneCountInString(cell)+2))
		}
	}
	fmt.Fprintln(c.to, line.String())
}

// widest is how wide cells may be, where rows are printed before all are known.
var widest = []string{"20261125025204-full", "incremental", "20261125025204-full", "1,204", "1023 KiB", "694 days", "decrypted, 47h ago", ""}

// cells is a row of the table.
func (l *lister) cells(b listed) []string {
	now := l.app.World.Now()
	cells := []string{b.Name, b.kind(), or(b.Base, "-"), count(b.Chunks), size(b.Bytes), briefly(max(0, now.Sub(b.Created))), b.verified(now), b.restorable()}
	switch {
	case l.several:
		cells = append([]string{or(b.Dataset, "-")}, cells...)
	case b.Dataset != nil && l.one != "" && *b.Dataset != l.one: // when the column was left out, nobody knew
		cells[len(cells)-1] += ", of " + *b.Dataset
	}
	return cells
}

// printRows prints those that are not printed yet, the newest first. MORE are to come.
func (l *lister) printRows(backups []listed, more bool) {
	if l.shown == 0 {
		l.one, l.several = datasetOf(backups)
		head := []string{"BACKUP", "KIND", "BASE", "CHUNKS", "SIZE", "AGE", "VERIFIED", "RESTORABLE"}
		wide := widest
		if l.several {
			head, wide = append([]string{"DATASET"}, head...), append([]string{""}, wide...)
		}
		if more {
			l.out.fit(wide)
		}
		l.out.fit(head)
		for _, b := range backups {
			l.out.fit(l.cells(b))
		}
		l.out.print(head)
	}
	for _, b := range backups[l.shown:] {
		l.out.print(l.cells(b))
	}
	l.shown = len(backups)
}

// datasetOf is the dataset that backups are of, the newest's, or tells that they are of several.
func datasetOf(backups []listed) (one string, several bool) {
	for _, b := range backups {
		switch {
		case b.Dataset == nil:
		case one == "":
			one = *b.Dataset
		case *b.Dataset != one:
			return one, true
		}
	}
	return one, false
}

// mostDeep bounds how far a row is moved to the right: an incremental that is based on another says on which.
const mostDeep = 6

// tree is backups by what they are based on.
type tree struct {
	*lister
	below map[string][]listed // by the base's name, the oldest first
}

// printTree prints chains, the newest first, in each of them a full and below it what is based on it, the oldest first.
// Apart from them stand those that have lost what they are based on, and those of which nobody knows what it is.
func (l *lister) printTree(backups []listed) {
	l.one, l.several = datasetOf(backups)
	t := tree{lister: l, below: map[string][]listed{}}
	there, lost := map[string]bool{}, map[string]bool{}
	for _, b := range backups {
		there[b.Name] = true
		lost[b.Name] = b.Problem != nil && (*b.Problem == string(catalog.BaseMissing) || *b.Problem == string(catalog.Orphaned))
	}
	var chains, orphans, rest []listed
	for _, b := range backups {
		switch {
		case b.Dataset == nil && b.Format == ownFormat:
			rest = append(rest, b)
		case b.Base == nil && b.Kind == manifest.Full:
			chains = append(chains, b)
		case b.Base == nil || !there[*b.Base] || lost[b.Name] && !lost[*b.Base]: // what hangs on an orphan stays below it
			orphans = append(orphans, b)
		default:
			t.below[*b.Base] = append([]listed{b}, t.below[*b.Base]...)
		}
	}
	head := []string{"BACKUP", "CHUNKS", "SIZE", "AGE", "VERIFIED", "RESTORABLE"}
	if l.several {
		head = slices.Insert(head, 1, "DATASET")
	}
	l.out.fit(head)
	t.each(slices.Concat(chains, orphans, rest), 0, func(b listed, deep int) { l.out.fit(t.cells(b, deep)) })
	l.out.print(head)
	print := func(b listed, deep int) { l.out.print(t.cells(b, deep)) }
	t.each(chains, 0, print)
	for _, part := range []struct {
		title string
		of    []listed
	}{{"Orphaned: what they are based on is not there, or is another.", orphans}, {"Without a manifest that opens:", rest}} {
		if len(part.of) > 0 {
			fmt.Fprintf(l.app.Out, "\n%s\n", part.title)
			t.each(part.of, 0, print)
		}
	}
}

// each goes through backups, each followed by what hangs on it. Stamps grow from base to base, so that there is an end.
func (t tree) each(backups []listed, deep int, do func(b listed, deep int)) {
	for _, b := range backups {
		do(b, deep)
		t.each(t.below[b.Name], deep+1, do)
	}
}

// cells is a row of the tree.
func (t tree) cells(b listed, deep int) []string {
	now := t.app.World.Now()
	name := strings.Repeat("  ", min(deep, mostDeep)) + b.Name
	if deep > 1 {
		name += " on " + *b.Base
	}
	if b.Format == pythonFormat {
		name += " (python)"
	}
	cells := []string{name, count(b.Chunks), size(b.Bytes), briefly(max(0, now.Sub(b.Created))), b.verified(now), b.restorable()}
	if t.several {
		cells = slices.Insert(cells, 1, or(b.Dataset, "-"))
	}
	return cells
}
