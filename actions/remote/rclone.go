package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"zfs2cloud/workflow"
)

// maxListing bounds a listing's JSON: some 250,000 objects. A folder with more is not one of ours.
const maxListing = 64 << 20

// rclone is a Remote behind the rclone program, a process an operation.
type rclone struct {
	remote  string
	program []string
	conf    string
	global  []string
	args    []string
	bwlimit string
	env     []string
	temp    string        // where small things wait for rclone
	idle    time.Duration // after which an rclone that moves nothing is ended; 0: never

	mu    sync.Mutex
	knows *features // nil until asked
}

func (r *rclone) String() string { return r.remote }

// entry is an object as lsjson writes it.
type entry struct {
	Name    string
	Size    int64
	ModTime time.Time
	IsDir   bool
	Hashes  map[string]string
}

func (e entry) object() Object {
	return Object{Name: e.Name, Size: e.Size, Hashes: normalHashes(e.Hashes), IsDir: e.IsDir, ModTime: e.ModTime}
}

func (r *rclone) List(ctx context.Context, w workflow.World, folder, hash string) ([]Object, error) {
	all, err := r.listAll(ctx, w, folder, hash)
	return visible(all), err
}

func (r *rclone) listAll(ctx context.Context, w workflow.World, folder, hash string) ([]Object, error) {
	if err := validFolder(folder); err != nil {
		return nil, err
	}
	var entries []entry
	if err := r.lsjson(ctx, w, "list", folder, hash, &entries); err != nil {
		return nil, err
	}
	all := make([]Object, 0, len(entries))
	for _, e := range entries {
		all = append(all, e.object())
	}
	return all, nil
}

func (r *rclone) Stat(ctx context.Context, w workflow.World, name, hash string) (Object, error) {
	if err := ValidName(name); err != nil {
		return Object{}, err
	}
	return r.stat(ctx, w, name, hash)
}

// StatSome lists the folder by names: rclone then asks for those objects only, and computes no other's hash.
// One that it can't find it leaves out without a word.
func (r *rclone) StatSome(ctx context.Context, w workflow.World, folder string, names []string, hash string) (map[string]Object, error) {
	if err := validFolder(folder); err != nil {
		return nil, err
	}
	var list strings.Builder
	for _, name := range names {
		if err := ValidName(name); err != nil {
			return nil, err
		}
		list.WriteString(name + "\n")
	}
	var entries []entry
	if err := r.lsjsonOf(ctx, w, "stat", folder, hash, &entries, strings.NewReader(list.String()), "--files-from-raw", "-"); err != nil {
		return nil, err
	}
	there := make(map[string]Object, len(entries))
	for _, e := range entries {
		o := e.object()
		there[o.Name] = o
	}
	return there, nil
}

// stat asks for the object, and, where the answer is a folder, lists the folder above it. For a store without
// folders rclone takes whatever it can't find for a folder, also when its question after the object
// itself was refused or lost (S3; with --files-only even a server that is down is "not there", exit code 0:
// 1.60). A listing doesn't hide its errors.
func (r *rclone) stat(ctx context.Context, w workflow.World, name, hash string) (Object, error) {
	var e entry
	if err := r.lsjson(ctx, w, "stat", name, hash, &e, "--stat"); err != nil {
		return Object{}, err
	}
	if !e.IsDir {
		return e.object(), nil
	}
	above := path.Dir(name)
	if above == "." {
		above = ""
	}
	all, err := r.listAll(ctx, w, above, "")
	if err != nil {
		return Object{}, err
	}
	i := slices.IndexFunc(all, func(o Object) bool { return o.Name == path.Base(name) })
	switch {
	case i < 0:
		return Object{}, r.error("stat", name, ErrNotThere, nil)
	case all[i].IsDir:
		return all[i], nil
	}
	err = errors.New("listed as an object, but answers as none")
	return Object{}, &Error{Op: "stat", Remote: r.remote, Name: name, Err: err, passes: true}
}

