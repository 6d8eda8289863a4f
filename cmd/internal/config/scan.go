package config

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// entry is a key of the file as configparser reads it, before interpolation.
type entry struct {
	line    int
	section string
	key     string // in lower case
	value   string // lines trimmed, joined by newlines
	bare    bool   // a key without = or :, which counts as absent
}

// header is a section's line.
type header struct {
	line int
	name string
}

// scanned is the text, line by line.
type scanned struct {
	entries  []entry
	headers  []header
	problems []Problem
	// clean is what ini.v1 is given: line for line the same text without what was refused, without
	// comments, and without the indentation of keys, since ini.v1 takes any indented line below a
	// value as the value's, configparser only one that is indented deeper than the key.
	clean []string
}

// scanner walks over the lines by the rules of configparser's _read (CPython 3.11).
type scanner struct {
	out     scanned
	seen    map[string]int // section NUL key, or section, to its first line
	section string
	opened  bool   // a section has begun
	open    *entry // the key whose value may go on; nil after a section's line
	refused bool   // open was refused, so what continues it is too
	gap     string // "comment" or "blank line" seen since the value's last line
	indent  int
}

// scan never fails: what it can't accept becomes a problem and is left out.
func scan(data string) scanned {
	s := scanner{seen: map[string]int{}}
	if rest, ok := strings.CutPrefix(data, "\ufeff"); ok {
		s.bad(1, "", "a byte order mark", "save the file as UTF-8 without it")
		data = rest
	}
	for i, line := range strings.Split(data, "\n") {
		s.out.clean = append(s.out.clean, s.take(i+1, strings.TrimSuffix(line, "\r")))
	}
	s.close()
	return s.out
}

// take reads a line and returns what ini.v1 shall see of it.
func (s *scanner) take(n int, line string) string {
	if text := badBytes(line); text != "" {
		s.bad(n, plainKey.FindString(strings.ToLower(line)), text, "write the line anew, in UTF-8")
		return ""
	}
	text := strings.TrimSpace(line)
	switch {
	case text == "":
		s.notice("blank line")
		return ""
	case text[0] == '#' || text[0] == ';':
		s.notice("comment")
		return ""
	}
	indent := utf8.RuneCountInString(line[:len(line)-len(strings.TrimLeftFunc(line, unicode.IsSpace))])
	if s.open != nil && indent > s.indent {
		return s.goOn(n, text)
	}
	s.close()
	s.indent = indent
	if text[0] == '[' {
		return s.begin(n, text)
	}
	return s.key(n, text)
}

// plainKey is what a line that can't be read is probably about.
var plainKey = regexp.MustCompile(`^[a-z][a-z0-9_]*`)

// badBytes names what no line may have: configparser refuses it, or ends a line there.
func badBytes(line string) string {
	if !utf8.ValidString(line) {
		return "not UTF-8"
	}
	for _, r := range line {
		if r != '\t' && r < ' ' {
			return fmt.Sprintf("character U+%04X", r)
		}
	}
	return ""
}

// notice remembers that something stands between a value's lines, should it go on below.
func (s *scanner) notice(what string) {
	if s.open != nil && s.gap == "" {
		s.gap = what
	}
}

// goOn takes a line that continues the open key's value.
func (s *scanner) goOn(n int, text string) string {
	switch {
	case s.refused:
		return ""
	case s.open.bare:
		s.refuse(n, "an indented line continues a key that has no value", "begin the line at its first column")
		return ""
	case s.gap != "":
		s.refuse(n, "a value of several lines with a "+s.gap+" in it", "take the "+s.gap+" out")
		return ""
	}
	s.open.value += "\n" + text
	return "\t" + text
}

// refuse gives the open key up.
func (s *scanner) refuse(n int, text, hint string) {
	s.bad(n, s.open.key, text, hint)
	s.refused = true
}

// close stores the open key.
func (s *scanner) close() {
	if s.open != nil && !s.refused {
		s.open.value = strings.TrimRightFunc(s.open.value, unicode.IsSpace)
		s.out.entries = append(s.out.entries, *s.open)
	}
	s.open, s.refused, s.gap = nil, false, ""
}

// begin takes a section's line.
func (s *scanner) begin(n int, text string) string {
	end := strings.LastIndexByte(text, ']')
	if end <= 1 {
		s.bad(n, "", "not a section", "write [name]")
		return ""
	}
	s.section, s.opened = text[1:end], true
	if first := s.seen[s.section]; first != 0 {
		s.bad(n, "", fmt.Sprintf("the section stands on line %d too", first), "make one of the two")
	} else {
		s.seen[s.section] = n
		s.out.headers = append(s.out.headers, header{n, s.section})
	}
	return "[" + s.section + "]"
}

// key takes a line that begins a key.
func (s *scanner) key(n int, text string) string {
	e := entry{line: n, section: s.section, key: text, bare: true}
	if at := strings.IndexAny(text, "=:"); at >= 0 {
		e.key, e.value, e.bare = strings.TrimSpace(text[:at]), strings.TrimSpace(text[at+1:]), false
	}
	e.key = strings.ToLower(e.key)
	s.open = &e
	id := s.section + "\x00" + e.key
	first := s.seen[id]
	switch {
	case !s.opened:
		s.refuse(n, "a key before the first section", "put [main] above it")
	case e.key == "":
		s.refuse(n, "a value without a key", "write key = value")
	case first != 0:
		s.refuse(n, fmt.Sprintf("the key stands on line %d too", first), "leave one of the two")
	case e.key == "-" || e.key[0] == '"' || e.key[0] == '`':
		s.refuse(n, "quotes around a key, or - as a key", "write the bare name")
	case strings.HasPrefix(e.value, "`") || strings.HasPrefix(e.value, `"""`):
		s.refuse(n, "backquotes or triple quotes around a value", "leave them out")
	default:
		s.seen[id] = n
	}
	if s.refused {
		return ""
	}
	if e.bare {
		return text
	}
	return e.key + " = " + e.value
}

func (s *scanner) bad(n int, key, text, hint string) {
	s.out.problems = append(s.out.problems, Problem{Line: n, Section: s.section, Key: key, Text: text, Hint: hint})
}
