package remotetest

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/johannesboyne/gofakes3"
)

// upload is one in parts that is under way. They end with the server.
type upload struct {
	bucket, key string
	meta        map[string]string
	began       time.Time
	parts       map[int]part
}

type part struct {
	file string
	hash []byte
	size int64
	came time.Time
}

func (s *store) CreateMultipartUpload(bucket, key string, meta map[string]string) (gofakes3.UploadID, error) {
	if _, err := s.place(bucket, key); err != nil {
		return "", err
	}
	id := gofakes3.UploadID(rand.Text())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploads[id] = &upload{bucket: bucket, key: key, meta: meta, began: time.Now(), parts: map[int]part{}}
	return id, nil
}

// find finds an upload, with the lock held.
func (s *store) find(bucket, key string, id gofakes3.UploadID) (*upload, error) {
	u := s.uploads[id]
	if u == nil || u.bucket != bucket || u.key != key {
		return nil, gofakes3.ErrNoSuchUpload
	}
	return u, nil
}

func (s *store) UploadPart(bucket, key string, id gofakes3.UploadID, n int, size int64, from io.Reader) (string, error) {
	file, hash, err := s.receive(from, size)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.find(bucket, key, id)
	if err != nil {
		s.root.Remove(file)
		return "", err
	}
	if old, again := u.parts[n]; again {
		err = s.root.Remove(old.file)
	}
	u.parts[n] = part{file: file, hash: hash, size: size, came: time.Now()}
	return etag(hash), err
}

// CompleteMultipartUpload joins the parts. The object's hash is that of its content: S3's own, a hash of
// hashes, is one that gofakes3 can't show.
func (s *store) CompleteMultipartUpload(bucket, key string, id gofakes3.UploadID, wanted *gofakes3.CompleteMultipartUploadRequest) (gofakes3.VersionID, string, error) {
	s.mu.Lock()
	u, err := s.find(bucket, key, id)
	if err == nil {
		delete(s.uploads, id)
	}
	s.mu.Unlock()
	if err != nil {
		return "", "", err
	}
	content := &joined{root: s.root}
	defer content.close()
	var size int64
	for i, p := range wanted.Parts {
		have, there := u.parts[p.PartNumber]
		if !there || strings.Trim(p.ETag, `"`) != hex.EncodeToString(have.hash) {
			return "", "", gofakes3.ErrorMessagef(gofakes3.ErrInvalidPart, "part %d is another", p.PartNumber)
		}
		if i > 0 && p.PartNumber <= wanted.Parts[i-1].PartNumber {
			return "", "", gofakes3.ErrInvalidPartOrder
		}
		content.files = append(content.files, have.file)
		size += have.size
	}
	if _, err := s.PutObject(bucket, key, u.meta, content, size, nil); err != nil {
		return "", "", err
	}
	o, err := s.HeadObject(bucket, key)
	if err != nil {
		return "", "", err
	}
	return "", etag(o.Hash), s.forget(u)
}

func (s *store) AbortMultipartUpload(bucket, key string, id gofakes3.UploadID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.find(bucket, key, id)
	if err != nil {
		return err
	}
	delete(s.uploads, id)
	return s.forget(u)
}

// forget removes the parts of an upload that is over.
func (s *store) forget(u *upload) (err error) {
	for _, p := range u.parts {
		err = errors.Join(err, s.root.Remove(p.file))
	}
	return err
}

// ListMultipartUploads lists those of keys that begin so, in one page.
func (s *store) ListMultipartUploads(bucket string, _ *gofakes3.UploadListMarker, prefix gofakes3.Prefix, limit int64) (*gofakes3.ListMultipartUploadsResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := &gofakes3.ListMultipartUploadsResult{Bucket: bucket, Prefix: prefix.Prefix, MaxUploads: limit}
	for id, u := range s.uploads {
		if u.bucket == bucket && strings.HasPrefix(u.key, prefix.Prefix) {
			list.Uploads = append(list.Uploads, gofakes3.ListMultipartUploadItem{
				Key: u.key, UploadID: id, Initiated: gofakes3.ContentTime{Time: u.began},
			})
		}
	}
	return list, nil
}

// ListParts lists those of an upload, in one page.
func (s *store) ListParts(bucket, key string, id gofakes3.UploadID, _ int, limit int64) (*gofakes3.ListMultipartUploadPartsResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.find(bucket, key, id)
	if err != nil {
		return nil, err
	}
	list := &gofakes3.ListMultipartUploadPartsResult{Bucket: bucket, Key: key, UploadID: id, MaxParts: limit}
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		p := u.parts[n]
		list.Parts = append(list.Parts, gofakes3.ListMultipartUploadPartItem{
			PartNumber: n, ETag: etag(p.hash), Size: p.size, LastModified: gofakes3.NewContentTime(p.came),
		})
	}
	return list, nil
}

// joined reads files one after the other.
type joined struct {
	root  *os.Root
	files []string
	open  *os.File
}

func (j *joined) Read(p []byte) (int, error) {
	for {
		if j.open == nil {
			if len(j.files) == 0 {
				return 0, io.EOF
			}
			var err error
			if j.open, err = j.root.Open(j.files[0]); err != nil {
				return 0, err
			}
			j.files = j.files[1:]
		}
		n, err := j.open.Read(p)
		if err != io.EOF || n > 0 {
			return n, err
		}
		j.close()
	}
}

func (j *joined) close() {
	if j.open != nil {
		j.open.Close()
		j.open = nil
	}
}
