package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// The rules are those of configparser.BasicInterpolation. ini.v1 has %(name)s too, but takes the %(name)s
// in %%(name)s for one, and leaves %% as it is.
var reference = regexp.MustCompile(`^%\(([^)]+)\)s`)

const (
	deepest = 10 // configparser.MAX_INTERPOLATION_DEPTH
	// most bounds what ten lines of a few references each would make of a value: more than there is memory for.
	most = 1000
)

var errPercent = errors.New("a % that is neither %% nor %(name)s")

// interpolate is the value after %(name)s and %% have been replaced.
func (d *document) interpolate(e entry, section string) (string, error) {
	x := expander{document: d, section: section}
	return x.expand(e.value, 1)
}

// expander is at work on one value.
type expander struct {
	*document
	section  string
	followed int // how many references
}

func (x *expander) expand(rest string, depth int) (string, error) {
	if depth > deepest {
		return "", errors.New("%(name)s refers to itself")
	}
	if x.followed++; x.followed > most {
		return "", fmt.Errorf("more than %d references", most)
	}
	var b strings.Builder
	for {
		before, _, found := strings.Cut(rest, "%")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		rest = rest[len(before):]
		if strings.HasPrefix(rest, "%%") {
			b.WriteByte('%')
			rest = rest[2:]
			continue
		}
		m := reference.FindStringSubmatch(rest)
		if m == nil {
			return "", errPercent
		}
		rest = rest[len(m[0]):]
		name := strings.ToLower(m[1])
		e, ok := x.find(x.section, name)
		if !ok || e.bare {
			return "", fmt.Errorf("%%(%s)s refers to a key that has no value", name)
		}
		x.used[name] = true
		inner, err := x.expand(e.value, depth+1)
		if err != nil {
			return "", err
		}
		b.WriteString(inner)
	}
}
