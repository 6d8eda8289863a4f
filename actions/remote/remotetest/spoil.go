package remotetest

import (
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
)

// Mood is how an S3 server behaves. It is a wrap for ServeS3. The zero value is an honest server.
type Mood struct {
	mu     sync.Mutex
	deny   *denial
	cold   string // what the keys of objects have in them that are listed, and not given
	spoil  string // what becomes of an object
	like   string // what its name has in it
	soon   int    // so many of these from now
	server *S3
}

type denial struct {
	status int
	code   string
	only   string // "writes", what changes something, or "deletes"; all if empty
}

// Wrap is to be given to ServeS3.
func (m *Mood) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d := m.denies(r); d != nil {
			Deny(w, d.status, d.code, "This server was told to.")
			return
		}
		if m.archived(r) {
			Deny(w, http.StatusForbidden, "InvalidObjectState", "The operation is not valid for the object's storage class.")
			return
		}
		next.ServeHTTP(w, r)
		if r.Method == http.MethodHead {
			m.told(r.URL.Path)
		}
	})
}

// Deny has the server answer every request with an error, or ONLY "writes", which change something, or "deletes".
func (m *Mood) Deny(status int, code, only string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deny = &denial{status, code, only}
}

// Archive has the server list the objects of which the key has LIKE in it, tell of each, and give none of them: they are in cold
// storage.
func (m *Mood) Archive(like string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cold = like
}

func (m *Mood) archived(r *http.Request) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return m.cold != "" && r.Method == http.MethodGet && strings.Contains(key, m.cold)
}

// Spoil has the server lose, shorten or alter an object after it has said that it has it, or have it in its listings late: the
// N-th from now of which the name has LIKE in it.
func (m *Mood) Spoil(s *S3, how, like string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.server, m.spoil, m.like, m.soon = s, how, like, n
}

// Better has the server be honest again.
func (m *Mood) Better() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deny, m.cold, m.spoil = nil, "", ""
}

func (m *Mood) denies(r *http.Request) *denial {
	m.mu.Lock()
	defer m.mu.Unlock()
	changes := r.Method != http.MethodGet && r.Method != http.MethodHead
	if m.deny == nil || m.deny.only == "writes" && !changes || m.deny.only == "deletes" && r.Method != http.MethodDelete {
		return nil
	}
	return m.deny
}

// told spoils an object of which a client was just told that it is there: rclone asks after each upload.
func (m *Mood) told(place string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.spoil == "" || !strings.Contains(path.Base(place), m.like) {
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(place, "/"), "/")
	if _, err := os.Stat(path.Join(m.server.Folder(bucket), key)); err != nil {
		return
	}
	if m.soon--; m.soon > 0 {
		return
	}
	if err := m.server.Spoil(bucket, key, m.spoil); err != nil {
		panic(err)
	}
	m.spoil = ""
}

// lateFor is how many listings lack what is late: more than one is made before a run has all there.
const lateFor = 3

// Spoil spoils an object that is there: "lose", "shorten", or "alter", which changes a byte; with "late" alone it stays as it is, and
// the next few listings lack it. The server's own hash is that of the content then, as of a store that looks at what it has.
func (s *S3) Spoil(bucket, key, how string) error {
	file, beside := path.Join(s.Folder(bucket), key), path.Join(s.dir, aboutDir, bucket, key)
	switch how {
	case "late":
		s.objects.mu.Lock()
		defer s.objects.mu.Unlock()
		s.objects.late[key] = lateFor
		return nil
	case "lose":
		return errors.Join(os.Remove(file), os.Remove(beside))
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(beside)
	if err != nil {
		return err
	}
	var known about
	if err := json.Unmarshal(text, &known); err != nil {
		return err
	}
	switch how {
	case "shorten":
		content = content[:len(content)/2]
	case "alter":
		content[len(content)/2] ^= 1
	default:
		return fmt.Errorf("no such way to spoil an object: %q", how)
	}
	sum := md5.Sum(content)
	known.Hash = sum[:]
	if text, err = json.Marshal(known); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(file, content, 0o600), os.WriteFile(beside, text, 0o600))
}
