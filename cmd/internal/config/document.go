package config

import (
	"strings"

	"gopkg.in/ini.v1"
)

// defaultSection is configparser's: its keys count in every other section.
const defaultSection = "DEFAULT"

// iniOptions make ini.v1 read as configparser does, as far as it can (measured with v1.67.3: with its
// own defaults it cuts a value at #, strips quotes, and joins the line after a backslash).
func iniOptions(size int) ini.LoadOptions {
	return ini.LoadOptions{
		IgnoreInlineComment:        true,
		PreserveSurroundedQuote:    true,
		IgnoreContinuation:         true,
		InsensitiveKeys:            true,
		AllowPythonMultilineValues: true,
		AllowBooleanKeys:           true,
		ReaderBufferSize:           size + 1, // it looks for a value's further lines in its buffer only
	}
}

// document is the file's text, understood as sections, keys and values.
type document struct {
	scanned
	used map[string]bool // keys that another's %(name)s refers to
}

// parse reads the text twice, by the rules of configparser and with ini.v1, and keeps what both agree on.
func parse(data string) *document {
	d := &document{scanned: scan(data), used: map[string]bool{}}
	clean := strings.Join(d.clean, "\n") + "\n"
	file, err := ini.LoadSources(iniOptions(len(clean)), []byte(clean))
	if err != nil {
		d.problems = append(d.problems, Problem{Text: "not an INI file: " + printable(err.Error())})
		return d
	}
	agreed := d.entries[:0]
	for _, e := range d.entries {
		if agrees(file, e) {
			agreed = append(agreed, e)
			continue
		}
		d.problems = append(d.problems, Problem{Line: e.line, Section: e.section, Key: e.key,
			Text: "the line can be read in two ways", Hint: "write key = value, on one line"})
	}
	d.entries = agreed
	return d
}

// agrees says whether ini.v1 found the same key with the same value. It reads a bare key as "true", and
// keeps the indentation of a value's further lines.
func agrees(file *ini.File, e entry) bool {
	section, err := file.GetSection(e.section)
	if err != nil {
		return false
	}
	key, err := section.GetKey(e.key)
	if err != nil {
		return false
	}
	if e.bare {
		return key.Value() == "true"
	}
	lines := strings.Split(key.Value(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n") == e.value
}

// find looks a key up in a section, then in DEFAULT.
func (d *document) find(section, key string) (entry, bool) {
	for _, name := range []string{section, defaultSection} {
		for _, e := range d.entries {
			if e.section == name && e.key == key {
				return e, true
			}
		}
	}
	return entry{}, false
}

// keys lists a section's entries, DEFAULT's among them, as configparser does.
func (d *document) keys(section string) []entry {
	var all []entry
	for _, e := range d.entries {
		own, _ := d.find(section, e.key)
		if own == e {
			all = append(all, e)
		}
	}
	return all
}

// has says whether a section's line is there.
func (d *document) has(section string) (line int, ok bool) {
	for _, h := range d.headers {
		if h.name == section {
			return h.line, true
		}
	}
	return 0, false
}
