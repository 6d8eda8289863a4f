package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sync"
	"time"

	"zfs2cloud/workflow"
)

// fresh is how long a marker that was seen vouches for its remote.
const fresh = time.Minute

const markerPrefix = "zfs2cloud-job-"

var (
	markerName = regexp.MustCompile(`^` + markerPrefix + `([0-9a-f]+)$`)
	backupName = regexp.MustCompile(`^[0-9]{14}(-full)?$`)
)

var (
	// ErrMarkerGone is the error of a remote that the job has used and that doesn't show its marker: an
	// unmounted disk, a bucket made anew, a wrong path.
	ErrMarkerGone = errors.New("was used by this job before, and shows its marker no longer")
	// ErrUnsure is the error of "not there" on a remote whose marker could not be looked for.
	ErrUnsure = errors.New("not there, it seems, but the job's marker could not be looked for")
)

// IsJob tells whether an id has the form of a job's: hex digits.
func IsJob(id string) bool { return markerName.MatchString(markerPrefix + id) }

// MarkedJob is the id of the job whose marker has this name.
func MarkedJob(name string) (id string, ok bool) {
	m := markerName.FindStringSubmatch(name)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// Stranger is the error of a remote that shows another job's marker.
type Stranger struct {
	Remote string
	Mine   string
	Theirs string
}

func (e *Stranger) Error() string {
	return fmt.Sprintf("remote %q belongs to job %s, not to %s: give each dataset a path of its own",
		e.Remote, e.Theirs, e.Mine)
}

// Place is a remote that belongs to one job, as the job's marker at its root says: the object
// zfs2cloud-job-ID, whose content says nothing that its name doesn't.
//
// It is a Remote whose answers can be relied on. It reads only while the marker was seen within the last
// minute, and ErrNotThere, or an empty list, is said only after the marker was seen once more. It
// writes and deletes only while the marker was seen within the last minute. Otherwise the error is a
// *Stranger, ErrMarkerGone, or whatever kept it from looking. The clock is the World's.
type Place struct {
	remote Remote
	job    string

	mu   sync.Mutex
	seen time.Time       // when the look that saw the marker began; zero: never
	root map[string]bool // the names that it saw: whether they are folders
}

var _ Remote = (*Place)(nil)

// NewPlace is a job's own remote. The job is named by its id, in hex.
func NewPlace(r Remote, job string) (*Place, error) {
	if !IsJob(job) {
		return nil, fmt.Errorf("job %q: an id is hex digits", job)
	}
	return &Place{remote: r, job: job}, nil
}

func (p *Place) String() string { return p.remote.String() }

// Job is the id of the job that the place belongs to.
func (p *Place) Job() string { return p.job }

func (p *Place) marker() string { return markerPrefix + p.job }

// Claim makes the remote the job's at its first use: the marker is stored, then the root is listed. Two
// first uses in the same second may both get it, or both be refused. It's safe to call again, for
// as long as the job has stored nothing else there. Later uses begin with Check.
func (p *Place) Claim(ctx context.Context, w workflow.World) error {
	if err := mayWrite(w, "claim", p.marker()); err != nil {
		return err
	}
	switch err := p.Check(ctx, w); {
	case err == nil:
		return nil
	case !errors.Is(err, ErrMarkerGone):
		return err
	}
	text := "zfs2cloud job " + p.job + "\n\nWhat lies beside this object belongs to that job alone. " +
		"Without this object zfs2cloud neither reads nor writes here.\n"
	if err := p.remote.PutBytes(ctx, w, p.marker(), []byte(text), true); err != nil {
		return err
	}
	return p.Check(ctx, w)
}

// Check looks for the marker now.
func (p *Place) Check(ctx context.Context, w workflow.World) error {
	began := w.Now()
	root, err := p.remote.List(ctx, w, "", "")
	// A root that is apparently not there is one without marker.
	if err != nil && !errors.Is(err, ErrNotThere) {
		return err
	}
	if err := p.judge(root); err != nil {
		p.saw(time.Time{}, nil)
		return err
	}
	p.saw(began, root)
	return nil
}

// Backups tells the backup folders at the root, whoever's they are, in the order of their stamps' text, as they
// were seen within the last minute.
func (p *Place) Backups(ctx context.Context, w workflow.World) ([]string, error) {
	if err := p.guard(ctx, w); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var names []string
	for name, isFolder := range p.root {
		if isFolder && backupName.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// judge is an error unless a listing of the root shows the place to be ours.
func (p *Place) judge(root []Object) error {
	mine := false
	for _, o := range root {
		job, ok := MarkedJob(o.Name)
		switch {
		case !ok || o.IsDir:
		case job == p.job:
			mine = true
		default:
			return &Stranger{Remote: p.String(), Mine: p.job, Theirs: job}
		}
	}
	if !mine {
		return fmt.Errorf("remote %q %w (%s): mount the disk, or put the remote's name or path right",
			p.String(), ErrMarkerGone, p.marker())
	}
	return nil
}

func (p *Place) saw(at time.Time, root []Object) {
	names := make(map[string]bool, len(root))
	for _, o := range root {
		names[o.Name] = o.IsDir
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen, p.root = at, names
}

// guard sees to it that the marker was seen within the last minute.
func (p *Place) guard(ctx context.Context, w workflow.World) error {
	p.mu.Lock()
	recent := p.recent(w)
	p.mu.Unlock()
	if recent {
		return nil
	}
	return p.Check(ctx, w)
}

// recent tells, with the lock held, whether the root was listed within the last minute. A clock that was set back
// vouches for nothing.
func (p *Place) recent(w workflow.World) bool {
	age := w.Now().Sub(p.seen)
	return !p.seen.IsZero() && age >= 0 && age < fresh
}

// sure makes a firm answer of "apparently not there", or an error that is no answer.
func (p *Place) sure(ctx context.Context, w workflow.World, apparently error) error {
	err := p.Check(ctx, w)
	var stranger *Stranger
	switch {
	case err == nil:
		return apparently
	case errors.Is(err, ErrMarkerGone), errors.As(err, &stranger):
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnsure, err)
}

// List is Remote.List, but for what "not there" means.
func (p *Place) List(ctx context.Context, w workflow.World, folder, hash string) ([]Object, error) {
	if err := p.guard(ctx, w); err != nil {
		return nil, err
	}
	all, err := p.remote.List(ctx, w, folder, hash)
	if errors.Is(err, ErrNotThere) || err == nil && len(all) == 0 {
		err = p.sure(ctx, w, err)
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Stat is Remote.Stat, but for what "not there" means.
func (p *Place) Stat(ctx context.Context, w workflow.World, name, hash string) (Object, error) {
	if err := p.guard(ctx, w); err != nil {
		return Object{}, err
	}
	o, err := p.remote.Stat(ctx, w, name, hash)
	if errors.Is(err, ErrNotThere) {
		err = p.sure(ctx, w, err)
	}
	return o, err
}

// StatSome is Remote.StatSome where the marker is.
func (p *Place) StatSome(ctx context.Context, w workflow.World, folder string, names []string, hash string) (map[string]Object, error) {
	if err := p.guard(ctx, w); err != nil {
		return nil, err
	}
	return p.remote.StatSome(ctx, w, folder, names, hash)
}

// Get is Remote.Get, but for what "not there" means.
func (p *Place) Get(ctx context.Context, w workflow.World, name string, limit int64, to io.Writer) error {
	if err := p.guard(ctx, w); err != nil {
		return err
	}
	err := p.remote.Get(ctx, w, name, limit, to)
	if errors.Is(err, ErrNotThere) {
		err = p.sure(ctx, w, err)
	}
	return err
}

// HashKind is Remote.HashKind.
func (p *Place) HashKind(ctx context.Context, w workflow.World) (string, error) {
	return p.remote.HashKind(ctx, w)
}

// KeepsHash is Remote.KeepsHash.
func (p *Place) KeepsHash(ctx context.Context, w workflow.World) (bool, error) {
	return p.remote.KeepsHash(ctx, w)
}

// ShowsPart is Remote.ShowsPart.
func (p *Place) ShowsPart(ctx context.Context, w workflow.World) (bool, error) {
	return p.remote.ShowsPart(ctx, w)
}

// Put is Remote.Put where the marker is.
func (p *Place) Put(ctx context.Context, w workflow.World, name string, from Source, progress func(int64)) error {
	if err := p.guard(ctx, w); err != nil {
		return err
	}
	return p.remote.Put(ctx, w, name, from, progress)
}

// PutBytes is Remote.PutBytes where the marker is.
func (p *Place) PutBytes(ctx context.Context, w workflow.World, name string, data []byte, fresh bool) error {
	if err := p.guard(ctx, w); err != nil {
		return err
	}
	return p.remote.PutBytes(ctx, w, name, data, fresh)
}

// Touch is Remote.Touch where the marker is.
func (p *Place) Touch(ctx context.Context, w workflow.World, name string, data []byte) error {
	if err := p.guard(ctx, w); err != nil {
		return err
	}
	return p.remote.Touch(ctx, w, name, data)
}

// Delete is Remote.Delete where the marker is, and never the marker's.
func (p *Place) Delete(ctx context.Context, w workflow.World, name string) error {
	if markerName.MatchString(name) {
		return fmt.Errorf("%q is a marker, and stays", name)
	}
	if err := p.guard(ctx, w); err != nil {
		return err
	}
	return p.remote.Delete(ctx, w, name)
}

// Tidy is Remote.Tidy where the marker is.
func (p *Place) Tidy(ctx context.Context, w workflow.World, folder string) error {
	if err := p.guard(ctx, w); err != nil {
		return err
	}
	return p.remote.Tidy(ctx, w, folder)
}

// RemoveFolder is Remote.RemoveFolder where the marker is.
func (p *Place) RemoveFolder(ctx context.Context, w workflow.World, folder string) error {
	if err := p.guard(ctx, w); err != nil {
		return err
	}
	return p.remote.RemoveFolder(ctx, w, folder)
}
