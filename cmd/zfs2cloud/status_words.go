package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"zfs2cloud/actions"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// printWords prints a block for each job and each unfinished restore, the worst first.
func (s *sight) printWords(w io.Writer) error {
	var blocks []block
	if s.err != nil {
		blocks = append(blocks, s.unanswered())
	}
	for _, j := range s.jobs {
		blocks = append(blocks, s.jobBlock(j))
	}
	for _, r := range s.runs {
		if r.Restore != nil && !workflow.Over(r.State) {
			blocks = append(blocks, s.runBlock(r))
		}
	}
	blocks = append(blocks, s.strangers()...)
	if s.err == nil && len(blocks) == 0 {
		blocks = append(blocks, s.nothing())
	}
	slices.SortStableFunc(blocks, func(a, b block) int { return int(a.rank - b.rank) })
	if notes := s.doubts(); len(notes.rows) > 0 {
		blocks = append(blocks, notes)
	}
	return printBlocks(w, styleOf(w, s.app.Env.Getenv), blocks)
}

// unanswered stands first if the database can't be read.
func (s *sight) unanswered() block {
	b := block{rank: -1, word: "NOT KNOWN", mood: wrong}
	b.say("%s", safe(s.err.Error()))
	b.say("what follows is from %s alone: who is alive, which applications are stopped", safe(s.app.Folder.Dir))
	if !s.shown() && s.folderErr == nil {
		b.say("no process is at work on any dataset")
	}
	if command := mend(s.err); command != "" {
		b.next("next", command, "")
		b.next("  then", s.app.again("status"), "")
	}
	switch _, damaged := errors.AsType[*state.DamagedError](s.err); {
	case errors.Is(s.err, state.ErrBusy):
		b.next("next", s.app.again("status"), "again in a moment")
	case damaged:
		b.next("next", s.app.again("run"), "begins a new database, makes the record again from the backups, and backs up")
	}
	return b
}

// nothing is the answer of a database without a job.
func (s *sight) nothing() block {
	b := block{rank: rankNew, word: "NEW", mood: wary}
	b.subject = safe(s.conf.dataset)
	if s.movedAside != "" {
		b.say("nothing is on record: the database was damaged, and is now %s", safe(s.movedAside))
		b.row("last good", "not on record")
		b.next("next", s.app.again("run"), "makes the record again from the backups, and backs up")
		return b
	}
	b.say("no run was ever begun: nothing is in %s", safe(s.database))
	b.row("last good", "none yet")
	b.next("next", s.app.again("check"), "says what is missing, and what the first backup will be")
	b.next("  then", s.app.again("run"), "makes it")
	return b
}

// doubts says what could not be looked at.
func (s *sight) doubts() (b block) {
	if s.conf.oldLock != nil {
		b.row("note", safe(s.conf.dataset)+" is "+s.conf.oldLock.Error()+"; runs are turned away")
		b.next("next", s.app.again("unlock"), "when it is over")
	}
	if s.conf.err != nil {
		b.row("note", fmt.Sprintf("%s; looked into %s", safe(oneLine(s.conf.err.Error())), safe(s.database)))
	}
	if s.folderErr != nil {
		b.row("note", fmt.Sprintf("who is alive can't be told: %s", safe(s.folderErr.Error())))
	}
	return b
}

// head says which job: its dataset, and where its backups go.
func head(dataset, place string) string {
	if place == "" {
		return safe(dataset)
	}
	return safe(dataset) + " to " + safe(place)
}

// shortHead is the dataset alone where it has no other job.
func (s *sight) shortHead(j state.Job) string {
	for _, other := range s.jobs {
		if other.Dataset == j.Dataset && other.ID != j.ID {
			return head(j.Dataset, j.Place)
		}
	}
	return safe(j.Dataset)
}

