package remote

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const (
	maxLogLine  = 64 << 10
	maxLogTexts = 8
)

// logReader reads what rclone writes to stderr with --use-json-log: statistics become progress, messages
// become text, the last few of which are kept. Fatal messages come as plain lines (1.60).
type logReader struct {
	counters
	progress func(int64)
	stats    func(Stats)
	line     []byte
	texts    []string
	links    int64  // that were left out
	marker   string // of a job's, that would be deleted
}

func (l *logReader) Write(p []byte) (int, error) {
	n := len(p)
	l.read.Add(int64(n))
	for {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			l.add(p)
			return n, nil
		}
		l.add(p[:end])
		l.take()
		p = p[end+1:]
	}
}

// add keeps a line's beginning.
func (l *logReader) add(p []byte) {
	l.line = append(l.line, p[:min(len(p), maxLogLine-len(l.line))]...)
}

// stamp stands before plain lines.
var stamp = regexp.MustCompile(`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d `)

func (l *logReader) take() {
	line := bytes.TrimSpace(l.line)
	l.line = l.line[:0]
	var m struct {
		Msg     string
		Object  string
		Skipped string // what a dry run would have done
		Stats   *Stats
	}
	if json.Unmarshal(line, &m) != nil {
		m.Msg = stamp.ReplaceAllString(string(line), "")
	}
	if m.Stats != nil {
		l.transferred.Store(m.Stats.Bytes + m.Stats.Checks + m.Stats.TotalTransfers) // a sync may compare for long
		if l.progress != nil {
			l.progress(m.Stats.Bytes)
		}
		if l.stats != nil {
			m.Stats.Links, m.Stats.Marker = l.links, l.marker
			l.stats(*m.Stats)
		}
		return
	}
	if strings.HasPrefix(m.Msg, "Can't follow symlink") {
		l.links++
		return
	}
	if m.Skipped == "delete" && markerName.MatchString(m.Object) {
		l.marker = m.Object
	}
	// Said again, in other words, by the line after it.
	if m.Msg == "" || m.Skipped != "" || strings.HasPrefix(m.Msg, "Attempt 1/1 failed") {
		return
	}
	if m.Object != "" {
		m.Msg = m.Object + ": " + m.Msg
	}
	l.texts = append(l.texts, printable(m.Msg))
	if len(l.texts) > maxLogTexts {
		l.texts = slices.Delete(l.texts, 0, 1)
	}
}

// text is the last messages, a line each.
func (l *logReader) text() string {
	l.take()
	return strings.Join(l.texts, "\n")
}

// printable escapes control characters: the words may be a server's, and end up in a terminal.
func printable(s string) string {
	var b strings.Builder
	for _, r := range strings.TrimSpace(s) {
		if unicode.IsControl(r) {
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
