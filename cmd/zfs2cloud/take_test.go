package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// Where ZFS does not answer, the dataset that is taken is the one whose application a dead run left stopped, also if another has
// had its name since.
func TestLastOf(t *testing.T) {
	t.Parallel()
	c := newTale(t)
	wants := func(want string) {
		t.Helper()
		err := c.store.View(func(tx *state.Tx) error {
			got, err := lastOf(tx, "tank/data")
			if got != want {
				t.Errorf("%q, want %q", got, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	c.job("tank/other", "4801", "05")
	wants("")
	c.job("tank/data", "4802", "09")
	wants("4802")
	c.job("tank/data", taleGUID, taleJob)
	c.put(func(tx *state.Tx) error {
		j, _, err := tx.Job("09")
		j.Created = j.Created.Add(time.Hour)
		return errors.Join(err, tx.PutJob(j))
	})
	wants("4802") // the newest
	c.run(taleRun{state: begun, bracket: closed})
	wants(taleGUID) // the one that ran
	for id, bracket := range map[string][]workflow.BracketEvent{"1aaa": closed, "2bbb": opened} {
		c.run(taleRun{Run: state.Run{ID: id}, state: begun, bracket: bracket})
		c.put(func(tx *state.Tx) error {
			r, _, err := tx.Run(id)
			if r.DatasetGUID = "4802"; id == "2bbb" {
				r.Started = r.Started.Add(-48 * time.Hour)
			}
			return errors.Join(err, tx.PutRun(r))
		})
	}
	wants("4802") // the one whose application is stopped
}

// The command that prints the passphrase may leave an agent behind, which is no orphan of ours, and does not keep a run for ever.
func TestPassphraseCommand(t *testing.T) {
	t.Parallel()
	kids, err := os.Create(filepath.Join(t.TempDir(), "kids"))
	if err != nil {
		t.Fatal(err)
	}
	defer kids.Close()
	a := &App{World: &proc.World{Kids: kids}}
	c := &settings.Settings{HookTimeout: 100 * time.Millisecond}
	c.Passphrase.Command = []string{"sleep", "600"}
	_, _, err = a.readPassphrase(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "encryption_passphrase_command: it gave none in 100ms; hook_timeout sets another time") {
		t.Error(err)
	}
	c.HookTimeout = 0
	c.Passphrase.Command = []string{"sh", "-c", "readlink /proc/$$/fd/3 || echo none"}
	if pass, _, err := a.readPassphrase(t.Context(), c); err != nil || string(pass) != "none" {
		t.Errorf("it has %s, %v", string(pass), err)
	}
}
