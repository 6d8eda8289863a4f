package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"zfs2cloud/actions/remote/remotetest"
	"zfs2cloud/cmd/sandbox/internal/limit"
	"zfs2cloud/cmd/sandbox/internal/meter"
)

// scene is the circumstances of a measurement.
type scene struct {
	Name   string `json:"name"`
	Text   string `json:"text"`
	Source int64  `json:"source_bytes_per_second"` // 0 is no limit
	Link   int64  `json:"link_bytes_per_second"`   // 0 is no limit
	S3     bool   `json:"s3"`                      // else WebDAV, or, without a limit, a folder on the same disk
}

func (b *bench) scenes() []scene {
	rate := b.Rate << 20
	all := map[string]scene{
		"disk":   {Text: "everything at full speed, a folder on the same disk"},
		"s3":     {Text: "everything at full speed, S3 on this machine", S3: true},
		"both":   {Text: fmt.Sprintf("source and link to S3 at %d MiB/s each", b.Rate), Source: rate, Link: rate, S3: true},
		"link":   {Text: fmt.Sprintf("source at full speed, link to S3 at %d MiB/s", b.Rate), Link: rate, S3: true},
		"slow":   {Text: fmt.Sprintf("source at full speed, link to S3 at %d MiB/s", b.Rate/10), Link: rate / 10, S3: true},
		"webdav": {Text: fmt.Sprintf("source at full speed, link to WebDAV at %d MiB/s", b.Rate), Link: rate},
	}
	var chosen []scene
	for _, name := range b.Scenes {
		s := all[name]
		s.Name = name
		chosen = append(chosen, s)
	}
	return chosen
}

// result is what one way took, once.
type result struct {
	meter.Figures
	Remote int64            `json:"remote_bytes"`
	Stages map[string]int64 `json:"stages_ns,omitempty"` // how long each took, where they come one after the other
}

// measured is all results of a scene, by way, in the order of the rounds.
type measured struct {
	scene
	Ways    []string            `json:"ways"`
	Results map[string][]result `json:"results"`
	Alone   []int64             `json:"send_alone_ns"`
	Resumes []resumed           `json:"resumes,omitempty"`
}

// play measures every way in turn, so that what changes on the machine meanwhile meets all of them.
func (b *bench) play(ctx context.Context, s scene) (*measured, error) {
	m := &measured{scene: s, Results: map[string][]result{}}
	ways := b.ways()
	for _, w := range ways {
		m.Ways = append(m.Ways, w.name)
	}
	for range b.Rounds {
		for _, w := range ways {
			r, err := b.once(ctx, s, w)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			m.Results[w.name] = append(m.Results[w.name], r)
		}
		alone, err := b.sendAlone(ctx, s)
		if err != nil {
			return nil, err
		}
		m.Alone = append(m.Alone, alone.Nanoseconds())
	}
	if s.Link == 0 || s.Source > 0 || b.Data != dataNoise {
		return m, nil
	}
	for range b.Rounds {
		for _, percent := range b.Kill {
			r, err := b.killAndResume(ctx, s, percent)
			if err != nil {
				return nil, fmt.Errorf("resume: %w", err)
			}
			m.Resumes = append(m.Resumes, r)
		}
	}
	return m, nil
}

// attempt is one measurement's own folders and link.
type attempt struct {
	*bench
	scene
	dir    string
	spool  string
	kept   string // where what is stored on the remote comes to lie
	remote string // as rclone calls it
	conf   string // of rclone
	link   *limit.Proxy
}

// once measures one way, from nothing or from a first backup, and clears what it left.
func (b *bench) once(ctx context.Context, s scene, w way) (result, error) {
	a, err := b.prepare(s)
	if err != nil {
		return result{}, err
	}
	defer a.clear()
	if b.Data == dataChanged {
		if w.before != nil {
			if err := w.before(a, ctx); err != nil {
				return result{}, fmt.Errorf("first backup: %w", err)
			}
		}
		if err := b.change(ctx); err != nil {
			return result{}, err
		}
	}
	stored, _, err := meter.Length(a.kept)
	if err != nil {
		return result{}, err
	}
	b.settle()
	r, err := w.run(a, ctx)
	if err != nil {
		return r, err
	}
	if b.Data == dataChanged {
		r.Space = 0 // what the first backup left there goes meanwhile
	}
	r.Remote, _, err = meter.Length(a.kept)
	r.Remote -= stored
	return r, err
}

func (b *bench) prepare(s scene) (*attempt, error) {
	b.attempts++
	name := fmt.Sprintf("attempt%d", b.attempts)
	a := &attempt{bench: b, scene: s}
	var err error
	if a.dir, err = b.sub(name); err != nil {
		return nil, err
	}
	if a.spool, err = b.sub(name + "/spool"); err != nil {
		return nil, err
	}
	conf, err := a.place(name)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(a.kept, 0o700); err != nil {
		return nil, err
	}
	a.conf = filepath.Join(a.dir, "rclone.conf")
	return a, os.WriteFile(a.conf, []byte(conf), 0o600)
}

// place chooses where the attempt's objects go, and returns rclone's config for it.
func (a *attempt) place(name string) (conf string, err error) {
	server := a.server.addr
	switch {
	case a.folder():
		a.kept = filepath.Join(a.dir, "remote")
		a.remote = a.kept // an absolute path, for ours and for rclone
		return "", nil
	case a.S3:
		server = a.s3.Addr()
		a.kept = filepath.Join(a.s3.Folder(remotetest.Bucket), name)
		a.remote = "store:" + remotetest.Bucket + "/" + name
	default:
		a.kept = filepath.Join(a.server.dir, name)
		a.remote = "store:" + name
	}
	if a.Link > 0 {
		if a.link, err = limit.NewProxy(server, a.Link, roundTrip); err != nil {
			return "", err
		}
		server = a.link.Addr()
	}
	if a.S3 {
		return remotetest.S3Conf("store", server), nil
	}
	return fmt.Sprintf("[store]\ntype = webdav\nvendor = other\nurl = http://%s\n", server), nil
}

// folder tells whether the remote is a folder on the same disk.
func (s scene) folder() bool { return s.Link == 0 && !s.S3 }

// clear makes room. What can't go now goes with the sandbox.
func (a *attempt) clear() {
	if a.link != nil {
		a.link.Close()
	}
	os.RemoveAll(a.kept)
	os.RemoveAll(a.dir)
}

// sendAlone is how long the source takes if nobody keeps it waiting.
func (b *bench) sendAlone(ctx context.Context, s scene) (time.Duration, error) {
	m := meter.Start("")
	c := b.zfs(s.Source, b.sending()...)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	c.Stdout = null
	err = b.row(ctx, m, c)
	return m.Stop().Wall, err
}

// zfsPath is the throttle as ZFS_PATH.
func (a *attempt) zfsPath() string { return strings.Join(throttled(a.self, a.Source), " ") }