// jobBlock says how a job is: by its run that matters most, unless something else matters more.
func (s *sight) jobBlock(j state.Job) block {
	runs := s.jobRuns(j.ID)
	main, others, open := s.worst(runs)
	lock, locked := s.operatorLock(j.DatasetGUID)
	_, known := s.lastGood(j.ID)
	bad, isBad := s.badLink(j.ID)

	b := block{rank: rankOK, word: "ok", mood: good, subject: s.shortHead(j), lines: []string{"last good " + s.goodAge(j)}}
	if open {
		b = s.runBlock(main)
	}
	switch {
	case b.rank <= rankStuck:
	case locked:
		b = s.lockedBlock(j, lock, b)
	case !open && s.owners[j.DatasetGUID].alive && s.owners[j.DatasetGUID].who.Run == "": // else it is at work for another job
		b = s.ownedBlock(j)
	case isBad && b.rank != rankRunning:
		b = s.badBlock(j, bad, b)
	case s.late(j) && b.rank != rankRunning:
		b = s.lateBlock(j, runs, b)
	case !open && !known:
		b = s.newBlock(j)
	}
	if b.rank != rankOK && b.word != lateWord {
		b.before(row{label: "last good", text: s.goodWords(j)})
	}
	if names := s.badOnes(j.ID); len(names) > 0 && (b.word != badWord || len(names) > 1) {
		b.before(row{label: "bad", text: fmt.Sprintf("%s found bad by verify: %s", counted(len(names), "backup"), strings.Join(names, ", "))})
	}
	if names := s.badForeign(j.ID); len(names) > 0 {
		b.before(row{label: "bad", text: fmt.Sprintf("%s of the Python tool found bad by verify: %s", counted(len(names), "backup"), strings.Join(names, ", "))})
	}
	for _, r := range others {
		b.before(row{label: "also", text: s.aside(r)})
	}
	if now, yes := s.superseded(j); yes {
		b.before(row{label: "note", text: "its config backs up " + nowInstead(j, now) + " now"})
	}
	for _, backup := range s.notUploaded(j) {
		b.before(row{label: "note", text: fmt.Sprintf("%s is exported, not uploaded, and kept with all that it needs: %s", backup.Name,
			s.back(j)+s.hint(j.Config, actions.StepUpload+" -s "+backup.Name))})
	}
	if n := len(j.Children); n > 0 {
		b.before(row{label: "note", text: fmt.Sprintf("%s below it in no backup of this job: %s", counted(n, "dataset"), safe(strings.Join(j.Children, ", ")))})
	}
	if l := j.Left; l != nil && l.Snapshots+l.Folders > 0 {
		b.before(row{label: "note", text: leftWords(*l) + ": " + s.hint(j.Config, "adopt")})
	}
	if len(runs) > 0 {
		for _, n := range runs[0].Notes {
			b.before(row{label: "note", text: fmt.Sprintf("run %s: %s", runs[0].ID, safe(n))})
		}
	}
	return b
}

// nowInstead says what a config backs up, or to where, that has made another job.
func nowInstead(was, now state.Job) string {
	if was.DatasetGUID != now.DatasetGUID {
		return safe(now.Dataset)
	}
	return "to " + safe(now.Place)
}

// back says what has to be put back into the config of a job, before a command by it is about this job again, or nothing.
func (s *sight) back(j state.Job) string {
	now, yes := s.superseded(j)
	switch {
	case !yes:
		return ""
	case now.DatasetGUID != j.DatasetGUID:
		return fmt.Sprintf("put zfs_fs = %s and remote = %s back first, then: ", safe(j.Dataset), safe(j.Place))
	}
	return fmt.Sprintf("put remote = %s back first, then: ", safe(j.Place))
}

// worst picks the unfinished run that matters most; the others follow in their order.
func (s *sight) worst(runs []state.Run) (main state.Run, others []state.Run, ok bool) {
	for _, r := range runs {
		switch {
		case workflow.Over(r.State):
		case !ok:
			main, ok = r, true
		case s.runBlock(r).rank < s.runBlock(main).rank:
			others = append(others, main)
			main = r
		default:
			others = append(others, r)
		}
	}
	return main, others, ok
}

// aside is a line about a run that is not the one that matters most.
func (s *sight) aside(r state.Run) string {
	text := fmt.Sprintf("run %s of %s is %s", r.ID, localDay(s.now, r.Started), s.stateOf(r))
	if name := stepName(r); name != "" {
		text += " in " + safe(name)
	}
	if next := s.next(r); next != "" {
		text += ": " + next
	}
	return text
}

func (s *sight) goodAge(j state.Job) string {
	if b, ok := s.lastGood(j.ID); ok {
		return age(s.now, asOf(b))
	}
	return s.noGood(j)
}

func (s *sight) noGood(j state.Job) string {
	if s.recordLost(j) {
		return "not on record"
	}
	return "none yet"
}

