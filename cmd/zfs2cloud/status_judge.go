package main

import (
	"slices"
	"strings"
	"time"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// What is on record, and what it means now.

// alive tells whether a run is at work in a live process, if only to bring its application back. Nil: that can't be told.
func (s *sight) alive(r state.Run) *bool {
	alive := false
	if r.Closing || workflow.RunMachine.In(r.State, workflow.RunPending, workflow.RunRunning, workflow.RunAborting) {
		o := s.owners[r.DatasetGUID]
		if s.folderErr != nil || o.err != nil {
			return nil
		}
		alive = o.alive && r.Owner.Nonce != "" && o.who.Nonce == r.Owner.Nonce
	}
	return &alive
}

func (s *sight) isAlive(r state.Run) bool {
	alive := s.alive(r)
	return alive != nil && *alive
}

// died tells whether a run is on record as at work and has no process: nobody was left to store it.
func (s *sight) died(r state.Run) bool {
	alive := s.alive(r)
	return alive != nil && !*alive && workflow.RunMachine.In(r.State, workflow.RunPending, workflow.RunRunning)
}

func (s *sight) anyDied() bool {
	for _, r := range s.runs {
		if s.died(r) {
			return true
		}
	}
	return false
}

// found is a run's state as it really is, and its deaths in a row, with what nobody was left to store.
func (s *sight) found(r state.Run) (workflow.RunState, []state.Death) {
	if alive := s.alive(r); alive == nil || *alive {
		return workflow.RunState(r.State.String()), r.Deaths
	}
	return workflow.Found(r, s.owners[r.DatasetGUID].who)
}

func (s *sight) stateOf(r state.Run) workflow.RunState {
	now, _ := s.found(r)
	return now
}

func (s *sight) resumable(r state.Run) bool {
	switch s.stateOf(r) {
	case workflow.RunInterrupted, workflow.RunFailed:
		return true
	}
	return false
}

// application says what a run's hooks left of the application, or nothing.
func (s *sight) application(r state.Run) string {
	alive := s.alive(r)
	return workflow.ApplicationOf(r, alive == nil || *alive)
}

// next is the command that takes a run on, or nothing.
func (s *sight) next(r state.Run) string {
	command := ""
	switch state := s.stateOf(r); {
	case s.isAlive(r):
		return ""
	case state == workflow.RunInterrupted, state == workflow.RunFailed:
		command = "resume " + r.ID
	case state == workflow.RunStuck:
		command = "resume --force " + r.ID
	case state == workflow.RunAborting:
		return s.runHint(r, "abort "+r.ID)
	default:
		return ""
	}
	if _, locked := s.operatorLock(r.DatasetGUID); locked {
		command = "unlock"
	}
	return s.runHint(r, command)
}

// hint is a command line for the config that a run or a job was made with.
func (s *sight) hint(conf, command string) string {
	if conf == "" || conf == s.app.Config {
		return s.app.again(command)
	}
	return "zfs2cloud -c " + shellQuote(conf) + " " + command
}

// runHint is hint for a run.
func (s *sight) runHint(r state.Run, command string) string {
	return s.hint(configOf(s.jobs, r), command)
}

// configOf is the config that a run is gone on with by: its job's, which may lie elsewhere than when the run began.
func configOf(jobs []state.Job, r state.Run) string {
	for _, j := range jobs {
		if r.Job != "" && j.ID == r.Job {
			return j.Config
		}
	}
	return r.Config
}

// atWork is the step that a run is in, or that is next; -1 if none is left.
func atWork(r state.Run) int {
	running, next := -1, -1
	for i, step := range r.Steps {
		switch {
		case workflow.StepMachine.In(step.State, workflow.StepRunning):
			// While the bracket is open, a snapshot that was cut off stands as running before the
			// operation that brings the application back.
			if running < 0 || workflow.BracketMachine.In(r.Bracket, workflow.BracketOpen) {
				running = i
			}
		case next < 0 && !workflow.StepMachine.In(step.State, workflow.StepDone, workflow.StepSkipped):
			next = i
		}
	}
	if running >= 0 {
		return running
	}
	return next
}

// stepName is the step that a run is in, or nothing once it is over.
func stepName(r state.Run) string {
	if i := atWork(r); i >= 0 && !workflow.Over(r.State) {
		return r.Steps[i].Shown
	}
	return ""
}

// placeOf is where a run's backup goes.
func placeOf(r state.Run) string {
	if r.Frozen.Remote != "" {
		return r.Frozen.Remote
	}
	return r.Frozen.IntermediateDir
}

func (s *sight) backup(r state.Run) (state.Backup, bool) { return s.backupNamed(r.Job, r.Backup) }

func (s *sight) backupNamed(job, name string) (state.Backup, bool) {
	for _, b := range s.backups {
		if name != "" && b.Job == job && b.Name == name {
			return b, true
		}
	}
	return state.Backup{}, false
}

// operatorLock finds the operator's lock of a dataset, or of one that had its name (see workflow.OperatorLock): in the database, or in a note that another database's
// command left.
func (s *sight) operatorLock(guid string) (state.Lock, bool) {
	for _, l := range append(s.locks[:len(s.locks):len(s.locks)], s.notedLocks...) {
		if l.Operator && (l.DatasetGUID == guid || l.Dataset != "" && l.Dataset == s.datasetName(guid)) {
			return l, true
		}
	}
	return state.Lock{}, false
}

// lockAlive tells whether the run that holds a lock record is at work. Nil: an operator's, or can't be told.
func (s *sight) lockAlive(l state.Lock) *bool {
	if l.Operator {
		return nil
	}
	for _, r := range s.runs {
		if r.ID == l.Run {
			return s.alive(r)
		}
	}
	o := s.owners[l.DatasetGUID]
	if s.folderErr != nil || o.err != nil {
		return nil
	}
	alive := o.alive && o.who.Run == l.Run
	return &alive
}

// lastGood is a job's newest backup that can be restored: a committed one, whose chain is committed. Which is newer, names
// tell: they grow, also where the clock goes back.
func (s *sight) lastGood(job string) (newest state.Backup, ok bool) {
	for _, b := range s.backups {
		if b.Job == job && s.whole(b) && (!ok || b.Name > newest.Name) {
			newest, ok = b, true
		}
	}
	return newest, ok
}

// badLink is the first of a job's newest committed backup and those it is based on that was found bad.
func (s *sight) badLink(job string) (bad state.Backup, ok bool) {
	var newest state.Backup
	for _, b := range s.backups {
		if b.Job == job && workflow.BackupMachine.In(b.State, workflow.BackupCommitted) && b.Name > newest.Name {
			newest = b
		}
	}
	link, there := newest, newest.Name != ""
	for range s.backups { // no chain is longer
		if !there || link.Bad != nil {
			break
		}
		if link.Base == nil {
			return state.Backup{}, false
		}
		link, there = s.backupNamed(job, link.Base.Name)
	}
	return link, there && link.Bad != nil
}

// badOnes are a job's committed backups that were found bad, the oldest first.
func (s *sight) badOnes(job string) (names []string) {
	for _, b := range s.backups {
		if b.Job == job && b.Bad != nil && workflow.BackupMachine.In(b.State, workflow.BackupCommitted) {
			names = append(names, b.Name)
		}
	}
	return names
}

func (s *sight) whole(b state.Backup) bool {
	for range s.backups { // no chain is longer
		if !workflow.BackupMachine.In(b.State, workflow.BackupCommitted) || b.Bad != nil {
			return false
		}
		if b.Base == nil {
			return true
		}
		base, ok := s.backupNamed(b.Job, b.Base.Name)
		if !ok {
			return false // it was not there when the record was made again
		}
		b = base
	}
	return false
}

// asOf is the moment that a backup shows: that of its snapshot, which its name tells. A name that lies ahead of when the
// backup was made was pushed there: names grow, and once the clock was wrong.
func asOf(b state.Backup) time.Time {
	stamp, _, ok := manifest.ParseFolder(b.Name)
	if t, err := time.Parse("20060102150405", stamp); ok && err == nil && t.Before(b.Created) {
		return t
	}
	return b.Created
}

// maxAge is how old a job's last good backup may be.
func (s *sight) maxAge(j state.Job) time.Duration {
	switch {
	case j.Config == s.app.Config && s.conf.maxAge > 0:
		return s.conf.maxAge
	case j.MaxAge > 0:
		return j.MaxAge
	}
	return defaultMaxAge
}

// superseded tells whether the config of a job has made another job since, as its remote or its dataset was changed. The one that ran last
// is the one that it means, or one that was made since, of which no run has begun yet; but a file that names one dataset after the
// other has a job of each.
func (s *sight) superseded(j state.Job) (by state.Job, yes bool) {
	newest := j
	for _, o := range s.jobs {
		meant := o.DatasetGUID == j.DatasetGUID || o.Created.After(s.ranAt(j)) || s.ran(j).ID == ""
		if o.ID != j.ID && o.Config == j.Config && meant && s.usedAfter(o, newest) {
			by, yes, newest = o, true, o
		}
	}
	return by, yes
}

// ran is the newest run of a job; the zero Run if there is none.
func (s *sight) ran(j state.Job) (newest state.Run) {
	if runs := s.jobRuns(j.ID); len(runs) > 0 {
		newest = runs[0]
	}
	return newest
}

// ranAt is when a job's newest run was begun, of those whose clock was not ahead, or when it was made.
func (s *sight) ranAt(j state.Job) time.Time {
	for _, r := range s.jobRuns(j.ID) {
		if !r.Started.After(s.now) {
			return r.Started
		}
	}
	return j.Created
}

// usedAfter tells whether job o was used after job j: by the order of their runs, or, where one has none yet, by the clock.
func (s *sight) usedAfter(o, j state.Job) bool {
	last, other := s.ran(o), s.ran(j)
	if last.ID == "" || other.ID == "" {
		return s.ranAt(o).After(s.ranAt(j))
	}
	return last.After(other)
}

// notUploaded are a job's backups that a typed export made, and nobody has uploaded.
func (s *sight) notUploaded(j state.Job) (waiting []state.Backup) {
	for _, b := range s.backups {
		if b.Job != j.ID || b.Place == b.Dir || !workflow.BackupMachine.In(b.State, workflow.BackupExported) {
			continue
		}
		needed := slices.ContainsFunc(s.jobRuns(j.ID), func(r state.Run) bool { return !workflow.Over(r.State) && (r.ID == b.Run || r.Backup == b.Name) })
		if !needed {
			waiting = append(waiting, b)
		}
	}
	return waiting
}

// late tells whether a job should have had a backup since. One that was made while the clock was ahead tells nothing of that.
func (s *sight) late(j state.Job) bool {
	if _, yes := s.superseded(j); yes {
		return false
	}
	var since time.Time
	for _, b := range s.backups {
		if at := asOf(b); b.Job == j.ID && at.After(since) && !at.After(s.now) && s.whole(b) {
			since = at
		}
	}
	if since.IsZero() {
		since = j.Created
	}
	return s.now.Sub(since) > s.maxAge(j)
}

// jobRuns lists a job's runs, the newest first.
func (s *sight) jobRuns(job string) (runs []state.Run) {
	for _, r := range s.runs {
		if r.Job == job {
			runs = append(runs, r)
		}
	}
	return runs
}

// chunkTotal is how many chunks a backup has or will have, or 0 if that is not known.
func chunkTotal(b state.Backup) (n int, estimated bool) {
	if !workflow.BackupMachine.In(b.State, workflow.BackupExporting) {
		return b.Sums.Sealed, false
	}
	if b.Estimate <= 0 || b.SplitSize <= 0 {
		return 0, false
	}
	return max(int((b.Estimate+b.SplitSize-1)/b.SplitSize), b.Sums.Sealed), true
}

// pace is how fast a step of the run was until its last checkpoint, in bytes a second. A step that was
// started more than once has not been at work all the time since: then nobody knows.
func pace(r state.Run, step state.Step, done int64) float64 {
	if step.Starts != 1 || step.Started == nil {
		return 0
	}
	return perSecond(done, r.Updated.Sub(*step.Started))
}

// elsewhere lists the open brackets that nothing in this database tells of.
func (s *sight) elsewhere() (open []workflow.OpenBracket) {
	for _, b := range s.brackets {
		if b.Err != nil || b.Database != s.database || !s.knowsRun(b.Run) {
			open = append(open, b)
		}
	}
	return open
}

func (s *sight) knowsRun(id string) bool {
	for _, r := range s.runs {
		if r.ID == id {
			return true
		}
	}
	return false
}

// knowsDataset tells whether a job or an unfinished restore on record has the dataset with this GUID.
func (s *sight) knowsDataset(guid string) bool {
	for _, r := range s.runs {
		if r.Restore != nil && r.DatasetGUID == guid && !workflow.Over(r.State) {
			return true
		}
	}
	for _, j := range s.jobs {
		if j.DatasetGUID == guid {
			return true
		}
	}
	return false
}

// datasetName is what a dataset is called by whatever tells.
func (s *sight) datasetName(guid string) string {
	for _, j := range s.jobs {
		if j.DatasetGUID == guid {
			return j.Dataset
		}
	}
	for _, r := range s.runs {
		if r.Restore != nil && r.DatasetGUID == guid {
			return r.Restore.Target()
		}
	}
	for _, l := range append(s.locks[:len(s.locks):len(s.locks)], s.notedLocks...) {
		if l.DatasetGUID == guid && l.Dataset != "" {
			return l.Dataset
		}
	}
	for _, b := range s.brackets {
		if b.GUID == guid && b.Dataset != "" {
			return b.Dataset
		}
	}
	return unnamed(guid)
}

func unnamed(guid string) string { return "the dataset with GUID " + guid }

// oneLine is a text of several lines as one.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// hooksDue names a run's scripts in a phase that are not done yet.
func hooksDue(r state.Run, phase string) string {
	var names []string
	for i, step := range r.Steps {
		if workflow.Kind(step.Kind) == workflow.Hook && workflow.Phase(r.Steps, i) == phase && !workflow.StepMachine.In(step.State, workflow.StepDone) {
			names = append(names, step.Shown)
		}
	}
	return strings.Join(names, ", ")
}
