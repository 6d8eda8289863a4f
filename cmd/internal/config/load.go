package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/settings"
)

const largest = 1 << 20 // bytes of a config file

// Load reads the config file at path, which is absolute. The error is an *Errors with all that is wrong.
func Load(path string, env Env) (*settings.Settings, error) {
	data, st, err := readOwned(path, env.UID, largest)
	if err != nil {
		return nil, &Errors{path, []Problem{unreadable(err)}}
	}
	l := newLoader(path, env, parse(string(data)))
	l.problems = append(l.problems, l.doc.problems...)
	l.readKeys()
	l.readPrograms()
	l.readSequence()
	l.checkAll(st)
	l.checkUnknown()
	if len(l.problems) > 0 {
		sortProblems(l.problems)
		return nil, &Errors{path, l.problems}
	}
	return l.s, nil
}

// Basics is what a command has to know before it may complain about the rest.
type Basics struct {
	Dataset   string   // empty if the file does not tell
	StateDB   string   // the default if the file does not tell
	OnFailure string   // absolute, and a file that may be obeyed; else empty
	ZFS       []string // the zfs program and its leading words; empty if $ZFS_PATH is bad
	// HookTimeout bounds on_failure, too; 0 if the file sets none.
	HookTimeout time.Duration
}

// Peek reads what it can of a config that may be bad otherwise. An error means that the file can't be
// read, or is not ours: of a file that others may write nothing is taken, since the database that it names
// could hold anything as a hook to be run.
func Peek(path string, env Env) (Basics, error) {
	b := Basics{StateDB: DefaultStateDB(env)}
	data, _, err := readOwned(path, env.UID, largest)
	if err != nil {
		return b, &Errors{path, []Problem{unreadable(err)}}
	}
	l := newLoader(path, env, parse(string(data)))
	for _, k := range Keys {
		switch k.Name {
		case "zfs_fs", "state_db", "on_failure", "hook_timeout":
			l.readKey(k)
		}
	}
	l.readPrograms()
	b.Dataset, b.ZFS, b.HookTimeout = l.s.Dataset, l.s.ZFS, l.s.HookTimeout
	if l.s.StateDB != "" {
		b.StateDB = l.s.StateDB
	}
	if _, err := checkScript(l.s.OnFailure, env.UID); err == nil {
		b.OnFailure = l.s.OnFailure
	}
	return b, nil
}

// unreadable is the problem of a file that can't be opened, or must not be obeyed.
func unreadable(err error) Problem {
	if owner, ok := errors.AsType[*OwnerError](err); ok {
		if owner.NoFile {
			return Problem{Text: owner.Reason, Hint: "-c or $ZFS2CLOUD_CONFIG names another"}
		}
		return Problem{Text: owner.Error(), Hint: "it could be anyone's", Next: owner.Fix}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Problem{Text: "no such file", Hint: `-c or $ZFS2CLOUD_CONFIG names another; README.md, "First config", makes one`}
	}
	return Problem{Text: err.Error()}
}

// loader collects settings and problems.
type loader struct {
	env      Env
	dir      string // of the config file
	doc      *document
	s        *settings.Settings
	problems []Problem
}

// field is a key's value on its way to the settings.
type field struct {
	entry
	value string // interpolated
	hide  bool   // the value is not shown
}

func newLoader(path string, env Env, doc *document) *loader {
	return &loader{env: env, dir: filepath.Dir(path), doc: doc, s: &settings.Settings{
		Path:               path,
		Mode:               settings.Intermediate,
		Encryption:         settings.GPG,
		Strategy:           settings.SinceLastFull,
		SplitSize:          1 << 30,
		UploadJobs:         4,
		IOLevel:            -1,
		KeepIntermediates:  true,
		RcloneIdle:         15 * time.Minute,
		OldestSnapshotDays: 120,
		FullEveryDays:      30,
		StateDB:            DefaultStateDB(env),
		BackupMaxAge:       36 * time.Hour,
	}}
}

func (l *loader) readKeys() {
	for _, k := range Keys {
		if !l.readKey(k) && k.Default == "required" {
			l.problems = append(l.problems, Problem{Section: mainSection, Key: k.Name, Text: "missing", Hint: "it is " + k.Meaning})
		}
	}
}

// readKey says whether the key is there, well or not.
func (l *loader) readKey(k Key) bool {
	e, ok := l.doc.find(mainSection, k.Name)
	if !ok || e.bare {
		return l.complained(k.Name)
	}
	f := field{entry: e, hide: k.Secret || k.mayHold}
	value, err := l.doc.interpolate(e, mainSection)
	if err != nil {
		l.bad(f, err.Error(), "write %% for a %")
		return true
	}
	f.value = value
	if value == "" {
		if !k.optEmpty {
			l.bad(f, "no value", "its default is "+k.Default)
		}
		return true
	}
	k.read(l, f)
	return true
}

