package remotetest

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Fault is what a Link does to the connections through it. Bytes are counted over all connections together, from
// the moment the fault is set: those that clients send, but for Truncate, which counts answers.
type Fault int

const (
	// Fine passes everything on.
	Fine Fault = iota
	// Down accepts no connection, as a server that is down, and ends those that are open.
	Down
	// Cut closes the connection on which the last of the bytes came. Its client sees an end, or, if it was just
	// sending, a reset.
	Cut
	// Reset is Cut, always seen as a reset.
	Reset
	// Truncate closes the connection on which the last of the bytes of answers came.
	Truncate
	// Stall passes nothing more once the bytes came, on any connection, and closes none.
	Stall
	// Slow passes so many bytes a second, each way.
	Slow
)

// Faults are their names.
var Faults = map[string]Fault{
	"fine": Fine, "down": Down, "cut": Cut, "reset": Reset, "truncate": Truncate, "stall": Stall, "slow": Slow,
}

// Link is a link to a server on this machine that can fail. A fault of a number of bytes happens once and is over:
// the link is fine then. A stall, a server that is down and slowness last until another fault is set.
type Link struct {
	server string
	addr   string
	over   sync.WaitGroup

	mu       sync.Mutex
	turn     *sync.Cond // a fault was set
	listener net.Listener
	open     map[net.Conn]bool
	fault    Fault
	bytes    int64 // as the fault was set
	left     int64 // until it happens
	always   bool
	closed   bool
}

// NewLink listens on a free port of the loopback.
func NewLink(server string) (*Link, error) {
	l := &Link{server: server, addr: "127.0.0.1:0", open: map[net.Conn]bool{}}
	l.turn = sync.NewCond(&l.mu)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l, l.listen()
}

// Addr is where it listens. It stays the same.
func (l *Link) Addr() string { return l.addr }

// listen begins to accept, at the old address if there was one. With the lock held.
func (l *Link) listen() (err error) {
	if l.listener, err = net.Listen("tcp", l.addr); err != nil {
		return err
	}
	l.addr = l.listener.Addr().String()
	accepting := l.listener
	l.over.Go(func() { l.accept(accepting) })
	return nil
}

// Set has the link fail so, after so many more bytes. ALWAYS: and each time after that many bytes again.
func (l *Link) Set(f Fault, bytes int64, always bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault, l.bytes, l.left, l.always = f, bytes, bytes, always
	l.turn.Broadcast()
	if f != Down {
		if l.listener == nil {
			return l.listen()
		}
		return nil
	}
	l.deafen()
	return nil
}

// deafen accepts nobody any more, and ends those who are there. With the lock held.
func (l *Link) deafen() {
	if l.listener != nil {
		l.listener.Close()
		l.listener = nil
	}
	for c := range l.open {
		c.Close()
	}
}

// Close ends all connections.
func (l *Link) Close() {
	l.mu.Lock()
	l.closed = true
	l.turn.Broadcast()
	l.deafen()
	l.mu.Unlock()
	l.over.Wait()
}

func (l *Link) accept(from net.Listener) {
	for {
		client, err := from.Accept()
		if err != nil {
			return
		}
		l.over.Go(func() { l.serve(client) })
	}
}

func (l *Link) serve(client net.Conn) {
	defer l.drop(client)
	server, err := net.Dial("tcp", l.server)
	if err != nil {
		return
	}
	defer l.drop(server)
	if !l.keep(client) || !l.keep(server) {
		return
	}
	var both sync.WaitGroup
	for _, way := range []struct {
		to, from net.Conn
		up       bool
	}{{server, client, true}, {client, server, false}} {
		both.Go(func() {
			if err := l.carry(way.to, way.from, way.up, client); err != nil {
				client.Close()
				server.Close()
				return
			}
			way.to.(*net.TCPConn).CloseWrite()
		})
	}
	both.Wait()
}

func (l *Link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = true
	return l.listener != nil && !l.closed
}

func (l *Link) drop(c net.Conn) {
	c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

// carry is one direction of a connection.
func (l *Link) carry(to, from net.Conn, up bool, client net.Conn) error {
	p := make([]byte, 16<<10)
	for {
		n, err := from.Read(p)
		if n > 0 {
			pass, fault := l.admit(n, up)
			if _, err := to.Write(p[:pass]); err != nil {
				return err
			}
			if fault != Fine {
				if fault == Reset {
					client.(*net.TCPConn).SetLinger(0)
				}
				return fmt.Errorf("told to")
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// admit tells how many of n bytes may pass, when it is time for them, and whether the connection ends then.
func (l *Link) admit(n int, up bool) (pass int, ends Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.fault == Stall && !l.closed {
		if l.left >= int64(n) {
			l.left -= int64(n)
			return n, Fine
		}
		l.turn.Wait()
	}
	switch l.fault {
	case Slow:
		rate := l.bytes
		l.mu.Unlock()
		time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
		l.mu.Lock()
	case Cut, Reset, Truncate:
		if up == (l.fault == Truncate) {
			return n, Fine
		}
		if l.left > int64(n) {
			l.left -= int64(n)
			return n, Fine
		}
		pass, ends = int(l.left), l.fault
		l.left = l.bytes
		if !l.always {
			l.fault = Fine
		}
		return pass, ends
	}
	return n, Fine
}
