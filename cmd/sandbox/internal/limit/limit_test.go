package limit

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestCopyTakesItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		data := bytes.Repeat([]byte("zfs2cloud"), 1<<20)
		var out bytes.Buffer
		began := time.Now()
		if err := Copy(&out, bytes.NewReader(data), NewBucket(1<<20)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), data) {
			t.Error("another stream came out")
		}
		if d := time.Since(began); d < 9*time.Second-burst || d > 9*time.Second {
			t.Errorf("9 MiB at 1 MiB/s took %v", d)
		}
	})
}

func TestNoBucketIsNoLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := Copy(io.Discard, bytes.NewReader(make([]byte, 1<<20)), NewBucket(0)); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}

// Two who share a bucket get no more than one would.
func TestSharedBucket(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBucket(1 << 20)
		began := time.Now()
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { Copy(io.Discard, bytes.NewReader(make([]byte, 2<<20)), b) })
		}
		both.Wait()
		if d := time.Since(began); d < 4*time.Second-burst || d > 4*time.Second {
			t.Errorf("4 MiB at 1 MiB/s took %v", d)
		}
	})
}

// echo is a server that says again what it is told.
func echo(t *testing.T) string {
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

func TestProxyLimitsAndDelays(t *testing.T) {
	t.Parallel()
	const rate, round = 8 << 20, 60 * time.Millisecond
	p, err := NewProxy(echo(t), rate, round)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.Write([]byte("?"))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d < round {
		t.Errorf("an answer after %v", d)
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB: half a second
	began = time.Now()
	go func() {
		c.Write(data)
		c.(*net.TCPConn).CloseWrite()
	}()
	back, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(back, data) {
		t.Errorf("%d bytes came back of %d: %v", len(back), len(data), err)
	}
	if d := time.Since(began); d < 500*time.Millisecond-2*burst {
		t.Errorf("4 MiB at 8 MiB/s there and back after %v", d)
	}
}
