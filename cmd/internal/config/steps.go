package config

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"zfs2cloud/actions"
	"zfs2cloud/actions/settings"
)

// BuiltinStep is a step that needs no script, with its flags.
type BuiltinStep struct {
	Name string
	// Word is what the first argument may be that is no flag, and Words which there are of it; empty if there is none.
	Word  string
	Words []string
	Flags []StepFlag
	// Excludes are two short flags that can't stand together.
	Excludes [2]string
	// Check, if not nil, says what else is wrong with its arguments.
	Check func(args []string) error
}

// StepFlag is a flag of a step. The short spelling is what ends up in settings.Step.Args.
type StepFlag struct {
	Short, Long string
	Value       string // what its value is called; empty if it has none
}

const (
	stepSnapshot     = "snapshot"
	stepExport       = "export-intermediate"
	stepUpload       = "upload-intermediate-to-remote"
	stepMount        = "mount-snapshot"
	stepUploadFiles  = "upload-snapshot-files-to-remote"
	stepPruneRemote  = "prune-remote"
	stepUmount       = "umount-snapshot"
	stepVerify       = "verify"
	sequence         = "backup-sequences"
	sequenceOldStyle = "backup_sequences"
)

var yes = StepFlag{Short: "-y", Long: "--yes"}

// BuiltinSteps is every step that a sequence may name.
var BuiltinSteps = []BuiltinStep{
	{Name: "lock"},
	{Name: "unlock"},
	{Name: stepSnapshot},
	{Name: stepExport, Flags: []StepFlag{{Short: "-f", Long: "--full"}, {Short: "-i", Long: "--incremental"}},
		Excludes: [2]string{"-f", "-i"}},
	{Name: "prune-intermediates", Flags: []StepFlag{yes}},
	{Name: "prune-snapshots", Flags: []StepFlag{yes}},
	{Name: stepPruneRemote, Flags: []StepFlag{yes}},
	{Name: stepUpload, Flags: []StepFlag{{Short: "-s", Long: "--snapshot", Value: "SNAPSHOT"}}},
	{Name: stepMount},
	{Name: stepUploadFiles, Flags: []StepFlag{{Short: "-d", Long: "--delete-most"}}},
	{Name: stepUmount},
	{Name: stepVerify, Word: "LEVEL", Words: []string{"listed", "hashed", "decrypted", "received"}, Check: checkVerify,
		Flags: []StepFlag{{Short: "-a", Long: "--all"}, {Short: "-s", Long: "--sample", Value: "N%"}, {Short: "-m", Long: "--max-bytes", Value: "SIZE"}}},
	{Name: "show-config"},
}

func checkVerify(args []string) error {
	_, err := actions.ParseVerify(args)
	return err
}

func builtin(name string) (BuiltinStep, bool) {
	at := slices.IndexFunc(BuiltinSteps, func(b BuiltinStep) bool { return b.Name == name })
	if at < 0 {
		return BuiltinStep{}, false
	}
	return BuiltinSteps[at], true
}

func stepNames() []string {
	var all []string
	for _, b := range BuiltinSteps {
		all = append(all, b.Name)
	}
	return all
}

// arguments checks a step's flags and writes them in their short spelling, a value as a word of its own.
func (b BuiltinStep) arguments(args []string) ([]string, error) {
	var out []string
	if len(args) > 0 && slices.Contains(b.Words, args[0]) {
		out, args = append(out, args[0]), args[1:]
	}
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		flag, value, has := b.flag(word)
		switch {
		case flag.Short == "":
			return nil, fmt.Errorf("%s is no flag of %s", word, b.Name)
		case flag.Value == "" && has:
			return nil, fmt.Errorf("%s takes no value", flag.Long)
		case slices.Contains(out, flag.Short):
			return nil, fmt.Errorf("%s stands twice", flag.Short)
		}
		out = append(out, flag.Short)
		if flag.Value == "" {
			continue
		}
		if !has {
			if len(args) == 0 {
				return nil, fmt.Errorf("%s needs a value", word)
			}
			value, args = args[0], args[1:]
		}
		out = append(out, value)
	}
	if b.Excludes[0] != "" && slices.Contains(out, b.Excludes[0]) && slices.Contains(out, b.Excludes[1]) {
		return nil, fmt.Errorf("%s and %s exclude each other", b.Excludes[0], b.Excludes[1])
	}
	return out, nil
}

// flag finds the flag that a word spells: -s, -sVALUE, --snapshot, --snapshot=VALUE.
func (b BuiltinStep) flag(word string) (f StepFlag, value string, has bool) {
	name, value, has := strings.Cut(word, "=")
	for _, f := range b.Flags {
		if name == f.Long {
			return f, value, has
		}
		if word == f.Short {
			return f, "", false
		}
		if rest, ok := strings.CutPrefix(word, f.Short); ok && f.Value != "" {
			return f, rest, true
		}
	}
	return StepFlag{}, "", false
}

// usage names the flags that a step has.
func (b BuiltinStep) usage() string {
	if len(b.Flags) == 0 {
		return b.Name + " has no flags"
	}
	all := slices.Clone(b.Words)
	for _, f := range b.Flags {
		all = append(all, strings.TrimSpace(f.Short+" "+f.Value))
	}
	return b.Name + " takes " + strings.Join(all, ", ")
}

// readSequence reads [backup-sequences], under either spelling, or puts the standard sequence in place.
func (l *loader) readSequence() {
	section := sequence
	_, dashed := l.doc.has(sequence)
	if line, old := l.doc.has(sequenceOldStyle); old {
		section = sequenceOldStyle
		if dashed {
			l.problems = append(l.problems, Problem{Line: line, Section: sequenceOldStyle,
				Text: "both spellings of [" + sequence + "] are there", Hint: "leave one of the two"})
			return
		}
	} else if !dashed {
		l.standardSequence()
		return
	}
	entries := l.stepEntries(section)
	for _, e := range entries {
		l.readStep(section, e)
	}
	if len(entries) == 0 {
		line, _ := l.doc.has(section)
		l.problems = append(l.problems, Problem{Line: line, Section: section, Text: "no steps",
			Hint: "leave the section out for the standard sequence"})
	}
	l.warnOrder(entries)
	l.checkSequence()
}

// stepEntries are the section's keys in the order of their text.
func (l *loader) stepEntries(section string) []entry {
	entries := slices.DeleteFunc(l.doc.keys(section), func(e entry) bool { return e.bare })
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	return entries
}

// standardSequence is what runs if none is given: the early README's, with an upload if there is a remote.
func (l *loader) standardSequence() {
	if l.s.Mode == settings.File {
		l.problems = append(l.problems, Problem{Section: sequence, Text: "missing; mode = file has no standard sequence",
			Hint: "such as lock, snapshot, " + stepMount + ", " + stepUploadFiles + ", " + stepUmount + ", prune-snapshots -y, unlock"})
		return
	}
	l.s.StandardSteps = true
	for _, step := range []settings.Step{
		{Name: "lock"}, {Name: stepSnapshot}, {Name: stepExport},
		{Name: "prune-intermediates", Args: []string{"-y"}}, {Name: "prune-snapshots", Args: []string{"-y"}},
		{Name: stepUpload}, {Name: "unlock"},
	} {
		if step.Name == stepUpload && l.s.Remote == "" && !l.complained("remote") {
			continue
		}
		step.Key = "step" + strconv.Itoa(len(l.s.Steps)+1)
		step.Shown = step.Name
		l.s.Steps = append(l.s.Steps, step)
	}
}

func (l *loader) readStep(section string, e entry) {
	f := field{entry: e}
	value, err := l.doc.interpolate(e, section)
	if err != nil {
		l.bad(f, err.Error(), "write %% for a %")
		return
	}
	all, err := words(value)
	if err == nil && (len(all) == 0 || all[0] == "") {
		err = errors.New("no step")
	}
	if err != nil {
		l.bad(f, err.Error(), "a step and its arguments, in single quotes what is no plain word")
		return
	}
	step := settings.Step{Key: e.key, Line: e.line, Name: all[0], Args: all[1:], Shown: all[0]}
	if strings.HasPrefix(step.Name, "./") || strings.HasPrefix(step.Name, "/") {
		f.value = step.Name
		step.Name, step.Script = l.place(f, true), true
		l.script(f, step.Name)
	} else if !l.checkBuiltin(f, &step) {
		return
	}
	l.s.Steps = append(l.s.Steps, step)
}

// checkBuiltin puts the step's flags in order, or says what is wrong.
func (l *loader) checkBuiltin(f field, step *settings.Step) bool {
	b, ok := builtin(step.Name)
	switch {
	case step.Name == "run" || step.Name == "perform":
		l.bad(f, "a sequence can't run itself", "leave the line out")
		return false
	case !ok && f.section == defaultSection:
		l.bad(f, "unknown step", "a key of [DEFAULT] counts in each section, so here as a step; move it to [main]")
		return false
	case !ok:
		l.bad(f, "unknown step", didYouMean(step.Name, stepNames(),
			"known are "+strings.Join(stepNames(), ", ")+"; a hook, a script of your own, is written ./name or /path/name"))
		return false
	}
	args, err := b.arguments(step.Args)
	if err == nil && b.Check != nil {
		err = b.Check(args)
	}
	if err != nil {
		l.bad(f, err.Error(), b.usage())
		return false
	}
	step.Args = args
	return true
}

var number = regexp.MustCompile(`[0-9]+`)

// warnOrder says so if step10 comes before step2.
func (l *loader) warnOrder(entries []entry) {
	for i := 1; i < len(entries); i++ {
		before, after := entries[i-1], entries[i]
		// With every number as wide as the widest, the order of text is that of numbers.
		if widen(before.key) > widen(after.key) {
			l.warn(field{entry: before}, fmt.Sprintf("steps run in the order of their text: %s before %s; write numbers equally wide", before.key, after.key))
			return
		}
	}
}

func widen(key string) string {
	return number.ReplaceAllStringFunc(key, func(digits string) string {
		return fmt.Sprintf("%020s", strings.TrimLeft(digits, "0"))
	})
}
