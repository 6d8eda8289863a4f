package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"zfs2cloud/actions"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
	"zfs2cloud/state/durable"
	"zfs2cloud/workflow"
)

// audit looks at what must hold at the end of every script, whatever was killed in it.
func (f *fixture) audit() {
	f.auditMounts()
	if f.t.Failed() || f.t.Skipped() {
		return
	}
	f.auditApplication()
	f.auditChildren()
	f.auditUploads()
	databases, err := filepath.Glob(f.at("state*/state.db"))
	if err != nil {
		f.t.Error(err)
	}
	for _, path := range databases {
		f.auditFile(path)
		f.auditRecords(path)
	}
}

// auditApplication: each stop was followed by a start (I3).
func (f *fixture) auditApplication() {
	log, err := os.ReadFile(f.at("app.log"))
	if os.IsNotExist(err) || f.allowed["stopped"] {
		return
	}
	if lines := strings.Fields(string(log)); lines[len(lines)-1] != "start" {
		f.t.Errorf("audit: the application was left stopped: %v", lines)
	}
}

// auditChildren: no zfs, gpg or rclone outlived the program. SIGKILL takes them with it, a moment later.
func (f *fixture) auditChildren() {
	var left []string
	for until := time.Now().Add(awaitMost); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if left = f.holders(); len(left) == 0 {
			return
		}
	}
	f.t.Errorf("audit: programs outlived their run: %v", left)
}

// holders are the processes that have a file of the fixed folder open, and the agents of our gpg's homes. (qubes-issues#6067,
// ostree#1799: agents piled up, one for each home.)
func (f *fixture) holders() (left []string) {
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range commands {
		text, err := os.ReadFile(file)
		program, args, _ := strings.Cut(string(text), "\x00")
		if err == nil && filepath.Base(program) == "gpg-agent" && strings.Contains(args, f.work) {
			left = append(left, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		target, err := os.Readlink(fd)
		if err == nil && strings.HasPrefix(target, f.at("alive")+"/") {
			left = append(left, fd+" -> "+target)
		}
	}
	return left
}

// auditUploads: in one life of the program no chunk is uploaded twice in its generation, and a later life uploads
// again at most what was in flight when the one before ended (I6).
func (f *fixture) auditUploads() {
	log, err := os.ReadFile(f.at("rclone/arrivals"))
	if os.IsNotExist(err) || f.allowed["again"] {
		return
	}
	const jobs = 4 // upload_jobs
	lives := []string{}
	times := map[string]map[string]int{} // by life and name
	before := map[string]bool{}
	for line := range strings.Lines(string(log)) {
		life, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if times[life] == nil {
			lives, times[life] = append(lives, life), map[string]int{}
		}
		times[life][name]++
	}
	for _, life := range lives {
		again := 0
		for name, n := range times[life] {
			if n > 1 {
				f.t.Errorf("audit: %s was uploaded %d times by one process", name, n)
			}
			if before[name] {
				again++
			}
			before[name] = true
		}
		if again > jobs {
			f.t.Errorf("audit: a process uploaded %d chunks again, of at most %d in flight", again, jobs)
		}
	}
}

// auditFile is bbolt's own check.
func (f *fixture) auditFile(path string) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		f.t.Errorf("audit: %s: %v", path, err)
		return
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			return err
		}
		return nil
	})
	if err != nil {
		f.t.Errorf("audit: %s: %v", path, err)
	}
}

// auditRecords: every record is as it was written (which the first transaction looks at), and agrees with ZFS and
// the remote.
func (f *fixture) auditRecords(path string) {
	err := state.New(path).View(func(tx *state.Tx) error {
		runs, err := tx.Runs()
		if err != nil {
			return err
		}
		f.auditHolds(runs)
		if len(runs) > 0 && workflow.RunMachine.In(runs[0].State, workflow.RunSucceeded) {
			f.auditTemps()
		}
		backups, err := tx.Backups("")
		if err != nil {
			return err
		}
		for _, b := range backups {
			if workflow.BackupMachine.In(b.State, workflow.BackupExpired, workflow.BackupAbandoned) {
				continue
			}
			chunks, err := tx.Chunks(b.Job, b.Name)
			if err != nil {
				return err
			}
			f.auditSums(b, chunks)
			if b.Files != nil {
				continue // what a sync made is compared by its scripts
			}
			f.auditMarks(b, chunks)
			if workflow.BackupMachine.In(b.State, workflow.BackupCommitted) {
				f.auditBackup(b, chunks)
			}
		}
		return nil
	})
	if err != nil {
		f.t.Errorf("audit: %s: %v", path, err)
	}
}

