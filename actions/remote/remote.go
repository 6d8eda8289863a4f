package remote

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"zfs2cloud/workflow"
)

// Remote is a store of objects in folders. Names are relative to its root, with slashes.
//
// Implementations are safe for concurrent use; two writers of one name at once are the caller's business.
// A context that ends, ends the operation, and its error is in the returned one. Errors are an *Error,
// which wraps one of this package's Err values where the cause is known; Temporary tells whether trying
// again may help. Methods that write refuse a World that is a workflow.Look.
type Remote interface {
	// String is the remote as the user spelled it.
	String() string

	// List tells what lies directly in a folder; "" is the root. Links, sockets and the like, and what an
	// interrupted Put left behind, are not listed. With a hash kind ("" for none) each object has its hash, if the
	// store has it. ErrNotThere: apparently there is no such folder; a store without folders may say so
	// with an empty list. Any other error means that nothing is known: never a part of the list.
	List(ctx context.Context, w workflow.World, folder, hash string) ([]Object, error)

	// Stat tells of one object or folder. ErrNotThere: apparently not there.
	Stat(ctx context.Context, w workflow.World, name, hash string) (Object, error)

	// StatSome tells of some objects of one folder at once, by name. One that isn't in the answer is apparently
	// not there, or could not be looked for: Stat tells which.
	StatSome(ctx context.Context, w workflow.World, folder string, names []string, hash string) (map[string]Object, error)

	// Get copies an object to a writer. One that is larger than limit is ErrTooBig before the first byte.
	// No error means that as many bytes came as the store says the object has. What was written to the
	// writer before an error is of no use.
	Get(ctx context.Context, w workflow.World, name string, limit int64, to io.Writer) error

	// ListBackups is List of all folders at the root with the form of a backup's name, at once, by folder; but folders in
	// them it does not tell. One that is not in the answer is apparently not there, or has nothing in it: List tells.
	ListBackups(ctx context.Context, w workflow.World) (map[string][]Object, error)

	// GetSome is Get of many small objects at once. One that is not there, or has another size, is not handed on, and
	// Get tells why. So it is with all that were not handed on before an error. They come in their order, each whole.
	GetSome(ctx context.Context, w workflow.World, some []Sized, got func(name string, data []byte) error) error

	// HashKind is the best kind of hash that the store has and we compute: sha256, sha1, md5, or "".
	// It is asked once.
	HashKind(ctx context.Context, w workflow.World) (string, error)

	// KeepsHash tells whether the store keeps that hash with each object. Where it doesn't, to ask for it is to
	// have the whole object read.
	KeepsHash(ctx context.Context, w workflow.World) (bool, error)

	// ShowsPart tells whether it may show a part of what is there, and say that it is all: a union of others, of which one is away.
	ShowsPart(ctx context.Context, w workflow.World) (bool, error)

	// Put stores a file under a name, and makes the folders above it, but never the root of a local
	// folder. An object is seen under its name whole or not at all, also after SIGKILL, as far as the store
	// can do that. Nothing is ever overwritten: if the name is taken by the same size and hash (size alone,
	// where the store has no hash) there is nothing to do, else it's a *Conflict. No error means that the store
	// said it has it. Progress, if not nil, is told now and then how many bytes are done, from a
	// goroutine of its own.
	Put(ctx context.Context, w workflow.World, name string, from Source, progress func(done int64)) error

	// PutBytes is Put for something small. Where the store has no hash, what is there is read and compared.
	// FRESH is what it is in Source.
	PutBytes(ctx context.Context, w workflow.World, name string, data []byte, fresh bool) error

	// Touch stores something of which nothing but the name counts, over what has it: who looks sees it at once, whole or
	// not, and nothing else is left of a Touch that was cut off.
	Touch(ctx context.Context, w workflow.World, name string, data []byte) error

	// Delete deletes an object, durably if local. That it isn't there is fine; a folder is an error.
	Delete(ctx context.Context, w workflow.World, name string) error

	// Tidy removes from a folder what interrupted Puts left, if anybody can see that. Nobody may be writing there. That the
	// folder isn't there is fine.
	Tidy(ctx context.Context, w workflow.World, folder string) error

	// RemoveFolder removes a folder with nothing in it but leftovers of interrupted Puts. That it isn't there
	// is fine; ErrNotEmpty if it holds more.
	RemoveFolder(ctx context.Context, w workflow.World, folder string) error
}

