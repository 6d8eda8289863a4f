package main

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// contract is what programs rely on: for each field the kinds of value that it may have. Fields may be added,
// never taken away or changed.
var contract = map[string]string{
	"version":                 "number",
	"runs":                    "array",
	"runs[].id":               "string",
	"runs[].dataset":          "string",
	"runs[].remote":           "string",
	"runs[].state":            "string",
	"runs[].alive":            "bool",
	"runs[].resumable":        "bool",
	"runs[].step":             "string null",
	"runs[].next":             "string null",
	"runs[].error":            "string null",
	"runs[].started":          "time",
	"runs[].updated":          "time",
	"runs[].ended":            "time null",
	"runs[].application":      "string null",
	"runs[].snapshot":         "string null",
	"runs[].backup":           "string null",
	"runs[].steps":            "array",
	"runs[].steps[].name":     "string",
	"runs[].steps[].state":    "string",
	"runs[].steps[].attempts": "number",
	"runs[].steps[].started":  "time null",
	"runs[].steps[].ended":    "time null",

	"runs[].chunks":                "object",
	"runs[].chunks.sealed":         "number",
	"runs[].chunks.uploaded":       "number",
	"runs[].chunks.bytes_sealed":   "number",
	"runs[].chunks.bytes_uploaded": "number",

	"locks":             "array",
	"locks[].dataset":   "string",
	"locks[].owner":     "string",
	"locks[].run":       "string null",
	"locks[].host":      "string",
	"locks[].pid":       "number null",
	"locks[].since":     "time",
	"locks[].why":       "string null",
	"locks[].alive":     "bool null",
	"backups":           "array",
	"backups[].dataset": "string",
	"backups[].remote":  "string",
	"backups[].name":    "string",
	"backups[].state":   "string",
	"backups[].base":    "string null",
	"backups[].chunks":  "number",
	"backups[].bytes":   "number",
}

// kinds notes the kind of each value under its path.
func kinds(path string, v any, note func(path, kind string)) {
	switch v := v.(type) {
	case nil:
		note(path, "null")
	case bool:
		note(path, "bool")
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			note(path, "fraction")
		} else {
			note(path, "number")
		}
	case string:
		if t, err := time.Parse(time.RFC3339, v); err == nil && t.Location() == time.UTC {
			note(path, "time")
		} else {
			note(path, "string")
		}
	case []any:
		note(path, "array")
		for _, e := range v {
			kinds(path+"[]", e, note)
		}
	case map[string]any:
		note(path, "object")
		for name, e := range v {
			kinds(strings.TrimPrefix(path+"."+name, "."), e, note)
		}
	}
}

func (c *tale) statusJSON(id string) (d statusDocument, text string) {
	c.Helper()
	text, err := c.status(StatusCmd{ID: id, JSON: true})
	if err := errors.Join(err, json.Unmarshal([]byte(text), &d)); err != nil {
		c.Fatal(err)
	}
	return d, text
}

// full is a tale with one of everything.
func full(t *testing.T) *tale {
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-24*time.Hour))
	name := c.backup(taleJob, today("03:52:00"), state.Backup{Base: &state.Base{Name: c.newest}, Reason: "the full is 3 days old",
		Sums: state.Sums{Sealed: 2, Uploaded: 1, BytesSealed: 3000, BytesUploaded: 2000}}, workflow.BackupExport)
	c.put(func(tx *state.Tx) error {
		for n, path := range [][]workflow.ChunkEvent{{workflow.ChunkSeal, workflow.ChunkUpload, workflow.ChunkSeen}, {workflow.ChunkSeal}} {
			chunk := state.Chunk{Job: taleJob, Backup: name, N: n, Gen: 1, Name: "chunk" + string(rune('0'+n)), Size: int64(2000 - 1000*n), SHA256: "00ff"}
			at(c, tx, workflow.ChunkMachine, &chunk.State, path...)
			if err := tx.PutChunk(chunk); err != nil {
				return err
			}
		}
		return nil
	})
	c.run(taleRun{Run: state.Run{Backup: name, Snapshot: "20261125025200"}, state: begun, bracket: closed, steps: uploading})
	ended := today("03:50:00")
	c.run(taleRun{Run: state.Run{ID: "2b2b", Ended: &ended, Error: "snapshot: no such dataset", Steps: workflow.NewPlan(talePlan[2:3], nil, nil)}, state: broken, steps: [][]workflow.StepEvent{stepFailed}})
	c.put(func(tx *state.Tx) error {
		r, _, err := tx.Run("7k3f")
		other := state.Lock{DatasetGUID: "4712", Dataset: "tank/mail", User: "root", Host: "web1", Since: taleNow.UTC(), Why: "moving <pool>"}
		return errors.Join(err, workflow.TakeLock(tx, r, r.Started), workflow.TakeOperatorLock(tx, other))
	})
	return c
}

