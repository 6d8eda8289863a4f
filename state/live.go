package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/state/durable"
)

// Folder is the fixed folder where processes show that they are alive. It does not hang on the database's
// place: two commands with different databases still see each other.
//
// For each dataset, named by its GUID, there are two files, which are never removed. GUID.live is held by
// the process that owns the dataset, and by nobody else. GUID.kids is handed to the children that must not
// outlive it, and so is held for as long as any of them lives.
type Folder struct{ Dir string }

// DefaultFolder is the folder for whoever runs this program: the machine's for root, one in the home for
// others. (Two users who work on one dataset are not kept apart.)
func DefaultFolder() (Folder, error) {
	if os.Geteuid() == 0 {
		return Folder{"/var/lib/zfs2cloud/datasets"}, nil
	}
	home := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(home) { // XDG base directory specification: a relative one is to be ignored
		user, err := os.UserHomeDir()
		if err != nil {
			return Folder{}, err
		}
		home = filepath.Join(user, ".local", "state")
	}
	return Folder{filepath.Join(home, "zfs2cloud", "datasets")}, nil
}

// Owner is the process that works on a dataset.
type Owner struct {
	Nonce string    `json:"nonce"` // random, and in the record of the run that it works on
	PID   int       `json:"pid"`
	Run   string    `json:"run,omitempty"`
	Host  string    `json:"host"`
	Boot  string    `json:"boot"`
	Since time.Time `json:"since"`
	// Left: it ended with an error that it told, and not by a kill, whatever it could not store.
	Left bool `json:"left,omitempty"`
}

// OwnedError is the error of a dataset that another live process owns.
type OwnedError struct {
	Who Owner // zero while that process is just coming, and has not said who it is, or going
}

func (e *OwnedError) Error() string {
	switch {
	case e.Who.PID == 0:
		return "dataset is owned by a process that is just coming or going"
	case e.Who.Run == "":
		return fmt.Sprintf("dataset is owned by process %d", e.Who.PID)
	}
	return fmt.Sprintf("dataset is owned by process %d with run %s", e.Who.PID, e.Who.Run)
}

// ErrOrphans is the error of children that outlived an earlier owner and still run.
var ErrOrphans = errors.New("children of an earlier owner still run")

// Two bytes of GUID.live are locked, one after the other. The first is the claim: whoever has it owns the
// dataset. The second is the signature: it is taken once the owner's name is written. Between the two, what
// is written is the name of an earlier owner, who must not look alive because of the new one.
var (
	claim     = span{0, 1}
	signature = span{1, 1}
)

// Live is the ownership of a dataset. It lasts until Close, or until the process ends, in whatever way.
type Live struct {
	// Before is who owned it before, as far as that can still be read.
	Before Owner

	folder Folder
	guid   string
	file   *os.File
	kids   *os.File
}