// complained says whether a problem with the key of [main] is known already, or will be: a slip of its name.
// Another that follows from it would only be noise.
func (l *loader) complained(key string) bool {
	return l.misspelt(key) || slices.ContainsFunc(l.problems, func(p Problem) bool {
		return p.Key == key && (p.Section == mainSection || p.Section == defaultSection)
	})
}

// misspelt tells whether the file has a key that checkUnknown will take for a slip of this one.
func (l *loader) misspelt(key string) bool {
	names := keyNames()
	return slices.ContainsFunc(l.doc.entries, func(e entry) bool {
		return (e.section == mainSection || e.section == defaultSection) && !l.doc.used[e.key] &&
			!slices.Contains(names, e.key) && Nearest(e.key, names) == key
	})
}

func (l *loader) readPrograms() {
	into := []*[]string{&l.s.ZFS, &l.s.Rclone, &l.s.Gpg}
	for i, v := range Variables {
		value := l.env.Getenv(v.Name)
		if value == "" {
			value = v.Default
		}
		all, err := words(value)
		if err == nil && len(all) == 0 {
			err = errors.New("no word in it")
		}
		if err != nil {
			l.problems = append(l.problems, Problem{Key: "$" + v.Name, Value: value, Text: err.Error(), Hint: "write words and quotes only"})
			continue
		}
		*into[i] = all
		if slices.Contains([]string{"sudo", "doas"}, filepath.Base(all[0])) {
			l.warn(field{entry: entry{key: "$" + v.Name}}, "what "+filepath.Base(all[0])+" starts may outlive a run that is killed")
		}
	}
}

// bad notes a problem.
func (l *loader) bad(f field, text, hint string) {
	p := Problem{Line: f.line, Section: f.section, Key: f.key, Text: text, Hint: hint}
	if !f.hide {
		p.Value = f.entry.value
		if f.key == "remote" {
			p.Value = maskRemote(p.Value)
		}
	}
	l.problems = append(l.problems, p)
}

// notWords notes that a shell would have made more than words of the value.
func (l *loader) notWords(f field, err error) {
	l.bad(f, err.Error(), "put it between single quotes, or leave it out")
}

func (l *loader) warn(f field, text string) {
	l.s.Warnings = append(l.s.Warnings, settings.Warning{Line: f.line, Section: f.section, Key: f.key, Text: text})
}

func (l *loader) days(f field, into *int) {
	n, err := parseDays(f.value)
	if err != nil {
		l.bad(f, err.Error(), "")
		return
	}
	*into = n
}

// place makes a path absolute. A ./ in front stands for the config file's folder where beside is set;
// any other relative path was one of the working folder, which is cron's choice.
func (l *loader) place(f field, beside bool) string {
	v := f.value
	switch {
	case strings.ContainsRune(`"'`, rune(v[0])):
		l.bad(f, "quotes would be part of the path", "leave them out")
		return ""
	case v[0] == '~':
		l.bad(f, "~ means nothing here", "write the whole path")
		return ""
	case strings.Contains(v, "\n"):
		l.bad(f, "a path of several lines", "write it on one")
		return ""
	case filepath.IsAbs(v):
		return filepath.Clean(v)
	case beside && strings.HasPrefix(v, "./"):
		return filepath.Join(l.dir, v)
	}
	cwd, err := l.env.Getwd()
	if err != nil {
		l.bad(f, "relative to the working folder, which is gone", "write the whole path")
		return ""
	}
	abs := filepath.Join(cwd, v)
	l.warn(f, "is relative to the working folder, now "+printable(abs)+"; write the whole path")
	return abs
}

// owned notes a problem if the file may not be obeyed.
func (l *loader) owned(f field, path string) (unix.Stat_t, bool) {
	if path == "" { // place has complained
		return unix.Stat_t{}, false
	}
	fd, st, err := findOwned(path, l.env.UID)
	if err != nil {
		l.badFile(f, path, err)
		return st, false
	}
	unix.Close(fd)
	return st, true
}

// script notes a problem if the file may not be run.
func (l *loader) script(f field, path string) {
	if path == "" {
		return
	}
	if st, err := checkScript(path, l.env.UID); err != nil {
		l.badFile(f, path, err)
	} else if st.Mode&0o111 == 0 {
		l.badFile(f, path, &OwnerError{Path: path, Reason: "is not executable", Fix: fix(st, l.env.UID, "chmod", "+x", path)})
	}
}

func checkScript(path string, uid int) (unix.Stat_t, error) {
	if path == "" {
		return unix.Stat_t{}, fs.ErrNotExist
	}
	fd, st, err := findOwned(path, uid)
	if err == nil {
		unix.Close(fd)
	}
	return st, err
}

func (l *loader) badFile(f field, path string, err error) {
	text, next := err.Error(), ""
	if owner, ok := errors.AsType[*OwnerError](err); ok {
		next = owner.Fix
	} else if errors.Is(err, fs.ErrNotExist) {
		text = fmt.Sprintf("no such file: %s", path)
	}
	l.bad(f, printable(text), "")
	l.problems[len(l.problems)-1].Next = next
}
