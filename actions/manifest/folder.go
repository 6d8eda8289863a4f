package manifest

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"zfs2cloud/actions/settings"
)

const (
	// StampLayout is that of stamps, which are in UTC.
	StampLayout = "20060102150405"

	fullSuffix = "-full"
)

// ParseStamp reads a name of fourteen digits as the time that it tells.
func ParseStamp(s string) (time.Time, bool) {
	t, err := time.Parse(StampLayout, s)
	return t, err == nil && len(s) == len(StampLayout)
}

// StampOf is the time in the name of a backup.
func StampOf(backup string) (time.Time, bool) {
	stamp, _, ok := ParseFolder(backup)
	if !ok {
		return time.Time{}, false
	}
	return ParseStamp(stamp)
}

// Folder is the name of a backup's folder.
func Folder(stamp string, full bool) string {
	if full {
		return stamp + fullSuffix
	}
	return stamp
}

// ParseFolder takes such a name apart: ^[0-9]{14}(-full)?$.
func ParseFolder(name string) (stamp string, full, ok bool) {
	stamp, full = strings.CutSuffix(name, fullSuffix)
	if len(stamp) != len(StampLayout) || !only(stamp, "0123456789") {
		return "", false, false
	}
	return stamp, full, true
}

// FileName is the manifest's name in its folder. Both in one folder are nobody's honest work.
func FileName(enc settings.Encryption) string {
	if enc == settings.None {
		return "manifest.json"
	}
	return "manifest.json.gpg"
}

// IndexName is the name of an index in its folder.
func IndexName(gen int, enc settings.Encryption) string {
	name := "index"
	if gen >= 2 {
		name += ".g" + strconv.Itoa(gen)
	}
	if enc != settings.None {
		name += ".gpg"
	}
	return name
}

// IsIndex tells whether a name has the form of an index's.
func IsIndex(name string) bool { return indexForm.MatchString(name) }

var indexForm = regexp.MustCompile(`^index(\.g[0-9]+)?(\.gpg)?$`)

// only tells whether S has no other characters than these.
func only(s, characters string) bool {
	return strings.Trim(s, characters) == "" // what is left between the trimmed ends begins with another
}