// auditHolds: no run that is over holds its snapshot, but for a typed one, or has a spool folder. zfs-fuse can't list holds, so we try
// to release them. (sanoid#1109, zrepl#826: holds leaked.)
func (f *fixture) auditHolds(runs []state.Run) {
	for _, r := range runs {
		over := workflow.Over(r.State)
		if over && r.Restore != nil {
			if left, err := filepath.Glob(filepath.Join(r.Restore.Spool, "zfs2cloud-restore-"+r.ID)); err != nil || len(left) > 0 {
				f.t.Errorf("audit: restore %s is over, and left %v", r.ID, left)
			}
		}
		if !over || r.KeepsHold || r.Snapshot == "" {
			continue
		}
		held := r.Frozen.Dataset + "@" + r.Snapshot
		if exec.Command("zfs", "release", "zfs2cloud:"+r.ID, held).Run() == nil {
			f.t.Errorf("audit: run %s is over, and held %s", r.ID, held)
		}
	}
}

// auditTemps: a run that succeeded left nothing unfinished behind.
func (f *fixture) auditTemps() {
	if f.allowed["temps"] {
		return
	}
	for _, dir := range []string{"spool", "remote", "served", "alive", "state"} {
		filepath.WalkDir(f.at(dir), func(name string, _ fs.DirEntry, err error) error {
			if err == nil && durable.IsTemp(filepath.Base(name)) {
				f.t.Errorf("audit: %s is left", name)
			}
			return nil
		})
	}
}

// auditSums: a backup's sums are those of its chunks.
func (f *fixture) auditSums(b state.Backup, chunks []state.Chunk) {
	var s state.Sums
	for _, c := range chunks {
		switch workflow.ChunkState(c.State.String()) {
		case workflow.ChunkUploaded, workflow.ChunkReleased:
			s.Uploaded++
			s.BytesUploaded += c.Size
			fallthrough
		case workflow.ChunkSealed, workflow.ChunkUploading:
			s.Sealed++
			s.PlainSealed += c.Plain
			s.BytesSealed += c.Size
		}
	}
	if s != b.Sums {
		f.t.Errorf("audit: the chunks of %s (%s) make up %+v, its record says %+v", b.Name, b.State, s, b.Sums)
	}
}

// auditMarks: behind each chunk it is on record how the send goes on there, and it is that place; but before the first
// object, which comes within the first kilobytes, and once no send goes on there any more. (A record that was made again
// from a manifest has none.)
func (f *fixture) auditMarks(b state.Backup, chunks []state.Chunk) {
	const headSize = 8 << 10
	if strings.Contains(b.Reason, "by its manifest alone") {
		return
	}
	n, at := 0, int64(0)
	for _, c := range chunks {
		if workflow.ChunkMachine.In(c.State, workflow.ChunkDiscarded, workflow.ChunkSealing) {
			continue
		}
		if c.N != n {
			return // one is missing, and is to be sealed again
		}
		n++
		at += c.Plain
		if len(c.Resume) == 0 {
			if at > headSize && !workflow.ChunkMachine.In(c.State, workflow.ChunkReleased) {
				f.t.Errorf("audit: chunk %d of %s (%s) has no mark", c.N, b.Name, c.State)
			}
		} else if behind, err := actions.Behind(c); err != nil || behind != at {
			f.t.Errorf("audit: the mark of chunk %d of %s is at %d instead of %d: %v", c.N, b.Name, behind, at, err)
		}
	}
}

// auditBackup: what is committed is whole at its place (I4).
func (f *fixture) auditBackup(b state.Backup, chunks []state.Chunk) {
	if f.allowed["missing"] {
		return
	}
	folder := filepath.Join(b.Place, b.Name)
	if inBox, ok := strings.CutPrefix(b.Place, "box:"); ok {
		folder = filepath.Join(f.box, inBox, b.Name)
	}
	enc := settings.Encryption(b.Encryption)
	want := map[string]int64{manifest.FileName(enc): b.ManifestSize}
	for _, text := range manifest.Texts(enc) {
		want[text] = -1
	}
	if b.Index != nil {
		want[b.Index.Name] = b.Index.Size
	}
	n := 0
	for _, c := range chunks {
		if !workflow.ChunkMachine.In(c.State, workflow.ChunkDiscarded) {
			want[c.Name] = c.Size
			n++
		}
	}
	if n == 0 {
		f.t.Errorf("audit: committed backup %s has no chunk on record", b.Name)
	}
	for name, size := range want {
		info, err := os.Stat(filepath.Join(folder, name))
		if err == nil && size >= 0 && info.Size() != size {
			err = fmt.Errorf("%s has %d bytes, not %d", name, info.Size(), size)
		}
		if err != nil {
			f.t.Errorf("audit: committed backup %s: %v", b.Name, err)
		}
	}
	// What is based on it names it by its hash.
	text, err := os.ReadFile(filepath.Join(folder, manifest.FileName(enc)))
	if sum := sha256.Sum256(text); err == nil && hex.EncodeToString(sum[:]) != b.ManifestSHA256 {
		f.t.Errorf("audit: committed backup %s: its manifest is another than is on record", b.Name)
	}
}
