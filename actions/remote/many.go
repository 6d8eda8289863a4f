package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"zfs2cloud/workflow"
)

// A remote with thousands of backups can't be asked about one after the other: each question is a process, and a wait for
// the store. So there is one question for what lies in all of them, and one for the content of many small objects.

const (
	// maxObjects bounds what is kept of a listing of all backups: some 400 MB of memory.
	maxObjects = 1_000_000
	// atOnce is how many small objects rclone gets side by side: nearly all of the time is waiting. Some SFTP servers take ten
	// connections of a user, and no more.
	atOnce = 8
	// slack is how much more than the objects have an rclone may get.
	slack = 1 << 20
)

// Sized is an object by its name, and its size as a listing had it.
type Sized struct {
	Name string
	Size int64
}

// backups is what lies in each folder with the form of a backup's name, by folder.
type backups struct {
	in    map[string][]Object
	count int
}

// add takes an object, or a folder, by its path from the root. What lies deeper is none of our business, nor are folders
// in that of a backup.
func (b *backups) add(at string, o Object) error {
	top, rest, below := strings.Cut(at, "/")
	switch {
	case !backupName.MatchString(top) || strings.Contains(rest, "/") || isLeftover(rest):
		return nil
	case !below:
		if o.IsDir && b.in[top] == nil {
			b.in[top] = []Object{}
		}
		return nil
	case o.IsDir:
		return nil
	}
	if b.count++; b.count > maxObjects {
		return fmt.Errorf("%w: more than %d objects", ErrTooBig, maxObjects)
	}
	o.Name = rest
	b.in[top] = append(b.in[top], o)
	return nil
}

// read takes what lsjson writes, an object after the other: all of it may be far more than what we keep.
func (b *backups) read(from io.Reader) error {
	d := json.NewDecoder(from)
	if begin, err := d.Token(); err != nil || begin != json.Delim('[') {
		return errors.Join(err, errors.New("not a list"))
	}
	for d.More() {
		var e struct {
			Path string
			entry
		}
		if err := d.Decode(&e); err != nil {
			return err
		}
		if err := b.add(e.Path, e.object()); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, from)
	return err
}

// underBackups are filters that keep rclone from walking through what is none of our business, and from failing there.
var underBackups = func() (filters []string) {
	stamp := "/" + strings.Repeat("[0-9]", 14)
	for _, form := range []string{stamp, stamp + "-full"} {
		filters = append(filters, "--include", form+"/*")
	}
	return filters
}()

// ListBackups lists recursively. A store of buckets, such as S3, tells a thousand names at a time, whatever folders they are
// in, but rclone asks in that way only where there is no bound of depth and no filter of folders; through others it walks,
// a few folders at once. (Some that are not of buckets have such a question too, and answers with holes: Drive.)
func (r *rclone) ListBackups(ctx context.Context, w workflow.World) (map[string][]Object, error) {
	known, err := r.features(ctx, w)
	if err != nil {
		return nil, err
	}
	var first []string
	flags := []string{"--recursive", "--no-mimetype", "--use-server-modtime"}
	if !known.Features.ListR || !known.Features.BucketBased {
		first = []string{"--checkers", fmt.Sprint(atOnce)}
		flags = append(flags, "--max-depth", "2")
		flags = append(flags, underBackups...)
	}
	all := backups{in: map[string][]Object{}}
	out, in := io.Pipe()
	parsed := make(chan error, 1)
	go func() {
		err := all.read(out)
		out.CloseWithError(err)
		parsed <- err
	}()
	const op = "list all backups of"
	err = r.run(ctx, w, call{op: op, verb: "lsjson", first: first, flags: flags, operands: []string{r.remote}, looks: true, stdout: in})
	in.CloseWithError(err) // nil: io.EOF
	// What is wrong with the listing ends rclone, whose own error then is that of a pipe.
	if perr := <-parsed; perr != nil && (err == nil || !errors.Is(perr, err)) && ctx.Err() == nil {
		return nil, r.error(op, "", nil, fmt.Errorf("what rclone lists: %w", perr))
	}
	if err != nil {
		return nil, err
	}
	return all.in, nil
}

