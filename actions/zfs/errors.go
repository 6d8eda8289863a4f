package zfs

import (
	"errors"
	"strings"
)

// What a caller decides by. An error of this package is at most one of them.
var (
	ErrNoZFS       = errors.New("ZFS does not answer")
	ErrNoPool      = errors.New("no such pool")
	ErrNoDataset   = errors.New("no such dataset")
	ErrNoSnapshot  = errors.New("no such snapshot")
	ErrNoBookmark  = errors.New("no such bookmark")
	ErrNoBase      = errors.New("no such base")
	ErrNoHold      = errors.New("no such hold")
	ErrExists      = errors.New("exists already")
	ErrHeld        = errors.New("is held by this tag already")
	ErrBusy        = errors.New("is busy or held")
	ErrClones      = errors.New("has clones")
	ErrChildren    = errors.New("has children")
	ErrDiverged    = errors.New("is not at the base of the increment")
	ErrNoSpace     = errors.New("out of space")
	ErrPermission  = errors.New("not permitted")
	ErrUnsupported = errors.New("this zfs program can't do that")

	// errMissing is what zfs says. Program.failed finds out what it means.
	errMissing = errors.New("does not exist")
)

// Error says what was tried, on what, and what came back. It is, for errors.Is, its kind and all that its
// cause is.
type Error struct {
	Doing string // such as "destroy tank/data@20261125035200"
	Kind  error  // one of this package's Err…, or nil
	Err   error
}

func (e *Error) Error() string { return "zfs " + e.Doing + ": " + e.Err.Error() }

// Unwrap is for errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	if e.Kind == nil {
		return []error{e.Err}
	}
	return []error{e.Kind, e.Err}
}

// phrases are what zfs-fuse 0.7 and OpenZFS write to stderr, in lower case. The first that is there counts.
// Where a phrase is of one of them only, it is said which.
var phrases = []struct {
	text string
	kind error
}{
	// A user who may not talk to zfs-fuse's socket gets "connect: Permission denied" and then the same
	// "failed to initialize" as when there is no daemon.
	{"permission denied", ErrPermission},
	{"must be run as root", ErrPermission}, // OpenZFS before 0.7
	{"failed to initialize zfs library", ErrNoZFS},
	{"zfs modules are not loaded", ErrNoZFS},                  // OpenZFS
	{"zfs modules cannot be auto-loaded", ErrNoZFS},           // OpenZFS
	{"/dev/zfs and /proc/self/mounts are required", ErrNoZFS}, // OpenZFS
	{"pyzfs.py not found", ErrUnsupported},                    // zfs-fuse: holds, allow
	{"unrecognized command", ErrUnsupported},                  //
	{"invalid option", ErrUnsupported},                        //
	{"invalid property", ErrUnsupported},                      //
	{"invalid type", ErrUnsupported},                          // zfs-fuse: list -t bookmark
	{"feature not enabled", ErrUnsupported},                   // OpenZFS: bookmark
	{"tag already exists", ErrHeld},                           //
	{"no such tag", ErrNoHold},                                //
	{"dependent clones", ErrClones},                           //
	{"snapshot is cloned", ErrClones},                         // OpenZFS
	{"has children", ErrChildren},                             //
	{"match incremental source", ErrDiverged},                 //
	{"has been modified", ErrDiverged},                        //
	{"incremental source", ErrNoBase},                         // … (@NAME) does not exist
	{"not an earlier snapshot from the same fs", ErrNoBase},   //
	{"dataset already exists", ErrExists},                     //
	{"bookmark exists", ErrExists},                            // OpenZFS
	{"must specify -f to overwrite", ErrExists},               //
	{"must destroy them to overwrite", ErrExists},
	{"is busy", ErrBusy},                                    //
	{"being held", ErrBusy},                                 // OpenZFS since 2.2
	{"out of space", ErrNoSpace},                            //
	{"no space left", ErrNoSpace},                           //
	{"quota exceeded", ErrNoSpace},                          //
	{"no such pool", ErrNoPool},                             //
	{"could not find any snapshots to destroy", errMissing}, // OpenZFS
	{"does not exist", errMissing},                          //
}

// classify tells by what zfs said to stderr what kind of error it is, or nil. The name that it is about may
// have blanks in it, and so look like a phrase.
func classify(said, name string) error {
	text := strings.ToLower(strings.ReplaceAll(said, "'"+name+"'", "''"))
	for _, p := range phrases {
		if strings.Contains(text, p.text) {
			return p.kind
		}
	}
	return nil
}

// beginning keeps the first few kilobytes of what is written to it. zfs gives its reason first, and then may
// go on for hundreds of lines, of usage or of clones, of which an ExitError has the last.
type beginning struct{ strings.Builder }

func (b *beginning) Write(p []byte) (int, error) {
	const enough = 4 << 10
	b.Builder.Write(p[:min(len(p), enough-b.Len())])
	return len(p), nil
}
