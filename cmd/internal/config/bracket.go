package config

import (
	"fmt"

	"zfs2cloud/actions/settings"
)

// Scripts directly before and after the snapshot stop and start the application. What looks as if it was
// meant so, and is not, is said.

func (l *loader) checkSequence() {
	l.onlySnapshot()
	l.warnBracket()
	l.warnWrongUpload()
	l.checkPruneRemote()
	l.checkFileMode()
}

// checkFileMode demands that the steps of file mode, and only they, stand where the mode is that, and in their order.
func (l *loader) checkFileMode() {
	file := l.s.Mode == settings.File
	mounted := false
	for _, s := range l.s.Steps {
		text, hint := "", ""
		switch {
		case l.complained("mode"):
		case !file && (s.Name == stepMount || s.Name == stepUploadFiles || s.Name == stepUmount):
			text, hint = "a step of mode = file, and the mode is intermediate", "write mode = file; rclone_args mean something else there"
		case file && (s.Name == stepExport || s.Name == stepPruneRemote || s.Name == stepVerify):
			text, hint = "a step of mode = intermediate, and the mode is file", "leave it out, or give chunk files a config, and a remote path, of their own"
		case s.Name == stepMount && mounted:
			text, hint = "the snapshot is mounted already", "leave the line out"
		case file && (s.Name == stepUploadFiles || s.Name == stepUpload) && !mounted:
			text, hint = "no snapshot is mounted there", stepMount+" has to stand before it, and "+stepUmount+" after it"
		}
		if text != "" {
			l.problems = append(l.problems, Problem{Line: s.Line, Section: l.section(s), Key: s.Key, Value: s.Shown, Text: text, Hint: hint})
		}
		if s.Name == stepMount || s.Name == stepUmount {
			mounted = s.Name == stepMount
		}
	}
	if at := l.stepAt(stepMount); mounted && file && at >= 0 {
		l.warnStep(l.s.Steps[at], "no "+stepUmount+" after it: the snapshot stays mounted until the next run")
	}
}

// checkPruneRemote refuses to prune a remote that nothing is uploaded to.
func (l *loader) checkPruneRemote() {
	at := l.stepAt(stepPruneRemote)
	if at >= 0 && !l.hasStep(stepUpload) && l.s.Mode != settings.File {
		s := l.s.Steps[at]
		l.problems = append(l.problems, Problem{Line: s.Line, Section: l.section(s), Key: s.Key, Value: s.Shown,
			Text: "no step uploads, so no backup is on a remote", Hint: "prune-intermediates -y does the same in intermediate_basedir"})
	}
}

// onlySnapshot refuses a second snapshot: a run has one bracket.
func (l *loader) onlySnapshot() {
	seen := false
	for _, s := range l.s.Steps {
		if s.Name == stepSnapshot && seen {
			l.problems = append(l.problems, Problem{Line: s.Line, Section: l.section(s), Key: s.Key, Value: s.Shown,
				Text: "a second snapshot", Hint: "one for each sequence"})
		}
		seen = seen || s.Name == stepSnapshot
	}
}

// warnBracket says so if an application is stopped and not started, or stopped too early.
func (l *loader) warnBracket() {
	at := l.stepAt(stepSnapshot)
	if at < 0 {
		return
	}
	before, next := l.scriptFrom(at, -1)
	after, _ := l.scriptFrom(at, +1)
	if before && !after {
		l.warnStep(l.s.Steps[at], "a hook directly before snapshot, and none directly after: what it stops stays stopped")
	}
	if !before && next >= 0 && l.s.Steps[next].Script {
		l.warnStep(l.s.Steps[next], fmt.Sprintf("%s is not directly before snapshot: if the run ends in between, no hook after it is run",
			printable(l.s.Steps[next].Shown)))
	}
}

// scriptFrom goes from the snapshot in a direction, past lock and unlock. It says whether a script is next
// and, if not, which step is beyond the next one.
func (l *loader) scriptFrom(at, direction int) (script bool, beyond int) {
	within := func(i int) bool { return i >= 0 && i < len(l.s.Steps) }
	i := at + direction
	for within(i) && (l.s.Steps[i].Name == "lock" || l.s.Steps[i].Name == "unlock") {
		i += direction
	}
	if within(i) && l.s.Steps[i].Script {
		return true, -1
	}
	if i += direction; within(i) {
		return false, i
	}
	return false, -1
}

// warnWrongUpload: the Python tool's own example of file mode calls the upload of chunk files between
// mount and umount, which makes a new copy of all files each time.
func (l *loader) warnWrongUpload() {
	mount, upload, umount := l.stepAt(stepMount), l.stepAt(stepUpload), l.stepAt(stepUmount)
	if l.s.Mode == settings.File && mount >= 0 && mount < upload && (umount < 0 || upload < umount) {
		l.warnStep(l.s.Steps[upload], "stores all files anew each time, in REMOTE/STAMP-full; "+stepUploadFiles+" is probably meant, which makes REMOTE equal to the snapshot and deletes the rest there")
	}
}

func (l *loader) warnStep(s settings.Step, text string) {
	l.s.Warnings = append(l.s.Warnings, settings.Warning{Line: s.Line, Section: l.section(s), Key: s.Key, Text: text})
}

// section is the spelling of the sequence's name in the file.
func (l *loader) section(s settings.Step) string {
	for _, e := range l.doc.entries {
		if e.line == s.Line {
			return e.section
		}
	}
	return sequence
}
