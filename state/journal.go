package state

import (
	"encoding/json"
	"fmt"
	"time"
)

// Entry is what is known of one effect: that it was meant, and, once it is over, what came of it.
type Entry struct {
	Intent time.Time       `json:"intent"`
	Done   *time.Time      `json:"done,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
}

// EffectKey names an effect. The attempt is part of it: after a rewind yesterday's result is history.
func EffectKey(run string, step, attempt int, name string) string {
	return fmt.Sprintf("%s/%03d/%04d/%s", run, step, attempt, name)
}

// Entry returns the journal's entry of an effect.
func (tx *Tx) Entry(key string) (Entry, bool, error) { return Get[Entry](tx, BucketJournal, key) }

// PutEntry stores the journal's entry of an effect.
func (tx *Tx) PutEntry(key string, e Entry) error { return Put(tx, BucketJournal, key, e) }
