package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"zfs2cloud/actions/stream"
	"zfs2cloud/workflow"
)

// StreamCmd is `zfs2cloud stream`.
type StreamCmd struct {
	Inspect InspectCmd `cmd:"" help:"Say what a ZFS send stream is, and whether its own sums are right."`
}

// InspectCmd is `zfs2cloud stream inspect`.
type InspectCmd struct {
	JSON bool   `help:"Print one JSON document."`
	File string `arg:"" name:"file" help:"A stream; - is standard input."`
}

// Run reads a stream to its end and prints what it is. With one that is damaged or cut off, it prints what there was
// until then, and exits 1.
func (c *InspectCmd) Run(a *App) error {
	in, name := a.In, "standard input"
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return &refusal{Err: err}
		}
		defer f.Close()
		in, name = f, c.File
	} else if term.IsTerminal(int(in.Fd())) {
		return &refusal{Err: errors.New("standard input is a terminal: pipe a stream into it, such as that of zfs send")}
	}
	s, err := a.inspect(in)
	if errors.Is(err, stream.ErrNoStream) {
		err = fmt.Errorf("%w (of a backup's chunk files, its RESTORE.txt says how to make a stream: gpg -d each, in order)", err)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", safe(name), err)
	}
	switch {
	case c.JSON:
		return errors.Join(err, a.printInspected(s, err))
	case s.Wrapper || len(s.Streams) > 0:
		return errors.Join(err, a.printSummary(s, err))
	}
	return err
}

// inspect does not wait for a pipe in which nothing comes, once it is to stop.
func (a *App) inspect(in io.Reader) (s stream.Summary, err error) {
	done := make(chan struct{})
	go func() {
		s, err = stream.Inspect(in)
		close(done)
	}()
	select {
	case <-done:
		return s, err
	case <-a.Stop.Soft().Done():
		return stream.Summary{}, workflow.ErrInterrupted
	}
}

// kindOf says what a stream is.
func kindOf(s stream.Summary) string {
	switch {
	case len(s.Streams) == 0 && s.Wrapper:
		return "properties"
	case len(s.Streams) == 0:
		return "none"
	case len(s.Streams) > 1:
		return "package"
	case s.Streams[0].From != 0:
		return "incremental"
	}
	return "full"
}

func (a *App) printSummary(s stream.Summary, wrong error) error {
	w := table(a.Out)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	kind := kindOf(s)
	if len(s.Streams) > 0 {
		if kind == "package" {
			kind += " of " + counted(len(s.Streams), "stream")
		}
		kind += ", of a file system"
		if s.Streams[0].Volume {
			kind = strings.Replace(kind, "a file system", "a volume", 1)
		}
		if s.Wrapper {
			kind += ", with properties"
		}
		if s.Streams[0].Features.Has(stream.FeatureResuming) {
			kind += ", from its middle on"
		}
	}
	row("kind", "%s", kind)
	for _, b := range s.Streams {
		row("snapshot", "%s, made %s, GUID %d", safe(b.Name), b.Creation.Local().Format("2 Jan 2006 "+toTheMinute), b.To)
		if b.From != 0 {
			row("base", "GUID %d", b.From)
		}
		features := b.Features.String()
		if features == "" {
			features = "none"
		}
		row("features", "%s", features)
	}
	var records []string
	all := uint64(0)
	for t, tally := range s.Records {
		if all += tally.Count; tally.Count > 0 {
			text := count(int(tally.Count)) + " " + stream.Type(t).String()
			if tally.Payload > 0 {
				text += " (" + size(int64(tally.Payload)) + ")"
			}
			records = append(records, text)
		}
	}
	row("size", "%s, %s", size(int64(s.Bytes)), counted(int(all), "record"))
	row("records", "%s", strings.Join(records, ", "))
	row("sums", "%s", sumsOf(s, wrong))
	return w.Flush()
}

// sumsOf says what the sums are worth. The place of a wrong one is in the error.
func sumsOf(s stream.Summary, wrong error) string {
	each := s.Sums > s.Records[stream.TypeEnd].Count // END has two in such streams, and one in old ones
	switch {
	case errors.Is(wrong, stream.ErrDamaged):
		return "WRONG"
	case errors.Is(wrong, stream.ErrMore):
		return "right up to its END, behind which there is more"
	case wrong != nil && each:
		return "right so far; the stream is not whole"
	case wrong != nil:
		return "none so far; the stream is not whole"
	case each:
		return "right, of each record and of the whole"
	}
	return "right, of the whole (an old ZFS makes none of each record)"
}

// inspected is a stream as `stream inspect --json` tells it: a contract, to which fields may be added. GUIDs are texts,
// since not every reader of JSON has numbers of 64 bits.
type inspected struct {
	Version int                `json:"version"`
	Kind    string             `json:"kind"` // full, incremental, package, properties, none
	Wrapper bool               `json:"wrapper"`
	Streams []inspectedStream  `json:"streams"`
	Bytes   uint64             `json:"bytes"`
	Records map[string]tallied `json:"records"` // by type
	Sums    uint64             `json:"sums"`    // that are there and right
	Whole   bool               `json:"whole"`   // to its end, and all sums right
	Why     *string            `json:"why"`     // if it is not
}

type inspectedStream struct {
	Snapshot string     `json:"snapshot"`
	GUID     string     `json:"guid"`
	BaseGUID *string    `json:"base_guid"`
	Created  *time.Time `json:"created"` // null if BEGIN, which has no sum of its own, has none that there is
	Volume   bool       `json:"volume"`
	Features []string   `json:"features"`
	Flags    uint32     `json:"flags"` // DRR_FLAG_…
}

type tallied struct {
	Count   uint64 `json:"count"`
	Payload uint64 `json:"payload"`
}

func (a *App) printInspected(s stream.Summary, wrong error) error {
	out := inspected{Version: 1, Kind: kindOf(s), Wrapper: s.Wrapper, Streams: []inspectedStream{}, Bytes: s.Bytes,
		Records: map[string]tallied{}, Sums: s.Sums, Whole: wrong == nil}
	if wrong != nil {
		why := wrong.Error()
		out.Why = &why
	}
	for _, b := range s.Streams {
		one := inspectedStream{Snapshot: b.Name, GUID: strconv.FormatUint(b.To, 10), Volume: b.Volume,
			Features: append([]string{}, b.Features.Names()...), Flags: b.Flags}
		if y := b.Creation.UTC().Year(); y >= 1970 && y <= 9999 {
			one.Created = &b.Creation
		}
		if b.From != 0 {
			base := strconv.FormatUint(b.From, 10)
			one.BaseGUID = &base
		}
		out.Streams = append(out.Streams, one)
	}
	for t, tally := range s.Records {
		if tally.Count > 0 {
			out.Records[stream.Type(t).String()] = tallied{tally.Count, tally.Payload}
		}
	}
	e := json.NewEncoder(a.Out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(out)
}
