package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// Not all that reads is a person. With --json a command prints JSON lines, of which each says by message_type what it is; and
// in the systemd journal each line begins with its priority.

// lineWriter passes whole lines on, each as FORM makes it.
type lineWriter struct {
	to   io.Writer
	form func(line string) string

	mu   sync.Mutex
	rest []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	for {
		line, rest, whole := bytes.Cut(w.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		w.rest = rest
		if _, err := io.WriteString(w.to, w.form(string(line))+"\n"); err != nil {
			return 0, err
		}
	}
}

// Syslog priorities, by which a line in the journal begins: sd-daemon(3).
const (
	journalError   = "<3>"
	journalWarning = "<4>"
	journalNotice  = "<5>"
	journalInfo    = "<6>"
	journalDebug   = "<7>"
)

// inJournal tells whether a file is the one that $JOURNAL_STREAM names by device and inode: systemd.exec(5).
func inJournal(f *os.File, stream string) bool {
	var st unix.Stat_t
	return stream != "" && unix.Fstat(int(f.Fd()), &st) == nil && stream == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// toJournal makes a line of a log or a text one of the journal, which knows the time by itself.
func toJournal(line string) string {
	for level, priority := range map[string]string{"ERROR": journalError, "WARN": journalWarning, "INFO": journalInfo, "DEBUG": journalDebug} {
		if text, ok := strings.CutPrefix(line, "level="+level+" "); ok {
			return priority + text
		}
	}
	return journalNotice + line
}

// asJSON has all that follows printed as JSON lines. Nobody is asked anything then.
func (a *App) asJSON(on bool) {
	if !on {
		return
	}
	a.JSON, a.Terminal = a.Err, false
	a.Err = &lineWriter{to: a.JSON, form: func(line string) string { return jsonLine(noteLine{"note", line}) }}
}

// noteLine is a line that a person would read on stderr.
type noteLine struct {
	Type string `json:"message_type"` // note
	Text string `json:"text"`
}

// statusLine says on stdout that a step began, ended or failed, and, once a second, how far it is.
type statusLine struct {
	Type      string    `json:"message_type"` // status
	Time      time.Time `json:"time"`
	Run       string    `json:"run"`
	Step      string    `json:"step"`
	State     string    `json:"state"`
	Detail    string    `json:"detail,omitempty"`
	Done      *int64    `json:"bytes_done,omitempty"`
	Total     *int64    `json:"bytes_total,omitempty"` // not there while nobody knows
	Estimated bool      `json:"estimated,omitempty"`   // the total
}

// summaryLine says on stdout what came of a run. A command that finishes an earlier run first prints one for each.
type summaryLine struct {
	Type     string   `json:"message_type"` // summary
	Run      string   `json:"run"`
	Dataset  string   `json:"dataset"` // of a restore: what was made, as status --json has it
	Remote   string   `json:"remote"`
	State    string   `json:"state"`
	Backup   *string  `json:"backup"`
	Snapshot *string  `json:"snapshot"`
	Bytes    int64    `json:"bytes"` // of its chunk files; of mode file: that were sent
	Chunks   int      `json:"chunks"`
	Seconds  float64  `json:"seconds"`
	Notes    []string `json:"notes"`
}

// errorLine is the last on stderr of a command that fails.
type errorLine struct {
	Type    string  `json:"message_type"` // exit_error
	Code    int     `json:"code"`         // the exit status
	Message string  `json:"message"`
	Next    *string `json:"next"` // the first command that the message says to type
}

func jsonLine(line any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(line); err != nil {
		return `{"message_type":"note","text":"a line could not be encoded"}`
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// jsonWatch prints what a run does.
func (a *App) jsonWatch(r state.Run) workflow.Watch {
	var mu sync.Mutex
	last := map[int]time.Time{}
	steps := r.Steps
	return workflow.Watch{
		Step: func(r state.Run, i int) {
			step := r.Steps[i]
			if step.Implied && !workflow.StepMachine.In(step.State, workflow.StepFailed) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintln(a.Out, jsonLine(statusLine{Type: "status", Time: a.World.Now().UTC(), Run: r.ID, Step: step.Shown, State: step.State.String(), Detail: step.Detail}))
		},
		Progress: func(i int, done, total int64, estimated bool) {
			mu.Lock()
			defer mu.Unlock()
			now := a.World.Now()
			if now.Sub(last[i]) < time.Second {
				return
			}
			last[i] = now
			line := statusLine{Type: "status", Time: now.UTC(), Run: r.ID, Step: steps[i].Shown, State: string(workflow.StepRunning), Done: &done, Estimated: estimated && total > 0}
			if total > 0 {
				line.Total = &total
			}
			fmt.Fprintln(a.Out, jsonLine(line))
		},
	}
}

// jsonDone prints what came of a run.
func (t *taken) jsonDone(r state.Run) {
	a := t.app
	line := summaryLine{Type: "summary", Run: r.ID, Dataset: r.Frozen.Dataset, Remote: placeOf(r), State: r.State.String(), Backup: orNull(r.Backup), Snapshot: orNull(r.Snapshot),
		Seconds: a.World.Now().Sub(r.Started).Seconds(), Notes: append([]string{}, r.Notes...)}
	if b, ok := t.backup(r); ok {
		line.Bytes, line.Chunks = b.Sums.BytesSealed, b.Sums.Sealed
		if b.Files != nil {
			line.Bytes = b.Files.Bytes
		}
	}
	if rs := r.Restore; rs != nil {
		line.Dataset, line.Remote, line.Backup = rs.Target(), r.Frozen.Remote, orNull(rs.Newest().Name)
		for _, l := range rs.Chain {
			line.Bytes += l.Bytes
		}
	}
	fmt.Fprintln(a.Out, jsonLine(line))
}

// typeThis finds a command that a text says to type.
var typeThis = regexp.MustCompile(`(?m): ((?:zfs2cloud|zfs|zpool|rclone|chown|chmod) .+)$`)

// jsonError prints an error as the last line on stderr.
func (a *App) jsonError(code int, text string) {
	line := errorLine{Type: "exit_error", Code: code, Message: text}
	if m := typeThis.FindStringSubmatch(text); m != nil {
		line.Next = &m[1]
	}
	fmt.Fprintln(a.JSON, jsonLine(line))
}