func TestStatusJSONContract(t *testing.T) {
	t.Parallel()
	c := full(t)
	_, text := c.statusJSON("")
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); err != nil {
		t.Fatal(err)
	}
	if decoder.More() {
		t.Error("more than one document")
	}
	seen := map[string][]string{}
	kinds("", document, func(path, kind string) { seen[path] = append(seen[path], kind) })
	for path, allowed := range contract {
		if len(seen[path]) == 0 {
			t.Errorf("%s is missing", path)
		}
		for _, kind := range seen[path] {
			if !slices.Contains(strings.Fields(allowed), kind) {
				t.Errorf("%s is a %s, and should be a %s", path, kind, allowed)
			}
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestStatusJSONOfADeadRun(t *testing.T) {
	t.Parallel()
	c := full(t)
	d, _ := c.statusJSON("")
	if len(d.Runs) != 2 || d.Runs[0].ID != "2b2b" && d.Runs[0].ID != "7k3f" {
		t.Fatalf("%+v", d.Runs)
	}
	i := slices.IndexFunc(d.Runs, func(r statusRun) bool { return r.ID == "7k3f" })
	r := d.Runs[i]
	if r.State != "interrupted" || *r.Alive || !r.Resumable || *r.Step != "upload-intermediate-to-remote" ||
		*r.Next != "zfs2cloud -c web.ini resume 7k3f" || *r.Application != "running" || *r.Snapshot != "tank/data@20261125025200" ||
		r.Chunks != (statusSums{Sealed: 2, Uploaded: 1, BytesSealed: 3000, BytesUploaded: 2000}) || r.ChunksList != nil {
		t.Errorf("%+v", r)
	}
	if last := r.Steps[len(r.Steps)-1]; !last.Implied || last.Attempts != 0 || r.Steps[5].Attempts != 1 {
		t.Errorf("%+v", r.Steps)
	}
	if other := d.Runs[1-i]; other.State != "failed" || !other.Resumable || other.Application != nil || *other.Error != "snapshot: no such dataset" {
		t.Errorf("%+v", other)
	}
	for _, l := range d.Locks {
		switch l.Owner {
		case "run":
			if *l.Alive || *l.Run != "7k3f" || *l.PID != 48112 {
				t.Errorf("%+v", l)
			}
		case "operator":
			if l.Alive != nil || l.Run != nil || l.PID != nil || *l.Why != "moving <pool>" {
				t.Errorf("%+v", l)
			}
		}
	}
	if len(d.Locks) != 2 || len(d.Backups) != 2 || d.Backups[0].Base != nil || *d.Backups[1].Base != c.newest {
		t.Errorf("%+v\n%+v", d.Locks, d.Backups)
	}
	if j := d.Jobs[0]; *j.LastGood != c.newest || j.Late || j.MaxAgeSeconds != 36*3600 {
		t.Errorf("%+v", j)
	}
}

func TestStatusJSONOfALiveRun(t *testing.T) {
	t.Parallel()
	c := full(t)
	c.live(taleGUID, taleOwner, "7k3f", today("03:52:00"))
	d, _ := c.statusJSON("7k3f")
	if len(d.Runs) != 1 || len(d.Locks) != 1 || len(d.Backups) != 1 {
		t.Fatalf("%+v", d)
	}
	r := d.Runs[0]
	if r.State != "running" || !*r.Alive || r.Resumable || r.Next != nil || !*d.Locks[0].Alive || d.Backups[0].Name != *r.Backup {
		t.Errorf("%+v\n%+v", r, d.Locks)
	}
	if list := *r.ChunksList; len(list) != 2 || list[0].State != "uploaded" || list[1].State != "sealed" || list[0].Bytes != 2000 {
		t.Errorf("%+v", list)
	}
	if len(d.Processes) != 1 || *d.Processes[0].Dataset != "tank/data" {
		t.Errorf("%+v", d.Processes)
	}
}

// Who can't look into the fixed folder does not know whether anybody is alive, and must not say that nobody is.
func TestStatusWhereLivenessCantBeTold(t *testing.T) {
	t.Parallel()
	c := full(t)
	if err := errors.Join(os.Mkdir(c.app.Folder.Dir, 0o777), os.Chmod(c.app.Folder.Dir, 0o777), os.WriteFile(c.app.Folder.Dir+"/"+taleGUID+".live", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	d, _ := c.statusJSON("7k3f")
	if r := d.Runs[0]; r.Alive != nil || r.State != "running" || r.Resumable || r.Next != nil {
		t.Errorf("%+v", r)
	}
	text, err := c.status(StatusCmd{ID: "7k3f"})
	if err != nil || !strings.Contains(text, "NOT KNOWN    tank/data") || !strings.Contains(text, "whether it is alive can't be told: folder is not safe") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestStatusOfOneRun(t *testing.T) {
	t.Parallel()
	c := full(t)
	got, err := c.status(StatusCmd{ID: "7k3f"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"INTERRUPTED  tank/data to b2:acme/web1   run 7k3f,",
		"snapshot     tank/data@20261125025200\n",
		", exported: the full is 3 days old\n",
		"next         zfs2cloud -c web.ini resume 7k3f",
		"\nSTEP                           STATE    STARTS  BEGAN     TOOK",
		"\n./stop-app                     done     1       03:52:10  2.0s",
		"\nupload-intermediate-to-remote  running  1       03:52:50  -",
		"\n\nCHUNK  STATE     SIZE      FILE\n0      uploaded  1.95 KiB  chunk0\n1      sealed    0.98 KiB  chunk1\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(got, "finish") {
		t.Error("an implied step that is not at work is shown")
	}
	if t.Failed() {
		t.Log(got)
	}
	_, err = c.status(StatusCmd{ID: "none"})
	if exitCode(err) != exitRefused || c.app.text(err) != "zfs2cloud: there is no run \"none\"\nNext: zfs2cloud -c web.ini status" {
		t.Error(err)
	}
}

func TestStatusGraph(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	got, err := c.status(StatusCmd{Graph: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range workflow.Machines() {
		if want := "## " + m.Name() + "\n\n```mermaid\n" + m.Mermaid() + "```\n"; !strings.Contains(got, want) {
			t.Errorf("%s is missing in\n%s", m.Name(), got)
		}
	}
}

func TestLastGoodHasAWholeChain(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	c.job("tank/data", taleGUID, taleJob)
	c.good(taleJob, taleNow.Add(-48*time.Hour))
	oldest := c.newest
	base := c.backup(taleJob, taleNow.Add(-24*time.Hour), state.Backup{Full: true}, workflow.BackupExport, workflow.BackupCommit, workflow.BackupExpire)
	c.backup(taleJob, taleNow.Add(-time.Hour), state.Backup{Base: &state.Base{Name: base}}, workflow.BackupExport, workflow.BackupCommit)
	if d, _ := c.statusJSON(""); *d.Jobs[0].LastGood != oldest || !d.Jobs[0].Late {
		t.Errorf("%s, not %s", *d.Jobs[0].LastGood, oldest)
	}
}
