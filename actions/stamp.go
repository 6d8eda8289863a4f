package actions

import (
	"time"

	"zfs2cloud/actions/manifest"
)

// nextStamp is the clock's, or, if the clock was set back or the second is taken, a second after the
// newest that the dataset has.
func nextStamp(now time.Time, newest string) string {
	now = now.UTC().Truncate(time.Second)
	if t, ok := manifest.ParseStamp(newest); ok && !now.After(t) {
		now = t.Add(time.Second)
	}
	return now.Format(manifest.StampLayout)
}
