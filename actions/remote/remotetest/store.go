package remotetest

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"github.com/johannesboyne/gofakes3"
)

// What lies in the server's folder.
const (
	objectsDir = "objects" // objects/BUCKET/KEY: content
	aboutDir   = "about"   // about/BUCKET/KEY: what else is known of it
	partsDir   = "parts"   // parts/UPLOAD/N, and what is not whole yet
)

// store is a gofakes3.Backend and MultipartBackend on files. Its errors are gofakes3's where S3 has a word for
// the case, and never wrapped: gofakes3 takes what it does not know for an error of the server's.
type store struct {
	root *os.Root

	mu      sync.Mutex // what makes an object's two files one
	uploads map[gofakes3.UploadID]*upload
	late    map[string]int // how many listings yet lack a key
}

// about is what S3 keeps beside the content.
type about struct {
	Hash []byte            `json:"md5"`
	Meta map[string]string `json:"meta"`
}

func openStore(dir string) (*store, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{objectsDir, aboutDir, partsDir} {
		if err := root.MkdirAll(sub, 0o700); err != nil {
			return nil, errors.Join(err, root.Close())
		}
	}
	return &store{root: root, uploads: map[gofakes3.UploadID]*upload{}, late: map[string]int{}}, nil
}

func (s *store) close() { s.root.Close() }

// place is where a key's content lies, in a bucket that is there.
func (s *store) place(bucket, key string) (string, error) {
	switch there, err := s.BucketExists(bucket); {
	case err != nil:
		return "", err
	case !there:
		return "", gofakes3.BucketNotFound(bucket)
	}
	if !filepath.IsLocal(key) || path.Clean(key) != key {
		return "", gofakes3.ErrorMessage(gofakes3.ErrInvalidArgument, "this server can't keep a key of that name")
	}
	return path.Join(objectsDir, bucket, key), nil
}

// aboutPlace is what belongs to a place.
func aboutPlace(place string) string { return aboutDir + place[len(objectsDir):] }

func (s *store) BucketExists(name string) (bool, error) {
	info, err := s.root.Stat(path.Join(objectsDir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.IsDir(), err
}

func (s *store) CreateBucket(name string) error {
	err := s.root.Mkdir(path.Join(objectsDir, name), 0o700)
	if errors.Is(err, fs.ErrExist) {
		return gofakes3.ResourceError(gofakes3.ErrBucketAlreadyExists, name)
	}
	return err
}

func (s *store) ListBuckets() ([]gofakes3.BucketInfo, error) {
	entries, err := fs.ReadDir(s.root.FS(), objectsDir)
	var all []gofakes3.BucketInfo
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		all = append(all, gofakes3.BucketInfo{Name: e.Name(), CreationDate: gofakes3.NewContentTime(info.ModTime())})
	}
	return all, err
}

// DeleteBucket is for nobody: a backup leaves its bucket alone.
func (s *store) DeleteBucket(string) error      { return gofakes3.ErrNotImplemented }
func (s *store) ForceDeleteBucket(string) error { return gofakes3.ErrNotImplemented }

func (s *store) HeadObject(bucket, key string) (*gofakes3.Object, error) {
	o, err := s.open(bucket, key)
	if err != nil {
		return nil, err
	}
	err = o.Contents.Close()
	o.Contents = io.NopCloser(eof{})
	return o, err
}

func (s *store) GetObject(bucket, key string, wanted *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	o, err := s.open(bucket, key)
	if err != nil {
		return nil, err
	}
	if o.Range, err = wanted.Range(o.Size); err != nil {
		o.Contents.Close()
		return nil, err
	}
	if o.Range != nil {
		f := o.Contents.(*os.File)
		o.Contents = struct {
			io.Reader
			io.Closer
		}{io.NewSectionReader(f, o.Range.Start, o.Range.Length), f}
	}
	return o, nil
}

// open is an object with its file open at its beginning.
func (s *store) open(bucket, key string) (*gofakes3.Object, error) {
	place, err := s.place(bucket, key)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.root.Open(place)
	if err != nil {
		return nil, notThere(err, key)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fs.ErrNotExist
	}
	var known about
	if err == nil {
		known, err = s.about(place)
	}
	if err != nil {
		f.Close()
		return nil, notThere(err, key)
	}
	return &gofakes3.Object{Name: key, Metadata: known.Meta, Size: info.Size(), Contents: f, Hash: known.Hash}, nil
}

func (s *store) about(place string) (known about, err error) {
	text, err := s.root.ReadFile(aboutPlace(place))
	if err == nil {
		err = json.Unmarshal(text, &known)
	}
	return known, err
}

func notThere(err error, key string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return gofakes3.KeyNotFound(key)
	}
	return err
}

