package outage

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"zfs2cloud/actions/units"
)

// status is what status --json says, as far as it is looked at here.
type status struct {
	Error, Aside *string
	Runs         []struct {
		ID, State, Step, Next string
		Application           *string
		Backup                *string
		Alive, Resumable      bool
		Chunks                struct{ Sealed, Uploaded int }
		List                  []chunk `json:"chunks_list"`
	}
	Backups []backup
}

type chunk struct {
	Name, State string
	Bytes       int64
	SHA256      string
}

type backup struct {
	Name, State string
	Chunks      int
	Bytes       int64
	Files       *synced
}

// synced is what a sync of mode file did.
type synced struct{ Bytes, Sent, Deleted int64 }

func (s *synced) String() string {
	if s == nil {
		return "nothing synced"
	}
	return fmt.Sprintf("%d files sent, %s, %d deleted", s.Sent, units.Size(s.Bytes), s.Deleted)
}

func (g *guest) status(ctx context.Context, args ...string) (s status, err error) {
	var out strings.Builder
	if err := g.product(ctx, &out, append([]string{"status", "--json"}, args...)...); err != nil {
		return s, err
	}
	if err := json.Unmarshal([]byte(out.String()), &s); err != nil {
		return s, fmt.Errorf("status --json: %w", err)
	}
	if s.Error != nil || s.Aside != nil || len(s.Runs) == 0 {
		return s, fmt.Errorf("status --json: %s", out.String())
	}
	return s, nil
}

// look is the first thing after a cut: is the database sound, and does status tell the truth?
func (g *guest) look(ctx context.Context) error {
	if err := sound(filepath.Join(state, "state.db")); err != nil {
		return fmt.Errorf("the state database: %w", err)
	}
	var text strings.Builder
	if err := g.product(ctx, &text, "status"); err != nil {
		return err
	}
	for _, words := range []string{"its process is gone", "(power cut or reboot)", "resume "} {
		if !strings.Contains(text.String(), words) {
			return fmt.Errorf("status does not say %q:\n%s", words, text.String())
		}
	}
	s, err := g.status(ctx)
	if err != nil {
		return err
	}
	r := s.Runs[0]
	if s, err = g.status(ctx, r.ID); err != nil {
		return err
	}
	r = s.Runs[0]
	app := "?"
	if r.Application != nil {
		app = *r.Application
	}
	say(Looked+" %s in %s, %d chunks sealed, %d uploaded, application %s", r.State, r.Step, r.Chunks.Sealed, r.Chunks.Uploaded, app)
	if r.State != "interrupted" || r.Alive || !r.Resumable || !strings.Contains(r.Next, "resume "+r.ID) {
		return fmt.Errorf("status: run %s is %s, alive %v, resumable %v, next %q", r.ID, r.State, r.Alive, r.Resumable, r.Next)
	}
	if c := g.Ended; c.When != During && c.Step != "" && r.Step != c.Step {
		return fmt.Errorf("status: it is in %s, not in %s", r.Step, c.Step)
	}
	if last, err := lastHook(); err != nil || last == "stop" && app == "running" {
		return errors.Join(err, fmt.Errorf("status: the application is %s; the last hook was %q", app, last))
	}
	if r.Backup == nil {
		return nil
	}
	return there(r.List, *r.Backup)
}

// sound is bbolt's own check.
func sound(file string) error {
	db, err := bolt.Open(file, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			return err
		}
		return nil
	})
}

// lastHook is the last that the hooks wrote; empty if they never did.
func lastHook() (string, error) {
	log, err := os.ReadFile("/data/app.log")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	words := strings.Fields(string(log))
	if len(words) == 0 {
		return "", nil
	}
	return words[len(words)-1], nil
}

// there returns an error unless the chunks are on the disk, and on the remote, as far as the record says so.
func there(chunks []chunk, backup string) error {
	for _, c := range chunks {
		if !slices.Contains([]string{"sealed", "uploading", "uploaded"}, c.State) {
			continue
		}
		if err := c.in(spool, backup); err != nil {
			return fmt.Errorf("chunk %s is %s: %w", c.Name, c.State, err)
		}
		if c.State != "uploaded" {
			continue
		}
		if err := c.in(remote+"/tank", backup); err != nil {
			return fmt.Errorf("chunk %s is uploaded: %w", c.Name, err)
		}
		say(Kept+" %s", c.Name)
	}
	return nil
}

func (c chunk) in(dir, backup string) error {
	f, err := os.Open(filepath.Join(dir, backup, c.Name))
	if err != nil {
		return err
	}
	defer f.Close()
	digest := sha256.New()
	n, err := io.Copy(digest, f)
	if err != nil {
		return err
	}
	if sum := fmt.Sprintf("%x", digest.Sum(nil)); n != c.Bytes || sum != c.SHA256 {
		return fmt.Errorf("%s has %d bytes of digest %s, not %d of %s", f.Name(), n, sum, c.Bytes, c.SHA256)
	}
	return nil
}