// Own takes a dataset, at once or not at all: an *OwnedError says who has it. An owner who died is no
// hindrance; children of its that still run are none either, but see Kids.
func (f Folder) Own(guid string, who Owner) (*Live, error) {
	file, err := f.openLock(guid, liveSuffix)
	if err != nil {
		return nil, err
	}
	err = tryLock(file, claim, unix.F_WRLCK)
	if errors.Is(err, errHeld) {
		err = f.owned(guid)
	}
	var before Owner
	if err == nil {
		if before, err = readOwner(file, guid); err != nil { // there was none, or it died while it wrote
			before = Owner{}
		}
		err = writeOwner(file, guid, who)
	}
	if err == nil {
		err = tryLock(file, signature, unix.F_WRLCK)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Live{Before: before, folder: f, guid: guid, file: file}, nil
}

func (f Folder) owned(guid string) error {
	who, _, err := f.Alive(guid)
	if err != nil {
		return err
	}
	return &OwnedError{who}
}

// Set changes what is written about the owner: that it now works on this run, say.
func (l *Live) Set(who Owner) error { return writeOwner(l.file, l.guid, who) }

// Kids returns the file that children are to inherit, locked. It stays ours to close. If children of an
// earlier owner are still there it returns ErrOrphans: they must be ended before there are new ones.
func (l *Live) Kids() (*os.File, error) {
	if l.kids != nil {
		return l.kids, nil
	}
	kids, err := l.folder.openLock(l.guid, kidsSuffix)
	if err != nil {
		return nil, err
	}
	err = tryLock(kids, wholeFile, unix.F_WRLCK)
	if errors.Is(err, errHeld) {
		err = ErrOrphans
	}
	if err != nil {
		return nil, errors.Join(err, kids.Close())
	}
	l.kids = kids
	return kids, nil
}

// Close gives the dataset up. Children that are still there go on holding the kids' lock.
func (l *Live) Close() error {
	// Closing would do, but for a child that is just being forked and has its copy until it execs.
	err := fcntlLock(l.file, unix.F_OFD_SETLK, wholeFile.flock(unix.F_UNLCK))
	err = errors.Join(err, l.file.Close())
	if l.kids != nil {
		err = errors.Join(l.kids.Close(), err)
	}
	return err
}

// Alive tells whether a dataset has a live owner, and who that is.
func (f Folder) Alive(guid string) (Owner, bool, error) {
	file, err := f.openShown(guid, liveSuffix)
	if file == nil {
		return Owner{}, false, err
	}
	defer file.Close()
	// An owner may write while we read. It is done in a moment, so looking again soon finds it whole.
	for range 100 {
		alive, err := isLocked(file, signature)
		if !alive || err != nil {
			return Owner{}, false, err
		}
		who, err := readOwner(file, guid)
		if err == nil {
			return who, true, nil
		}
		if !errors.Is(err, errChecksum) {
			return Owner{}, false, err
		}
	}
	return Owner{}, false, fmt.Errorf("%s: live, but not saying who: %w", file.Name(), errChecksum)
}

// AliveRun tells whether the process that took up a run, and stored this nonce in its record, is alive.
func (f Folder) AliveRun(guid, nonce string) (bool, error) {
	who, alive, err := f.Alive(guid)
	return alive && nonce != "" && who.Nonce == nonce, err
}

// KidsAlive tells whether anybody holds the kids' lock: a live owner who has asked for it, or, if there is
// none, children that outlived theirs.
func (f Folder) KidsAlive(guid string) (bool, error) {
	file, err := f.openShown(guid, kidsSuffix)
	if file == nil {
		return false, err
	}
	defer file.Close()
	return isLocked(file, wholeFile)
}

// KidsPath is the name of the file that children inherit, by which they are found.
func (f Folder) KidsPath(guid string) string { return filepath.Join(f.Dir, guid+kidsSuffix) }

const (
	liveSuffix = ".live"
	kidsSuffix = ".kids"
)

// make makes the folder with its parents: all of them are on a disk that the system has.
func (f Folder) make() (*os.Root, error) {
	if err := os.MkdirAll(filepath.Dir(f.Dir), 0o700); err != nil {
		return nil, err
	}
	return makeFolder(f.Dir)
}

func (f Folder) openLock(guid, suffix string) (*os.File, error) {
	if err := checkWord("GUID", guid); err != nil {
		return nil, err
	}
	folder, err := f.make()
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return openLockFile(folder, guid+suffix)
}

// openShown opens a file to look at its locks. There is none, and no error, if there never was an owner.
func (f Folder) openShown(guid, suffix string) (*os.File, error) {
	if err := checkWord("GUID", guid); err != nil {
		return nil, err
	}
	folder, err := openFolder(f.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	file, err := folder.Open(guid + suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return file, durable.Whole(folder, err)
}

// word is what may be a part of a file's name between two dots.
var word = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func checkWord(what, s string) error {
	if !word.MatchString(s) {
		return fmt.Errorf("%s %q: not fit for a file name", what, s)
	}
	return nil
}

// writeOwner writes the owner over the one before. Who reads meanwhile finds the old line, the new one, or a
// mixture that its checksum gives away; what a longer one leaves behind the new line's end is not read.
func writeOwner(file *os.File, guid string, who Owner) error {
	line, err := seal(guid, who)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if _, err := file.WriteAt(line, 0); err != nil {
		return err
	}
	return file.Truncate(int64(len(line)))
}

func readOwner(file *os.File, guid string) (who Owner, err error) {
	content, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<16))
	if err != nil {
		return who, err
	}
	line, _, _ := bytes.Cut(content, []byte("\n"))
	value, err := unseal(guid, line)
	if err != nil {
		return who, err
	}
	return who, json.Unmarshal(value, &who)
}