// lsjson lists into an entry or entries. Without the first two flags a listing of S3 asks for each object singly.
func (r *rclone) lsjson(ctx context.Context, w workflow.World, op, name, hash string, into any, flags ...string) error {
	return r.lsjsonOf(ctx, w, op, name, hash, into, nil, flags...)
}

func (r *rclone) lsjsonOf(ctx context.Context, w workflow.World, op, name, hash string, into any, names io.Reader, flags ...string) error {
	flags = append(flags, "--no-mimetype", "--use-server-modtime")
	if hash != "" {
		flags = append(flags, "--hash", "--hash-type", hash)
	}
	var out bytes.Buffer
	c := call{
		op: op, name: name, verb: "lsjson", flags: flags, operands: []string{join(r.remote, name)},
		looks: true, stdin: names, stdout: &capped{to: &out, left: maxListing, err: ErrTooBig},
	}
	if err := r.run(ctx, w, c); err != nil {
		return err
	}
	if err := json.Unmarshal(out.Bytes(), into); err != nil {
		return r.error(op, name, nil, fmt.Errorf("what rclone lists: %w", err))
	}
	return nil
}

// Get looks first, since `rclone cat` of a folder writes all that is in it, one after the other.
func (r *rclone) Get(ctx context.Context, w workflow.World, name string, limit int64, to io.Writer) error {
	o, err := r.Stat(ctx, w, name, "")
	switch {
	case err != nil:
		return err
	case o.IsDir:
		return r.error("get", name, nil, errors.New("a folder"))
	case o.Size > limit:
		return r.error("get", name, ErrTooBig, fmt.Errorf("%d bytes, at most %d", o.Size, limit))
	case o.Size >= 0:
		limit = o.Size
	}
	out := &capped{to: to, left: limit, err: errMore}
	c := call{
		op: "get", name: name, verb: "cat", operands: []string{join(r.remote, name)},
		looks: true, transfers: true, stdout: out,
	}
	if err := r.run(ctx, w, c); err != nil {
		return r.judged(ctx, w, err, out.n == (o.Size-1)/cryptBlock*cryptBlock)
	}
	if o.Size >= 0 && out.n != o.Size {
		return r.error("get", name, nil, fmt.Errorf("%d bytes came of %d", out.n, o.Size))
	}
	return nil
}

// cryptBlock is how much a remote that encrypts decrypts at once.
const cryptBlock = 64 << 10

// judged is the error of a get, once it is clear whether the object is damaged. A remote that encrypts says so of all that is there
// when its password is another; so it counts only where the marker of a job can be read. ALL BUT THE LAST says that all came but
// a last block: of one that is damaged, that remote says what it says of a connection that is lost.
func (r *rclone) judged(ctx context.Context, w workflow.World, err error, allButLast bool) error {
	e, ok := errors.AsType[*Error](err)
	damaged, derr := r.seemsDamaged(ctx, w, err)
	if !ok || !damaged || derr != nil {
		return err
	}
	if (allButLast || !e.passes) && r.readsMarker(ctx, w) {
		return &Error{Op: e.Op, Remote: e.Remote, Name: e.Name, Kind: ErrDamaged, passes: e.passes}
	}
	e.Kind = nil
	return e
}

// seemsDamaged tells whether an error may be that of a damaged object.
func (r *rclone) seemsDamaged(ctx context.Context, w workflow.World, err error) (bool, error) {
	exit, ok := errors.AsType[*workflow.ExitError](err)
	if !ok || errors.Is(err, ErrDamaged) || !sayCut.MatchString(exit.Stderr) {
		return errors.Is(err, ErrDamaged), nil
	}
	known, err := r.features(ctx, w)
	if err != nil {
		return false, err
	}
	return known.encrypts(), nil
}

// maxMarker bounds what is read of a marker.
const maxMarker = 1 << 20