func (s *store) PutObject(bucket, key string, meta map[string]string, from io.Reader, size int64, conditions *gofakes3.PutConditions) (gofakes3.PutObjectResult, error) {
	var none gofakes3.PutObjectResult
	place, err := s.place(bucket, key)
	if err != nil {
		return none, err
	}
	temp, hash, err := s.receive(from, size)
	if err != nil {
		return none, err
	}
	if err := s.install(temp, place, about{hash, meta}, conditions); err != nil {
		s.root.Remove(temp)
		return none, err
	}
	return none, nil
}

// receive stores what comes under a name of its own, if it is as much as it should be.
func (s *store) receive(from io.Reader, size int64) (temp string, hash []byte, err error) {
	temp = path.Join(partsDir, rand.Text())
	f, err := s.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", nil, err
	}
	sum := md5.New()
	n, err := io.Copy(io.MultiWriter(f, sum), from)
	if err == nil && n != size {
		err = gofakes3.ErrIncompleteBody
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		s.root.Remove(temp)
		return "", nil, err
	}
	return temp, sum.Sum(nil), nil
}

// install gives what is whole its name.
func (s *store) install(temp, place string, known about, conditions *gofakes3.PutConditions) error {
	text, err := json.Marshal(known)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if conditions != nil {
		old, err := s.about(place)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := gofakes3.CheckPutConditions(conditions, &gofakes3.ConditionalObjectInfo{Exists: err == nil, Hash: old.Hash}); err != nil {
			return err
		}
	}
	for _, dir := range []string{path.Dir(place), path.Dir(aboutPlace(place))} {
		if err := s.root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := s.root.WriteFile(aboutPlace(place), text, 0o600); err != nil {
		return err
	}
	return s.root.Rename(temp, place)
}

// CopyObject is how rclone sets an object's time, too.
func (s *store) CopyObject(fromBucket, fromKey, toBucket, toKey string, meta map[string]string) (gofakes3.CopyObjectResult, error) {
	var none gofakes3.CopyObjectResult
	o, err := s.open(fromBucket, fromKey)
	if err != nil {
		return none, err
	}
	defer o.Contents.Close()
	if _, err := s.PutObject(toBucket, toKey, meta, o.Contents, o.Size, nil); err != nil {
		return none, err
	}
	return gofakes3.CopyObjectResult{ETag: etag(o.Hash), LastModified: gofakes3.NewContentTime(time.Now())}, nil
}

// DeleteObject of what is not there is fine. Folders that it leaves empty go: S3 has none.
func (s *store) DeleteObject(bucket, key string) (gofakes3.ObjectDeleteResult, error) {
	var none gofakes3.ObjectDeleteResult
	place, err := s.place(bucket, key)
	if err != nil {
		return none, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range []string{place, aboutPlace(place)} {
		if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return none, err
		}
		for dir := path.Dir(name); path.Dir(path.Dir(dir)) != "."; dir = path.Dir(dir) {
			if s.root.Remove(dir) != nil {
				break // not empty
			}
		}
	}
	return none, nil
}

func (s *store) DeleteMulti(bucket string, keys ...string) (result gofakes3.MultiDeleteResult, err error) {
	for _, key := range keys {
		if _, err := s.DeleteObject(bucket, key); err != nil {
			result.Error = append(result.Error, gofakes3.ErrorResultFromError(err))
			continue
		}
		result.Deleted = append(result.Deleted, gofakes3.ObjectID{Key: key})
	}
	return result, nil
}

func etag(hash []byte) string { return `"` + hex.EncodeToString(hash) + `"` }

// eof is nothing to read.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }
