package remotetest

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/johannesboyne/gofakes3"
)

// The credentials that the server takes.
const (
	accessKey = "z2c-access"
	secretKey = "z2c-secret"
)

// Bucket is the one that a new server has.
const Bucket = "z2c-bucket"

// S3 is a server on the loopback.
type S3 struct {
	dir  string
	addr string
	http *http.Server
	over chan struct{}

	objects *store
}

// ServeS3 serves what is in dir, and what will be put there, until Close. Each wrap stands before the
// server's own handler, the first one outermost: it may refuse, spoil, or count.
func ServeS3(dir string, wraps ...func(http.Handler) http.Handler) (*S3, error) {
	objects, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	if err := objects.CreateBucket(Bucket); err != nil && !gofakes3.HasErrorCode(err, gofakes3.ErrBucketAlreadyExists) {
		return nil, err
	}
	// Requests may carry any time: some tests set the clock.
	handler := known(gofakes3.New(objects, gofakes3.WithTimeSkewLimit(0)).Server())
	for i := len(wraps) - 1; i >= 0; i-- {
		handler = wraps[i](handler)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &S3{
		dir: dir, addr: l.Addr().String(), over: make(chan struct{}), objects: objects,
		http: &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute},
	}
	go func() {
		defer close(s.over)
		defer objects.close()
		s.http.Serve(l) // ends by Close only
	}()
	return s, nil
}

// Close ends all connections.
func (s *S3) Close() error {
	err := s.http.Close()
	<-s.over
	return err
}

// Addr is where it listens.
func (s *S3) Addr() string { return s.addr }

// Folder is where the objects of a bucket lie, each as a file of its key's name.
func (s *S3) Folder(bucket string) string { return filepath.Join(s.dir, objectsDir, bucket) }

// MakeBucket makes one more.
func (s *S3) MakeBucket(name string) error { return os.Mkdir(s.Folder(name), 0o700) }

// S3Conf is the section of rclone's config for a server at that address, which may be a proxy's. The rest of
// S3's settings is rclone's own, but for env_auth: what AWS_* the machine has does not count.
func S3Conf(section, addr string) string {
	return fmt.Sprintf(`[%s]
type = s3
provider = Other
env_auth = false
access_key_id = %s
secret_access_key = %s
endpoint = http://%s
force_path_style = true
`, section, accessKey, secretKey, addr)
}

// known refuses those who do not give the access key, in a header or, as rclone's uploads do, in the address.
func known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := r.Header.Get("Authorization") + " Credential=" + r.URL.Query().Get("X-Amz-Credential")
		if !strings.Contains(given, "Credential="+accessKey+"/") {
			Deny(w, http.StatusForbidden, "InvalidAccessKeyId", "The access key is not known here.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Deny answers a request with an error, as S3 spells one.
func Deny(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>\n", code, message)
}