// Object is what a store says about an object or a folder.
type Object struct {
	Name    string            // within its folder, as the store spells it: foreign text
	Size    int64             // -1 if the store doesn't know
	Hashes  map[string]string // by kind, in lower-case hex
	IsDir   bool
	ModTime time.Time // when the store got it, by its clock: to be shown, never to decide by
}

// Source is a local file to be stored.
type Source struct {
	Path   string            // absolute
	Size   int64             // it must have exactly that
	Hashes map[string]string // by kind, in lower-case hex: those that are known
	// Fresh says that a listing just showed the name to be free, and that nobody but the caller writes in its
	// folder: then Put need not look again.
	Fresh bool
}

// Matches tells whether an object is what it should be by size and by each hash that both sides have,
// and whether a hash had a part in the answer.
func (o Object) Matches(size int64, hashes map[string]string) (same, hashed bool) {
	if o.IsDir || o.Size != size {
		return false, false
	}
	for kind, want := range hashes {
		have := o.Hashes[kind]
		if have == "" || want == "" {
			continue
		}
		if have != want {
			return false, true
		}
		hashed = true
	}
	return true, hashed
}

// Options say which remote, and how rclone is called.
type Options struct {
	Remote      string   // an rclone remote (b2:bucket/path) or an absolute path
	Rclone      []string // the program and leading words
	Conf        string   // rclone's config, absolute; empty for rclone's own default
	GlobalFlags []string // before rclone's verb
	Args        []string // after it; already without filters and what else has no meaning for single objects
	Bwlimit     string
	TempDir     string        // for what is small and has to be a file for rclone; "" for the system's
	EnvNames    []string      // variables that rclone gets beside its own few
	Idle        time.Duration // how long an rclone may move nothing before it is ended; 0: for ever
	// LookupEnv is where they come from: os.LookupEnv.
	LookupEnv func(string) (string, bool)
}

// Open tells what kind of remote it is. It starts no program and looks at nothing.
func Open(o Options) (Remote, error) {
	if strings.ContainsFunc(o.Remote, isControl) {
		return nil, fmt.Errorf("remote %q: control character", o.Remote)
	}
	if filepath.IsAbs(o.Remote) {
		return &folder{spelled: o.Remote, path: filepath.Clean(o.Remote)}, nil
	}
	if strings.HasPrefix(o.Remote, "-") || !strings.Contains(o.Remote, ":") {
		return nil, fmt.Errorf("remote %q: neither an rclone remote (name:path) nor an absolute path", o.Remote)
	}
	env, err := rcloneEnv(o.EnvNames, o.LookupEnv)
	if err != nil {
		return nil, err
	}
	return &rclone{
		remote: o.Remote, program: slices.Clone(o.Rclone), conf: o.Conf, bwlimit: o.Bwlimit,
		global: slices.Clone(o.GlobalFlags), args: slices.Clone(o.Args), env: env, temp: o.TempDir, idle: o.Idle,
	}, nil
}

// hashKinds are those that we compute, the best first. A backup has the SHA-256 of each object anyway.
var hashKinds = []string{"sha256", "sha1", "md5"}

// normalKind spells a kind of hash as we do: rclone before 1.54 said SHA-1.
func normalKind(kind string) string { return strings.ReplaceAll(strings.ToLower(kind), "-", "") }

func normalHashes(hashes map[string]string) map[string]string {
	if len(hashes) == 0 {
		return nil
	}
	normal := make(map[string]string, len(hashes))
	for kind, sum := range maps.All(hashes) {
		normal[normalKind(kind)] = strings.ToLower(sum)
	}
	return normal
}

// mayWrite keeps those who only look from writing, also where no program is needed for it.
func mayWrite(w workflow.World, op, name string) error {
	switch w.(type) {
	case workflow.Look, *workflow.Look:
		return fmt.Errorf("%s %q changes something: only an effect may do that", op, name)
	}
	return nil
}
