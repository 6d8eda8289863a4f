package remotetest_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"zfs2cloud/actions/remote/remotetest"
)

// echo says again what it is told.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func link(t *testing.T) *remotetest.Link {
	t.Helper()
	l, err := remotetest.NewLink(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// said is what comes back of so many bytes, within a while.
func said(t *testing.T, l *remotetest.Link, n int, within time.Duration) (int, error) {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		return 0, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(within))
	go func() {
		c.Write(bytes.Repeat([]byte("."), n))
		c.(*net.TCPConn).CloseWrite()
	}()
	back, err := io.ReadAll(c)
	return len(back), err
}

const long = 30 * time.Second

func TestLinkFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault remotetest.Fault
		bytes int64
		is    error // of the client that meets it
	}{
		"cut":      {remotetest.Cut, 100_000, nil},
		"reset":    {remotetest.Reset, 100_000, syscall.ECONNRESET},
		"truncate": {remotetest.Truncate, 100_000, nil},
		"down":     {remotetest.Down, 0, syscall.ECONNREFUSED},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := link(t)
			if n, err := said(t, l, 300_000, long); n != 300_000 || err != nil {
				t.Fatalf("fine: %d, %v", n, err)
			}
			if err := l.Set(c.fault, c.bytes, false); err != nil {
				t.Fatal(err)
			}
			n, err := said(t, l, 300_000, long)
			if n > 100_000 || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("failing: %d bytes, %v", n, err)
			}
			if c.fault == remotetest.Down {
				if err := l.Set(remotetest.Fine, 0, false); err != nil {
					t.Fatal(err)
				}
			}
			if n, err := said(t, l, 300_000, long); n != 300_000 || err != nil {
				t.Errorf("fine again: %d, %v", n, err)
			}
		})
	}
}

func TestLinkFailsAlways(t *testing.T) {
	t.Parallel()
	l := link(t)
	if err := l.Set(remotetest.Cut, 100_000, true); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if n, _ := said(t, l, 300_000, long); n > 100_000 {
			t.Errorf("%d bytes", n)
		}
	}
}

func TestLinkStalls(t *testing.T) {
	t.Parallel()
	l := link(t)
	if err := l.Set(remotetest.Stall, 100_000, false); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	n, err := said(t, l, 300_000, 300*time.Millisecond)
	if n > 100_000 || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := l.Set(remotetest.Fine, 0, false); err != nil {
		t.Fatal(err)
	}
	if n, err := said(t, l, 300_000, long); n != 300_000 || err != nil {
		t.Errorf("fine again: %d, %v", n, err)
	}
}

func TestLinkIsSlow(t *testing.T) {
	t.Parallel()
	l := link(t)
	if err := l.Set(remotetest.Slow, 200_000, false); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if n, err := said(t, l, 100_000, long); n != 100_000 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("100 kB at 200 kB/s took %v", took)
	}
}