// recordLost tells whether a job may have backups that are not on record, since the database was damaged.
func (s *sight) recordLost(j state.Job) bool { return j.Fresh && s.movedAside != "" }

func (s *sight) goodWords(j state.Job) string {
	text := s.noGood(j)
	if b, ok := s.lastGood(j.ID); ok {
		kind := "incremental"
		if b.Full {
			kind = "full"
		} else if b.Files != nil {
			kind = "files"
		}
		text = fmt.Sprintf("%s, %s, %s", b.Name, kind, age(s.now, asOf(b)))
		if b.Seen != nil {
			text += ", listed whole " + age(s.now, *b.Seen)
		}
		if v, ok := actions.LastVerifiedOf(b.Verified, s.now); ok {
			text += fmt.Sprintf("; verified: %s, %s", v.Level, age(s.now, v.At))
		}
	}
	if s.late(j) {
		text += "    LATE, due every " + roundly(s.maxAge(j))
	}
	return text
}

// lockedBlock says who keeps runs out. What the run that is open was at stays said.
func (s *sight) lockedBlock(j state.Job, l state.Lock, of block) block {
	b := block{rank: rankLocked, word: "LOCKED", mood: wary, subject: safe(j.Dataset)}
	if s.late(j) {
		b.rank, b.mood = rankLate, wrong
	}
	b.say("%s", s.lockWords(l))
	if l.TurnedAway > 0 {
		text := "1 run was turned away"
		if l.TurnedAway > 1 {
			text = count(l.TurnedAway) + " runs were turned away"
		}
		if l.TurnedAwayLast != nil {
			text += ", the last " + localDay(s.now, *l.TurnedAwayLast)
		}
		b.say("%s", text)
	}
	if of.rank != rankOK {
		b.lines = append(b.lines, of.lines...)
	}
	b.next("next", s.hint(j.Config, "unlock"), "")
	return b
}

func (s *sight) lockWords(l state.Lock) string {
	text := "by an operator"
	if l.User != "" {
		text = "by operator " + safe(l.User)
	}
	if !l.Since.IsZero() {
		text += " since " + l.Since.Local().Format("Mon 2 Jan "+toTheMinute)
	}
	if l.Why != "" {
		text += `: "` + safe(l.Why) + `"`
	}
	return text
}

const badWord = "BAD"

// badBlock says that the newest backup can't be relied on. What the run that is open was at stays said.
func (s *sight) badBlock(j state.Job, bad state.Backup, of block) block {
	b := block{rank: rankBad, word: badWord, mood: wrong, subject: head(j.Dataset, j.Place)}
	b.say("%s was found bad by verify (%s) %s:", bad.Name, bad.Bad.Level, age(s.now, bad.Bad.At))
	b.say("%s", safe(bad.Bad.What))
	if of.rank != rankOK {
		b.lines = append(b.lines, of.lines...)
		b.rows = of.rows
		return b
	}
	b.next("next", s.hint(j.Config, "run"), "makes a new backup, which is not based on it")
	return b
}

const lateWord = "LATE"

// lateBlock says what stands between the last good backup and today.
func (s *sight) lateBlock(j state.Job, runs []state.Run, of block) block {
	b := block{rank: rankLate, word: lateWord, mood: wrong, subject: head(j.Dataset, j.Place)}
	due := "due every " + roundly(s.maxAge(j))
	if newest, ok := s.lastGood(j.ID); ok {
		b.say("last good backup: %s, %s, %s", local(s.now, asOf(newest), toTheMinute), age(s.now, asOf(newest)), due)
	} else if s.recordLost(j) {
		b.say("%s, %s", s.lostWords(), due)
	} else {
		b.say("no backup yet since %s, %s", localDay(s.now, j.Created), due)
	}
	switch {
	case of.rank != rankOK:
		b.lines = append(b.lines, of.lines...)
		b.rows = of.rows
		return b
	case len(runs) == 0:
		b.say("no run is on record")
	default:
		last := runs[0]
		b.say("no run is open; the last, run %s of %s, %s%s", last.ID, localDay(s.now, last.Started), last.State, because(last))
	}
	b.next("next", s.hint(j.Config, "run"), "and see whether cron still calls it")
	return b
}

func because(r state.Run) string {
	if r.Why == "" {
		return ""
	}
	return ": " + safe(oneLine(r.Why))
}