// GetSome has rclone copy the objects into a folder of ours, which nobody else enters. An rclone that failed may leave a
// short file under its final name (SIGKILL, before 1.63), so then nothing of what it got is handed on.
func (r *rclone) GetSome(ctx context.Context, w workflow.World, some []Sized, got func(name string, data []byte) error) (err error) {
	var list strings.Builder
	most := int64(slack)
	for _, o := range some {
		if err := ValidName(o.Name); err != nil {
			return err
		}
		list.WriteString(o.Name + "\n")
		most += o.Size
	}
	const op = "get many objects of"
	dir, err := os.MkdirTemp(r.temp, "zfs2cloud-get-") // 0700
	if err != nil {
		return r.error(op, "", nil, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c := call{
		op: op, verb: "copy", operands: []string{r.remote, dir}, looks: true, transfers: true, stdin: strings.NewReader(list.String()),
		// A store that sends more than it listed is not to fill our disk: --max-transfer counts KiB without the B.
		first: []string{"--transfers", fmt.Sprint(atOnce), "--checkers", fmt.Sprint(atOnce)},
		flags: []string{"--files-from-raw", "-", "--max-transfer", fmt.Sprintf("%dB", most)},
	}
	// An rclone that came to its end has left nothing that is not whole, and all that is neither in cold storage nor damaged.
	err = r.run(ctx, w, c)
	if damaged, derr := r.seemsDamaged(ctx, w, err); derr != nil || err != nil && !damaged && !errors.Is(err, ErrArchived) {
		return errors.Join(err, derr)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return r.error(op, "", nil, err)
	}
	defer root.Close()
	for _, o := range some {
		data, err := whole(root, o)
		if err == nil && data != nil {
			err = got(o.Name, data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// whole reads a file that has the size that it should have; nil if it is not there, has another, or is none.
func whole(root *os.Root, o Sized) ([]byte, error) {
	info, err := root.Lstat(o.Name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode().IsRegular() || info.Size() != o.Size) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	file, err := openKind(root, o.Name, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Size() != o.Size {
		return nil, err
	}
	data := make([]byte, o.Size)
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, err
	}
	return data, nil
}

func (f *folder) ListBackups(ctx context.Context, w workflow.World) (map[string][]Object, error) {
	root, err := f.List(ctx, w, "", "")
	if err != nil {
		return nil, err
	}
	all := backups{in: map[string][]Object{}}
	for _, o := range root {
		if !o.IsDir || !backupName.MatchString(o.Name) {
			continue
		}
		list, err := f.List(ctx, w, o.Name, "")
		if errors.Is(err, ErrNotThere) {
			continue // gone since
		}
		if err != nil {
			return nil, err
		}
		all.in[o.Name] = []Object{}
		for _, in := range list {
			if err := all.add(path.Join(o.Name, in.Name), in); err != nil {
				return nil, f.error("list all backups of", "", err)
			}
		}
	}
	return all.in, nil
}

func (f *folder) GetSome(ctx context.Context, _ workflow.World, some []Sized, got func(name string, data []byte) error) error {
	root, err := f.root("get", "")
	if err != nil {
		return err
	}
	defer root.Close()
	for _, o := range some {
		if err := errors.Join(ValidName(o.Name), ctx.Err()); err != nil {
			return err
		}
		data, err := whole(root, o)
		if err != nil {
			return f.error("get", o.Name, err)
		}
		if data == nil {
			continue
		}
		if err := got(o.Name, data); err != nil {
			return err
		}
	}
	return nil
}

// ListBackups is Remote.ListBackups where the marker is.
func (p *Place) ListBackups(ctx context.Context, w workflow.World) (map[string][]Object, error) {
	if err := p.guard(ctx, w); err != nil {
		return nil, err
	}
	return p.remote.ListBackups(ctx, w)
}

// GetSome is Remote.GetSome where the marker is.
func (p *Place) GetSome(ctx context.Context, w workflow.World, some []Sized, got func(name string, data []byte) error) error {
	if err := p.guard(ctx, w); err != nil {
		return err
	}
	return p.remote.GetSome(ctx, w, some, got)
}
