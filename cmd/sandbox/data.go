package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"zfs2cloud/actions/units"
	"zfs2cloud/cmd/sandbox/internal/host"
	"zfs2cloud/cmd/sandbox/internal/stream"
	"zfs2cloud/cmd/sandbox/internal/tree"
)

// data is what is backed up in the demo: filled once, changed once, and compared with what was restored.
type data interface {
	// fill makes the dataset with its first content. It returns what that is, in words.
	fill(ctx context.Context) (string, error)
	// change goes on from the newest snapshot of the dataset, of that stamp.
	change(ctx context.Context, newest string) (string, error)
	// same returns an error unless a restored dataset has the content of that moment.
	same(ctx context.Context, restored string, m moment) error
	// compared says what same compares.
	compared() string
}

// moment is one of the two times at which the data was backed up.
type moment struct {
	number int    // 0 as filled, 1 as changed
	stamp  string // of its snapshot
}

// dataset is the name of what the demo backs up.
func (g *ground) dataset() string { return g.Name + "/data" }

// newData is data where it can be: in files, each one of share parts of its full size, or in prepared streams, which
// are what they are.
func newData(g *ground, share int) data {
	if g.Mounts() {
		return &files{ground: g, share: share}
	}
	return &streams{ground: g}
}

// files is data in a mounted file system.
type files struct {
	*ground
	share int
	then  [2]tree.Tree // by moment
}

func (f *files) root() string { return filepath.Join(f.Dir, "data") }

func (f *files) fill(ctx context.Context) (string, error) {
	if _, err := f.host.Run(ctx, "zfs", "create", "-o", "mountpoint="+f.root(), f.dataset()); err != nil {
		return "", err
	}
	if err := tree.Make(f.root(), f.share); err != nil {
		return "", err
	}
	var err error
	f.then[0], err = tree.Scan(f.root())
	n, size := f.then[0].Files()
	return fmt.Sprintf("%s files, %s", count(n), units.Size(size)), err
}

func (f *files) change(context.Context, string) (string, error) {
	if err := tree.Change(f.root(), f.share); err != nil {
		return "", err
	}
	var err error
	f.then[1], err = tree.Scan(f.root())
	return fmt.Sprintf("%d files changed, %d removed", tree.Changed, tree.Removed), err
}

func (f *files) same(ctx context.Context, restored string, m moment) error {
	root, err := f.mounted(ctx, restored)
	if err != nil {
		return err
	}
	now, err := tree.Scan(root)
	if err != nil {
		return err
	}
	if d := f.then[m.number].Diff(now); len(d) > 0 {
		return fmt.Errorf("%s is not what was backed up, %s differences: %s", restored, count(len(d)), few(d))
	}
	return nil
}

// mounted mounts a dataset, which was received unmounted, if nobody has yet, and returns where.
func (f *files) mounted(ctx context.Context, dataset string) (string, error) {
	get := func() (is bool, where string, err error) {
		out, err := f.host.Run(ctx, "zfs", "get", "-Hp", "-o", "value", "mounted,mountpoint", dataset)
		yes, where, _ := strings.Cut(strings.TrimSpace(out), "\n")
		return yes == "yes", where, err
	}
	is, where, err := get()
	if is || err != nil {
		return where, err
	}
	if _, err := f.host.Run(ctx, "zfs", "mount", dataset); err != nil {
		return "", err
	}
	if is, where, err = get(); err == nil && !is {
		err = fmt.Errorf("%s is not mounted", dataset)
	}
	return where, err
}

func (f *files) compared() string {
	before, _ := f.then[0].Files()
	after, _ := f.then[1].Files()
	return fmt.Sprintf("%s and %s files: content, owner, mode, times", count(before), count(after))
}

// streams is data in a dataset that can't be mounted: made and changed by receiving prepared streams.
type streams struct {
	*ground
	length [2]int64 // of the full streams, by moment
}

func (s *streams) fill(ctx context.Context) (string, error) {
	err := s.from(ctx, []string{"zfs", "receive", "-u", s.dataset() + "@prepared"}, stream.Full)
	if err != nil {
		return "", err
	}
	_, size, err := s.sum(ctx, s.dataset()+"@prepared")
	return fmt.Sprintf("%s files, received from a prepared stream of %s", count(tree.Files), units.Size(size)), err
}

func (s *streams) change(ctx context.Context, newest string) (string, error) {
	out, err := s.host.Run(ctx, "zfs", "get", "-Hp", "-o", "value", "guid", s.dataset()+"@"+newest)
	if err != nil {
		return "", err
	}
	base, err := strconv.ParseUint(strings.TrimSpace(out), 10, 64)
	if err != nil {
		return "", err
	}
	err = s.from(ctx, []string{"zfs", "receive", "-u", s.dataset() + "@changed"}, func(w io.Writer) error {
		return stream.Changed(w, base)
	})
	return fmt.Sprintf("%d files changed, %d removed (prepared)", tree.Changed, tree.Removed), err
}

// same compares the whole stream of the moment's snapshot, sent from the original and from the copy.
func (s *streams) same(ctx context.Context, restored string, m moment) error {
	want, length, err := s.sum(ctx, s.dataset()+"@"+m.stamp)
	if err != nil {
		return err
	}
	got, _, err := s.sum(ctx, restored+"@"+m.stamp)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%s@%s sends another stream than %s", restored, m.stamp, s.dataset())
	}
	s.length[m.number] = length
	return nil
}

func (s *streams) sum(ctx context.Context, snapshot string) (sum string, length int64, err error) {
	err = s.through(ctx, host.Command{Argv: []string{"zfs", "send", snapshot}}, func(r io.Reader) (err error) {
		sum, length, err = stream.Sum(r)
		return err
	})
	return sum, length, err
}

func (s *streams) compared() string {
	return fmt.Sprintf("streams of %s and %s, but for names and sums", units.Size(s.length[0]), units.Size(s.length[1]))
}
