package state

import "time"

// Lock is the lock record of a dataset. A run's keeps others out while its process lives, an operator's
// until unlock; who is alive is not in the record (live.go).
type Lock struct {
	DatasetGUID string    `json:"dataset_guid"`
	Dataset     string    `json:"dataset"`
	State       Cell      `json:"state"`
	Operator    bool      `json:"operator,omitempty"`
	Run         string    `json:"run,omitempty"`
	Host        string    `json:"host,omitempty"`
	PID         int       `json:"pid,omitempty"`
	Boot        string    `json:"boot,omitempty"`
	User        string    `json:"user,omitempty"`
	Since       time.Time `json:"since"`
	Why         string    `json:"why,omitempty"`
	// TurnedAway counts the runs that an operator's lock kept out.
	TurnedAway     int        `json:"turned_away,omitempty"`
	TurnedAwayLast *time.Time `json:"turned_away_last,omitempty"`
}

// Lock returns the lock record of a dataset.
func (tx *Tx) Lock(guid string) (Lock, bool, error) { return Get[Lock](tx, BucketLocks, guid) }

// PutLock stores a lock record.
func (tx *Tx) PutLock(l Lock) error { return Put(tx, BucketLocks, l.DatasetGUID, l) }

// Locks lists all lock records.
func (tx *Tx) Locks() ([]Lock, error) { return values[Lock](tx, BucketLocks, "") }
