package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"zfs2cloud/actions/remote/remotetest"
	"zfs2cloud/workflow"
)

func TestWhatRcloneSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code   int
		text   string
		kind   error
		passes bool
	}{
		{1, `Failed to create file system for "nope:": didn't find section in config file`, ErrNoRemote, false},
		{1, "preallocate: file too big for remaining disk space", ErrFull, false},
		{5, "write /mnt/x: no space left on device", ErrFull, false},
		{1, "googleapi: Error 403: The user's Drive storage quota has been exceeded., storageQuotaExceeded", ErrFull, false},
		{1, "XMinioStorageFull: Storage backend has reached its minimum free drive threshold\n\tstatus code: 507, request id: 7", ErrFull, false},
		{1, "googleapi: Error 403: User Rate Limit Exceeded, userRateLimitExceeded", nil, true},
		{1, "AccessDenied: Access Denied\n\tstatus code: 403, request id: 7", ErrDenied, false},
		{1, "mkdir /mnt/x: permission denied", ErrDenied, false},
		{1, "SlowDown: Please reduce your request rate.\n\tstatus code: 503", nil, true},
		{1, "500 Internal Server Error", nil, true},
		{1, "read tcp 10.0.0.1:4->10.0.0.2:443: read: connection reset by peer", nil, true},
		{1, "dial tcp: lookup s3.example.org: i/o timeout", nil, true},
		{1, "googleapi: Error 403: Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of service 'drive.googleapis.com' " +
			"for consumer 'project_number:7'., rateLimitExceeded", nil, true},
		{1, "Update ReadFrom failed: connection lost", nil, true},
		{1, "write tcp 10.0.0.1:4->10.0.0.2:22: write: software caused connection abort", nil, true},
		{1, "Update Create failed: connection was aborted", nil, true},
		{1, "read tcp 10.0.0.1:4->10.0.0.2:22: use of closed network connection", nil, true},
		{1, "tls: use of closed connection", nil, true},
		{1, `Failed to create file system for "x:": NewFs: couldn't connect SSH: ssh: handshake failed: EOF`, nil, true},
		{1, `Failed to create file system for "x:": NewFs: couldn't initialise SFTP: EOF`, nil, true},
		{1, "NewFs: couldn't connect SSH: ssh: handshake failed: ssh: unable to authenticate, attempted methods [none], no supported methods remain", ErrDenied, false},
		{1, "NewFs: couldn't connect SSH: ssh: handshake failed: knownhosts: key mismatch", nil, false},
		{1, `Put "https://x.example.org/a": EOF`, nil, true},
		{1, "http2: server sent GOAWAY and closed the connection; LastStreamID=1999, ErrCode=NO_ERROR", nil, true},
		{1, "stream error: stream ID 5; INTERNAL_ERROR; received from peer", nil, true},
		{1, "too_many_requests/..", nil, true},
		{1, "googleapi: Error 403: Object 'b/o' is subject to bucket's retention policy or object retention and cannot be deleted or overwritten until " +
			"2027-01-01T00:00:00Z, retentionPolicyNotMet", ErrDenied, false},
		{1, "409 This operation is not permitted as the blob is immutable due to a policy. BlobImmutableDueToPolicy", ErrDenied, false},
		{1, `Failed to cat: Object in GLACIER, restore first: bucket="b", key="20260101000000-full/manifest.json.gpg"`, ErrArchived, false},
		{1, "InvalidObjectState: The operation is not valid for the object's storage class\n\tstatus code: 403, request id: 7", ErrArchived, false},
		{1, "Failed to cat: blob in archive tier, you need to set tier to hot, cool, cold first", ErrArchived, false},
		{1, "409 This operation is not permitted on an archived blob. BlobArchived", ErrArchived, false},
		{1, "Failed to cat: failed to authenticate decrypted block - bad password?", ErrDamaged, false},
		{1, "Failed to cat: not an encrypted file - bad magic string", ErrDamaged, false},
		{1, "Failed to cat: file is too short to be encrypted", ErrDamaged, false},
		{5, "Failed to cat: unexpected EOF", nil, true},
		{1, "Method Not Allowed: 405 Method Not Allowed", ErrDenied, false},
		{1, "upload failed: too_many_write_operations/", nil, true},
		{5, "something", nil, true},
		{1, "something", nil, false},
		{1, "tank-data@20261125035200.zfs.000503.gpg: corrupted on transfer: sizes differ 429 vs 503", nil, true},
		{1, "unknown flag: --hash-type", ErrTooOld, false},
		{1, "unknown command \"backend\" for \"rclone\"", ErrTooOld, false},
		{2, "something", nil, false},
		{2, "503 Service Unavailable", nil, true},
		{3, "directory not found", nil, false},
		{4, "object not found", nil, false},
		{6, "461 you may not", nil, false},
		{7, "account suspended: 503 Service Unavailable", nil, false},
		{8, "max transfer limit reached", nil, false},
		{9, "no files transferred", nil, false},
		{10, "max duration reached", nil, false},
		{127, "exec: rclone: not found", nil, false},
	} {
		kind, passes := rcloneError(&workflow.ExitError{Code: c.code, Stderr: c.text})
		if kind != c.kind || passes != c.passes {
			t.Errorf("exit %d, %q: %v, %v; want %v, %v", c.code, c.text, kind, passes, c.kind, c.passes)
		}
	}
}

// Who was killed by another has said nothing, and is tried again.
func TestKilledByAnother(t *testing.T) {
	t.Parallel()
	kind, passes := rcloneError(&workflow.ExitError{Code: -1, Signal: "killed"})
	if kind != nil || !passes {
		t.Errorf("%v, %v", kind, passes)
	}
}

