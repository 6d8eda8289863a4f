package limit

import (
	"net"
	"sync"
	"time"
)

// Proxy is a slow link to a server on this machine.
type Proxy struct {
	listener net.Listener
	server   string
	delay    time.Duration // one way
	up, down *Bucket
	over     sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
}

// NewProxy listens on a free port of the loopback and passes connections on to the server, RATE bytes a second
// each way, and ROUND from a question to its answer.
func NewProxy(server string, rate int64, round time.Duration) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		listener: l, server: server, delay: round / 2,
		up: NewBucket(rate), down: NewBucket(rate), open: map[net.Conn]bool{},
	}
	p.over.Go(p.accept)
	return p, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends all connections.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.open {
		c.Close()
	}
	p.mu.Unlock()
	p.over.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.over.Go(func() { p.serve(client) })
	}
}

// serve is one connection. A side that can't be reached is for the client to see: its connection ends.
func (p *Proxy) serve(client net.Conn) {
	defer p.drop(client)
	server, err := net.Dial("tcp", p.server)
	if err != nil || !p.keep(client) || !p.keep(server) {
		if err == nil {
			server.Close()
		}
		return
	}
	defer p.drop(server)
	var both sync.WaitGroup
	both.Go(func() { p.carry(server, client, p.up) })
	both.Go(func() { p.carry(client, server, p.down) })
	both.Wait()
}

func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = true
	return !p.closed
}

func (p *Proxy) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// underWay is a piece on its way, and when it arrives.
type underWay struct {
	bytes []byte
	due   time.Time
}

// carry is one direction of a connection. What is on its way is bounded as by a socket's buffer: 4 MiB, which
// is more than a hundred milliseconds of a link of 40 MiB a second.
func (p *Proxy) carry(to, from net.Conn, b *Bucket) {
	way := make(chan underWay, 4<<20/piece)
	var arrival sync.WaitGroup
	arrival.Go(func() {
		for u := range way {
			time.Sleep(time.Until(u.due))
			if _, err := to.Write(u.bytes); err != nil {
				from.Close() // ends the reads below
			}
		}
		if c, ok := to.(*net.TCPConn); ok {
			c.CloseWrite() // the other direction may go on
		}
	})
	for {
		bytes := make([]byte, piece)
		n, err := from.Read(bytes)
		if n > 0 {
			b.Take(n)
			way <- underWay{bytes[:n], time.Now().Add(p.delay)}
		}
		if err != nil {
			break
		}
	}
	close(way)
	arrival.Wait()
}
