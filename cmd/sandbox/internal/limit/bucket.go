// Package limit makes a source or a link slow on purpose, so that a benchmark can say what stands at the
// narrow place.
//
// A Bucket hands out permission to pass bytes at a steady rate. Copy passes a stream through one; a Proxy
// is a TCP connection's middle man with one for each direction, shared by all connections as a real link
// is, and a delay.
package limit

import (
	"io"
	"sync"
	"time"
)

// piece is how much passes at once: small enough for a steady flow, large enough to cost nothing.
const piece = 64 << 10

// burst is how much time that was not used may be made up for. Sleeps are late by up to some milliseconds
// on a busy machine; without it each lateness would be lost, and the rate not reached.
const burst = 20 * time.Millisecond

// Bucket limits the rate of all who take from it together. A nil one limits nothing.
type Bucket struct {
	rate float64 // bytes a second

	mu   sync.Mutex
	free time.Time // when all that was given out has passed
}

// NewBucket makes one for a number of bytes a second; 0 is no limit.
func NewBucket(rate int64) *Bucket {
	if rate == 0 {
		return nil
	}
	return &Bucket{rate: float64(rate)}
}

// Take returns when n more bytes may have passed.
func (b *Bucket) Take(n int) {
	if b == nil {
		return
	}
	time.Sleep(time.Until(b.book(time.Now(), n)))
}

// book gives n bytes their time, and returns its end.
func (b *Bucket) book(now time.Time, n int) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if earliest := now.Add(-burst); b.free.Before(earliest) {
		b.free = earliest
	}
	b.free = b.free.Add(time.Duration(float64(n) / b.rate * float64(time.Second)))
	return b.free
}

// Copy copies a stream at the bucket's rate.
func Copy(to io.Writer, from io.Reader, b *Bucket) error {
	p := make([]byte, piece)
	for {
		n, err := io.ReadFull(from, p)
		if n > 0 {
			b.Take(n)
			if _, err := to.Write(p[:n]); err != nil {
				return err
			}
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return err
		}
	}
}
