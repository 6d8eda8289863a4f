package main

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"zfs2cloud/actions/units"
)

// Numbers and times as people read them, the same in every command. Machines get them raw: see --json.

// size is a number of bytes: see units.Size.
func size(bytes int64) string { return units.Size(bytes) }

// sizeOf is how much of how much: the unit is said once if it is the same, and a total that is only estimated
// gets a ~.
func sizeOf(done, total int64, estimated bool) string {
	mark := ""
	if estimated {
		mark = "~"
	}
	doneNumber, doneUnit := units.SizeParts(done)
	totalNumber, totalUnit := units.SizeParts(total)
	if doneUnit == totalUnit {
		return fmt.Sprintf("%s of %s%s %s", doneNumber, mark, totalNumber, totalUnit)
	}
	return fmt.Sprintf("%s %s of %s%s %s", doneNumber, doneUnit, mark, totalNumber, totalUnit)
}

// rate is a speed, always in MiB/s so that two of them can be compared at a glance.
func rate(bytesPerSecond float64) string {
	return units.ThreeDigits(bytesPerSecond/(1<<20)) + " MiB/s"
}

// percent never says 100 before all is there.
func percent(done, total int64) int {
	if done >= total {
		return 100
	}
	return min(99, int(float64(done)/float64(total)*100))
}

// count is a number with commas: 1,204.
func count(n int) string { return units.Count(n) }

// counted is a number of things: 1 chunk, 1,204 chunks.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return count(n) + " " + thing
}

// duration has two units at most: 1.2s, 42s, 5m 10s, 1h 12m; from 48 hours on it is in days.
func duration(d time.Duration) string {
	d = max(d, 0)
	if tenths := d.Round(100 * time.Millisecond); tenths < 10*time.Second {
		return fmt.Sprintf("%.1fs", tenths.Seconds())
	}
	seconds := int(d.Round(time.Second).Seconds())
	switch {
	case seconds < 60:
		return fmt.Sprintf("%ds", seconds)
	case seconds < 3600:
		return fmt.Sprintf("%dm %ds", seconds/60, seconds%60)
	case seconds < 48*3600:
		return fmt.Sprintf("%dh %dm", seconds/3600, seconds/60%60)
	}
	return fmt.Sprintf("%d days", seconds/(24*3600))
}

// briefly is a duration in one unit: what an age needs.
func briefly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

// roundly is a duration of whole hours or minutes as a config spells it: 36h, 90m.
func roundly(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

// age is how long ago something was: 6h ago. A clock that was set back makes it lie ahead.
func age(now, then time.Time) string {
	if d := now.Sub(then); d > -time.Second {
		return briefly(max(d, 0)) + " ago"
	}
	return "in " + briefly(then.Sub(now))
}

// Times for people are local, and say the day where it is not today's.
const (
	toTheMinute = "15:04"
	toTheSecond = "15:04:05"
)

// clock is a time to the minute: 03:52, or 24 Nov 03:52.
func clock(a *App, t time.Time) string { return local(a.World.Now(), t, toTheMinute) }

// day is clock for a sentence that wants the day said: today 03:52, yesterday 03:52, 24 Nov 03:52.
func day(a *App, t time.Time) string { return localDay(a.World.Now(), t) }

func local(now, t time.Time, layout string) string {
	now, t = now.Local(), t.Local()
	switch {
	case sameDay(now, t):
		return t.Format(layout)
	case now.Year() == t.Year():
		return t.Format("2 Jan " + layout)
	}
	return t.Format("2 Jan 2006 " + layout)
}

func localDay(now, t time.Time) string {
	here, then := now.Local(), t.Local()
	switch {
	case sameDay(here, then):
		return "today " + then.Format(toTheMinute)
	case sameDay(here.AddDate(0, 0, -1), then):
		return "yesterday " + then.Format(toTheMinute)
	}
	return local(now, t, toTheMinute)
}

func sameDay(a, b time.Time) bool {
	return a.Year() == b.Year() && a.YearDay() == b.YearDay()
}

// plainWord needs no quotes in any shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// shellQuote makes one word for a shell of a string. Control bytes would be obeyed by the terminal that
// shows the command, so they are spelled out: $'…' is bash's, and POSIX's since 2024.
func shellQuote(s string) string {
	switch {
	case plainWord.MatchString(s):
		return s
	case safe(s) == s:
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03o`, c) // three octal digits end by themselves; \x takes what follows
		default:
			b.WriteByte(c)
		}
	}
	return "$'" + b.String() + "'"
}

// safe is a foreign text, such as a file's name or what a program said, with whatever a terminal would obey
// instead of show escaped: control bytes, bytes that are no UTF-8, and marks that turn the direction of
// writing. It stays on one line.
func safe(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r):
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// safeLines is safe for a text that may have several lines.
func safeLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = safe(lines[i])
	}
	return strings.Join(lines, "\n")
}

// perSecond is a speed, or 0 where none can be told.
func perSecond(bytes int64, took time.Duration) float64 {
	if bytes <= 0 || took < time.Second {
		return 0
	}
	return float64(bytes) / took.Seconds()
}

// left is the time that the rest takes at a speed, or 0 where none can be told.
func left(rest int64, bytesPerSecond float64) time.Duration {
	seconds := float64(rest) / bytesPerSecond
	if rest <= 0 || bytesPerSecond <= 0 || seconds > math.MaxInt64/float64(time.Second) {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}

// withoutEcho cuts off a line's end what an earlier line ends in, too, from a colon on: a hook's error is that of its
// step and that of what it keeps open. Of a line that then has one word for it, such as rclone's "Failed to copyto",
// nothing is kept.
func withoutEcho(lines []string) []string {
	const sep = ": "
	var told []string
	for _, line := range lines {
		if slices.Contains(told, line) {
			continue
		}
		parts := strings.Split(line, sep)
		own := len(parts)
		for i := 1; i < own; i++ {
			end := sep + strings.Join(parts[i:], sep)
			if slices.ContainsFunc(told, func(before string) bool { return strings.HasSuffix(before, end) }) {
				own = i
			}
		}
		if own > 1 || own == len(parts) {
			told = append(told, strings.Join(parts[:own], sep))
		}
	}
	return told
}
