package remotetest

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/johannesboyne/gofakes3"
)

// ListBucket lists by the bytes of the keys, as S3 does, a page at a time. What S3 shows as one, since all
// below it begins the same up to a delimiter, counts as one and is its own marker.
func (s *store) ListBucket(bucket string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	if prefix == nil {
		prefix = &gofakes3.Prefix{}
	}
	keys, err := s.keys(bucket, prefix.Prefix)
	if err != nil {
		return nil, err
	}
	list := gofakes3.NewObjectList()
	var n int64
	last := ""
	for _, key := range keys {
		var match gofakes3.PrefixMatch
		if !prefix.Match(key, &match) {
			continue
		}
		shown := key
		if match.CommonPrefix {
			shown = match.MatchedPart
		}
		if shown == last || page.Marker != "" && shown <= page.Marker {
			continue
		}
		if page.MaxKeys > 0 && n == page.MaxKeys {
			list.IsTruncated, list.NextMarker = true, last
			break
		}
		n, last = n+1, shown
		if match.CommonPrefix {
			list.AddPrefix(shown)
			continue
		}
		if s.isLate(key) {
			continue
		}
		content, err := s.content(bucket, key)
		if err != nil {
			return nil, err
		}
		if content != nil {
			list.Add(content)
		}
	}
	return list, nil
}

// isLate tells whether a key is too new for this listing.
func (s *store) isLate(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.late[key] == 0 {
		return false
	}
	s.late[key]--
	return true
}

// keys are those below the last folder of a prefix, sorted.
func (s *store) keys(bucket, prefix string) ([]string, error) {
	root := path.Join(objectsDir, bucket)
	below, _ := path.Split(prefix)
	if !fs.ValidPath(path.Join(root, below)) {
		return nil, nil
	}
	var keys []string
	err := fs.WalkDir(s.root.FS(), path.Join(root, below), func(name string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // it went meanwhile, or was never there
		case err == nil && !e.IsDir():
			keys = append(keys, strings.TrimPrefix(name, root+"/"))
		}
		return err
	})
	slices.Sort(keys)
	return keys, err
}

// content is a row of a listing, or nil if the object has gone meanwhile.
func (s *store) content(bucket, key string) (*gofakes3.Content, error) {
	place, err := s.place(bucket, key)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := s.root.Stat(place)
	var known about
	if err == nil {
		known, err = s.about(place)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &gofakes3.Content{
		Key: key, Size: info.Size(), ETag: etag(known.Hash), LastModified: gofakes3.NewContentTime(info.ModTime()),
	}, nil
}
