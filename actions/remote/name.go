package remote

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"zfs2cloud/state/durable"
)

// MaxName is the longest name of an object, without its folder. It leaves room for a temporary name's prefix: most
// file systems end at 255 bytes.
const MaxName = 240

// ValidName tells whether a name may become a path: elements between slashes that stay within the folder,
// can't be taken for a flag, and are no temporary names.
func ValidName(name string) error {
	if !utf8.ValidString(name) || strings.ContainsFunc(name, isControl) || strings.Contains(name, `\`) {
		return fmt.Errorf("name %q: control character, backslash or invalid UTF-8", name)
	}
	for element := range strings.SplitSeq(name, "/") {
		switch {
		case element == "" || element == "." || element == "..":
			return fmt.Errorf("name %q: empty or dotted element", name)
		case strings.HasPrefix(element, "-"):
			return fmt.Errorf("name %q: an element begins with a dash", name)
		case len(element) > MaxName:
			return fmt.Errorf("name %q: an element is longer than %d bytes", name, MaxName)
		case isLeftover(element):
			return fmt.Errorf("name %q: the form of a temporary name", name)
		}
	}
	return nil
}

func validFolder(folder string) error {
	if folder == "" {
		return nil
	}
	return ValidName(folder)
}

func isControl(r rune) bool { return unicode.IsControl(r) }

// tempPrefix makes a name one that durable.IsTemp knows.
const tempPrefix = ".z2c-tmp-"

// tempName is where an upload waits until it is whole. One name an object, so that the next try writes over
// what an interrupted one left.
func tempName(name string) string {
	return path.Join(path.Dir(name), tempPrefix+path.Base(name))
}

// partial is how rclone names an upload under way: by a word that can be spoken and a digit (1.63 to 1.67), or a hex number (since
// 1.68, to 1.71 without leading zeros).
var partial = regexp.MustCompile(`\.([a-z]{7}[0-9]|[0-9a-f]{1,8})\.partial$`)

// isLeftover tells whether a base name is one of an unfinished upload, ours or rclone's.
func isLeftover(base string) bool { return durable.IsTemp(base) || partial.MatchString(base) }

// visible takes the leftovers out of a listing.
func visible(all []Object) []Object {
	seen := all[:0:0]
	for _, o := range all {
		if !isLeftover(o.Name) {
			seen = append(seen, o)
		}
	}
	return seen
}