// ownedBlock is a job that a process works on without a run on record.
func (s *sight) ownedBlock(j state.Job) block {
	b := block{rank: rankRunning, word: "RUNNING", mood: good, subject: head(j.Dataset, j.Place)}
	b.say("%s; it has begun no run", s.ownerWords(j.DatasetGUID))
	b.row("next", "nothing to do")
	return b
}

// newBlock is a job without a backup that is not late yet.
func (s *sight) newBlock(j state.Job) block {
	b := block{rank: rankNew, word: "NEW", mood: wary, subject: head(j.Dataset, j.Place), lines: []string{"no backup yet"}}
	remark := ""
	switch {
	case s.recordLost(j):
		b.lines, remark = []string{s.lostWords()}, "makes the record again from the backups, and backs up"
	case len(s.jobRuns(j.ID)) == 0:
		b.say("nor has any run of %s been begun", safe(j.Config))
	}
	b.next("next", s.hint(j.Config, "run"), remark)
	return b
}

func (s *sight) lostWords() string {
	return fmt.Sprintf("its backups are not on record: the database was damaged, and is now %s", safe(s.movedAside))
}

func (s *sight) ownerWords(guid string) string {
	who := s.owners[guid].who
	text := fmt.Sprintf("pid %d since %s (%s)", who.PID, local(s.now, who.Since, toTheMinute), duration(s.now.Sub(who.Since)))
	if who.Run != "" {
		text = "run " + safe(who.Run) + ", " + text
	}
	return text
}

// strangers are datasets that only the fixed folder tells of: another database has their runs, or this one
// can't be read.
func (s *sight) strangers() (blocks []block) {
	told := map[string]bool{}
	for _, o := range s.elsewhere() {
		blocks = append(blocks, s.bracketBlock(o))
		told[o.GUID] = true
	}
	for _, l := range append(s.locks[:len(s.locks):len(s.locks)], s.notedLocks...) {
		if !l.Operator || s.knowsDataset(l.DatasetGUID) || told[l.DatasetGUID] {
			continue
		}
		told[l.DatasetGUID] = true
		name := s.datasetName(l.DatasetGUID)
		b := block{rank: rankLocked, word: "LOCKED", mood: wary, subject: safe(name), lines: []string{s.lockWords(l)}}
		if name == s.conf.dataset {
			b.next("next", s.app.again("unlock"), "")
		} else {
			b.next("next", "zfs2cloud -c CONFIG unlock", "with the config that names this dataset")
		}
		blocks = append(blocks, b)
	}
	for _, guid := range slices.Sorted(maps.Keys(s.owners)) {
		if o := s.owners[guid]; o.alive && !told[guid] && !s.knowsDataset(guid) {
			b := block{rank: rankRunning, word: "RUNNING", mood: good, subject: safe(s.datasetName(guid)), lines: []string{s.ownerWords(guid)}}
			if s.err == nil {
				b.say("nothing about it is in %s: another database has it, or it is just beginning", safe(s.database))
			}
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// bracketBlock is an open bracket that only its note tells of.
func (s *sight) bracketBlock(o workflow.OpenBracket) block {
	name := s.datasetName(o.GUID)
	if w := s.owners[o.GUID]; w.alive {
		b := block{rank: rankRunning, word: "RUNNING", mood: good, subject: safe(name), lines: []string{s.ownerWords(o.GUID)}}
		b.say("between the hooks around its snapshot: the application is stopped, or just coming back")
		return b
	}
	b := block{rank: rankAppStopped, word: "APP STOPPED", mood: wrong, subject: safe(name)}
	b.say("run %s was cut off between its hooks", safe(o.Run))
	switch {
	case o.Err != nil:
		b.say("%s", safe(o.Err.Error()))
	case s.err == nil:
		b.say("that run is in %s", safe(o.Database))
	}
	if len(o.Post) == 0 {
		return b
	}
	remark := "runs " + safe(o.Post[0][0])
	if len(o.Post) > 1 {
		remark += " and " + counted(len(o.Post)-1, "more hook")
	}
	if name == s.conf.dataset {
		b.next("next", s.app.again("resume"), remark)
	} else {
		b.next("next", "zfs2cloud -c CONFIG resume", remark+"; with the config that names this dataset")
	}
	return b
}

// since is how long something has been so.
func (s *sight) since(t time.Time) string { return duration(s.now.Sub(t)) }
