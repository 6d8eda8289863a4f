package main

import (
	"encoding/json"
	"testing"

	"zfs2cloud/state"
)

// Whoever stops an abort is not told that what is being removed stays, nor to resume.
func TestInterruptedAbort(t *testing.T) {
	r := state.Run{ID: "7k3f", Backup: "20261125035200-full"}
	if err := json.Unmarshal([]byte(`"aborting"`), &r.State); err != nil {
		t.Fatal(err)
	}
	a := &App{ConfigFlag: "web.ini"}
	want := "interrupted: run 7k3f is being given up; not all it left is removed yet\nNext: zfs2cloud -c web.ini abort 7k3f"
	if got := a.interruptedText(&taken{app: a, store: state.New(t.TempDir() + "/state.db")}, r); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
