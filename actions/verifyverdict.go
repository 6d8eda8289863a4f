package actions

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/units"
	"zfs2cloud/state"
)

// Finding is something that is wrong with a backup.
type Finding struct {
	File string `json:"file"` // in the backup's folder; empty: the folder, or all of it
	What string `json:"what"`
}

func (f Finding) String() string {
	if f.File == "" {
		return f.What
	}
	return f.File + ": " + f.What
}

// maxFindings bounds what is kept of a backup of which nothing is right.
const maxFindings = 100

// Verdict is what a verification came to, of one backup.
type Verdict struct {
	Backup string `json:"backup"`
	Level  Level  `json:"level"`
	// Chunks were looked at as the level demands, and Bytes is what their files have; Of is how many there are.
	Chunks int   `json:"chunks"`
	Of     int   `json:"of"`
	Bytes  int64 `json:"bytes"`
	// Message: the Python tool made it. Its chunks are pieces of one message.
	Message bool `json:"message,omitempty"`
	// Bad is empty if nothing is wrong; More findings are not listed.
	Bad  []Finding `json:"bad,omitempty"`
	More int       `json:"more,omitempty"`
	// Of a restore drill: how many files were read, and whether what was received, sent again, was what came, or was
	// not; neither, where that can't be told.
	Files   int  `json:"files,omitempty"`
	Again   bool `json:"again,omitempty"`
	Differs bool `json:"differs,omitempty"`
	// Unread is why no file was; Resent: then it was sent again as a whole, which nothing compared.
	Unread string `json:"unread,omitempty"`
	Resent bool   `json:"resent,omitempty"`
	// Index says what is wrong with the backup's index, without which it can be restored all the same.
	Index string `json:"index,omitempty"`
	// Skipped says why nothing was looked at; then nothing is known.
	Skipped string `json:"skipped,omitempty"`
	// Gone: it was skipped since it is no backup any more, which is nothing to complain of.
	Gone bool `json:"gone,omitempty"`

	present int // how many findings are of what is there
}

func (v *Verdict) found(file, format string, args ...any) {
	what := units.ShortDigests(fmt.Sprintf(format, args...))
	if what != catalog.Absent && what != catalog.ErrGone.Error() {
		v.present++
	}
	if len(v.Bad) == maxFindings {
		v.More++
		return
	}
	v.Bad = append(v.Bad, Finding{File: file, What: what})
}

// Summary is the first finding, and how many more there are; empty if nothing is wrong.
func (v *Verdict) Summary() string {
	if len(v.Bad) == 0 {
		return ""
	}
	text := v.Bad[0].String()
	if more := len(v.Bad) - 1 + v.More; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// Lines says it to people.
func (v *Verdict) Lines() (lines []string) {
	switch {
	case v.Skipped != "":
		return []string{fmt.Sprintf("?    %-19s  %s", v.Backup, v.Skipped)}
	case len(v.Bad) == 0:
		return []string{fmt.Sprintf("ok   %-19s  %s", v.Backup, v.proved())}
	}
	for _, f := range v.Bad {
		lines = append(lines, fmt.Sprintf("BAD  %-19s  %s: %s", v.Backup, v.Level, f))
	}
	if v.More > 0 {
		lines = append(lines, fmt.Sprintf("BAD  %-19s  %s: and %d more", v.Backup, v.Level, v.More))
	}
	return lines
}

// withoutIndex is what it means that something is wrong with a backup's index.
const withoutIndex = "it can be restored, but a restore that is cut off reads again"

func (v *Verdict) proved() string {
	if v.Message {
		return v.provedMessage()
	}
	chunks := plural(v.Chunks, "chunk", "chunks")
	if v.Chunks < v.Of {
		chunks = fmt.Sprintf("%d of %s", v.Chunks, plural(v.Of, "chunk", "chunks"))
	}
	text := fmt.Sprintf("%s: manifest, %s, %s", v.Level, chunks, units.Size(v.Bytes))
	if v.Again {
		text += ", the same when sent again"
	}
	if v.Differs {
		text += ", but ANOTHER STREAM when sent again: zfs made something else of it"
	}
	if v.Resent {
		text += ", all of it read by sending it again"
	}
	if v.Unread != "" {
		text += ", no file read: " + v.Unread
	}
	if v.Files > 0 {
		text += ", " + plural(v.Files, "file", "files") + " read"
	}
	if v.Index != "" {
		text += "; ITS INDEX " + v.Index + ": " + withoutIndex
	}
	return text
}

func skippedOf(verdicts []Verdict) (skipped []string) {
	for _, v := range verdicts {
		if v.Skipped != "" && !v.Gone {
			skipped = append(skipped, v.Backup+", "+v.Skipped)
		}
	}
	return skipped
}

// sumUp is one line of what came of all.
func sumUp(level Level, verdicts []Verdict) string {
	var bad []string
	var chunks int
	var bytes int64
	for _, v := range verdicts {
		chunks, bytes = chunks+v.Chunks, bytes+v.Bytes
		if len(v.Bad) > 0 {
			bad = append(bad, v.Backup)
		}
	}
	text := fmt.Sprintf("%s: %s, %s, %s", level, plural(len(verdicts), "backup", "backups"), plural(chunks, "chunk", "chunks"), units.Size(bytes))
	if len(bad) > 0 {
		text += "; BAD: " + strings.Join(bad, ", ")
	}
	return text
}

func (v *Verdict) provedMessage() string {
	text := fmt.Sprintf("%s: made by the Python tool, %s, %s", v.Level, plural(v.Chunks, "piece", "pieces"), units.Size(v.Bytes))
	switch v.Level {
	case Listed:
		text += "; whether these are all, only decrypted tells"
	case Decrypted:
		text += ", one whole message with one whole stream"
	}
	return text
}

// LastVerified is what a backup's verifications came to in the end.
type LastVerified struct {
	Level Level
	At    time.Time
	Bad   string // what is wrong, in words; empty if nothing is
}

// LastVerifiedOf a backup, by what each level found of it, is the closest look that found nothing wrong, unless another found
// something that no such look has overcome since: then that one. One whose time lies ahead of NOW, when the clock was wrong,
// overcomes nothing. The bool is false if there was none.
func LastVerifiedOf(found map[string]state.Finding, now time.Time) (last LastVerified, known bool) {
	for _, level := range slices.Backward(Levels) {
		v, ok := found[string(level)]
		if !ok || known && v.Bad == "" {
			continue
		}
		if overcome := v.At.Before(last.At) && !(last.Bad == "" && last.At.After(now)); known && overcome {
			continue
		}
		last, known = LastVerified{Level: level, At: v.At, Bad: v.Bad}, true
	}
	return last, known
}

// Found is what a run's verifications found to be bad, by what is on record.
type Found struct {
	Backup, Level, What string
}

// FoundBad lists what a run found bad.
func FoundBad(tx *state.Tx, run state.Run) (found []Found, err error) {
	backups, err := tx.Backups(run.Job)
	if err != nil {
		return nil, err
	}
	foreigns, err := tx.Foreigns(run.Job)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range foreigns {
		names = append(names, f.Name)
	}
	for _, b := range backups {
		names = append(names, b.Name)
	}
	for _, name := range names {
		for _, level := range Levels {
			v, ok, err := tx.VerifiedWhole(run.Job, name, string(level))
			if err != nil {
				return nil, err
			}
			if ok && v.Run == run.ID && v.Bad != "" {
				found = append(found, Found{Backup: name, Level: v.Level, What: v.Bad})
			}
		}
	}
	return found, nil
}
