package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// block is what status says about one job or one run: the state's word, beside it lines that say since when
// and where, then rows with a label, the last of which is what to type.
type block struct {
	rank    rank
	word    string
	mood    mood
	subject string   // what it is about, in front of the first line
	lines   []string // at least one
	rows    []row
}

// row is a labelled line. A command is painted, and its remark stands behind it.
type row struct{ label, text, command, remark string }

// rank orders blocks: the worst first.
type rank int

const (
	rankAppStopped rank = iota
	rankStuck
	rankBad
	rankLate
	rankFailed
	rankUnknown
	rankAborting
	rankInterrupted
	rankLocked
	rankNew
	rankRunning
	rankOK
)

const labelWidth = 13 // INTERRUPTED and two blanks

func (b *block) say(format string, args ...any) {
	b.lines = append(b.lines, fmt.Sprintf(format, args...))
}

func (b *block) row(label, text string) { b.rows = append(b.rows, row{label: label, text: text}) }

// before puts rows in front of what is to be typed.
func (b *block) before(rows ...row) {
	at := slices.IndexFunc(b.rows, func(r row) bool { return r.label == "next" })
	if at < 0 {
		at = len(b.rows)
	}
	b.rows = slices.Insert(b.rows, at, rows...)
}

// next adds a command to type, or, if there is one before, another way or step.
func (b *block) next(label, command, remark string) {
	b.rows = append(b.rows, row{label: label, command: command, remark: remark})
}

func (b *block) print(w io.Writer, s style) error {
	var out strings.Builder
	label := s.word(b.mood, fmt.Sprintf("%-*s", labelWidth, b.word))
	if b.subject != "" {
		label += b.subject + "   "
	}
	for _, line := range b.lines {
		out.WriteString(label + line + "\n")
		label = strings.Repeat(" ", labelWidth)
	}
	longest := 0
	for _, r := range b.rows {
		longest = max(longest, len(r.command))
	}
	for _, r := range b.rows {
		text := s.command(r.command) + r.text
		if r.remark != "" {
			text += strings.Repeat(" ", longest-len(r.command)+3) + r.remark
		}
		fmt.Fprintf(&out, "%-*s%s\n", labelWidth, r.label, text)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// oneLine tells whether the block needs no blank line around it.
func (b *block) oneLine() bool { return len(b.lines)+len(b.rows) == 1 }

func printBlocks(w io.Writer, s style, blocks []block) error {
	for i := range blocks {
		if i > 0 && !(blocks[i-1].oneLine() && blocks[i].oneLine()) {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := blocks[i].print(w, s); err != nil {
			return err
		}
	}
	return nil
}
