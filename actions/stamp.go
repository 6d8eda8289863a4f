package actions

import (
	"time"

	"zfs2cloud/actions/manifest"
)

const stampLayout = "20060102150405" // UTC

// parseStamp reads a name of fourteen digits as the time that it tells.
func parseStamp(s string) (time.Time, bool) {
	t, err := time.Parse(stampLayout, s)
	return t, err == nil && len(s) == len(stampLayout)
}

// stampOf is the time in the name of a backup.
func stampOf(backup string) (time.Time, bool) {
	stamp, _, ok := manifest.ParseFolder(backup)
	if !ok {
		return time.Time{}, false
	}
	return parseStamp(stamp)
}

// nextStamp is the clock's, or, if the clock was set back or the second is taken, a second after the
// newest that the dataset has.
func nextStamp(now time.Time, newest string) string {
	now = now.UTC().Truncate(time.Second)
	if t, ok := parseStamp(newest); ok && !now.After(t) {
		now = t.Add(time.Second)
	}
	return now.Format(stampLayout)
}
