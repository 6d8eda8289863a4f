package main

import (
	"io"
	"os"
	"text/tabwriter"

	"golang.org/x/term"
)

// Colour only underlines: the meaning is in the words. It is for the state word and the next command, on a
// terminal that has not asked to be left alone (no-color.org).

// style paints, or leaves as it is.
type style struct{ colour bool }

func styleOf(w io.Writer, getenv func(string) string) style {
	return style{colour: isTerminal(w) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"}
}

// Select Graphic Rendition, ECMA-48 8.3.117.
const (
	sgrOff    = "\x1b[0m"
	sgrBold   = "\x1b[1m"
	sgrRed    = "\x1b[1;31m"
	sgrGreen  = "\x1b[32m"
	sgrYellow = "\x1b[33m"
)

// mood is how good or bad a state is.
type mood string

const (
	good  mood = sgrGreen
	wary  mood = sgrYellow
	wrong mood = sgrRed
)

// word paints a state word. What is padded is padded before.
func (s style) word(m mood, word string) string { return s.paint(string(m), word) }

// command paints a command that is to be typed next.
func (s style) command(text string) string { return s.paint(sgrBold, text) }

func (s style) paint(sgr, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return sgr + text + sgrOff
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// width is how many columns there are now, or 0 where nothing limits them. A terminal can be resized, so it is
// asked at each drawing.
func width(w io.Writer) int {
	if !isTerminal(w) {
		return 0
	}
	columns, _, err := term.GetSize(int(w.(*os.File).Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// table aligns cells that tabs end, two blanks apart. Flush it.
func table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }
