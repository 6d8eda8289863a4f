package state

import (
	"cmp"
	"crypto/rand"
	"slices"
	"strings"
	"time"
)

// Run is one backup run, one typed step or one restore, from its start to its end. It is frozen in what it does and
// goes on in whatever process resumes it.
type Run struct {
	ID string `json:"id"`
	// Number tells in which order runs were begun, which the clock does not; 0: before there was such a thing.
	Number      int64  `json:"number,omitempty"`
	Job         string `json:"job"`
	DatasetGUID string `json:"dataset_guid"`
	Config      string `json:"config"`
	// Typed is the built-in step that was typed as a command; empty for a run of the sequence.
	Typed  string `json:"typed,omitempty"`
	Frozen Frozen `json:"frozen"`
	// Restore is set in a run that restores. It has no job, and DatasetGUID is a word for what it makes.
	Restore *Restore `json:"restore,omitempty"`

	State   Cell   `json:"state"`
	Bracket Cell   `json:"bracket"`
	Steps   []Step `json:"steps"`

	// Owner is the process that works on it, or was the last to.
	Owner   Owner      `json:"owner"`
	Started time.Time  `json:"started"`
	Updated time.Time  `json:"updated"` // the last checkpoint
	Ended   *time.Time `json:"ended,omitempty"`
	Error   string     `json:"error,omitempty"`
	Why     string     `json:"why,omitempty"` // why it was given up

	Snapshot     string `json:"snapshot,omitempty"` // the part after @
	SnapshotGUID string `json:"snapshot_guid,omitempty"`
	Backup       string `json:"backup,omitempty"` // name of the backup that it makes or uploads
	// Folder is the one in intermediate_basedir that it may have claimed for a backup that is not on record yet.
	Folder string `json:"folder,omitempty"`
	// KeepsHold: a typed snapshot, whose hold outlives its run until the snapshot is exported; or a typed mount, until it
	// is unmounted.
	KeepsHold bool `json:"keeps_hold,omitempty"`
	// Mount is the folder where the run has its snapshot mounted, or is about to. A typed mount outlives its run.
	Mount string `json:"mount,omitempty"`

	Hook *HookMark `json:"hook,omitempty"` // the hook at work
	// CutOff is one that was to stop the application, outlived its process, and could not be ended before the application was
	// started.
	CutOff *HookMark `json:"cut_off,omitempty"`
	Waits  *Wait     `json:"waits,omitempty"` // of its owner; until then only

	High       Progress `json:"high"`         // over the run's whole life
	HighAtLast Progress `json:"high_at_last"` // when it was last asked whether there was progress
	Deaths     []Death  `json:"deaths,omitempty"`
	Closing    bool     `json:"closing,omitempty"` // a process that does not drive it is closing its bracket
	StartOvers int      `json:"start_overs,omitempty"`
	Stops      int      `json:"stops,omitempty"` // how often it was asked to stop since it last got any further

	Notes []string `json:"notes,omitempty"` // what a person should know afterwards: what could not be reached or removed
}

// Wait is a pause before something that failed is tried again.
type Wait struct {
	Until time.Time `json:"until"`
	Why   string    `json:"why"`
}

// Frozen is what a run does not change under way.
type Frozen struct {
	Dataset         string   `json:"dataset"`
	Remote          string   `json:"remote"` // empty where no step uploads
	IntermediateDir string   `json:"intermediate_dir"`
	SplitSize       int64    `json:"split_size"` // bytes of plaintext
	SendFlags       []string `json:"send_flags"`
	Encryption      string   `json:"encryption"` // gpg or none
	// HookTimeout is the one setting of hooks that closing a bracket needs without a config.
	HookTimeout time.Duration `json:"hook_timeout"`
}

// Step is one step of a run's plan.
type Step struct {
	Name    string     `json:"name"` // a built-in's name, or a script's absolute path
	Shown   string     `json:"shown"`
	Args    []string   `json:"args,omitempty"`
	Kind    string     `json:"kind"`
	Implied bool       `json:"implied,omitempty"` // not from the sequence
	State   Cell       `json:"state"`
	Attempt int        `json:"attempt"` // 1 and up; a rewind makes a new one, whose effects are new
	Starts  int        `json:"starts"`
	Started *time.Time `json:"started,omitempty"`
	Ended   *time.Time `json:"ended,omitempty"`
	Error   string     `json:"error,omitempty"`
	Detail  string     `json:"detail,omitempty"` // one line for people: what it did
}

// HookMark names the process of a hook, so that whoever comes after a crash can wait for its end.
type HookMark struct {
	PID     int       `json:"pid"`
	Start   uint64    `json:"start"` // clock ticks since boot
	Boot    string    `json:"boot"`
	Started time.Time `json:"started"`
	Phase   string    `json:"phase,omitempty"` // pre, post or step
}

// Progress is a high-water mark.
type Progress struct {
	Steps    int `json:"steps"`
	Sealed   int `json:"sealed"`
	Uploaded int `json:"uploaded"`
	Verified int `json:"verified,omitempty"` // chunks that were proved
	Received int `json:"received,omitempty"` // chunks that an earlier process of a restore had done with, and that stayed
	Fetched  int `json:"fetched,omitempty"`  // the same, and those behind them that it had only fetched
}

// Beyond tells whether anything of p is higher than in q.
func (p Progress) Beyond(q Progress) bool {
	return p.Steps > q.Steps || p.Sealed > q.Sealed || p.Uploaded > q.Uploaded || p.Verified > q.Verified || p.Received > q.Received ||
		p.Fetched > q.Fetched
}

// Raise lifts p to at least q.
func (p *Progress) Raise(q Progress) {
	p.Steps, p.Sealed, p.Uploaded = max(p.Steps, q.Steps), max(p.Sealed, q.Sealed), max(p.Uploaded, q.Uploaded)
	p.Verified, p.Received, p.Fetched = max(p.Verified, q.Verified), max(p.Received, q.Received), max(p.Fetched, q.Fetched)
}

// Death is an end of a process that said nothing, without progress since it began.
type Death struct {
	At      time.Time `json:"at"` // its last checkpoint
	Where   string    `json:"where"`
	Closing bool      `json:"closing,omitempty"` // it was bringing the application back
}

// runIDLetters leaves out what is mistaken for something else in a mail: 0 and o, 1, i and l.
const runIDLetters = "23456789abcdefghjkmnpqrstuvwxyz"

// NewRunID makes a short name for a run that no other run in the database has, nor had one that made a backup: the marks
// of snapshots still name it.
func (tx *Tx) NewRunID() (string, error) {
	backups, err := tx.Backups("")
	if err != nil {
		return "", err
	}
	made := make(map[string]bool, len(backups))
	for _, b := range backups {
		made[b.Run] = true
	}
	for n := 4; ; n++ {
		for range 20 {
			b := make([]byte, n)
			rand.Read(b)
			for i := range b {
				b[i] = runIDLetters[int(b[i])%len(runIDLetters)]
			}
			if _, taken, err := tx.Run(string(b)); err != nil || !taken && !made[string(b)] {
				return string(b), err
			}
		}
	}
}

// Run returns a run by its id.
func (tx *Tx) Run(id string) (Run, bool, error) { return Get[Run](tx, BucketRuns, id) }

// PutRun stores a run.
func (tx *Tx) PutRun(r Run) error { return Put(tx, BucketRuns, r.ID, r) }

// NewRunNumber is one more than that of any run on record.
func (tx *Tx) NewRunNumber() (int64, error) {
	runs, err := tx.Runs()
	if err != nil || len(runs) == 0 {
		return 1, err
	}
	return runs[0].Number + 1, nil
}

// Runs lists all runs, the newest first.
func (tx *Tx) Runs() ([]Run, error) {
	runs, err := values[Run](tx, BucketRuns, "")
	slices.SortStableFunc(runs, func(a, b Run) int { return cmp.Or(b.order(a), strings.Compare(a.ID, b.ID)) })
	return runs, err
}

// order is negative if r was begun before o.
func (r Run) order(o Run) int {
	return cmp.Or(cmp.Compare(r.Number, o.Number), r.Started.Compare(o.Started))
}

// After tells whether r was begun after o, whatever the clock said then.
func (r Run) After(o Run) bool { return r.order(o) > 0 }

// DropRun removes a run and its journal.
func (tx *Tx) DropRun(id string) error {
	entries, err := List[Entry](tx, BucketJournal, id+"/")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := Delete(tx, BucketJournal, e.Key); err != nil {
			return err
		}
	}
	return Delete(tx, BucketRuns, id)
}
