package remotetest_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"zfs2cloud/actions/remote/remotetest"
)

// client is an rclone that knows the server as "x" and nothing of this machine's settings.
type client struct {
	*remotetest.S3
	program, conf string
}

func start(t *testing.T, section func(*remotetest.S3) string) client {
	t.Helper()
	program, err := exec.LookPath("rclone")
	if err != nil {
		t.Skip("the rclone program is missing")
	}
	s, err := remotetest.ServeS3(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	c := client{s, program, filepath.Join(t.TempDir(), "rclone.conf")}
	if err := os.WriteFile(c.conf, []byte(section(s)), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

func plain(s *remotetest.S3) string { return remotetest.S3Conf("x", s.Addr()) }

func (c client) rclone(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.program, append([]string{"--config", c.conf, "--low-level-retries", "1", "--retries", "1"}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "AWS_ACCESS_KEY_ID=of-the-machine", "AWS_SECRET_ACCESS_KEY=x"}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("rclone %v: %w: %s", args, err, errs.String())
	}
	return out.String(), err
}

func (c client) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.rclone(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func file(t *testing.T, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// An object comes in parts, is a plain file, is read from its middle, and is deleted with its folder.
func TestObjectInParts(t *testing.T) {
	t.Parallel()
	c := start(t, plain)
	data := make([]byte, 11<<20+1)
	rand.Read(data)
	c.must(t, "copyto", "--s3-upload-cutoff", "0", "--s3-chunk-size", "5Mi", file(t, data), "x:"+remotetest.Bucket+"/folder/object")
	kept := filepath.Join(c.Folder(remotetest.Bucket), "folder", "object")
	if have, err := os.ReadFile(kept); err != nil || !bytes.Equal(have, data) {
		t.Errorf("%d bytes kept, %v", len(have), err)
	}
	var list []struct {
		Name   string
		Size   int
		Hashes map[string]string
	}
	text := c.must(t, "lsjson", "--hash", "x:"+remotetest.Bucket+"/folder")
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	sum := md5.Sum(data)
	if len(list) != 1 || list[0].Name != "object" || list[0].Size != len(data) || list[0].Hashes["md5"] != hex.EncodeToString(sum[:]) {
		t.Errorf("listed as %v", list)
	}
	if got := c.must(t, "cat", "--offset", "6000000", "--count", "1000", "x:"+remotetest.Bucket+"/folder/object"); got != string(data[6000000:6001000]) {
		t.Error("other bytes from the middle")
	}
	if got := c.must(t, "lsf", "x:"+remotetest.Bucket+"/folder/none"); got != "" {
		t.Errorf("nothing is listed as %q", got)
	}
	c.must(t, "deletefile", "x:"+remotetest.Bucket+"/folder/object")
	if _, err := os.Stat(filepath.Dir(kept)); !os.IsNotExist(err) {
		t.Errorf("the folder stays: %v", err)
	}
}

// A listing of several pages names each object and each folder once. rclone sorts it anew.
func TestListsInPages(t *testing.T) {
	t.Parallel()
	c := start(t, plain)
	from := file(t, []byte("x"))
	for _, key := range []string{"a-b", "a/1", "a/2", "a/3", "b", "c/1", "d"} {
		c.must(t, "copyto", from, "x:"+remotetest.Bucket+"/"+key)
	}
	for _, page := range []string{"1", "2", "3", "1000"} {
		got := strings.Fields(c.must(t, "lsf", "--s3-list-chunk", page, "x:"+remotetest.Bucket))
		if fmt.Sprint(got) != "[a/ a-b b c/ d]" {
			t.Errorf("by %s: %v", page, got)
		}
	}
}

// Memory does not grow with what is stored.
func TestMemoryStaysFlat(t *testing.T) {
	c := start(t, plain)
	const size = 128 << 20
	from := file(t, make([]byte, size))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.must(t, "copyto", from, "x:"+remotetest.Bucket+"/whole")
	c.must(t, "copyto", "--s3-upload-cutoff", "0", "--s3-chunk-size", "16Mi", from, "x:"+remotetest.Bucket+"/parts")
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > size/8 {
		t.Errorf("%d MiB of memory were taken for objects of %d MiB each", grown>>20, size>>20)
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	c := start(t, func(s *remotetest.S3) string {
		return strings.Replace(plain(s), "access_key_id = ", "access_key_id = not-", 1)
	})
	if _, err := c.rclone(t.Context(), "lsf", "x:"+remotetest.Bucket); err == nil || !strings.Contains(err.Error(), "InvalidAccessKeyId") {
		t.Errorf("another key: %v", err)
	}
	resp, err := http.Get("http://" + c.Addr() + "/" + remotetest.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("no key: %s", resp.Status)
	}
}

// What is a folder among the files is nothing to S3, and not an error of the server's, which rclone would try
// again for minutes.
func TestFolderIsNoObject(t *testing.T) {
	t.Parallel()
	c := start(t, plain)
	c.must(t, "copyto", file(t, []byte("x")), "x:"+remotetest.Bucket+"/folder/object")
	for key, want := range map[string]int{"folder": http.StatusNotFound, "none": http.StatusNotFound, "folder/object": http.StatusOK} {
		r, err := http.NewRequest(http.MethodHead, "http://"+c.Addr()+"/"+remotetest.Bucket+"/"+key, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=z2c-access/")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s", key, resp.Status)
		}
	}
}
