package zfs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bookmark is the name of a bookmark: of the place in time that a snapshot had, without its data. An incremental can be sent from
// there on.
type Bookmark struct {
	dataset Dataset
	name    string
}

// Bookmark is the bookmark NAME of the dataset.
func (d Dataset) Bookmark(name string) (Bookmark, error) {
	b := Bookmark{d, name}
	if err := checkPart(name); err != nil {
		return Bookmark{}, fmt.Errorf("bookmark %q: %w", b, err)
	}
	if len(b.String()) > maxName {
		return Bookmark{}, fmt.Errorf("bookmark %q: longer than %d bytes", b, maxName)
	}
	return b, nil
}

// Dataset is what it is a bookmark of.
func (b Bookmark) Dataset() Dataset { return b.dataset }

// Name is what stands behind the #.
func (b Bookmark) Name() string { return b.name }

func (b Bookmark) String() string { return b.dataset.name + "#" + b.name }

func (b Bookmark) subject() subject { return subject{b.String(), b.dataset.Pool(), ErrNoBookmark} }

// BookmarkInfo is what zfs tells of a bookmark.
type BookmarkInfo struct {
	Bookmark  Bookmark
	GUID      GUID   // of the snapshot that it was made of
	CreateTXG uint64 // of that snapshot
}

// HasBookmarks asks whether a dataset can have bookmarks: the program must know them, and the pool have the feature.
func (p Program) HasBookmarks(ctx context.Context, d Dataset) (bool, error) {
	return p.poolFeature(ctx, d.Pool(), "bookmarks")
}

// Bookmarks lists the bookmarks of exactly this dataset. Of a ZFS that has none (zfs-fuse) there are none.
func (p Program) Bookmarks(ctx context.Context, d Dataset) ([]BookmarkInfo, error) {
	doing := "list bookmarks of " + d.name
	out, err := p.look(ctx, doing, d.subject(), p.zfs("list", "-Hp", "-d", "1", "-t", "bookmark", "-o", "name,guid,createtxg", d.name))
	if errors.Is(err, ErrUnsupported) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var bookmarks []BookmarkInfo
	for line := range strings.Lines(out) {
		b, err := bookmarkInfo(d, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
		if err != nil {
			return nil, &Error{Doing: doing, Err: fmt.Errorf("%q: %w", line, err)}
		}
		bookmarks = append(bookmarks, b)
	}
	return bookmarks, nil
}

func bookmarkInfo(d Dataset, fields []string) (b BookmarkInfo, err error) {
	if len(fields) != 3 {
		return b, errors.New("not three fields")
	}
	name, ours := strings.CutPrefix(fields[0], d.name+"#")
	if !ours {
		return b, errors.New("of another dataset")
	}
	if b.Bookmark, err = d.Bookmark(name); err != nil {
		return b, err
	}
	if err := b.GUID.UnmarshalText([]byte(fields[1])); err != nil {
		return b, err
	}
	b.CreateTXG, err = strconv.ParseUint(fields[2], 10, 64)
	return b, err
}

// TakeBookmark makes a bookmark of a snapshot of the same dataset. ErrExists, ErrNoSnapshot, ErrPermission, ErrUnsupported.
func (p Program) TakeBookmark(ctx context.Context, s Snapshot, b Bookmark) error {
	return p.change(ctx, "bookmark "+s.String()+" as #"+b.name, s.subject(), p.zfs("bookmark", s.String(), b.String()))
}

// DestroyBookmark destroys one bookmark. ErrNoBookmark, ErrPermission.
func (p Program) DestroyBookmark(ctx context.Context, b Bookmark) error {
	return p.change(ctx, "destroy "+b.String(), b.subject(), p.zfs("destroy", b.String()))
}

// CanSend asks zfs whether it would send a stream, without sending any of it. (zfs(8): with a bookmark some flags are not possible.)
func (p Program) CanSend(ctx context.Context, a SendArgs) error {
	words, err := a.words("-nP")
	if err != nil {
		return &Error{Doing: a.String(), Err: err}
	}
	_, err = p.look(ctx, a.String(), a.Snapshot.subject(), p.zfs(words...))
	return err
}