func TestUnknownRemote(t *testing.T) {
	t.Parallel()
	r := rcloneOver(t, localConf, "", "nope:path")
	_, err := r.List(t.Context(), &recorder{}, "", "")
	if !errors.Is(err, ErrNoRemote) || errors.Is(err, ErrNotThere) || Temporary(err) {
		t.Errorf("%v", err)
	}
	if !strings.Contains(err.Error(), `list "nope:path"`) || !strings.Contains(err.Error(), "didn't find section") {
		t.Errorf("says too little: %v", err)
	}
}

func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	for _, conf := range []string{
		"[x]\ntype = webdav\nvendor = other\nurl = http://127.0.0.1:1/\n", remotetest.S3Conf("x", "127.0.0.1:1"),
	} {
		r := rcloneOver(t, conf, "", "x:bucket", "--low-level-retries", "1")
		_, err := r.Stat(t.Context(), &recorder{}, "a", "")
		if !Temporary(err) || errors.Is(err, ErrNotThere) {
			t.Errorf("%v", err)
		}
		if strings.Contains(err.Error(), `"level"`) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("no readable text: %v", err)
		}
	}
}

// rclone#7817, #1135: "not there" and "could not look" were one. An S3 that refuses to tell of the
// object, but lists it.
func TestCouldNotLook(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		object := ""
		if !strings.Contains(r.URL.Query().Get("prefix"), "chunk") {
			object = "<Contents><Key>chunk</Key><Size>10</Size><LastModified>2026-11-25T03:52:00.000Z</LastModified></Contents>"
		}
		fmt.Fprintf(w, `<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>%s</ListBucketResult>`, object)
	}))
	t.Cleanup(server.Close)
	r := rcloneOver(t, remotetest.S3Conf("x", strings.TrimPrefix(server.URL, "http://")), "", "x:bucket", "--low-level-retries", "1")
	// Newer ones find it in a listing.
	o, err := r.Stat(t.Context(), &recorder{}, "chunk", "")
	if errors.Is(err, ErrNotThere) || err == nil && o.Size != 10 {
		t.Errorf("refused: %+v, %v", o, err)
	}
}

func TestNoProgram(t *testing.T) {
	t.Parallel()
	r, err := Open(Options{Remote: "x:", Rclone: []string{"rclone-that-is-not-there"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.List(t.Context(), &recorder{}, "", ""); !errors.Is(err, workflow.ErrNoProgram) || Temporary(err) {
		t.Errorf("%v", err)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs a mount of tmpfs: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	from, _ := newSource(t, 2<<20)
	for _, r := range []Remote{openFolder(t, dir), rcloneOver(t, localConf, "", "x:"+dir)} {
		w := &recorder{}
		if err := r.Put(t.Context(), w, aName, from, nil); !errors.Is(err, ErrFull) || Temporary(err) {
			t.Errorf("%s: %v", r, err)
		}
		if _, err := r.Stat(t.Context(), w, aName, ""); !errors.Is(err, ErrNotThere) {
			t.Errorf("%s: something is left: %v", r, err)
		}
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	passes, final := &Error{Op: "put", Err: errors.New("503"), passes: true}, &Error{Op: "put", Err: errors.New("no")}
	for _, c := range []struct {
		answers []error
		tries   int
		want    error
	}{
		{[]error{nil}, 1, nil},
		{[]error{final}, 1, final},
		{[]error{passes, nil}, 2, nil},
		{[]error{passes, final}, 2, final},
		{[]error{passes, passes, passes, passes, nil}, 4, passes},
		{[]error{context.Canceled}, 1, context.Canceled},
	} {
		var slept []time.Duration
		tries := 0
		err := Retry(t.Context(), func(_ context.Context, d time.Duration, why error) error {
			if why != c.answers[tries-1] {
				t.Errorf("paused for %v, not for %v", why, c.answers[tries-1])
			}
			slept = append(slept, d)
			return nil
		}, func(context.Context) error {
			tries++
			return c.answers[tries-1]
		})
		if err != c.want || tries != c.tries || len(slept) != tries-1 {
			t.Errorf("%v: %v after %d tries, slept %v", c.answers, err, tries, slept)
		}
		if want := []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute}; !slices.Equal(slept, want[:len(slept)]) {
			t.Errorf("slept %v", slept)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Retry(ctx, func(ctx context.Context, d time.Duration, _ error) error { return Pause(ctx, d) }, func(context.Context) error { return passes }); err != error(passes) {
		t.Errorf("cancelled in the pause: %v", err)
	}
}

// A stop signal ends a pause at once.
func TestPauseEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := Pause(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := Pause(t.Context(), time.Minute); err != nil || time.Since(began) != 61*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestNoRoot(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "mounted")
	r, w := openFolder(t, dir), &recorder{}
	p := newPlace(t, r, mine)
	_, listErr := r.List(t.Context(), w, "", "")
	for what, err := range map[string]error{
		"List": listErr, "PutBytes": r.PutBytes(t.Context(), w, "a", nil, false), "Delete": r.Delete(t.Context(), w, "a"),
		"Claim": p.Claim(t.Context(), w),
	} {
		if !errors.Is(err, ErrNoRoot) || errors.Is(err, ErrNotThere) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := os.Lstat(filepath.Dir(dir)); !os.IsNotExist(err) {
		t.Errorf("made: %v", err)
	}
}
