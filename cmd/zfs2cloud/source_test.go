package main

import (
	"errors"
	"testing"

	"zfs2cloud/actions"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
)

// Of two jobs of one dataset's name and one place, the backups there are that one's whose marker lies there, or that was used. (It was the
// one whose random id came last, so that by chance nobody missed a newest backup that was taken away.)
func TestJobOfPlace(t *testing.T) {
	t.Parallel()
	for _, ids := range [][2]string{{"01", "02"}, {"02", "01"}} {
		used, fresh := ids[0], ids[1]
		c := newTale(t)
		c.job("tank/data", "4801", used)
		c.job("tank/data", "4802", fresh)
		c.put(func(tx *state.Tx) error {
			j, _, err := tx.Job(fresh)
			j.Used, j.Fresh = false, true
			return errors.Join(err, tx.PutJob(j))
		})
		s := &settings.Settings{Dataset: "tank/data", Remote: "b2:acme/web1", StateDB: c.store.Path(), Steps: []settings.Step{{Name: actions.StepUpload}}}
		for _, want := range []struct {
			marked []string
			job    string
		}{{nil, used}, {[]string{used}, used}, {[]string{fresh}, fresh}} {
			if job := (Source{}).onRecord(c.app, s, want.marked); job == nil || job.ID != want.job {
				t.Errorf("used %s, marked %v: %+v", used, want.marked, job)
			}
		}
	}
}
