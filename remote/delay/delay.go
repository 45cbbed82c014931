// Package delay puts distance and faults between two ends of TCP connections, in process and without
// privileges: for tests and benchmarks.
package delay

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy listens on a loopback port and passes connections on to Target.
type Proxy struct {
	listener net.Listener
	target   string
	o        Options
	up, down atomic.Int64
	turns    atomic.Int64
	accepted atomic.Int64
	mu       sync.Mutex
	conns    map[net.Conn]bool
	closed   bool
	running  sync.WaitGroup
}

// Options are what the proxy does to connections. The zero Options pass everything on at once.
type Options struct {
	// RTT is how long an answer takes at least: each direction is late by half of it, without any
	// limit on how much is on its way.
	RTT time.Duration
	// DropAfter cuts the first Drops connections, by reset, once so many bytes have gone up (to the
	// target) or down in them. 0: never.
	DropAfterUp, DropAfterDown int64
	Drops                      int // 0: all
	// HangAfterUp passes nothing on any more, in either direction, once so many bytes have gone up.
	HangAfterUp int64
}

// New starts a proxy in front of the address target.
func New(target string, o Options) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, o: o, conns: map[net.Conn]bool{}}
	p.running.Go(p.accept)
	return p, nil
}

// Port is where the proxy listens, on 127.0.0.1.
func (p *Proxy) Port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// Bytes tells how much has gone to the target and how much has come from it, in all connections.
func (p *Proxy) Bytes() (up, down int64) { return p.up.Load(), p.down.Load() }

// Turns counts how often the client spoke after the target had: the round trips, as far as each
// waits for the one before.
func (p *Proxy) Turns() int64 { return p.turns.Load() }

// Accepted counts connections.
func (p *Proxy) Accepted() int64 { return p.accepted.Load() }

// Cut resets all connections that there are.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		cut(c)
	}
}

// Close ends the proxy and all connections through it.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.Cut()
	p.running.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		n := p.accepted.Add(1)
		faulty := p.o.Drops == 0 || n <= int64(p.o.Drops)
		p.running.Go(func() { p.serve(client, faulty) })
	}
}

// keep notes a connection for Cut, or refuses it if the proxy is closed.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) serve(client net.Conn, faulty bool) {
	target, err := net.Dial("tcp", p.target)
	if err != nil {
		cut(client)
		return
	}
	if !p.keep(client) || !p.keep(target) {
		cut(client)
		cut(target)
		return
	}
	var clientTurn atomic.Bool
	var sent atomic.Int64
	hung := func() bool { return faulty && p.o.HangAfterUp > 0 && sent.Load() >= p.o.HangAfterUp }
	var both sync.WaitGroup
	both.Go(func() {
		p.pass(target, client, func(n int) bool {
			if !clientTurn.Swap(true) {
				p.turns.Add(1)
			}
			p.up.Add(int64(n))
			total := sent.Add(int64(n))
			return !faulty || p.o.DropAfterUp == 0 || total < p.o.DropAfterUp
		}, hung)
	})
	both.Go(func() {
		var total int64
		p.pass(client, target, func(n int) bool {
			clientTurn.Store(false)
			p.down.Add(int64(n))
			total += int64(n)
			return !faulty || p.o.DropAfterDown == 0 || total < p.o.DropAfterDown
		}, hung)
	})
	both.Wait()
	for _, c := range []net.Conn{client, target} {
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
		c.Close()
	}
}

// chunk is data on its way.
type chunk struct {
	data []byte
	due  time.Time
}

// pass copies from src to dst, late by half of RTT. count is told of what was read, and says whether
// the connection lives on; hung says whether what was read gets lost.
func (p *Proxy) pass(dst, src net.Conn, count func(int) bool, hung func() bool) {
	way := make(chan chunk, 1<<14)
	var writer sync.WaitGroup
	writer.Go(func() {
		for c := range way {
			time.Sleep(time.Until(c.due))
			if _, err := dst.Write(c.data); err != nil {
				cut(src)
				for range way { // what is still on its way is lost
				}
				return
			}
		}
		if c, ok := dst.(*net.TCPConn); ok {
			if err := c.CloseWrite(); err != nil && !errors.Is(err, net.ErrClosed) {
				cut(dst)
			}
		}
	})
	buf := make([]byte, 256<<10)
	for {
		n, err := src.Read(buf)
		alive := n == 0 || count(n)
		if n > 0 && !hung() {
			way <- chunk{append([]byte(nil), buf[:n]...), time.Now().Add(p.o.RTT / 2)}
		}
		if !alive {
			cut(src)
			cut(dst)
			break
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				cut(dst)
			}
			break
		}
	}
	close(way)
	writer.Wait()
}

// cut ends a connection by a reset, as a machine does that has lost its memory of it.
func cut(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}
