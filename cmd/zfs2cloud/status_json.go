package main

import (
	"encoding/json"
	"io"
	"maps"
	"slices"
	"time"

	"zfs2cloud/actions"
	"zfs2cloud/state"
)

// What status tells programs: a contract, to which fields may be added. Null means: there is none, or, of
// runs, backups, jobs and alive, that it is not known.

type statusDocument struct {
	Version   int            `json:"version"`
	Runs      []statusRun    `json:"runs"`
	Locks     []statusLock   `json:"locks"`
	Backups   []statusBackup `json:"backups"`
	Jobs      []statusJob    `json:"jobs"`
	Processes []statusOwner  `json:"processes"`     // that own a dataset now, whatever their database
	Brackets  []statusOpen   `json:"open_brackets"` // that only a note tells of
	Database  string         `json:"database"`
	Error     *string        `json:"error"`        // why the database can't be read
	Aside     *string        `json:"moved_aside"`  // a damaged database, before this one was begun
	ConfigErr *string        `json:"config_error"` // why the config can't; it is not needed
}

type statusRun struct {
	ID          string         `json:"id"`
	Dataset     string         `json:"dataset"`
	Remote      string         `json:"remote"`
	State       string         `json:"state"`
	Alive       *bool          `json:"alive"`
	Resumable   bool           `json:"resumable"`
	Step        *string        `json:"step"`
	Next        *string        `json:"next"`
	Error       *string        `json:"error"`
	Started     time.Time      `json:"started"`
	Updated     time.Time      `json:"updated"`
	Ended       *time.Time     `json:"ended"`
	Application *string        `json:"application"`
	Snapshot    *string        `json:"snapshot"`
	Backup      *string        `json:"backup"`
	Steps       []statusStep   `json:"steps"`
	Chunks      statusSums     `json:"chunks"`
	Files       *statusFiles   `json:"files"`                 // of mode file
	ChunksList  *[]statusChunk `json:"chunks_list,omitempty"` // of status RUN

	Restore *statusRestore `json:"restore"` // null for a backup

	Job    string   `json:"job"`
	Config string   `json:"config"`
	Typed  *string  `json:"typed"`
	Host   string   `json:"host"`
	PID    int      `json:"pid"`
	Why    *string  `json:"why"`
	Deaths int      `json:"deaths"`
	Notes  []string `json:"notes"`
}

// statusRestore is what a run restores. A step of the run receives one backup of the chain, or fetches its stream.
type statusRestore struct {
	Into        string       `json:"into"`    // a dataset; for streams a folder, for files a scratch dataset
	Streams     bool         `json:"streams"` // into files
	Files       *statusPaths `json:"files"`   // null unless single files are restored
	Spool       string       `json:"spool"`
	Chain       []statusLink `json:"chain"`
	PassedBytes int64        `json:"passed_bytes"` // of the stream that is being received
}

// statusPaths are paths in the dataset, and the folder that gets them.
type statusPaths struct {
	Paths []string `json:"paths"`
	Dir   string   `json:"dir"`
}

type statusLink struct {
	Backup      string `json:"backup"`
	Bytes       int64  `json:"bytes"`
	StreamBytes int64  `json:"stream_bytes"`
}

func restoreJSON(rs *state.Restore) *statusRestore {
	if rs == nil {
		return nil
	}
	j := &statusRestore{Into: rs.Into, Streams: rs.Streams, Spool: rs.Spool, PassedBytes: rs.Passed}
	if f := rs.Files; f != nil {
		j.Files = &statusPaths{f.Paths, f.Dir}
	}
	for _, l := range rs.Chain {
		j.Chain = append(j.Chain, statusLink{Backup: l.Name, Bytes: l.Bytes, StreamBytes: l.StreamBytes})
	}
	return j
}

type statusStep struct {
	Name     string     `json:"name"`
	State    string     `json:"state"`
	Attempts int        `json:"attempts"` // how often it was started
	Started  *time.Time `json:"started"`
	Ended    *time.Time `json:"ended"`

	Args    []string `json:"args"`
	Implied bool     `json:"implied"`
	Error   *string  `json:"error"`
	Detail  *string  `json:"detail"`
}

// statusFiles is a sync of the snapshot's files, as far as it had come when it was last stored.
type statusFiles struct {
	Into    string `json:"into"`
	Bytes   int64  `json:"bytes"`
	Total   int64  `json:"bytes_total"`
	Sent    int64  `json:"sent"`
	Deleted int64  `json:"deleted"`
}

func filesJSON(b state.Backup) *statusFiles {
	if f := b.Files; f != nil {
		return &statusFiles{f.Into, f.Bytes, f.Total, f.Sent, f.Deleted}
	}
	return nil
}

// statusSums counts chunk files, and their bytes.
type statusSums struct {
	Sealed        int   `json:"sealed"`
	Uploaded      int   `json:"uploaded"`
	BytesSealed   int64 `json:"bytes_sealed"`
	BytesUploaded int64 `json:"bytes_uploaded"`
}

type statusChunk struct {
	N          int     `json:"n"`
	Generation int     `json:"generation"`
	Name       string  `json:"name"`
	State      string  `json:"state"`
	Bytes      int64   `json:"bytes"`
	SHA256     *string `json:"sha256"`
}

type statusLock struct {
	Dataset string    `json:"dataset"`
	Owner   string    `json:"owner"` // run or operator
	Run     *string   `json:"run"`
	Host    string    `json:"host"`
	PID     *int      `json:"pid"`
	Since   time.Time `json:"since"`
	Why     *string   `json:"why"`
	Alive   *bool     `json:"alive"` // null for an operator's

	User       *string `json:"user"`
	TurnedAway int     `json:"turned_away"`
}

type statusBackup struct {
	Dataset string  `json:"dataset"`
	Remote  string  `json:"remote"`
	Name    string  `json:"name"`
	State   string  `json:"state"`
	Base    *string `json:"base"`
	Chunks  int     `json:"chunks"`
	Bytes   int64   `json:"bytes"`

	Files *statusFiles `json:"files"` // of mode file

	Job       string     `json:"job"`
	Run       string     `json:"run"`
	Created   time.Time  `json:"created"`
	Committed *time.Time `json:"committed"`
	Seen      *time.Time `json:"seen"`

	Verified *verifiedJSON `json:"verified"`
	Bad      *badJSON      `json:"bad"` // what the first verification found that found it bad
}

// verifiedJSON is what the last verification came to. Bad is null if nothing is wrong.
type verifiedJSON struct {
	Level string    `json:"level"`
	At    time.Time `json:"at"`
	Bad   *string   `json:"bad"`
}

type badJSON struct {
	Level string    `json:"level"`
	At    time.Time `json:"at"`
	What  string    `json:"what"`
}

func verifiedToJSON(v actions.LastVerified, known bool) *verifiedJSON {
	if !known {
		return nil
	}
	return &verifiedJSON{Level: string(v.Level), At: v.At.UTC(), Bad: orNull(v.Bad)}
}

type statusJob struct {
	ID            string     `json:"id"`
	Dataset       string     `json:"dataset"`
	Remote        string     `json:"remote"`
	Config        string     `json:"config"`
	LastGood      *string    `json:"last_good"`
	LastGoodAt    *time.Time `json:"last_good_at"`
	MaxAgeSeconds int64      `json:"max_age_seconds"`
	Late          bool       `json:"late"`
	Children      []string   `json:"children"` // datasets below it, which are in no backup of this job

	Python     []statusForeign `json:"python"`      // backups of the Python tool that were verified or taken over
	PythonLeft *state.Left     `json:"python_left"` // what of the Python tool's nobody has taken over; null: nobody has looked
}

type statusOwner struct {
	DatasetGUID string    `json:"dataset_guid"`
	Dataset     *string   `json:"dataset"`
	Run         *string   `json:"run"`
	Host        string    `json:"host"`
	PID         int       `json:"pid"`
	Since       time.Time `json:"since"`
}

type statusOpen struct {
	DatasetGUID string  `json:"dataset_guid"`
	Dataset     *string `json:"dataset"`
	Run         string  `json:"run"`
	Database    *string `json:"database"`
	Error       *string `json:"error"`
}

func (s *sight) printJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(s.document())
}

func (s *sight) document() statusDocument {
	d := statusDocument{Version: 1, Database: s.database, Locks: []statusLock{}, Processes: []statusOwner{}, Brackets: []statusOpen{}}
	d.Aside = orNull(s.movedAside)
	d.Error, d.ConfigErr = textOf(s.err), textOf(s.conf.err)
	if s.err == nil {
		d.Runs, d.Backups, d.Jobs = s.runsJSON(), s.backupsJSON(), s.jobsJSON()
	}
	d.Locks = s.locksJSON()
	for _, guid := range slices.Sorted(maps.Keys(s.owners)) {
		if o := s.owners[guid]; o.alive {
			d.Processes = append(d.Processes, statusOwner{DatasetGUID: guid, Dataset: s.knownName(guid), Run: orNull(o.who.Run), Host: o.who.Host, PID: o.who.PID, Since: o.who.Since.UTC()})
		}
	}
	if s.id == "" {
		for _, o := range s.elsewhere() {
			d.Brackets = append(d.Brackets, statusOpen{DatasetGUID: o.GUID, Dataset: s.knownName(o.GUID), Run: o.Run, Database: orNull(o.Database), Error: textOf(o.Err)})
		}
	}
	return d
}

func (s *sight) runsJSON() []statusRun {
	runs := []statusRun{}
	for _, r := range s.runs {
		j := statusRun{ID: r.ID, Dataset: r.Frozen.Dataset, Remote: placeOf(r), State: string(s.stateOf(r)), Alive: s.alive(r), Resumable: s.resumable(r),
			Step: orNull(stepName(r)), Next: orNull(s.next(r)), Error: orNull(r.Error), Started: r.Started.UTC(), Updated: r.Updated.UTC(), Ended: utc(r.Ended),
			Application: orNull(s.application(r)), Snapshot: orNull(snapshotName(r)), Backup: orNull(r.Backup), Steps: stepsJSON(r.Steps),
			Restore: restoreJSON(r.Restore), Job: r.Job, Config: r.Config, Typed: orNull(r.Typed), Host: r.Owner.Host, PID: r.Owner.PID, Why: orNull(r.Why), Deaths: len(r.Deaths),
			Notes: append([]string{}, r.Notes...)}
		if b, ok := s.backup(r); ok {
			j.Files = filesJSON(b)
			j.Chunks = statusSums{Sealed: b.Sums.Sealed, Uploaded: b.Sums.Uploaded, BytesSealed: b.Sums.BytesSealed, BytesUploaded: b.Sums.BytesUploaded}
		}
		if s.id != "" {
			j.ChunksList = chunksJSON(s.chunks)
		}
		runs = append(runs, j)
	}
	return runs
}

func stepsJSON(steps []state.Step) []statusStep {
	list := []statusStep{}
	for _, step := range steps {
		list = append(list, statusStep{Name: step.Shown, State: step.State.String(), Attempts: step.Starts, Started: utc(step.Started), Ended: utc(step.Ended),
			Args: append([]string{}, step.Args...), Implied: step.Implied, Error: orNull(step.Error), Detail: orNull(step.Detail)})
	}
	return list
}

func chunksJSON(chunks []state.Chunk) *[]statusChunk {
	list := []statusChunk{}
	for _, c := range chunks {
		list = append(list, statusChunk{N: c.N, Generation: c.Gen, Name: c.Name, State: c.State.String(), Bytes: c.Size, SHA256: orNull(c.SHA256)})
	}
	return &list
}

// locksJSON lists the held lock records, and operators' locks that only a note tells of.
func (s *sight) locksJSON() []statusLock {
	locks := []statusLock{}
	told := map[string]bool{}
	for _, l := range append(s.locks[:len(s.locks):len(s.locks)], s.notedLocks...) {
		if !s.asked(l.DatasetGUID) || l.Operator && told[l.DatasetGUID] {
			continue
		}
		j := statusLock{Dataset: l.Dataset, Owner: "run", Run: orNull(l.Run), Host: l.Host, Since: l.Since.UTC(), Why: orNull(l.Why), Alive: s.lockAlive(l),
			User: orNull(l.User), TurnedAway: l.TurnedAway}
		if l.Operator {
			j.Owner, told[l.DatasetGUID] = "operator", true
		}
		if l.PID != 0 {
			j.PID = &l.PID
		}
		locks = append(locks, j)
	}
	return locks
}

func (s *sight) backupsJSON() []statusBackup {
	backups := []statusBackup{}
	for _, b := range s.backups {
		if s.id != "" && (len(s.runs) == 0 || b.Job != s.runs[0].Job || b.Name != s.runs[0].Backup) {
			continue
		}
		j := statusBackup{Dataset: b.Dataset, Remote: b.Place, Name: b.Name, State: b.State.String(), Chunks: b.Sums.Sealed, Bytes: b.Sums.BytesSealed,
			Files: filesJSON(b), Job: b.Job, Run: b.Run, Created: b.Created.UTC(), Committed: utc(b.Committed), Seen: utc(b.Seen)}
		if b.Base != nil {
			j.Base = &b.Base.Name
		}
		v, known := actions.LastVerifiedOf(b.Verified, s.now)
		j.Verified = verifiedToJSON(v, known)
		if b.Bad != nil {
			j.Bad = &badJSON{Level: b.Bad.Level, At: b.Bad.At.UTC(), What: b.Bad.What}
		}
		backups = append(backups, j)
	}
	return backups
}

func (s *sight) jobsJSON() []statusJob {
	jobs := []statusJob{}
	for _, j := range s.jobs {
		if !s.asked(j.DatasetGUID) {
			continue
		}
		job := statusJob{ID: j.ID, Dataset: j.Dataset, Remote: j.Place, Config: j.Config, MaxAgeSeconds: int64(s.maxAge(j).Seconds()), Late: s.late(j), Children: append([]string{}, j.Children...),
			Python: s.foreignJSON(j.ID), PythonLeft: j.Left}
		if b, ok := s.lastGood(j.ID); ok {
			at := asOf(b)
			job.LastGood, job.LastGoodAt = &b.Name, &at
		}
		jobs = append(jobs, job)
	}
	return jobs
}

// asked tells whether a dataset is one that the answer is about: any, or that of the one run.
func (s *sight) asked(guid string) bool {
	return s.id == "" || len(s.runs) > 0 && s.runs[0].DatasetGUID == guid
}

func (s *sight) knownName(guid string) *string {
	if name := s.datasetName(guid); name != unnamed(guid) {
		return &name
	}
	return nil
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func textOf(err error) *string {
	if err == nil {
		return nil
	}
	return orNull(err.Error())
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