// readsMarker tells whether the marker of a job, at the root, can be read.
func (r *rclone) readsMarker(ctx context.Context, w workflow.World) bool {
	root, err := r.listAll(ctx, w, "", "")
	i := slices.IndexFunc(root, func(o Object) bool {
		_, is := MarkedJob(o.Name)
		return is && !o.IsDir
	})
	if err != nil || i < 0 {
		return false
	}
	name := root[i].Name
	c := call{op: "get", name: name, verb: "cat", operands: []string{join(r.remote, name)}, looks: true, transfers: true,
		stdout: &capped{to: io.Discard, left: maxMarker, err: errMore}}
	return r.run(ctx, w, c) == nil
}

func (r *rclone) HashKind(ctx context.Context, w workflow.World) (string, error) {
	known, err := r.features(ctx, w)
	if err != nil {
		return "", err
	}
	for _, kind := range hashKinds {
		if slices.ContainsFunc(known.Hashes, func(has string) bool { return normalKind(has) == kind }) {
			return kind, nil
		}
	}
	return "", nil
}

func (r *rclone) KeepsHash(ctx context.Context, w workflow.World) (bool, error) {
	kind, err := r.HashKind(ctx, w)
	if err != nil || kind == "" {
		return false, err
	}
	known, err := r.features(ctx, w)
	if err != nil {
		return false, err
	}
	return !known.Features.SlowHash, nil
}

func (r *rclone) ShowsPart(ctx context.Context, w workflow.World) (bool, error) {
	known, err := r.features(ctx, w)
	return err == nil && known.union(), err
}

// Delete: `deletefile` says the same of a missing object, a folder and a vanished remote, with exit code 1.
func (r *rclone) Delete(ctx context.Context, w workflow.World, name string) error {
	if err := errors.Join(ValidName(name), mayWrite(w, "delete", name)); err != nil {
		return err
	}
	return r.deleteAny(ctx, w, name)
}

func (r *rclone) deleteAny(ctx context.Context, w workflow.World, name string) error {
	err := r.run(ctx, w, call{op: "delete", name: name, verb: "deletefile", operands: []string{join(r.remote, name)}})
	if err == nil {
		return nil
	}
	if _, look := r.stat(ctx, w, name, ""); errors.Is(look, ErrNotThere) {
		return nil
	}
	return err
}

// Tidy: in a store that shows an object when it is whole, there is nothing.
func (r *rclone) Tidy(ctx context.Context, w workflow.World, folder string) error {
	if err := errors.Join(ValidName(folder), mayWrite(w, "tidy", folder)); err != nil {
		return err
	}
	known, err := r.features(ctx, w)
	if err != nil || known.hides() {
		return err
	}
	all, err := r.listAll(ctx, w, folder, "")
	if errors.Is(err, ErrNotThere) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.deleteLeftovers(ctx, w, folder, all)
}

func (r *rclone) deleteLeftovers(ctx context.Context, w workflow.World, folder string, all []Object) error {
	for _, o := range all {
		if o.IsDir || !isLeftover(o.Name) {
			continue
		}
		if err := r.deleteAny(ctx, w, path.Join(folder, o.Name)); err != nil {
			return err
		}
	}
	return nil
}

func (r *rclone) RemoveFolder(ctx context.Context, w workflow.World, folder string) error {
	if err := errors.Join(ValidName(folder), mayWrite(w, "remove", folder)); err != nil {
		return err
	}
	all, err := r.listAll(ctx, w, folder, "")
	if errors.Is(err, ErrNotThere) {
		return nil
	}
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(o Object) bool { return o.IsDir || !isLeftover(o.Name) }) {
		return r.error("remove", folder, ErrNotEmpty, nil)
	}
	if err := r.deleteLeftovers(ctx, w, folder, all); err != nil {
		return err
	}
	err = r.run(ctx, w, call{op: "remove", name: folder, verb: "rmdir", operands: []string{join(r.remote, folder)}})
	if err == nil {
		return nil
	}
	// A store without folders has none any more.
	if _, look := r.List(ctx, w, folder, ""); errors.Is(look, ErrNotThere) {
		return nil
	}
	return err
}
