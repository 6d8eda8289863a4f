package main

import (
	"fmt"
	"strings"
	"time"
)

// line prints one line of the demo: what, what of it, and how long it took, if that is known.
func line(what, text, took string) {
	fmt.Println(strings.TrimRight(fmt.Sprintf("  %-9s %-67s %s", what, text, took), " "))
}

// took is a duration as people read it: 0.9s, 41s, 1m 52s.
func took(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	default:
		return fmt.Sprintf("%dm %ds", int(d.Minutes()), int(d.Seconds())%60)
	}
}

// count is a number with commas.
func count(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// few is at most three of many lines.
func few(lines []string) string {
	if len(lines) > 3 {
		lines = append(lines[:3:3], fmt.Sprintf("and %s more", count(len(lines)-3)))
	}
	return strings.Join(lines, "; ")
}
